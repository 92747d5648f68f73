"""Surface deviation score of a patch (Appendix C of Xie et al. 2024), its six groups, and Table 4."""

from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from ssl_hip import metrics
from ssl_hip.images import resampling, volumes
from ssl_hip.scans.manifest import SPLITS
from ssl_hip.shape import shape_parts

SCORE_MM = 1.0  # scores are always computed on this grid


def fit_file(folder: Path, subject: str) -> Path:
    """Return where a subject's rendered fit lies: signed distance in tenths of a mm in its label's own frame."""
    return folder / "fits" / f"{subject}.nii.gz"


class Subject:
    """A labelled subject ready to have its patches scored: its label and its best fit, in the label's own frame."""

    def __init__(self, label: sitk.Image, foreground: list[int], fit: sitk.Image) -> None:
        """Take the label map (any orientation) and the fit that shape_cohort.fit_subject wrote."""
        labels = shape_parts.own_frame(label)
        self.share = volumes.like(np.isin(volumes.to_array(labels), foreground).astype(np.float32), labels)
        self.distance = sitk.Cast(fit, sitk.sitkFloat32)

    def corner_mm(self, voxel: np.ndarray, spacing_mm: float) -> np.ndarray:
        """Return where a patch begins, (x, y, z): voxel (z, y, x) of the scan that resampling.resample gave."""
        axes = zip(self.share.GetSize(), self.share.GetSpacing(), strict=True)
        first = [resampling.new_axis(n, spacing, spacing_mm)[1] for n, spacing in axes]
        return first + (np.asarray(voxel)[::-1] - 0.5) * spacing_mm

    def masks(self, corner_mm: np.ndarray, edge_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Return label and fit within a cube, as far as the scan reaches: bool (z, y, x) at SCORE_MM.

        Beyond the scan the fit goes on where the label cannot: there the bone's cut end would count as its shape.
        """
        number = max(1, round(edge_mm / SCORE_MM))
        size, place = [number] * 3, (np.asarray(corner_mm) + SCORE_MM / 2).tolist()
        axes = zip(place, self.share.GetSize(), self.share.GetSpacing(), strict=True)
        lines = ((start + SCORE_MM * np.arange(number), n, spacing) for start, n, spacing in axes)
        seen = np.ix_(*[(line > -0.5 * s) & (line < (n - 0.5) * s) for line, n, s in lines][::-1])

        def cut(image: sitk.Image, outside: float) -> np.ndarray:
            grid = (size, sitk.Transform(), sitk.sitkLinear, place, [SCORE_MM] * 3, image.GetDirection(), outside)
            return volumes.to_array(sitk.Resample(image, *grid))[seen]

        return cut(self.share, 0.0) >= 0.5, cut(self.distance, 1.0) < 0

    def score(self, corner_mm: np.ndarray, edge_mm: float, min_surface_cm2: float = 0.0) -> float:
        """Return the HD95 in mm between label and fit within a cube.

        NaN where either has no surface, or less than min_surface_cm2: a percentile of a few voxels in a corner says
        where the cube was cut, not how the bone is shaped.
        """
        masks = self.masks(corner_mm, edge_mm)
        least_voxels = max(100 * min_surface_cm2 / SCORE_MM**2, 1)
        if min(np.count_nonzero(metrics.surface(mask)) for mask in masks) < least_voxels:
            return float("nan")
        return metrics.hd95(*masks, SCORE_MM)


def group(deviation_mm: np.ndarray, bounds_mm: list[float]) -> pd.Series:
    """Return groups 0, 1, ... by lower bound <= score < upper bound; missing where there is no score."""
    deviation_mm = np.asarray(deviation_mm, float)
    return pd.Series(np.digitize(deviation_mm, bounds_mm), dtype="Int64").mask(np.isnan(deviation_mm))


def table4(scores: pd.DataFrame, bounds_mm: list[float]) -> pd.DataFrame:
    """Return a row a group.

    scores: columns split and deviation_mm. Columns of the result: group, hd95_mean_mm, hd95_sd_mm (all splits), train,
    validation, test (patches), train_share.
    """
    scores = scores.assign(group=group(scores.deviation_mm, bounds_mm).to_numpy()).dropna(subset=["deviation_mm"])
    groups = pd.RangeIndex(len(bounds_mm) + 1, name="group")
    by_group = scores.groupby("group").deviation_mm
    result = pd.DataFrame(dict(hd95_mean_mm=by_group.mean(), hd95_sd_mm=by_group.std())).reindex(groups)
    counts = pd.crosstab(scores.group, scores.split).reindex(index=groups, columns=SPLITS, fill_value=0)
    result = result.join(counts)
    result["train_share"] = result.train / max(result.train.sum(), 1)
    return result.reset_index()


def unscored(scores: pd.DataFrame) -> pd.Series:
    """Return how many patches of each split have no score."""
    return scores.deviation_mm.isna().groupby(scores.split).sum().reindex(SPLITS, fill_value=0)


def stratified(groups: pd.Series, per_group: int, seed: int) -> np.ndarray:
    """Return the sorted places of at most per_group patches of each group, at random; none of those without group."""
    rng, chosen = np.random.default_rng([seed, 4]), []
    groups = groups.reset_index(drop=True)
    for _, places in groups.dropna().groupby(groups):
        chosen.append(rng.permutation(places.index.to_numpy())[:per_group])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, int)
