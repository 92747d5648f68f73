"""Segmentation by a global threshold: the least that a network must beat."""

import numpy as np
from scipy import ndimage


def threshold_iou(image: np.ndarray, truth: np.ndarray, hu: float, radius: int = 2) -> float:
    """IoU with the truth (bool) of the voxels above `hu`, closed by `radius` voxels and filled slice by slice."""
    ball = ndimage.iterate_structure(ndimage.generate_binary_structure(3, 1), radius)
    padded = np.pad(image > hu, radius)
    closed = ndimage.binary_closing(padded, ball)[(slice(radius, -radius),) * 3]
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
    return float((filled & truth).sum() / max((filled | truth).sum(), 1))
