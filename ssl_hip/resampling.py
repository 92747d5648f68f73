"""Put volumes on another grid: isotropic spacing for the networks, a scan's own grid for what is handed back."""

import math

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip.volumes import AIR_HU, like, to_array

INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


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
