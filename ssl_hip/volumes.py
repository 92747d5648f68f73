"""Read, check, resample and write CT volumes; the only file that knows SimpleITK's (x, y, z) order."""

import math
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip import nifti
from ssl_hip.config import UserError

AIR_HU = -1024.0
INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


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


def low_pass_sigma(spacing_mm: np.ndarray, target_mm: float) -> np.ndarray:
    """Return the Gaussian's standard deviation in mm, an axis each, 0 where the target is not coarser.

    sigma = sqrt(max(target^2 - spacing^2, 0) / (8 ln 2)): it widens a point spread whose full width at half
    maximum is one voxel to that of the coarse grid (Cardoso et al. 2015, Scale factor point spread function matching).
    """
    return np.sqrt(np.maximum(target_mm**2 - np.asarray(spacing_mm) ** 2, 0) / (8 * math.log(2)))


def resample(image: sitk.Image, spacing_mm: float, label: bool = False) -> sitk.Image:
    """Return the image at an isotropic spacing, on a grid with the same centre that covers the whole extent.

    Images: low_pass_sigma's Gaussian (edge values repeated), then linear interpolation, float32, -1024 outside.
    Labels: nearest neighbour, pixel type kept, 0 outside.
    """
    spacing, size = np.array(image.GetSpacing()), np.array(image.GetSize())
    new_size = np.maximum(np.ceil(size * spacing / spacing_mm - 1e-6), 1).astype(int)
    shift = (size - 1) * spacing / 2 - (new_size - 1) * spacing_mm / 2
    direction = np.array(image.GetDirection()).reshape(3, 3)
    grid = sitk.ResampleImageFilter()
    grid.SetSize(new_size.tolist())
    grid.SetOutputSpacing([float(spacing_mm)] * 3)
    grid.SetOutputOrigin((np.array(image.GetOrigin()) + direction @ shift).tolist())
    grid.SetOutputDirection(image.GetDirection())
    grid.SetInterpolator(INTERPOLATORS["nearest" if label else "linear"])
    grid.SetDefaultPixelValue(0 if label else AIR_HU)
    return grid.Execute(image if label else _low_pass(image, spacing, spacing_mm))


def _low_pass(image: sitk.Image, spacing_mm: np.ndarray, target_mm: float) -> sitk.Image:
    sigma = (low_pass_sigma(spacing_mm, target_mm) / spacing_mm)[::-1]
    return like(ndimage.gaussian_filter(to_array(image).astype(np.float32), sigma, mode="nearest"), image)


def resample_onto(
    image: sitk.Image, reference: sitk.Image, interpolator: str = "linear", outside: float = 0.0
) -> sitk.Image:
    """Return the image on the reference's grid; interpolator: linear (float32) | nearest (pixel type kept)."""
    image = sitk.Cast(image, sitk.sitkFloat32) if interpolator == "linear" else image
    return sitk.Resample(image, reference, sitk.Transform(), INTERPOLATORS[interpolator], outside, image.GetPixelID())


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


def check_pair(image_path: Path | str, label_path: Path | str | None, foreground: list[int]) -> list[str]:
    """Return every problem of a CT and its label, one line each with file and remedy; empty when fit for use.

    label_path: None or "" for a scan without label. foreground: label values that count as foreground.
    """
    problems: list[str] = []
    image = _read_or_note(image_path, problems)
    if image is not None:
        problems += _intensity_problems(image_path, to_array(image))
    label = _read_or_note(label_path, problems) if label_path else None
    if label is not None:
        problems += _label_problems(label_path, to_array(label), foreground)
    if image is not None and label is not None:
        problems += place_problems(image_path, image, label_path, label)
    return problems


def _read_or_note(path: Path | str, problems: list[str]) -> sitk.Image | None:
    try:
        return read_image(path)
    except UserError as error:
        problems.append(str(error))
        return None


def _intensity_problems(path: Path | str, voxels: np.ndarray) -> list[str]:
    bad = int(np.count_nonzero(~np.isfinite(voxels)))
    if bad:
        return [f"{path}: {bad} voxels are NaN or infinite; replace them, e.g. by {AIR_HU:.0f} (air)"]
    low, high = float(voxels.min()), float(voxels.max())
    if low <= -200 and high >= 200:
        return []
    if low >= 0 and high <= 255:
        remedy = "looks like a label or an 8-bit picture; name the CT in Hounsfield units"
    elif low >= 0 and high > 1000:
        remedy = "looks like raw scanner values; apply rescale slope and intercept (often: subtract 1024)"
    else:
        remedy = "a CT holds air (below -200) and bone (above 200); export it again uncropped, in Hounsfield units"
    return [f"{path}: intensities from {low:g} to {high:g} are not those of a CT; {remedy}"]


def _label_problems(path: Path | str, voxels: np.ndarray, foreground: list[int]) -> list[str]:
    values = np.unique(voxels)
    if not np.array_equal(values, np.round(values)):
        return [f"{path}: label values must be whole numbers; export the label map, not a probability"]
    if np.isin(values, foreground).any():
        return []
    found, wanted = ", ".join(f"{v:g}" for v in values[:10]), ", ".join(map(str, foreground))
    return [f"{path}: no voxel has a foreground value ({wanted}), only {found}; mend the label or cohort.foreground"]


def place_problems(image_path: Path | str, image: sitk.Image, label_path: Path | str, label: sitk.Image) -> list[str]:
    """Return how a label's grid differs from its image's (size, origin, spacing, direction); at most one line."""
    remedy = f"of {image_path}; resample the label onto the image's grid"
    if image.GetSize() != label.GetSize():
        return [f"{label_path}: size {label.GetSize()} instead of {image.GetSize()} {remedy}"]
    step = min(image.GetSpacing())
    differ = [
        f"{name} {_short(theirs)} instead of {_short(ours)}"
        for name, theirs, ours, tolerance in (
            ("origin", label.GetOrigin(), image.GetOrigin(), 0.05 * step),
            ("spacing", label.GetSpacing(), image.GetSpacing(), 1e-3 * step),
            ("direction", label.GetDirection(), image.GetDirection(), 1e-3),
        )
        if not np.allclose(theirs, ours, rtol=0, atol=tolerance)
    ]
    return [f"{label_path}: {' and '.join(differ)} {remedy}"] if differ else []


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
