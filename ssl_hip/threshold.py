"""Segmentation by a global threshold: the least that a network must beat."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import ndimage

from ssl_hip import metrics

LEVELS_HU = range(25, 401, 25)
Patches = Iterable[tuple[np.ndarray, np.ndarray]]


def threshold_iou(image: np.ndarray, truth: np.ndarray, hu: float, radius: int = 2) -> float:
    """IoU with the truth (bool) of the voxels above `hu`, closed by `radius` voxels and filled slice by slice."""
    ball = ndimage.iterate_structure(ndimage.generate_binary_structure(3, 1), radius)
    padded = np.pad(image > hu, radius)
    closed = ndimage.binary_closing(padded, ball)[(slice(radius, -radius),) * 3]
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in closed])
    return float((filled & truth).sum() / max((filled | truth).sum(), 1))


def score_best(held: Patches, test: Patches, patches: pd.DataFrame, spacing_mm: float) -> pd.DataFrame:
    """Score, on every test patch, the threshold with the best mean IoU on the held-out validation patches.

    held, test: (HU, truth as bool), arrays (z, y, x), each read once. patches: a row a test patch, patch and subject.
    Returns those columns with metrics.SCORES and threshold_hu; no rows where either is empty.
    """
    iou = [[metrics.iou(hu > level, truth) for level in LEVELS_HU] for hu, truth in held]
    best = LEVELS_HU[int(np.mean(iou, axis=0).argmax())] if iou else math.inf
    scores = [metrics.score(hu > best, truth, spacing_mm) for hu, truth in test] if iou else []
    table = patches[: len(scores)].join(pd.DataFrame(scores, columns=metrics.SCORES))
    return table.assign(threshold_hu=best)


def describe(scores: pd.DataFrame) -> str:
    """Say in one line what `score_best` found."""
    if scores.empty:
        return f"threshold: {metrics.NOT_AVAILABLE}"
    level, iou, hd95 = scores.threshold_hu.iloc[0], scores.iou.mean(), scores.hd95_mm.mean()
    return f"threshold {level:g} HU: test IoU {iou:.3f}, HD95 {hd95:.2f} mm"
