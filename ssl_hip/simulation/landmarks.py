"""Where things are in a label map of both hips: depth inside each bone, femoral heads, shafts.

Arrays are (z, y, x), x to the left, y to the back, z upwards; points and spacing (x, y, z) in mm from the first voxel.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FEMORA, SACRUM = (1, 2), 5  # right, left
Depths = dict[int, tuple[tuple[slice, ...], np.ndarray]]


@dataclass(frozen=True)
class Landmarks:
    """Per side (right, left; absent where the label is): head centre (x, y, z), its radius, shaft end, mid-femur."""

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
    """Find the femoral heads (deepest point of a femur), the shafts and the extent of all bone."""
    head, radius, middle, low = {}, {}, {}, {}
    for side, (box, depth) in ((FEMORA.index(v), bones[v]) for v in FEMORA if v in bones):
        start = np.array([s.start for s in box])
        top = depth[depth.shape[0] // 3 :]
        peak = np.array(np.unravel_index(top.argmax(), top.shape)) + [depth.shape[0] // 3, 0, 0]
        points = np.argwhere(depth > 0)
        end = points[points[:, 0] <= np.percentile(points[:, 0], 8)].mean(0)
        place = [((q + start)[::-1]) * spacing for q in (peak, points.mean(0), end)]
        head[side], middle[side], low[side] = place
        radius[side] = float(top.max())
    first = np.min([[s.start for s in box] for box, _ in bones.values()], axis=0)[::-1] * spacing
    last = np.max([[s.stop for s in box] for box, _ in bones.values()], axis=0)[::-1] * spacing
    return Landmarks(head, radius, middle, low, (first + last) / 2, (last - first) / 2)
