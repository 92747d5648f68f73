"""Read a DICOM folder: choose the CT series, put its slices in order, refuse one that is no regular volume.

A path is `folder`, or `folder#SERIES_INSTANCE_UID` where the folder holds several CT series. Headers are read slice by
slice, by SimpleITK's GDCM reader; sub-folders are searched too.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ssl_hip.images import dicom_geometry, dicom_lengths
from ssl_hip.images.dicom_geometry import Slice
from ssl_hip.images.faults import Fault, FaultError

FEWEST_SLICES = 5  # of a volume; a localizer has fewer
CT_IMAGE = "2"  # storage classes 1.2.840.10008.5.1.4.1.1.*; 2.1 and 2.2 are CTs of several frames
TO_NIFTI = {"481": "RT structure set", "66": "segmentation object"}
STORAGE = re.compile(rb"\x02\x00\x02\x00UI..1\.2\.840\.10008\.5\.1\.4\.1\.1\.(\d+)", re.DOTALL)  # tag (0002,0002)
EXPORT = "export the series again, complete"


class Folder(NamedTuple):
    """What a folder holds."""

    series: dict[str, list[Slice]]  # by series instance UID
    objects: list[str]  # what is no image: RT structure set, segmentation object
    damaged: list[str]  # names of CT images that cannot be read


def split_path(path: Path | str) -> tuple[Path, str]:
    """Return the folder and the series' UID, empty when none is named."""
    folder, mark, uid = str(path).rpartition("#")
    return (Path(folder), uid) if mark and not Path(path).exists() else (Path(path), "")


def is_series(path: Path | str) -> bool:
    """Tell whether a path names a DICOM folder or a series in one."""
    return split_path(path)[0].is_dir()


def read(path: Path | str) -> sitk.Image:
    """Return the series as a volume in HU, slices sorted along their normal whatever their names.

    Slope and intercept are applied slice by slice. Raises FaultError that lists all that is wrong with the series.
    """
    slices = _choose(path, contents(split_path(path)[0]))
    if faults := [Fault(str(path), *fault) for fault in dicom_geometry.faults(slices)]:
        raise FaultError(faults)
    ordered = dicom_geometry.ordered(slices)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([part.file for part in ordered])
    if len({part.rescale for part in ordered}) > 1:  # else the first slice's type would cut off the others' fractions
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        return sitk.ReadImage(ordered[0].file) if len(ordered) == 1 else reader.Execute()
    except RuntimeError as error:
        raise FaultError([Fault(str(path), "a slice cannot be read: cut off or damaged", EXPORT)]) from error


def contents(folder: Path) -> Folder:
    """Read the header of every file; what is no image (dose report, DICOMDIR, PDF) or not DICOM is passed over."""
    series: dict[str, list[Slice]] = {}
    objects, damaged = [], []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if header := _header(file):
            series.setdefault(header.series, []).append(header)
        else:
            kind = _storage_class(file)
            objects += [TO_NIFTI[kind]] if kind in TO_NIFTI else []
            damaged += [file.name] if kind == CT_IMAGE else []
    return Folder(series, objects, damaged)


def _header(file: Path) -> Slice | None:
    if not dicom_lengths.are_possible(file):
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    uid, modality, slope, intercept, position = (
        reader.GetMetaData(tag).strip(" \0") if reader.HasMetaDataKey(tag) else ""
        for tag in ("0020|000e", "0008|0060", "0028|1053", "0028|1052", "0020|0032")
    )
    direction = np.array(reader.GetDirection()).reshape(reader.GetDimension(), -1)[:3, :3]
    place = reader.GetOrigin()[:3] if position else None
    return Slice(
        str(file), uid, modality, reader.GetSize(), reader.GetSpacing()[:2], place, direction, (slope, intercept)
    )


def _storage_class(file: Path) -> str | None:
    with file.open("rb") as stream:
        head = stream.read(1024)
    found = STORAGE.search(head) if head[128:132] == b"DICM" else None
    return found[1].decode() if found else None


def _choose(path: Path | str, found: Folder) -> list[Slice]:
    """Return the slices of the series that the path means; raise FaultError where that is not clear."""
    folder, uid = split_path(path)
    volumes = {name: part for name, part in found.series.items() if _is_volume(part) and part[0].modality == "CT"}
    if found.damaged:
        some = ", ".join(found.damaged[:3])
        fault = (f"{len(found.damaged)} DICOM file(s) are cut off or damaged, the first: {some}", EXPORT)
    elif uid:
        if uid in volumes:
            return volumes[uid]
        fault = _no_such_series(uid, found, volumes)
    elif len(volumes) == 1:
        return next(iter(volumes.values()))
    elif volumes:
        listed = ", ".join(f"{name} ({len(part)} slices)" for name, part in volumes.items())
        example = f"{folder.name}#{next(iter(volumes))}"
        fault = (f"holds {len(volumes)} CT series: {listed}", f"add one to the path, e.g. {example}")
    else:
        fault = _no_volume(found)
    raise FaultError([Fault(str(path), *fault)])


def _is_volume(slices: list[Slice]) -> bool:
    return len(slices) >= FEWEST_SLICES or (len(slices) == 1 and slices[0].depth >= FEWEST_SLICES)


def _no_such_series(uid: str, found: Folder, volumes: dict[str, list[Slice]]) -> tuple[str, str]:
    if uid in found.series:
        part = found.series[uid]
        return f"the series {uid} is no CT volume: {_describe(part)}", "name a CT series of 5 slices at least"
    return f"has no series {uid}", f"its CT series: {', '.join(volumes) or 'none'}"


def _no_volume(found: Folder) -> tuple[str, str]:
    if found.series:
        listed = ", ".join(_describe(part) for part in found.series.values())
        return f"holds no CT volume, only {listed}", "name the folder of the CT's axial slices"
    if found.objects:
        listed = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(found.objects).items()))
        return f"holds no image, only {listed}", "convert it to NIfTI, e.g. with 3D Slicer, and name that file"
    return "holds no DICOM image", "name the folder of the CT's slices, or a volume file"


def _describe(slices: list[Slice]) -> str:
    if slices[0].modality != "CT":
        return f"a series that is not CT (modality {slices[0].modality or 'not given'})"
    return f"a localizer (CT of {len(slices)} slice(s))"
