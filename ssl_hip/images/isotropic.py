"""A scan and its label on an isotropic grid, in canonical orientation: what patches and pictures are cut from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from ssl_hip.images import label_values, labels, resampling, volumes


class Scan(NamedTuple):
    """A scan on the patches' grid."""

    hu: np.ndarray  # (z, y, x) float32
    label: np.ndarray | None  # (z, y, x) uint8, 1 = foreground; None when the scan is unlabelled


def read(
    subject: dict[str, Any], root: Path, spacing_mm: float, foreground: list[int] | list[str]
) -> tuple[Scan, sitk.Image | None]:
    """Read a scan at an isotropic spacing, and its label as it is but on the scan's own grid; None where it has none.

    subject: image and label of a row of cohort.csv, paths from root.
    """
    image = volumes.read_image(root / subject["image"])
    hu = resampling.isotropic(*volumes.canonical_view(image), spacing_mm)
    if not subject["label"]:
        return Scan(hu, None), None
    grid = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    grid.CopyInformation(image)
    del image  # as large as all else together
    label = labels.read(subject["label"], root, grid)
    del grid
    voxels, spacing = volumes.canonical_view(label)
    mask = np.zeros(voxels.shape, bool)
    for value in label_values.foreground(foreground):  # np.isin would hold four copies
        mask |= voxels == value
    return Scan(hu, resampling.isotropic_label(mask.view(np.uint8), spacing, spacing_mm)), label


def pad(scan: Scan, size: int) -> Scan:
    """Pad a scan with air and background at its far faces to at least size voxels an axis."""
    missing = [(0, max(0, size - n)) for n in scan.hu.shape]
    if not np.any(missing):
        return scan
    label = None if scan.label is None else np.pad(scan.label, missing)
    return Scan(np.pad(scan.hu, missing, constant_values=volumes.AIR_HU), label)
