"""Measures of a hip, taken from its labels alone: the same for phantoms and for patients.

Points are (x, y, z) in mm in the frame of a right hip (shape_parts.bones): x to the left, y to the back, z upwards.
"""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, optimize

from ssl_hip.shape import shape_parts
from ssl_hip.shape.distance_field import Field

GRID_MM = 1.0
JOINT_MM = 9.0  # points of the femur this close to the hip bone lie in the joint
USUAL_RADIUS_MM = 24.0  # of a femoral head: other lengths are taken in proportion
SHAFT_MM = (80.0, 20.0)  # below the head's centre: where the shaft begins, and how much of it is needed for its axis
NECK = (1.1, 1.35)  # head radii from the head's centre: where the neck is taken
NECK_RADIUS = 0.8  # head radii: what lies farther from its axis is trochanter
WING_MM = (35.0, 75.0)  # above the head's centre: the part of the iliac wing that is measured
UP, LATERAL = np.array([0.0, 0.0, 1.0]), np.array([-1.0, 0.0, 0.0])
USUAL_NECK_SHAFT_DEG = 128.0


class Head(NamedTuple):
    """Sphere fitted to the femoral head, the points of the joint's surface and how far they lie from it (rms)."""

    centre: np.ndarray
    radius_mm: float
    surface: np.ndarray
    deviation_mm: float


def measure(labels: sitk.Image, parts: dict[str, dict[str, int]]) -> list[dict[str, float | str]]:
    """Return a row a side: side, neck_shaft_deg, head_radius_mm, head_deviation_mm (rms from the sphere),
    joint_space_min_mm (5th percentile) and joint_space_median_mm above the head, shaft_radius_mm, wing_mm, wing_thin_mm
    (median and 10th percentile of the iliac wing's thickness). NaN where the scan does not show enough.

    parts: with the keys femur and hip_bone. A side that lacks either bone is left out.
    """
    found = {(bone.part, bone.side): bone.distance for bone in shape_parts.bones(labels, parts, GRID_MM)}
    sides = (side for side in shape_parts.SIDES if {("femur", side), ("hip_bone", side)} <= found.keys())
    return [dict(side=side) | measure_side(found["femur", side], found["hip_bone", side]) for side in sides]


def measure_side(femur: Field, hip_bone: Field) -> dict[str, float]:
    """Return the measures of one side from the signed distances of its two bones."""
    head = femoral_head(femur, hip_bone)
    lowest, median = joint_space(head, hip_bone)
    down, radius = shaft(femur, head)
    wing, thin = wing_thickness(hip_bone, head)
    return dict(
        neck_shaft_deg=neck_shaft_angle(femur, head, down),
        head_radius_mm=head.radius_mm,
        head_deviation_mm=head.deviation_mm,
        joint_space_min_mm=lowest,
        joint_space_median_mm=median,
        shaft_radius_mm=radius,
        wing_mm=wing,
        wing_thin_mm=thin,
    )


def femoral_head(femur: Field, hip_bone: Field) -> Head:
    """Fit a sphere to the part of the femur's surface that lies in the joint (robust least squares)."""
    points, distance = _near(femur, 0.75 * femur.spacing_mm)
    inside = _covers(hip_bone, points)
    points, distance = points[inside], distance[inside]
    joint = hip_bone.at(points) < JOINT_MM
    points, distance = points[joint], distance[joint]

    def away(sphere: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - sphere[:3], axis=1) - distance - sphere[3]

    start = np.r_[points.mean(0) + [-8, 0, -8], USUAL_RADIUS_MM]
    sphere = optimize.least_squares(away, start, loss="soft_l1", f_scale=0.5).x
    on_sphere = np.abs(away(sphere)) < 3
    deviation = np.sqrt(np.mean(np.square(away(sphere)[on_sphere])))
    return Head(sphere[:3], float(sphere[3]), points[on_sphere], float(deviation))


def joint_space(head: Head, hip_bone: Field) -> tuple[float, float]:
    """Return the 5th percentile and the median of the gap between head and socket within 45 degrees of upwards."""
    direction = (head.surface - head.centre) / np.linalg.norm(head.surface - head.centre, axis=1, keepdims=True)
    gap = hip_bone.at(head.surface[direction @ UP > np.cos(np.deg2rad(45))])
    return (float(np.percentile(gap, 5)), float(np.median(gap))) if len(gap) else (np.nan, np.nan)


def shaft(femur: Field, head: Head) -> tuple[np.ndarray, float]:
    """Return the direction downwards and the radius of the shaft; NaN where the scan shows too little."""
    points = femur.points()[femur.values.ravel() < 0]
    points = points[points[:, 2] < head.centre[2] - SHAFT_MM[0] * head.radius_mm / USUAL_RADIUS_MM]
    heights, slices = np.unique(points[:, 2], return_inverse=True)
    if len(heights) * femur.spacing_mm < SHAFT_MM[1]:
        return np.full(3, np.nan), np.nan
    count = np.bincount(slices)
    centres = np.stack([np.bincount(slices, points[:, i]) / count for i in range(2)], -1)
    slope = np.polyfit(heights, centres, 1)[0]
    down = -np.r_[slope, 1] / np.linalg.norm(np.r_[slope, 1])
    area = np.median(count) * femur.spacing_mm**2 * abs(down[2])
    return down, float(np.sqrt(area / np.pi))


def neck_shaft_angle(femur: Field, head: Head, down: np.ndarray) -> float:
    """Return the angle in degrees between the neck's axis and the shaft's.

    The neck's axis: that of a cylinder through the head's centre, fitted (robust least squares) to the neck's surface.
    Beyond 135 degrees the greater trochanter comes near and the angle is measured too small.
    """
    if np.isnan(down).any():
        return np.nan
    points, distance = _near(femur, 0.75 * femur.spacing_mm)
    away = np.linalg.norm(points - head.centre, axis=1) / head.radius_mm
    shell = (away > NECK[0]) & (away < NECK[1])
    points, distance = points[shell] - head.centre, distance[shell]
    angle, lateral = np.deg2rad(180 - USUAL_NECK_SHAFT_DEG), _across(LATERAL, down)
    axis = np.cos(angle) * down + np.sin(angle) * lateral
    for _ in range(8):
        beside = np.linalg.norm(np.cross(points, axis), axis=1)
        neck = (points @ axis > 0) & (beside < NECK_RADIUS * head.radius_mm)
        axis = _cylinder(points[neck], distance[neck], axis, down)
    return float(180 - np.rad2deg(np.arccos(axis @ down)))


def _across(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the unit vector of a vector's part across a unit axis."""
    part = vector - axis * (vector @ axis)
    return part / np.linalg.norm(part)


def _cylinder(points: np.ndarray, distance: np.ndarray, axis: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Tilt the axis of a cylinder through the origin until its surface fits the points."""
    first = _across(down, axis)
    second = np.cross(axis, first)
    along, x, y = points @ axis, points @ first, points @ second

    def away(tilt: np.ndarray) -> np.ndarray:
        return np.hypot(x - tilt[0] * along, y - tilt[1] * along) - distance - tilt[2]

    tilt = optimize.least_squares(away, [0, 0, USUAL_RADIUS_MM / 2], loss="soft_l1", f_scale=0.5).x
    tilted = axis + tilt[0] * first + tilt[1] * second
    return tilted / np.linalg.norm(tilted)


def wing_thickness(hip_bone: Field, head: Head) -> tuple[float, float]:
    """Return median and 10th percentile of twice the depth on the middle sheet of the iliac wing."""
    depth = -hip_bone.values
    ridge = (depth > 0) & (depth >= ndimage.maximum_filter(depth, 3) - 1e-4)
    height = hip_bone.origin[2] + hip_bone.spacing_mm * np.arange(len(depth)) - head.centre[2]
    low, high = np.array(WING_MM) * head.radius_mm / USUAL_RADIUS_MM
    ridge[(height < low) | (height > high)] = False
    if not ridge.any():
        return np.nan, np.nan
    thickness = 2 * depth[ridge]
    return float(np.median(thickness)), float(np.percentile(thickness, 10))


def _near(field: Field, band_mm: float) -> tuple[np.ndarray, np.ndarray]:
    places = np.argwhere(np.abs(field.values) < band_mm)
    points = (field.origin + field.spacing_mm * places[:, ::-1]).astype(np.float32)
    return points, field.values[tuple(places.T)]


def _covers(field: Field, points: np.ndarray) -> np.ndarray:
    last = field.origin + field.spacing_mm * (np.array(field.values.shape[2::-1]) - 1)
    return ((points >= field.origin) & (points <= last)).all(1)
