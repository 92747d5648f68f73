"""Are a label map's voxels those of bones drawn in a scan?"""

import numpy as np

from ssl_hip.images.faults import Finding

LARGEST_SHARE = 0.5  # of the volume; hip bones take a few percent
MEND = "mend the label or cohort.foreground"


def values_fault(values: np.ndarray, foreground: list[int], background: list[int]) -> Finding | None:
    """Return what is wrong with the values that occur in a label map.

    foreground, background: the values that may occur.
    """
    if not np.array_equal(values, np.round(values)):  # NaN differs from itself
        return "label values must be whole numbers", "export the label map, not a probability"
    if values.size == 1:
        return f"every voxel is {values[0]:g}, nothing is outlined", "name the right file, or leave the label empty"
    if not np.isin(values, foreground).any():
        wanted = ", ".join(map(str, foreground))
        return f"no voxel has a foreground value ({wanted}), only {_listed(values)}", MEND
    unknown = values[~np.isin(values, [*foreground, *background])]
    if unknown.size:
        return f"unknown label value(s) {_listed(unknown)}", "list them in cohort.foreground or cohort.background"
    return None


def shape_fault(foreground: np.ndarray) -> Finding | None:
    """Return what is implausible about the foreground (z, y, x), bool."""
    share = np.count_nonzero(foreground) / foreground.size
    if share > LARGEST_SHARE:
        return f"{share:.0%} of the volume is foreground", f"is the background counted as bone? {MEND}"
    slices = [np.count_nonzero(foreground.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if min(slices) == 1:
        return "its foreground lies in one slice only", "label the whole volume, or leave the label empty"
    return None


def looks_like_label(voxels: np.ndarray) -> bool:
    """Tell whether voxels are a few small whole numbers."""
    if not 0 <= voxels.min() <= voxels.max() <= 255:
        return False
    values = np.unique(voxels)
    return values.size <= 64 and np.array_equal(values, np.round(values))


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{v:g}" for v in values[:10]) + (", ..." if values.size > 10 else "")
