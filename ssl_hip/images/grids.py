"""Do two volumes lie on the same grid, and if not, in the same place? Distances in mm."""

import itertools

import numpy as np
import SimpleITK as sitk

TURN = 2e-3  # largest difference of direction cosines: 1 mm over half a metre


def same(image: sitk.Image, other: sitk.Image) -> bool:
    """Tell whether both have the same voxels' centres: size, and origin within 5 % of a voxel, spacing, direction."""
    step = min(image.GetSpacing())
    return image.GetSize() == other.GetSize() and all(
        np.allclose(theirs, ours, rtol=0, atol=tolerance)
        for theirs, ours, tolerance in (
            (other.GetOrigin(), image.GetOrigin(), 0.05 * step),
            (other.GetSpacing(), image.GetSpacing(), 1e-3 * step),
            (other.GetDirection(), image.GetDirection(), 1e-3),
        )
    )


def displacement(image: sitk.Image, other: sitk.Image) -> str | None:
    """Return how the other's box differs from the image's; None where each face is within a voxel of the coarser.

    Axes may be permuted and flipped. The offsets in the text are along the image's axes.
    """
    axes = np.array(image.GetDirection()).reshape(3, 3)
    turn = axes.T @ np.array(other.GetDirection()).reshape(3, 3)
    if np.abs(turn - np.round(turn)).max() > TURN:
        return "its axes are turned against the image's"
    ours, theirs = _box(image, axes), _box(other, axes)
    coarser = np.maximum(image.GetSpacing(), np.abs(np.round(turn)) @ other.GetSpacing())
    offset = theirs - ours
    if (np.abs(offset) <= coarser + 1e-3).all():
        return None
    first, last = ("(" + ", ".join(f"{v + 0:.1f}" for v in np.round(side, 1)) + ")" for side in offset)
    if first == last:
        return f"it lies {first} mm (x, y, z) beside the image"
    return f"it begins {first} mm and ends {last} mm (x, y, z) from where the image does"


def _box(image: sitk.Image, axes: np.ndarray) -> np.ndarray:
    """Lowest and highest coordinate (2, 3) of the outer corners along the axes (columns)."""
    corners = itertools.product(*((-0.5, n - 0.5) for n in image.GetSize()))
    places = np.array([image.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners]) @ axes
    return np.stack([places.min(0), places.max(0)])
