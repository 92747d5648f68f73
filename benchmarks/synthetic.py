"""One synthetic CT of a clinical size: 512 x 512 x 300 voxels of 0.7 x 0.7 x 1 mm, with its label."""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip.images import volumes
from ssl_hip.simulation import ct_simulation, phantom
from ssl_hip.simulation.anatomy import draw_anatomy

SHAPE, SPACING = (300, 512, 512), (0.7, 0.7, 1.0)  # (z, y, x) and (x, y, z) in mm


def scan(folder: Path) -> tuple[Path, Path]:
    """Return the files of image (int16 HU) and label (uint8) in the folder, made unless they are there (a minute)."""
    paths = folder / "image.nii.gz", folder / "label.nii.gz"
    if not all(path.is_file() for path in paths):
        rng = np.random.default_rng(0)
        label = phantom.label_map(draw_anatomy(rng, diseased=True), SPACING)
        hu = ct_simulation.simulate(label, SPACING, ct_simulation.draw_tissue(rng, diseased=True))
        for path, voxels, outside in zip(paths, (hu, label), (-1000, 0), strict=True):
            image = sitk.GetImageFromArray(fitted(voxels, outside))
            image.SetSpacing(SPACING)
            volumes.write(sitk.DICOMOrient(image, "RAS"), path)
    return paths


def fitted(voxels: np.ndarray, outside: float) -> np.ndarray:
    """Crop or pad to SHAPE about the centre: the first and last slice are repeated, the field of view is widened."""
    for axis, (mode, size) in enumerate(
        zip(({"mode": "edge"}, *[{"constant_values": outside}] * 2), SHAPE, strict=True)
    ):
        surplus = max(0, voxels.shape[axis] - size)
        voxels = np.take(voxels, range(surplus // 2, voxels.shape[axis] - (surplus - surplus // 2)), axis)
        lack = size - voxels.shape[axis]
        voxels = np.pad(voxels, [(lack // 2, lack - lack // 2) if i == axis else (0, 0) for i in range(3)], **mode)
    return voxels


if __name__ == "__main__":
    scan(Path(sys.argv[1]))
