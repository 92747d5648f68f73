"""Procedural anatomy from mid-thigh to the last ribs: the parameters of a subject become a label map.

Frames, in mm: the body's (x left, y posterior, z superior), origin midway between the hip centres; and, for each side,
the hip's (u lateral, v posterior, w superior). The scanner sees the body turned, shifted, scaled and deformed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from ssl_hip.simulation import bones, shapes, spine
from ssl_hip.simulation.anatomy import Anatomy, Body, Hip, fractured
from ssl_hip.simulation.draws import spline_weights, weighted

BACKGROUND, FEMUR_RIGHT, FEMUR_LEFT, HIP_RIGHT, HIP_LEFT, SPINE = range(6)
LOW_MM, HIGH_MM = np.array([-200.0, -146.0, -230.0]), np.array([200.0, 130.0, 300.0])  # of the largest scan (x, y, z)
LESIONS_MM = -120.0  # bones are always computed down to here: where lesions lie must not depend on the cut
FAR = np.float32(60)  # signed distance where no bone has been evaluated
FEMUR_MM, HIP_MM = 48.0, 24.0  # around the points that a bone's box is made of
MARGIN_MM = 12.0  # around a bone's box, for the random deformation
CONTROL_MM = 28.0  # distance of the deformation's controls: finer than 60 subjects' modes resolve
SPINE_GAP_MM = 1.8  # between spine and hip bones: the sacroiliac joint


class Grid(NamedTuple):
    """Voxel centres along x, y and z in the scanner's frame, mm, and the control values of the deformation."""

    lines: tuple[np.ndarray, np.ndarray, np.ndarray]
    controls: np.ndarray  # (3, z, y, x)
    body: Body

    def turn(self) -> np.ndarray:
        """Return the matrix from the scanner's frame to the body's, but for scale."""
        angles = [self.body.tilt_deg, self.body.roll_deg, self.body.yaw_deg]
        return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()

    def shift(self) -> np.ndarray:
        """Return where the body's origin is in the scanner."""
        return np.array([self.body.shift_x_mm, self.body.shift_y_mm, self.body.shift_z_mm])

    def box(self, points: np.ndarray, around: float) -> tuple[slice, ...]:
        """Return the voxels (z, y, x) that may hold a bone that lies within `around` of points (n, 3) of the body."""
        seen = points @ self.turn() * self.body.scale + self.shift()
        reach = around * self.body.scale + MARGIN_MM
        ends = np.array([seen.min(0) - reach, seen.max(0) + reach]).T
        return tuple(slice(*np.searchsorted(line, end)) for line, end in zip(self.lines, ends, strict=True))[::-1]

    def points(self, box: tuple[slice, ...]) -> shapes.Point:
        """Return where a box's voxels lie in the undeformed, unscaled body: three arrays (z, y, x)."""
        lines = [line[part] for line, part in zip(self.lines, box[::-1], strict=True)]
        turn, shift = self.turn() / self.body.scale, self.shift()
        x, y, z = (line - s for line, s in zip(lines, shift, strict=True))
        x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
        counts = self.controls.shape[:0:-1]
        places = ((line - low) / CONTROL_MM for line, low in zip(lines, LOW_MM, strict=True))
        weights = [spline_weights(count, place) for count, place in zip(counts, places, strict=True)][::-1]
        return tuple(
            weighted(values, weights) + (r[0] * x).astype(np.float32) + (r[1] * y + r[2] * z).astype(np.float32)
            for values, r in zip(self.controls, turn, strict=True)
        )


def extent(anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (x, y, z) of a subject's scan in the scanner's frame, mm."""
    return np.array([*LOW_MM[:2], anatomy.body.bottom_mm]), np.array([*HIGH_MM[:2], anatomy.body.top_mm])


def shape_of(anatomy: Anatomy, spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    """Voxels (z, y, x) of a subject's scan with spacing (x, y, z) in mm."""
    low, high = extent(anatomy)
    nx, ny, nz = (int(round(length / s)) for length, s in zip(high - low, spacing, strict=True))
    return nz, ny, nx


def _grid(anatomy: Anatomy, spacing: tuple[float, float, float], below: int) -> Grid:
    """The scan's grid with so many slices more below."""
    body, counts = anatomy.body, np.array(shape_of(anatomy, spacing))[::-1] + [0, 0, below]
    low = extent(anatomy)[0] - [0, 0, below * spacing[2]]
    lines = tuple(start + s * (np.arange(n) + 0.5) for start, s, n in zip(low, spacing, counts, strict=True))
    number = np.ceil((HIGH_MM - LOW_MM) / CONTROL_MM).astype(int)[::-1] + 1
    values = np.random.default_rng([body.body_seed, 0]).standard_normal((3, *number))
    return Grid(lines, (values * body.deformation_mm).astype(np.float32), body)


def _sides(anatomy: Anatomy) -> Iterator[tuple[Hip, int, int, int]]:
    """Yield each side as it healed, with its sign and labels; the femora do not follow the pelvis' tilt."""
    for hip, sign, femur, pelvis in (
        (anatomy.right, -1, FEMUR_RIGHT, HIP_RIGHT),
        (anatomy.left, 1, FEMUR_LEFT, HIP_LEFT),
    ):
        yield replace(fractured(hip), flexion_deg=hip.flexion_deg - anatomy.body.tilt_deg), sign, femur, pelvis


def _hip_points(hip: Hip, half: float) -> np.ndarray:
    """Points (u, v, w) that enclose the hip bone, but for about HIP_MM."""
    wing = [(u, v, w) for v, w in bones.wing_outline(hip) for u in (min(-0.45 * v - 15, -10), 14 + 0.4 * max(w, 0))]
    pubis = [(-half, -50, 0), (-half, -44, -50), (-22, 40, -hip.tuber_mm - 12)]
    socket = [(15, side * 0.8 * hip.head_radius_mm, 0) for side in (-1, 1)]
    return np.array([*wing, *pubis, *socket])


def label_map(anatomy: Anatomy, spacing: tuple[float, float, float]) -> np.ndarray:
    """Render a subject: uint8 (z, y, x), x to the left, y to the back, z upwards; 1/2 femora right/left, 3/4 hip
    bones right/left, 5 spine: sacrum, vertebrae, ribs. spacing: (x, y, z) in mm."""
    below = max(int(np.ceil((anatomy.body.bottom_mm - LESIONS_MM) / spacing[2])), 0)
    grid = _grid(anatomy, spacing, below)
    shape = tuple(len(line) for line in grid.lines[::-1])
    labels, hips = np.zeros(shape, np.uint8), np.full(shape, FAR)
    for side in _sides(anatomy):
        _draw_side(labels, hips, grid, *side)
    _draw_spine(labels, hips, grid)
    return labels[below:]


def _draw_side(
    labels: np.ndarray, hips: np.ndarray, grid: Grid, hip: Hip, sign: int, femur_label: int, hip_label: int
) -> None:
    """Label a femur and a hip bone; keep the distance to the latter in `hips`."""
    half = grid.body.hip_distance_mm / 2

    def hip_frame(box: tuple[slice, ...]) -> shapes.Point:
        x, y, z = grid.points(box)
        return sign * x - np.float32(half), y, z

    def to_body(points: np.ndarray) -> np.ndarray:
        return (points + [half, 0, 0]) * [sign, 1, 1]

    shaft = np.array([bones.shaft_point(hip, along) for along in (bones.PROXIMAL_MM - 15, 190, 330)])
    box = grid.box(to_body(shaft), hip.shaft_radius_mm + 2)
    labels[box][bones.femoral_shaft(hip_frame(box), hip) < 0] = femur_label
    head, _, base, _ = bones.femur_frame(hip)
    box = grid.box(to_body(np.array([head, base, bones.shaft_point(hip, bones.PROXIMAL_MM - 20)])), FEMUR_MM)
    thigh = bones.femur(hip_frame(box), hip)
    upper = labels[box]
    upper[upper == femur_label] = 0  # the shaft without its lesions
    upper[thigh < 0] = femur_label
    away = np.full(labels.shape, FAR)
    away[box] = thigh
    box = grid.box(to_body(_hip_points(hip, half)), HIP_MM)
    pelvis = bones.hip_bone(hip_frame(box), hip, half, away[box])
    labels[box][(pelvis < 0) & (away[box] >= 0)] = hip_label
    hips[box] = np.minimum(hips[box], pelvis)


def _draw_spine(labels: np.ndarray, hips: np.ndarray, grid: Grid) -> None:
    """Label sacrum, vertebrae and ribs where no other bone is."""
    body = grid.body

    def paint(box: tuple[slice, ...], distance: np.ndarray) -> None:
        inside = np.maximum(distance, np.float32(SPINE_GAP_MM) - hips[box]) < 0
        labels[box][inside & (labels[box] == 0)] = SPINE

    ends = np.array([(x, y, z) for x in (-58, 58) for y, z in ((30, 100), (80, 90), (84, 40), (30, -12), (64, -12))])
    box = grid.box(ends, 8)
    paint(box, spine.sacrum(grid.points(box), body))
    for own in spine.vertebrae(body):
        reach = np.array([(x, y, 0) for x in (-1, 1) for y in (-0.4, 1)]) * spine.REACH_MM
        box = grid.box(own.centre + reach, spine.REACH_MM[2])
        paint(box, spine.vertebra(grid.points(box), own, body))
    for axis in spine.ribs(body):
        box = grid.box(axis, 6)
        paint(box, spine.rib(grid.points(box), axis))
