"""Sacrum, lumbar vertebrae, the lowest thoracic ones and their ribs as signed distances, in mm.

In the body's frame (x left, y posterior, z superior), origin midway between the hip centres. Sizes after Panjabi 1992.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ssl_hip.simulation import shapes
from ssl_hip.simulation.anatomy import Body

SACRAL_SLOPE_DEG = 31.0  # of the first sacral vertebra's axis, forwards
NUMBER = 7  # vertebrae: L5 to L1, T12, T11
CANAL_MM = 9.0  # half the spinal canal's depth and about its half width
REACH_MM = (48.0, 84.0, 30.0)  # of a vertebra around its centre: to the side, backwards (half as much in front), up


class Vertebra(NamedTuple):
    """Where a vertebra's body is and how it is inclined; number 0 is L5."""

    centre: np.ndarray
    forwards: float  # rad
    number: int


def vertebrae(body: Body) -> list[Vertebra]:
    """Return L5 to T11 along the lordosis, whose upper end keeps its place in the scanner when the pelvis tilts."""
    low = SACRAL_SLOPE_DEG
    high = low - body.lordosis_deg + body.tilt_deg
    place, pitch = endplate(body)[0], body.vertebra_mm + body.disc_mm
    found = []
    for number in range(NUMBER):
        share = 1 - (number + 0.7) / (NUMBER - 0.3)
        angle = float(np.deg2rad(high + (low - high) * share**1.6))
        step = np.array([0.0, -np.sin(angle), np.cos(angle)]) * pitch
        aside = body.scoliosis_mm * np.sin(np.pi * (number + 1) / NUMBER)
        found.append(Vertebra(place + step * (0.5 + body.disc_mm / pitch / 2) + [aside, 0, 0], angle, number))
        place = place + step
    return found


def endplate(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and upward direction of the sacrum's upper surface."""
    slope = np.deg2rad(SACRAL_SLOPE_DEG)
    up = np.array([0.0, -np.sin(slope), np.cos(slope)])
    return np.array([0.0, 36.0, body.promontory_mm - 8]) + 14 * up, up


def sacrum(p: shapes.Point, body: Body) -> np.ndarray:
    """Signed distance to the sacrum with its canal. p: (x, y, z) of the body."""
    x, y, z = np.abs(p[0]), p[1], p[2]
    top, curve = body.promontory_mm, body.sacrum_curve_mm
    line = [(0.0, 36.0, top - 8), (0.0, curve - 6, 52.0), (0.0, curve, 22.0), (0.0, curve - 16, -8.0)]
    flat = shapes.chain((np.zeros_like(x), y, z), line, [17, 13, 8, 4], 10)
    width = np.interp(z, [-10, 15, 55, top], [5, 20, body.sacrum_width_mm, body.sacrum_width_mm]).astype(np.float32)
    ala = shapes.smooth_max(flat + 0.09 * x, (x - width) * np.float32(0.85), 8)
    centre, up = endplate(body)
    ala = shapes.smooth_max(ala, (y - np.float32(centre[1])) * np.float32(up[1]) + (z - centre[2]) * up[2], 3)
    crest = shapes.chain((x, y, z), [(0, 62, top - 8), (0, curve + 14, 56), (0, curve + 9, 26)], [5, 6, 4], 5)
    canal = shapes.capsule((x, y, z), (0, 50, top + 6), (0, curve + 3, 30), 7, 3)
    return np.maximum(shapes.smooth_min(ala, crest, 6), -canal).astype(np.float32)


def vertebra(p: shapes.Point, own: Vertebra, body: Body) -> np.ndarray:
    """Signed distance to a vertebra: a waisted body, arch around the canal, spinous, transverse, articular processes.

    p: (x, y, z) of the body.
    """
    sine, cosine = np.float32(np.sin(own.forwards)), np.float32(np.cos(own.forwards))
    x, y, z = (a - np.float32(c) for a, c in zip(p, own.centre, strict=True))
    x, y, z = np.abs(x), y * cosine + z * sine, z * cosine - y * sine
    wide, half = body.vertebra_width_mm / 2 * (1 - 0.03 * own.number), body.vertebra_mm / 2
    deep = 0.76 * wide
    waist = 1 - 0.11 * np.clip(1 - np.square(z / np.float32(half)), 0, 1)
    drum = (np.hypot(x / np.float32(wide), y / np.float32(deep)) / waist - 1) * np.float32(deep)
    bone = shapes.smooth_max(drum, np.abs(z) - np.float32(half), 3)
    back = deep + 2 * CANAL_MM  # of the canal
    q, joint = (x, y, z), 0.62 * wide
    thin = (x * np.float32(2.4), y, z * np.float32(0.75))
    length = 30 - 1.5 * abs(own.number - 2)
    across = (1.72 if own.number < 5 else 1.15) * wide
    parts = [
        shapes.capsule(q, (joint, deep - 6, 5), (joint + 2, back - 8, 4), 4.5),
        shapes.capsule(q, (joint + 1, back - 8, 2), (2, back + 2, -5), 4.0, 4.5),
        shapes.capsule(thin, (0, back, -3), (0, back + length, -7), 6.5, 7.5),
        shapes.capsule(q, (joint, back - 9, 4), (across, back - 5, 7), 4.2, 3.2),
        shapes.capsule(q, (joint + 2, back - 7, 4), (joint + 4, back - 6, half + 4), 5.0, 4.0),
        shapes.capsule(q, (joint - 1, back - 4, -4), (joint, back - 1, -half - 5), 4.5, 4.2),
    ]
    for part in parts:
        bone = shapes.smooth_min(bone, part, 3)
    return bone.astype(np.float32)


def ribs(body: Body) -> Iterator[np.ndarray]:
    """Yield the axes of the eleventh and twelfth ribs, (n, 3), of both sides: outwards, backwards, then down."""
    eleventh = np.array([(24, 26, 2), (62, 50, -12), (102, 42, -42), (128, 10, -76), (136, -24, -100)], float)
    twelfth = np.array([(24, 26, 0), (56, 44, -12), (88, 40, -36), (110, 24, -60)], float)
    short = np.clip((body.rib_mm - 40) / 100, 0.3, 1)
    twelfth = twelfth[0] + (twelfth - twelfth[0]) * short
    for own, axis in zip(vertebrae(body)[-2:], (twelfth, eleventh), strict=True):
        for side in (1, -1):
            yield own.centre + axis * [side, 1, 1]


def rib(p: shapes.Point, axis: np.ndarray) -> np.ndarray:
    """Signed distance to a rib along its axis (n, 3)."""
    return shapes.chain(p, [tuple(joint) for joint in axis], np.linspace(5.5, 4, len(axis)).tolist(), 4)
