"""Where things are in a label map of both hips: depth inside each bone, femoral heads, shafts.

Arrays are (z, y, x), x to the left, y to the back, z upwards; points and spacing (x, y, z) in mm from the first voxel.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FEMORA, SPINE = (1, 2), 5  # right, left
HEAD_MM, UPPER_MM = (26.0, 24.0), 115.0  # a head's centre below a femur's top and from its inner side; the upper part
Depths = dict[int, tuple[tuple[slice, ...], np.ndarray]]


@dataclass(frozen=True)
class Landmarks:
    """Per side (right, left; absent where the label is): head centre (x, y, z), its radius, where the middle of the
    upper femur lies, where the shaft ends in the scan."""

    head: dict[int, np.ndarray]
    radius: dict[int, float]
    middle: dict[int, np.ndarray]
    low: dict[int, np.ndarray]
    centre: np.ndarray  # of all bone
    half_size: np.ndarray


def _boxes(labels: np.ndarray) -> dict[int, tuple[slice, ...]]:
    """Bounding boxes of the labels 1..5 that exist, one voxel wider."""
    found = ndimage.find_objects(labels, max_label=5)
    return {i + 1: tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box) for i, box in enumerate(found) if box}


def depths(labels: np.ndarray, spacing: tuple[float, float, float]) -> dict[int, tuple[tuple[slice, ...], np.ndarray]]:
    """For each bone present its box and the depth of its voxels in mm (0 outside it)."""
    result = {}
    for value, box in _boxes(labels).items():
        inside = ndimage.distance_transform_edt(labels[box] == value, sampling=spacing[::-1]).astype(np.float32)
        result[value] = (box, np.maximum(inside - np.float32(0.5 * min(spacing)), 0) * (inside > 0))
    return result


def landmarks(bones: dict[int, tuple[tuple[slice, ...], np.ndarray]], spacing: tuple[float, float, float]) -> Landmarks:
    """Find the femoral heads, the shafts and the extent of all bone.

    A head is a femur's deepest point near its top and its inner side: calluses and lesions may be as deep as it.
    """
    head, radius, middle, low = {}, {}, {}, {}
    for side, (box, depth) in ((FEMORA.index(v), bones[v]) for v in FEMORA if v in bones):
        start = np.array([s.start for s in box])
        points = np.argwhere(depth > 0)
        below = (points[:, 0].max() - points[:, 0]) * spacing[2]
        aside = -points[:, 2] * spacing[0] * (1, -1)[side]
        aside -= np.percentile(aside[below < 2 * HEAD_MM[0]], 0.1)
        deep = depth[tuple(points.T)]
        likely = deep - 0.3 * np.abs(below - HEAD_MM[0]) - 0.3 * np.maximum(aside - HEAD_MM[1], 0)
        end = points[points[:, 0] <= np.percentile(points[:, 0], 8)].mean(0)
        place = [
            ((q + start)[::-1]) * spacing for q in (points[likely.argmax()], points[below < UPPER_MM].mean(0), end)
        ]
        head[side], middle[side], low[side] = place
        radius[side] = float(deep[likely.argmax()])
    first = np.min([[s.start for s in box] for box, _ in bones.values()], axis=0)[::-1] * spacing
    last = np.max([[s.stop for s in box] for box, _ in bones.values()], axis=0)[::-1] * spacing
    return Landmarks(head, radius, middle, low, (first + last) / 2, (last - first) / 2)
