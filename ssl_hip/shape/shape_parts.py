"""The bones of a label map as signed distances, left ones mirrored onto right ones: what shape models are made of."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip.images import volumes
from ssl_hip.shape.distance_field import Field, signed_distance

MARGIN_MM = 12.0
SIDES = ("right", "left")


class Bone(NamedTuple):
    """One bone of one side in the frame of a right one: signed distance in mm, within the scan only."""

    part: str
    side: str
    distance: Field


def bones(labels: sitk.Image, parts: dict[str, dict[str, int]], grid_mm: float) -> Iterator[Bone]:
    """Yield every bone of `parts` (name -> side -> label value) that the label map shows.

    labels: any orientation; a bone is its largest connected piece, brought to grid_mm by linear interpolation.
    """
    labels = own_frame(labels)
    boxes = ndimage.find_objects(volumes.to_array(labels).astype(np.uint8))
    for part, values in parts.items():
        for side, value in values.items():
            if value <= len(boxes) and boxes[value - 1]:
                distance = _distance(labels, value, boxes[value - 1], grid_mm)
                if distance:
                    yield Bone(part, side, distance.mirrored() if side == "left" else distance)


def own_frame(image: sitk.Image) -> sitk.Image:
    """Return the image in canonical orientation, in millimetres along its own axes from its first voxel's centre."""
    image = volumes.canonical(image)
    image.SetOrigin((0.0, 0.0, 0.0))
    image.SetDirection(np.eye(3).ravel().tolist())
    return image


def _distance(labels: sitk.Image, value: int, box: tuple[slice, ...], grid_mm: float) -> Field | None:
    margin = np.ceil(MARGIN_MM / np.array(labels.GetSpacing())).astype(int)
    first = np.maximum([s.start for s in box[::-1]] - margin, 0)
    last = np.minimum([s.stop for s in box[::-1]] + margin, labels.GetSize())
    crop = labels[tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))]
    mask = largest_piece(volumes.to_array(crop) == value).astype(np.float32)
    fine = to_grid(volumes.like(mask, crop), grid_mm)
    inside = volumes.to_array(fine) >= 0.5
    if inside.sum() < 27:
        return None
    return Field(signed_distance(inside, grid_mm), np.array(fine.GetOrigin()), grid_mm)


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Return the largest 6-connected piece of the mask."""
    pieces, number = ndimage.label(mask)
    return mask if number < 2 else pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


def to_grid(image: sitk.Image, grid_mm: float) -> sitk.Image:
    """Interpolate an LPS image linearly on an isotropic grid that spans its voxels' centres."""
    size = [int((n - 1) * s / grid_mm) + 1 for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = (size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [grid_mm] * 3, image.GetDirection(), 0.0)
    return sitk.Resample(image, *grid)
