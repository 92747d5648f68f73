"""Where a scan has its joint gaps and its metal: there a segmentation of bones fuses two of them, or errs most."""

from itertools import combinations, product
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip.images import label_values, resampling, volumes
from ssl_hip.images.isotropic import Scan
from ssl_hip.region_bits import JOINT_GAP, METAL
from ssl_hip.shape.shape_parts import SIDES

ROUNDING_MM = 1e-6  # 11 x 0.6 - 0.6 is more than 6
UNKNOWN = dict.fromkeys(("gap_voxels", "gap_mm", "metal_voxels"), np.nan)  # what `Regions.describe` returns, if none
Place = tuple[slice, ...]


class Regions(NamedTuple):
    """A scan's joint gaps and the surroundings of its metal, on the patches' grid."""

    gap_mm: np.ndarray | None  # (z, y, x) float16, the joint gap's width in mm, inf elsewhere; None: not available
    around_metal: np.ndarray  # (z, y, x) bool

    def cube(self, place: Place) -> np.ndarray:
        """Return the voxels of a place, uint8: JOINT_GAP, METAL, their sum or 0."""
        metal = METAL * self.around_metal[place].astype(np.uint8)
        return metal if self.gap_mm is None else metal + JOINT_GAP * np.isfinite(self.gap_mm[place]).astype(np.uint8)

    def describe(self, place: Place) -> dict[str, float]:
        """Return gap_voxels, gap_mm (their median width) and metal_voxels (around metal); NaN: not available."""
        metal = int(np.count_nonzero(self.around_metal[place]))
        if self.gap_mm is None:
            return UNKNOWN | {"metal_voxels": metal}
        widths = self.gap_mm[place][np.isfinite(self.gap_mm[place])].astype(float)
        median = float(np.median(widths)) if len(widths) else np.nan
        return {"gap_voxels": len(widths), "gap_mm": median, "metal_voxels": metal}


def find(scan: Scan, label: sitk.Image, params: SimpleNamespace) -> Regions:
    """Return the regions of a labelled scan, padded or not.

    label: the scan's label map on the grid of its file (isotropic.read gives both). params: sections patches
    (spacing_mm, joint_gap_mm, metal_hu, metal_mm), cohort (foreground) and shape_model (parts).
    """
    settings, joints = params.patches, joint_values(params.shape_model.parts)
    metal = around(scan.hu >= settings.metal_hu, settings.metal_mm, settings.spacing_mm)
    if not joints:
        return Regions(None, metal)
    bones = bone_values(scan.label, label, label_values.foreground(params.cohort.foreground), settings.spacing_mm)
    return Regions(joint_gap(bones, joints, settings.joint_gap_mm, settings.spacing_mm), metal)


def joint_values(parts: SimpleNamespace | dict) -> list[tuple[int, int]]:
    """Return the label values of every two bones that lie on one side of the body.

    parts: shape_model.parts, bone -> side -> label value; empty: none.
    """
    bones = [_entries(sides) for sides in _entries(parts).values()]
    pairs = product(combinations(bones, 2), SIDES)
    values = [(a[side], b[side]) for (a, b), side in pairs if side in a and side in b]
    return [(a, b) for a, b in values if a != b]


def _entries(tree: SimpleNamespace | dict) -> dict:
    return tree if isinstance(tree, dict) else vars(tree)


def bone_values(mask: np.ndarray, label: sitk.Image, values: list[int], spacing_mm: float) -> np.ndarray:
    """Return for each voxel of the scan's label the value that fills most of it, uint8 (z, y, x); 0 in the background.

    mask: the scan's label on the patches' grid, padded or not. label, values: the label map that it was made of, and
    its foreground's. Every foreground voxel has one: values are interpolated, and of equals chosen, as in
    resampling.isotropic_label.
    """
    voxels, spacing = volumes.canonical_view(label)
    values = np.array(sorted(values, reverse=True), np.uint8)
    axes = [
        resampling.axis_weights(*axis, spacing_mm, low_pass=False) for axis in zip(voxels.shape, spacing, strict=True)
    ]
    shares = [resampling.planes(lambda z, value=value: voxels[z] == value, axes) for value in values]
    bones = np.zeros_like(mask)
    for z, plane in enumerate(zip(*shares, strict=True)):
        height, width = plane[0].shape
        bones[z, :height, :width] = resampling.largest(plane, values)
    bones *= mask
    return bones


def joint_gap(bones: np.ndarray, joints: list[tuple[int, int]], joint_gap_mm: float, spacing_mm: float) -> np.ndarray:
    """Return the width in mm of the gap between two bones, float16 (z, y, x); inf where it is above joint_gap_mm.

    bones: `bone_values`. joints: `joint_values`. A background voxel's width is the sum of its distances to the two
    bones less one spacing, as distances end at voxels' centres; of several joints the narrowest.
    """
    gap, boxes = np.full(bones.shape, np.inf, np.float16), ndimage.find_objects(bones)
    reach = round(np.ceil(joint_gap_mm / spacing_mm)) + 1
    for joint in joints:
        box = meeting(boxes, joint, reach, bones.shape)
        if box is None or not all(np.any(bones[box] == value) for value in joint):
            continue
        both = sum(ndimage.distance_transform_edt(bones[box] != value, sampling=spacing_mm) for value in joint)
        inside = (bones[box] == 0) & (both - spacing_mm <= joint_gap_mm + ROUNDING_MM)
        gap[box] = np.minimum(gap[box], np.where(inside, both - spacing_mm, np.inf))
    return gap


def meeting(boxes: list[Place | None], joint: tuple[int, int], reach: int, shape: tuple[int, ...]) -> Place | None:
    """Return where the boxes of two bones overlap, each grown by `reach` voxels; None where they do not.

    boxes: a place for each label value from 1 on. It holds all that a gap's width depends on: of a voxel whose
    distances to both bones sum to `reach` or less, the nearest voxels of both lie within `reach` of either bone.
    """
    if any(value > len(boxes) or boxes[value - 1] is None for value in joint):
        return None
    first, second = (grown(boxes[value - 1], reach, shape) for value in joint)
    box = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
    return box if all(side.start < side.stop for side in box) else None


def around(mask: np.ndarray, reach_mm: float, spacing_mm: float) -> np.ndarray:
    """Return the voxels whose centre lies at most reach_mm from one of the mask's, bool (z, y, x).

    Piece by piece: a distance takes 60 bytes a voxel, and a box around all pieces may be the whole scan.
    """
    near = np.zeros(mask.shape, bool)
    for piece in ndimage.find_objects(ndimage.label(mask)[0]):
        box = grown(piece, round(np.ceil(reach_mm / spacing_mm)), mask.shape)
        distance = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm)
        near[box] |= distance <= reach_mm + ROUNDING_MM
    return near


def grown(box: Place, reach: int, shape: tuple[int, ...]) -> Place:
    """Return a box grown by `reach` voxels on every side, as far as the volume goes."""
    return tuple(
        slice(max(side.start - reach, 0), min(side.stop + reach, n)) for side, n in zip(box, shape, strict=True)
    )
