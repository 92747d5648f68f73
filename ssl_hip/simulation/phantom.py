"""Procedural anatomy of both hips: named, bounded parameters of a subject become a label map.

Frames, in mm: the body's (x left, y posterior, z superior), origin midway between the hip centres; and, for each side,
the hip's (u lateral, v posterior, w superior), origin at the centre of the socket. Landmark positions are those of an
average adult pelvis; ranges follow the usual clinical ones. `diseased` ranges stand for osteoarthritis and dysplasia.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ssl_hip.simulation import shapes
from ssl_hip.simulation.draws import affect, chance, draw, integer, ranged, smooth_field, vary

BACKGROUND, FEMUR_RIGHT, FEMUR_LEFT, HIP_RIGHT, HIP_LEFT, SACRUM = range(6)
LOW_MM = np.array([-182.0, -112.0, -86.0])  # corners of the scan in the body's frame (x, y, z)
HIGH_MM = np.array([182.0, 126.0, 126.0])
FAR = np.float32(60)  # signed distance where no bone has been evaluated
MARGIN_MM = 14.0  # of a bone's box, for the random deformation
CONTROLS = (9, 9, 13)  # of the random deformation, (z, y, x): about 28 mm apart, finer than 60 subjects' modes resolve


@dataclass(frozen=True)
class Hip:
    """One side: femur and hip bone, in mm and degrees.

    defect_mm, ossification_mm: radius of a lump that each of both lacks (resection, osteolysis) or has too much.
    """

    head_radius_mm: float = ranged(20.5, 26.0)
    head_flattening: float = ranged(0.0, 0.03, diseased=(0.0, 0.4))
    neck_shaft_deg: float = ranged(120, 136, diseased=(113, 144))
    version_deg: float = ranged(2, 24, diseased=(-8, 38))
    neck_length_mm: float = ranged(44, 56)
    neck_radius_mm: float = ranged(12.5, 15.5)
    trochanter_mm: float = ranged(13, 16.5)
    lesser_trochanter_mm: float = ranged(6.5, 9.5)
    shaft_radius_mm: float = ranged(13, 16.5)
    adduction_deg: float = ranged(-4, 10)
    flexion_deg: float = ranged(-6, 10)
    joint_space_mm: float = ranged(2.4, 4.0, diseased=(0.6, 2.0))
    subluxation_mm: float = ranged(0.0, 0.4, diseased=(0.0, 3.0))
    centre_edge_deg: float = ranged(27, 42, diseased=(6, 40))
    inclination_deg: float = ranged(38, 48, diseased=(38, 56))
    cup_version_deg: float = ranged(10, 26)
    cup_wall_mm: float = ranged(5.5, 9)
    rim_osteophyte_mm: float = ranged(0.0, 1.0, diseased=(1.0, 8.0))
    head_osteophyte_mm: float = ranged(0.0, 0.8, diseased=(1.0, 7.0))
    defect_mm: float = ranged(0.0, 0.0, diseased=(10.0, 25.0))
    ossification_mm: float = ranged(0.0, 0.0, diseased=(8.0, 24.0))
    wing_mm: float = ranged(9.0, 13.0)
    wing_flare: float = ranged(0.42, 0.62)
    wing_bend: float = ranged(0.42, 0.62)
    crest_mm: float = ranged(112, 130)
    spine_mm: float = ranged(44, 56)
    notch_mm: float = ranged(22, 36)
    ramus_mm: float = ranged(5.5, 8.0)
    tuber_mm: float = ranged(58, 68)
    side_seed: int = integer(0, 2**31 - 1)


@dataclass(frozen=True)
class Body:
    """What both sides share. deformation_mm: standard deviation of the smooth random displacement."""

    scale: float = ranged(0.9, 1.08)
    hip_distance_mm: float = ranged(168, 190)
    sacrum_width_mm: float = ranged(50, 57)
    sacrum_curve_mm: float = ranged(58, 68)
    promontory_mm: float = ranged(88, 98)
    tilt_deg: float = ranged(-8, 8)
    yaw_deg: float = ranged(-5, 5)
    roll_deg: float = ranged(-4, 4)
    shift_x_mm: float = ranged(-6, 6)
    shift_y_mm: float = ranged(-5, 5)
    shift_z_mm: float = ranged(-8, 8)
    deformation_mm: float = ranged(0.8, 2.8)
    affected_right: int = chance(0.9)
    affected_left: int = chance(0.9)
    body_seed: int = integer(0, 2**31 - 1)


@dataclass(frozen=True)
class Anatomy:
    """A subject: the body and its two sides; a row of the cohort's table holds all of it."""

    body: Body
    right: Hip
    left: Hip

    def row(self) -> dict[str, Any]:
        """Return one flat dict; the sides' names begin with right_ and left_."""
        sides = {f"{side}_{k}": v for side in ("right", "left") for k, v in asdict(getattr(self, side)).items()}
        return asdict(self.body) | sides

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Anatomy":
        """Read back what `row` wrote; other columns are passed over."""
        sides = (Hip(**{f.name: row[f"{side}_{f.name}"] for f in fields(Hip)}) for side in ("right", "left"))
        return cls(Body(**{f.name: row[f.name] for f in fields(Body)}), *sides)


def draw_anatomy(rng: np.random.Generator, diseased: bool = False) -> Anatomy:
    """Draw a subject: two sides that resemble each other; disease takes one of them or both."""
    body, right = draw(Body, rng), draw(Hip, rng)
    left = vary(right, rng, share=0.1)
    if not diseased:
        return Anatomy(replace(body, affected_right=0, affected_left=0), right, left)
    if not (body.affected_right or body.affected_left):
        body = replace(body, affected_right=1, affected_left=1)
    right = affect(right, rng) if body.affected_right else right
    left = affect(left, rng) if body.affected_left else left
    return Anatomy(body, right, left)


def femur_frame(hip: Hip) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return head centre, direction of the neck (head to base), base of the neck, direction of the shaft (down)."""
    pose = Rotation.from_euler("xy", [-hip.flexion_deg, hip.adduction_deg], degrees=True)
    angle, version = np.deg2rad([hip.neck_shaft_deg, hip.version_deg])
    neck = pose.apply([np.sin(angle) * np.cos(version), np.sin(angle) * np.sin(version), np.cos(angle)])
    head = hip.subluxation_mm * np.array([0.6, -0.2, 0.75])
    return head, neck, head + hip.neck_length_mm * neck, pose.apply([0.0, 0.0, -1.0])


def _lumps(hip: Hip, which: int, size: float) -> np.ndarray:
    rng = np.random.default_rng([hip.side_seed, which])
    return rng.standard_normal((7, 2)) * size / np.sqrt(7)


def _nearest(p: shapes.Point, bone: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the point within the bone that is nearest to a place."""
    away = sum(np.square(q - np.float32(c)) for q, c in zip(p, place, strict=True))
    spot = np.unravel_index(np.where(bone < 0, away, np.inf).argmin(), bone.shape)
    return np.array([q[spot] for q in p])


def _lesions(p: shapes.Point, bone: np.ndarray, hip: Hip, which: int, defects: list, ossifications: list) -> np.ndarray:
    """Take a lump away at one of the places `defects` (resection, osteolysis) and add one at one of the others.

    Both are centred on the bone: one that floats beside it would be no part of it.
    """
    rng = np.random.default_rng([hip.side_seed, which])
    for radius, sign, places in ((hip.defect_mm, -1, defects), (hip.ossification_mm, 1, ossifications)):
        place = np.array(places[rng.integers(len(places))]) + rng.normal(0, 6, 3)
        radii = radius * rng.uniform(0.7, 1.2, 3)
        if radius > 0:
            lump = shapes.ellipsoid(p, _nearest(p, bone, place), radii)
            bone = sign * shapes.smooth_min(sign * bone, lump, 3)
    return bone


def femur(p: shapes.Point, hip: Hip) -> np.ndarray:
    """Signed distance to head, neck, trochanters and shaft. p: (u, v, w)."""
    head, neck, base, down = femur_frame(hip)
    r, flat = hip.head_radius_mm, hip.head_flattening
    lateral, back = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    bone = shapes.ellipsoid(p, head, (r, r * (1 + flat / 2), r * (1 - flat)))
    collar = head + 0.62 * r * neck
    ring = shapes.lumpy_ring(p, collar, neck, 0.76 * r, _lumps(hip, 0, hip.head_osteophyte_mm))
    bone = shapes.smooth_min(bone, ring, 2.5)
    waist = base - 0.3 * hip.neck_length_mm * neck
    rods = shapes.capsule(p, head + 8 * neck, waist, hip.neck_radius_mm)
    flared = shapes.capsule(p, waist, base, hip.neck_radius_mm, hip.shaft_radius_mm + 1)
    bone = shapes.smooth_min(bone, shapes.smooth_min(rods, flared, 5), 6)
    size = hip.trochanter_mm
    greater = base + 0.35 * size * lateral + 0.35 * size * back - 15 * down
    bone = shapes.smooth_min(bone, shapes.ellipsoid(p, greater, (0.9 * size, 1.2 * size, 1.3 * size)), 8)
    lesser = base + 28 * down - 11 * lateral + 9 * back
    little = hip.lesser_trochanter_mm
    bone = shapes.smooth_min(bone, shapes.ellipsoid(p, lesser, (little, little, 1.4 * little)), 7)
    shaft = shapes.capsule(p, base + 6 * down, base + 130 * down, hip.shaft_radius_mm + 1.5, hip.shaft_radius_mm - 1.5)
    bone = shapes.smooth_min(bone, shaft, 8)
    outside = [greater + [12, 0, 0], lesser]
    return _lesions(p, bone, hip, 2, [head + [0, 0, r], head + [0, -r, 0], *outside], outside)


def _cup_axis(hip: Hip) -> tuple[np.ndarray, float]:
    """Normal of the socket's opening, and the plane's offset that gives the lateral centre-edge angle."""
    incline, version = np.deg2rad([hip.inclination_deg, hip.cup_version_deg])
    axis = np.array([np.sin(incline) * np.cos(version), -np.sin(version), -np.cos(incline) * np.cos(version)])
    offset = -hip.head_radius_mm * np.cos(np.deg2rad(hip.centre_edge_deg) + incline)
    return axis, float(offset)


def _wing_outline(hip: Hip) -> np.ndarray:
    """Corners (v, w) of the iliac wing: from the socket's front over the spines and the crest to the sciatic notch."""
    top, front = hip.crest_mm, hip.spine_mm
    corners = [(-24, 6), (-36, 30), (-35, 46), (-front, 0.64 * top), (0.9 - front, 0.72 * top), (-24, 0.93 * top)]
    corners += [(6, top), (40, 0.93 * top), (70, 0.72 * top), (84, 0.5 * top), (80, 40), (70, 32)]
    return np.array(corners + [(48, hip.notch_mm + 4), (36, hip.notch_mm - 6), (28, 0), (22, -14), (-8, -14)])


def _sampled_outline(p: shapes.Point, corners: np.ndarray, step: float = 2.0) -> np.ndarray:
    """Distance to the outline, computed once in its plane and read at p."""
    v, w = np.arange(-110, 130, step, dtype=np.float32), np.arange(-140, 190, step, dtype=np.float32)
    plane = ndimage.gaussian_filter(shapes.polygon(v[None, :], w[:, None], corners), 2 / step)
    where = np.stack([(p[2] - w[0]) / step, (p[1] - v[0]) / step])
    return ndimage.map_coordinates(plane, where, order=1, mode="nearest").astype(np.float32)


def _wing(p: shapes.Point, hip: Hip) -> np.ndarray:
    """Iliac wing: a curved plate, thick above the socket, along the crest and at the sacrum, thin in its middle."""
    u, v, w = p
    outline = _sampled_outline(p, _wing_outline(hip))
    front = 1 / (1 + np.exp((v - 28) / 12))
    bent = 8 * np.log1p(np.exp((v - 16) / 8))
    middle = -9 + hip.wing_flare * (w - 22) * (0.3 + 0.7 * front) - 0.12 * v - hip.wing_bend * bent
    roof, sacral = 9 * np.exp(-np.square((w - 14) / 15)), 8 / (1 + np.exp((38 - v) / 5))
    crest, hollow = 2 * np.exp(-np.square(outline / 7)), np.exp(-np.square((w - 85) / 30) - np.square((v - 22) / 15))
    thickness = np.maximum(hip.wing_mm + roof + sacral + crest - 5 * hollow, 3.2)
    slope = np.float32(1 / np.sqrt(1.1 + hip.wing_flare**2))
    return shapes.smooth_max(np.abs(u - middle) * slope - thickness / 2, outline, 4)


def hip_bone(p: shapes.Point, hip: Hip, half_distance: float, own_femur: np.ndarray) -> np.ndarray:
    """Signed distance to ilium, ischium and pubis around a socket that keeps the joint space. p: (u, v, w).

    half_distance: mm from the midline; own_femur: distance to the femur at p, which the joint space is carved from.
    """
    inner = hip.head_radius_mm + hip.joint_space_mm
    axis, offset = _cup_axis(hip)
    plane = sum(q * np.float32(a) for q, a in zip(p, axis, strict=True)) - np.float32(offset)
    bone = shapes.smooth_max(shapes.ball(p, np.zeros(3), inner + hip.cup_wall_mm), plane, 4)
    bone = shapes.smooth_min(bone, _wing(p, hip), 9)
    medial, ramus = 2.0 - half_distance, hip.ramus_mm
    tuber, spine = (-22.0, 30.0, -hip.tuber_mm), (-0.38 * half_distance, 38.0, -14.0)
    inferior = (-0.52 * half_distance, 0.0, 1 - hip.tuber_mm)
    body, below = (medial + 8, -40.0, -16.0), (medial + 9, -34.0, -34.0)
    parts = [
        (shapes.chain(p, [(-22.0, -14, 6), (-42.0, -36, 4), body], [ramus + 4.5, ramus + 1, ramus + 1.5], 6), 8),
        (shapes.chain(p, [(-10.0, 20, -8), (-12.0, 29, -34), tuber], [15, 13, 15], 6), 8),
        (shapes.chain(p, [tuber, inferior, below], [11, ramus, ramus + 1], 5), 6),
        (shapes.ellipsoid(p, (medial + 9, -38, -24), (12, 9, 19)), 6),
        (shapes.capsule(p, (-18, 30, -8), spine, 7, 3), 4),
    ]
    for part, fillet in parts:
        bone = shapes.smooth_min(bone, part, fillet)
    rim = np.sqrt(max((inner + hip.cup_wall_mm / 2) ** 2 - offset**2, 1.0))
    lip = shapes.lumpy_ring(p, offset * axis, axis, rim, _lumps(hip, 1, hip.rim_osteophyte_mm))
    bone = shapes.smooth_min(bone, lip, 2.5)
    places = [(-8, 0, inner + 12), (-8, -30, 50), (0, 30, 60), tuber, body, spine]
    bone = _lesions(p, bone, hip, 3, places, places)
    bone = np.maximum(bone, medial - p[0])
    bone = shapes.smooth_max(bone, np.float32(inner) - np.sqrt(sum(q * q for q in p)), 1)
    notch = shapes.capsule(p, -0.7 * inner * axis, (0.0, -4.0, -1.2 * inner), 9)
    return np.maximum(shapes.smooth_max(bone, -notch, 3), np.float32(hip.joint_space_mm) - own_femur)


def sacrum(p: shapes.Point, body: Body, hips: np.ndarray) -> np.ndarray:
    """Signed distance to sacrum and lowest vertebra, kept 1.8 mm clear of the hip bones. p: (x, y, z) of the body."""
    x, y, z = np.abs(p[0]), p[1], p[2]
    top, curve = body.promontory_mm, body.sacrum_curve_mm
    line = [(0.0, 36.0, top - 8), (0.0, curve - 6, 52.0), (0.0, curve, 22.0), (0.0, curve - 16, -8.0)]
    flat = shapes.chain((np.zeros_like(x), y, z), line, [17, 13, 8, 4], 10)
    width = np.interp(z, [-10, 15, 55, top], [5, 20, body.sacrum_width_mm, body.sacrum_width_mm]).astype(np.float32)
    ala = shapes.smooth_max(flat + 0.09 * x, (x - width) * np.float32(0.85), 8)
    canal = shapes.capsule((x, y, z), (0, 44, top + 10), (0, curve + 4, 30), 6, 3)
    bone = np.maximum(ala, -canal)
    disc, centre = top + 12.0, (0.0, 24.0, top + 26.0)
    vertebra = shapes.smooth_max(shapes.ellipsoid(p, centre, (26, 19, 30)), disc - z + 0.2 * (24 - y), 2)
    process = shapes.capsule((x, y, z), (14, 34, top + 28), (40, 42, top + 30), 6, 4)
    arch = shapes.capsule((x, y, z), (10, 38, top + 28), (2, 64, top + 20), 5, 4)
    vertebra = shapes.smooth_min(vertebra, np.minimum(process, arch), 5)
    return np.maximum(np.minimum(bone, vertebra), np.float32(1.8) - hips)


def shape_of(spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    """Voxels (z, y, x) of a scan with spacing (x, y, z) in mm."""
    nx, ny, nz = (int(round(length / s)) for length, s in zip(HIGH_MM - LOW_MM, spacing, strict=True))
    return nz, ny, nx


def _coordinates(body: Body, spacing: tuple[float, float, float]) -> shapes.Point:
    """Where each voxel lies in the undeformed, unscaled body: three arrays (z, y, x)."""
    shape = shape_of(spacing)
    lines = [(low + s * (np.arange(n) + 0.5)) for low, s, n in zip(LOW_MM, spacing, shape[::-1], strict=True)]
    x, y, z = lines[0][None, None, :], lines[1][None, :, None], lines[2][:, None, None]
    turn = Rotation.from_euler("xyz", [body.tilt_deg, body.roll_deg, body.yaw_deg], degrees=True).as_matrix()
    turn /= body.scale
    x, y, z = x - body.shift_x_mm, y - body.shift_y_mm, z - body.shift_z_mm
    rng = np.random.default_rng([body.body_seed, 0])
    fields_mm = (smooth_field(shape, CONTROLS, rng) * np.float32(body.deformation_mm) for _ in range(3))
    affine = ((r[0] * x).astype(np.float32) + (r[1] * y + r[2] * z).astype(np.float32) for r in turn)
    return tuple(a + f for a, f in zip(affine, fields_mm, strict=True))


def _box(body: Body, spacing: tuple[float, float, float], low: tuple, high: tuple) -> tuple[slice, ...]:
    """Voxels (z, y, x) that may hold a bone lying between two corners of the body's frame."""
    shift = np.array([body.shift_x_mm, body.shift_y_mm, body.shift_z_mm])
    first = (np.array(low) * body.scale - MARGIN_MM + shift - LOW_MM) / spacing
    last = (np.array(high) * body.scale + MARGIN_MM + shift - LOW_MM) / spacing
    return tuple(slice(max(int(a), 0), max(int(np.ceil(b)), 0)) for a, b in zip(first[::-1], last[::-1], strict=True))


def _sides(anatomy: Anatomy) -> Iterator[tuple[Hip, int, int, int]]:
    yield anatomy.right, -1, FEMUR_RIGHT, HIP_RIGHT
    yield anatomy.left, 1, FEMUR_LEFT, HIP_LEFT


def label_map(anatomy: Anatomy, spacing: tuple[float, float, float]) -> np.ndarray:
    """Render a subject: uint8 (z, y, x), x to the left, y to the back, z upwards; 1/2 femora right/left, 3/4 hip
    bones right/left, 5 sacrum and lowest vertebra. spacing: (x, y, z) in mm."""
    body, half = anatomy.body, anatomy.body.hip_distance_mm / 2
    p = _coordinates(body, spacing)
    labels, hips = np.zeros(p[0].shape, np.uint8), np.full(p[0].shape, FAR)
    for hip, sign, femur_label, hip_label in _sides(anatomy):
        reach = sorted((sign * (half + 80), 0.0))
        box = _box(body, spacing, (reach[0], -62, -150), (reach[1], 96, 140))
        q = (sign * p[0][box] - np.float32(half), p[1][box], p[2][box])
        thigh = femur(q, hip)
        pelvis = hip_bone(q, hip, half, thigh)
        labels[box][pelvis < 0] = hip_label
        labels[box][thigh < 0] = femur_label
        hips[box] = np.minimum(hips[box], pelvis)
    box = _box(body, spacing, (-66, -6, -20), (66, 96, 150))
    inside = sacrum(tuple(q[box] for q in p), body, hips[box]) < 0
    labels[box][inside & (labels[box] == 0)] = SACRUM
    return labels
