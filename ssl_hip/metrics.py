"""Surfaces, distances and scores of binary masks: one definition for references, distance maps and tables.

Masks are (z, y, x), anything non-zero is foreground; spacing_mm is one number (isotropic) or (z, y, x).
"""

import numpy as np
from scipy import ndimage

Spacing = float | tuple[float, float, float]
SCORES = ["iou", "hd95_mm", "missed", "false_alarm"]  # of `score`
NOT_AVAILABLE = "not available: no labels"  # said in place of scores
SIX_NEIGHBOURS = ndimage.generate_binary_structure(3, 1)


def iou(pred: np.ndarray, truth: np.ndarray) -> float:
    """Return intersection over union; 1 where both masks are empty, 0 where one is."""
    pred, truth = _same_shape(pred, truth)
    union = np.count_nonzero(pred | truth)
    return float(np.count_nonzero(pred & truth) / union) if union else 1.0


def surface(mask: np.ndarray) -> np.ndarray:
    """Return the surface voxels (z, y, x), bool: foreground with a 6-neighbour in the background.

    The array's outer face is no surface, so a mask that is all foreground or all background has none.
    """
    mask = np.asarray(mask) != 0
    return mask & ~ndimage.binary_erosion(mask, SIX_NEIGHBOURS, border_value=1)


def hd95(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """Return the larger of the two directed 95th percentiles (linear interpolation) of surface distance, in mm.

    A mask without surface counts as empty: both empty 0, one empty the diagonal of the array.
    """
    pred, truth = _same_shape(pred, truth)
    surfaces = surface(pred), surface(truth)
    step = _step(spacing_mm)
    present = [bool(s.any()) for s in surfaces]
    if not any(present):
        return 0.0
    if not all(present):
        return float(np.linalg.norm(np.array(truth.shape) * step))
    ours, theirs = _crop(*surfaces)
    return max(_directed(ours, theirs, step), _directed(theirs, ours, step))


def score(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> dict[str, float | int]:
    """Return iou, hd95_mm, missed (truth's surface without prediction's, 0/1) and false_alarm (the reverse)."""
    predicted, real = bool(surface(pred).any()), bool(surface(truth).any())
    return {
        "iou": iou(pred, truth),
        "hd95_mm": hd95(pred, truth, spacing_mm),
        "missed": int(real and not predicted),
        "false_alarm": int(predicted and not real),
    }


def signed_distance(mask: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Return the distance in mm to the nearest surface voxel's centre, float32 (z, y, x).

    Negative inside, positive outside, 0 on the surface voxels; all NaN for a mask without surface.
    """
    mask = np.asarray(mask) != 0
    border = surface(mask)
    if not border.any():
        return np.full(mask.shape, np.nan, np.float32)
    distance = ndimage.distance_transform_edt(~border, sampling=_step(spacing_mm))
    return np.where(mask, -distance, distance).astype(np.float32)


def _same_shape(pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred, truth = np.asarray(pred) != 0, np.asarray(truth) != 0
    if pred.shape != truth.shape or pred.ndim != 3:
        raise ValueError(f"masks must be 3D and of one shape, got {pred.shape} and {truth.shape}")
    return pred, truth


def _step(spacing_mm: Spacing) -> np.ndarray:
    step = np.broadcast_to(np.asarray(spacing_mm, float), 3)
    if not (np.isfinite(step).all() and (step > 0).all()):
        raise ValueError(f"spacing must be positive, got {spacing_mm}")
    return step


def _crop(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut both surfaces to their common bounding box: every distance between them lies within, so it stays exact."""
    box = ndimage.find_objects((first | second).astype(np.uint8))[0]
    return first[box], second[box]


def _directed(start: np.ndarray, goal: np.ndarray, step: np.ndarray) -> float:
    return float(np.percentile(ndimage.distance_transform_edt(~goal, sampling=step)[start], 95))
