"""Femur and hip bone as signed distances, in the hip's frame (u lateral, v posterior, w superior) of a side, in mm.

The frame's origin is where the centre of the socket usually is.
"""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ssl_hip.simulation import shapes
from ssl_hip.simulation.anatomy import FRACTURES, Hip

STRAIGHT_MM = 75.0  # below the neck's base: where the shaft has the direction that angles are measured from
PROXIMAL_MM = 95.0  # below the neck's base: what lies deeper is nothing but shaft


def _pose(hip: Hip) -> Rotation:
    return Rotation.from_euler("zxy", [hip.rotation_deg, -hip.flexion_deg, hip.adduction_deg], degrees=True)


def femur_frame(hip: Hip) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return head centre, direction of the neck (head to base), base of the neck, direction of the shaft (down)."""
    pose = _pose(hip)
    angle, version = np.deg2rad([hip.neck_shaft_deg, hip.version_deg])
    neck = pose.apply([np.sin(angle) * np.cos(version), np.sin(angle) * np.sin(version), np.cos(angle)])
    head = hip.subluxation_mm * np.array([0.6, -0.2, 0.75]) - [hip.protrusion_mm, 0, 0]
    return head, neck, head + hip.neck_length_mm * neck, pose.apply([0.0, 0.0, -1.0])


def shaft_point(hip: Hip, along: float) -> np.ndarray:
    """Return where the shaft's bowed axis is so many mm below the neck's base."""
    _, _, base, down = femur_frame(hip)
    forward = _pose(hip).apply([0.0, -1.0, 0.0])
    return base + along * down - (along - STRAIGHT_MM) ** 2 / (2 * hip.bow_radius_mm) * forward


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


def _callus(p: shapes.Point, bone: np.ndarray, hip: Hip, kind: str, places: list) -> np.ndarray:
    """Thicken the bone where an old fracture of this kind healed: (centre, radii) of each callus."""
    if hip.fracture == FRACTURES.index(kind):
        for centre, radii in places:
            bone = shapes.smooth_min(bone, shapes.ellipsoid(p, np.array(centre), radii), 5)
    return bone


def femoral_shaft(p: shapes.Point, hip: Hip) -> np.ndarray:
    """Signed distance to the shaft, bowed forwards, narrowest at its isthmus. p: (u, v, w)."""
    _, _, base, down = femur_frame(hip)
    lateral, forward = _pose(hip).apply([[1.0, 0, 0], [0, -1.0, 0]])
    q = [a - np.float32(b) for a, b in zip(p, base, strict=True)]
    side, front, along = (
        sum(a * np.float32(w) for a, w in zip(q, axis, strict=True)) for axis in (lateral, forward, down)
    )
    reached = np.maximum(along, 6)
    bow = np.square(reached - STRAIGHT_MM) * np.float32(-0.5 / hip.bow_radius_mm)
    isthmus = np.clip((np.float32(170) - reached) / 164, -0.5, 1)
    radius = np.float32(hip.shaft_radius_mm - 0.5) + 2 * isthmus * isthmus
    return np.sqrt(np.square(side) + np.square(front - bow) + np.square(along - reached)) - radius


def femur(p: shapes.Point, hip: Hip) -> np.ndarray:
    """Signed distance to head, neck, trochanters and shaft. p: (u, v, w)."""
    head, neck, base, down = femur_frame(hip)
    lateral, back = _pose(hip).apply([[1.0, 0, 0], [0, 1.0, 0]])
    r, flat = hip.head_radius_mm, hip.head_flattening
    bone = shapes.ellipsoid(p, head, (r, r * (1 + flat / 2), r * (1 - flat)))
    collar = head + 0.62 * r * neck
    ring = shapes.lumpy_ring(p, collar, neck, 0.76 * r, _lumps(hip, 0, hip.head_osteophyte_mm))
    bone = shapes.smooth_min(bone, ring, 2.5)
    waist = base - 0.3 * hip.neck_length_mm * neck
    rods = shapes.capsule(p, head + 8 * neck, waist, hip.neck_radius_mm)
    flared = shapes.capsule(p, waist, base, hip.neck_radius_mm, hip.shaft_radius_mm + 1)
    bone = shapes.smooth_min(bone, shapes.smooth_min(rods, flared, 5), 6)
    bulge = -down - back - ((-down - back) @ neck) * neck  # in front and above, across the neck
    bulge /= np.linalg.norm(bulge)
    cam = head + 0.75 * r * neck + (0.66 * r + hip.cam_mm - 10) * bulge
    bone = shapes.smooth_min(bone, shapes.ball(p, cam, 9.0), 2)
    size = hip.trochanter_mm
    greater = base + 0.35 * size * lateral + 0.35 * size * back - 15 * down
    bone = shapes.smooth_min(bone, shapes.ellipsoid(p, greater, (0.9 * size, 1.2 * size, 1.3 * size)), 8)
    lesser = base + 28 * down - 11 * lateral + 9 * back
    little = hip.lesser_trochanter_mm
    bone = shapes.smooth_min(bone, shapes.ellipsoid(p, lesser, (little, little, 1.4 * little)), 7)
    bone = shapes.smooth_min(bone, femoral_shaft(p, hip), 8)
    bone = _callus(p, bone, hip, "neck", [(head + 1.1 * r * neck - 5 * back, (13, 17, 14))])
    wide = hip.shaft_radius_mm + 5
    bone = _callus(p, bone, hip, "trochanteric", [(base + 12 * down + 4 * lateral, (wide, wide - 2, 24))])
    outside = [greater + 12 * lateral, lesser]
    return _lesions(p, bone, hip, 2, [head + [0, 0, r], head + [0, -r, 0], *outside], outside)


def _cup_axis(hip: Hip) -> tuple[np.ndarray, float]:
    """Normal of the socket's opening, and the plane's offset that gives the lateral centre-edge angle."""
    incline, version = np.deg2rad([hip.inclination_deg, hip.cup_version_deg])
    axis = np.array([np.sin(incline) * np.cos(version), -np.sin(version), -np.cos(incline) * np.cos(version)])
    offset = -hip.head_radius_mm * np.cos(np.deg2rad(hip.centre_edge_deg) + incline)
    return axis, float(offset)


def wing_outline(hip: Hip) -> np.ndarray:
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
    outline = _sampled_outline(p, wing_outline(hip))
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
    q = (p[0] + np.float32(hip.protrusion_mm), p[1], p[2])  # from the socket's centre
    plane = sum(a * np.float32(b) for a, b in zip(q, axis, strict=True)) - np.float32(offset)
    bone = shapes.smooth_max(shapes.ball(q, np.zeros(3), inner + hip.cup_wall_mm), plane, 4)
    bone = shapes.smooth_min(bone, _wing(p, hip), 9)
    medial, ramus = 2.0 - half_distance, hip.ramus_mm
    tuber, spine = (-22.0, 30.0, -hip.tuber_mm), (-0.38 * half_distance, 38.0, -14.0)
    superior, inferior = (-42.0, -36.0, 4.0), (-0.52 * half_distance, 0.0, 1 - hip.tuber_mm)
    body, below = (medial + 8, -40.0, -16.0), (medial + 9, -34.0, -34.0)
    parts = [
        (shapes.chain(p, [(-22.0, -14, 6), superior, body], [ramus + 4.5, ramus + 1, ramus + 1.5], 6), 8),
        (shapes.chain(p, [(-10.0, 20, -8), (-12.0, 29, -34), tuber], [15, 13, 15], 6), 8),
        (shapes.chain(p, [tuber, inferior, below], [11, ramus, ramus + 1], 5), 6),
        (shapes.ellipsoid(p, (medial + 9, -38, -24), (12, 9, 19)), 6),
        (shapes.capsule(p, (-18, 30, -8), spine, 7, 3), 4),
    ]
    for part, fillet in parts:
        bone = shapes.smooth_min(bone, part, fillet)
    thick = ramus + 4
    bone = _callus(p, bone, hip, "rami", [(superior, (13, thick, thick + 2)), (inferior, (thick, 14, thick))])
    rim = np.sqrt(max((inner + hip.cup_wall_mm / 2) ** 2 - offset**2, 1.0))
    lip = shapes.lumpy_ring(q, offset * axis, axis, rim, _lumps(hip, 1, hip.rim_osteophyte_mm))
    bone = shapes.smooth_min(bone, lip, 2.5)
    places = [(-8, 0, inner + 12), (-8, -30, 50), (0, 30, 60), tuber, body, spine]
    bone = _lesions(p, bone, hip, 3, places, places)
    bone = np.maximum(bone, medial - p[0])
    bone = shapes.smooth_max(bone, np.float32(inner) - np.sqrt(sum(a * a for a in q)), 1)
    notch = shapes.capsule(q, -0.7 * inner * axis, (0.0, -4.0, -1.2 * inner), 9)
    return np.maximum(shapes.smooth_max(bone, -notch, 3), np.float32(hip.joint_space_mm) - own_femur)
