"""Labels of a scan: one label map, or one file a bone joined by ";" in the manifest."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip.images import grids, resampling, volumes
from ssl_hip.images.faults import Fault, FaultError

ELSEWHERE = "name the label of this image, or export it again in its place"


def read(label: str, root: Path, onto: sitk.Image | None = None) -> sitk.Image:
    """Read a label as uint8: a single file's own values; of several files, i + 1 where file i is not 0.

    label: paths from root, joined by ";". A voxel in several files keeps the first one's value. onto: an image on whose
    grid the label is put by nearest neighbour where its own grid is another. Raises FaultError where a file is
    unreadable or lies elsewhere.
    """
    parts, faults = [], []
    for path in paths(label, root):
        try:
            part = volumes.read_image(path)
            onto = part if onto is None else onto
            parts.append(_put_or_refuse(part, onto, path))
        except FaultError as error:
            faults += error.faults
    if faults:
        raise FaultError(faults)
    return combine(parts)


def files(label: str, root: Path) -> list[Path]:
    """Return all files that a label is read from, an MHD's voxels too; none of an empty one."""
    return [file for path in paths(label, root) for file in volumes.files(path)] if label else []


def paths(label: str, root: Path) -> list[Path]:
    """Return the files that a label names."""
    return [Path(root) / name for name in label.split(";")]


def put(part: sitk.Image, onto: sitk.Image) -> sitk.Image:
    """Return the label on an image's grid, by nearest neighbour where its own is another."""
    return part if grids.same(onto, part) else resampling.resample_onto(part, onto, "nearest")


def combine(parts: list[sitk.Image]) -> sitk.Image:
    """Return one uint8 label map of files that lie on one grid."""
    if len(parts) == 1:
        return parts[0] if parts[0].GetPixelID() == sitk.sitkUInt8 else sitk.Cast(parts[0], sitk.sitkUInt8)
    result = np.zeros(parts[0].GetSize()[::-1], np.uint8)
    for value, part in enumerate(parts, start=1):
        result[(result == 0) & (sitk.GetArrayViewFromImage(part) != 0)] = value
    return volumes.like(result, parts[0])


def _put_or_refuse(part: sitk.Image, onto: sitk.Image, path: Path) -> sitk.Image:
    if said := grids.displacement(onto, part):
        raise FaultError([Fault(str(path), said, ELSEWHERE)])
    return put(part, onto)
