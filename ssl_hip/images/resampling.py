"""Put volumes on another grid: isotropic spacing for the networks, a scan's own grid for what is handed back."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage, sparse

ROUNDING = 0.01  # of a voxel: what a header's rounded spacing adds to an axis asks for no further voxel
INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


def low_pass_sigma(spacing_mm: np.ndarray, target_mm: float) -> np.ndarray:
    """Return the Gaussian's standard deviation in mm, an axis each, 0 where the target is not coarser.

    sigma = sqrt(max(target^2 - spacing^2, 0) / (8 ln 2)): it widens a point spread whose full width at half
    maximum is one voxel to that of the coarse grid (Cardoso et al. 2015, Scale factor point spread function matching).
    """
    return np.sqrt(np.maximum(target_mm**2 - np.asarray(spacing_mm) ** 2, 0) / (8 * math.log(2)))


def resample(image: sitk.Image, spacing_mm: float, label: bool = False) -> sitk.Image:
    """Return the image at an isotropic spacing, on a grid with the same centre that covers the whole extent.

    See `isotropic`; label: see `isotropic_label`.
    """
    spacing, voxels = image.GetSpacing(), sitk.GetArrayViewFromImage(image)
    result = sitk.GetImageFromArray((isotropic_label if label else isotropic)(voxels, spacing[::-1], spacing_mm))
    shift = [new_axis(n, s, spacing_mm)[1] for n, s in zip(image.GetSize(), spacing, strict=True)]
    result.SetSpacing([float(spacing_mm)] * 3)
    result.SetDirection(image.GetDirection())
    result.SetOrigin((np.array(image.GetOrigin()) + np.array(image.GetDirection()).reshape(3, 3) @ shift).tolist())
    return result


def isotropic(voxels: np.ndarray, spacing_mm: Sequence[float], target_mm: float) -> np.ndarray:
    """Return a volume at an isotropic spacing, float32, all (z, y, x).

    low_pass_sigma's Gaussian, edge values repeated, then linear interpolation.
    """
    axes = [axis_weights(*axis, target_mm) for axis in zip(voxels.shape, spacing_mm, strict=True)]
    result = np.empty([len(weights.indptr) - 1 for weights in axes], np.float32)
    for z, plane in enumerate(planes(lambda z: voxels[z], axes)):
        result[z] = plane
    return result


def isotropic_label(voxels: np.ndarray, spacing_mm: Sequence[float], target_mm: float) -> np.ndarray:
    """Return a label map at an isotropic spacing, all (z, y, x): the value that fills most of a voxel.

    Values are interpolated linearly one by one, without a low-pass; of a mask stays what has half or more. On 19 real
    anatomies at 1 / 3 mm the surface is off by .169 / .458 mm (nearest neighbour: .203 / .481) and 28 / 35 % of the
    bone thinner than two voxels is lost (nearest neighbour: 21 / 35 %, low-passed: 29 / 40 %), see
    benchmarks/label_resampling.py.
    """
    axes = [axis_weights(*axis, target_mm, low_pass=False) for axis in zip(voxels.shape, spacing_mm, strict=True)]
    values = np.array(sorted(pd.unique(voxels.ravel()), reverse=True))
    shares = [planes(lambda z, value=value: voxels[z] == value, axes) for value in values]
    return np.stack([largest(plane, values) for plane in zip(*shares, strict=True)])


def largest(shares: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return, element by element, the value whose share is largest; the first of equals."""
    winner, most = np.full(shares[0].shape, values[0]), shares[0]
    for share, value in zip(shares[1:], values[1:], strict=True):
        winner, most = np.where(share > most, value, winner), np.maximum(share, most)
    return winner


def planes(plane_of: Callable[[int], np.ndarray], axes: list[sparse.csr_array]) -> Iterator[np.ndarray]:
    """Yield the planes (y, x), float32, of a volume to whose axes (z, y, x) the operators are applied.

    plane_of: gives the volume's planes (y, x). Only those that a result needs are held.
    """
    along_z, along_y, along_x = axes[0], axes[1], axes[2].T.tocsc()
    held: dict[int, np.ndarray] = {}
    for first, last in zip(along_z.indptr[:-1], along_z.indptr[1:], strict=True):
        needed = along_z.indices[first:last].tolist()
        held = {z: held[z] if z in held else along_y @ plane_of(z).astype(np.float32) @ along_x for z in needed}
        yield sum(weight * held[z] for z, weight in zip(needed, along_z.data[first:last], strict=True))


def new_axis(size: int, spacing_mm: float, target_mm: float) -> tuple[int, float]:
    """Return how many voxels of another size cover an axis from the same centre, and where in mm the first one lies.

    Counted from the centre of the axis' own first voxel.
    """
    new_size = max(1, math.ceil(size * spacing_mm / target_mm - ROUNDING))
    return new_size, (size - 1) * spacing_mm / 2 - (new_size - 1) * target_mm / 2


def axis_weights(size: int, spacing_mm: float, target_mm: float, low_pass: bool = True) -> sparse.csr_array:
    """Return what each voxel of an axis adds to each of the new grid with the same centre: (new size, size) float32.

    Gaussian and linear interpolation act on one axis after the other, so an axis has one operator for both.
    """
    new_size, first_mm = new_axis(size, spacing_mm, target_mm)
    places = (first_mm + np.arange(new_size) * target_mm) / spacing_mm
    sigma = float(low_pass_sigma(spacing_mm, target_mm)) / spacing_mm if low_pass else 0.0
    impulses = ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0, mode="nearest") if sigma else np.eye(size)
    weights = [np.interp(places, np.arange(size), impulse) for impulse in impulses.T]
    return sparse.csr_array(np.stack(weights, axis=1).astype(np.float32))


def resample_onto(
    image: sitk.Image, reference: sitk.Image, interpolator: str = "linear", outside: float = 0.0
) -> sitk.Image:
    """Return the image on the reference's grid; interpolator: linear (float32) | nearest (pixel type kept)."""
    image = sitk.Cast(image, sitk.sitkFloat32) if interpolator == "linear" else image
    return sitk.Resample(image, reference, sitk.Transform(), INTERPOLATORS[interpolator], outside, image.GetPixelID())
