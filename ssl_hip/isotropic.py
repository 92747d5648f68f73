"""A scan and its label on an isotropic grid, in canonical orientation: what patches and pictures are cut from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from ssl_hip import labels, resampling, volumes


class Scan(NamedTuple):
    """A scan on the patches' grid."""

    hu: np.ndarray  # (z, y, x) float32
    label: np.ndarray | None  # (z, y, x) uint8, 1 = foreground; None when the scan is unlabelled


def read(subject: dict[str, Any], root: Path) -> tuple[sitk.Image, sitk.Image | None]:
    """Read a scan and its label, on one grid; None where it has none."""
    image = volumes.read_image(root / subject["image"])
    return image, labels.read(subject["label"], root, image) if subject["label"] else None


def on_grid(image: sitk.Image, label: sitk.Image | None, spacing_mm: float, foreground: list[int] | list[str]) -> Scan:
    """Return a scan in canonical orientation at an isotropic spacing."""
    hu = resampling.isotropic(*volumes.canonical_view(image), spacing_mm)
    if label is None:
        return Scan(hu, None)
    voxels, spacing = volumes.canonical_view(label)
    mask = np.isin(voxels, labels.foreground_values(foreground)).view(np.uint8)
    return Scan(hu, resampling.isotropic_label(mask, spacing, spacing_mm))


def pad(scan: Scan, size: int) -> Scan:
    """Pad a scan with air and background at its far faces to at least size voxels an axis."""
    missing = [(0, max(0, size - n)) for n in scan.hu.shape]
    if not np.any(missing):
        return scan
    label = None if scan.label is None else np.pad(scan.label, missing)
    return Scan(np.pad(scan.hu, missing, constant_values=volumes.AIR_HU), label)
