"""Read and write CT volumes; arrays are (z, y, x), SimpleITK's spacing and size (x, y, z)."""

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip import nifti
from ssl_hip.config import UserError

AIR_HU = -1024.0


def read_image(path: Path | str) -> sitk.Image:
    """Read a 3D scalar image (NIfTI, MHA, NRRD, ...); raise UserError where it is unreadable or incomplete."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct the path")
    if path.name.endswith((".nii", ".nii.gz")) and (fault := nifti.complaint(path)):
        raise UserError(f"{path}: {fault}")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{path}: not a readable image ({reason}); copy or export it again") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        size = " x ".join(map(str, image.GetSize()))
        values = image.GetNumberOfComponentsPerPixel()
        raise UserError(
            f"{path}: expected a 3D volume with one value a voxel, found {size} with {values}; store one volume a file"
        )
    return image


def canonical(image: sitk.Image) -> sitk.Image:
    """Permute and flip the axes to LPS (x to the patient's left, y to the back, z to the head); voxels are kept."""
    return sitk.DICOMOrient(image, "LPS")


def to_array(image: sitk.Image) -> np.ndarray:
    """Return a copy of the voxels, (z, y, x)."""
    return sitk.GetArrayFromImage(image)


def like(array: np.ndarray, reference: sitk.Image) -> sitk.Image:
    """Return the (z, y, x) array as an image with the reference's origin, spacing and direction."""
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(reference)
    return image


def write(image: sitk.Image, path: Path | str) -> None:
    """Write the image compressed, under a temporary name first: a file of this name is always complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        sitk.WriteImage(image, str(unfinished), useCompression=True)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
