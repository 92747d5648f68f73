"""What is wrong with scans and their labels, found before any work: one pass over all files."""

import hashlib
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import SimpleITK as sitk

from ssl_hip import parallel
from ssl_hip.images import grids, label_values, labels, nifti, volumes
from ssl_hip.images.faults import Fault, FaultError
from ssl_hip.scans import ct_checks, label_checks, manifest

MEMORY_MB = 1800  # of one worker, for a scan of 512 x 512 x 500 voxels and four label files
ADD_BONE = "add it, or take its name out of cohort.foreground"
SWAPPED = ("image and label are swapped", "exchange the two paths")


class Checked(NamedTuple):
    """What the pass learned about one scan."""

    faults: list[Fault]
    spacing: tuple[float, ...] | None = None  # (x, y, z) of the file's axes, mm
    digest: str = ""  # of the voxels in canonical orientation
    content: str = ""  # hash of the voxels and grids of image and label


class Values(NamedTuple):
    """Which label values may occur."""

    foreground: list[int]
    background: list[int]

    @classmethod
    def of(cls, cohort: SimpleNamespace) -> "Values":
        """Return those of params.yaml, files' names as numbers."""
        background = label_values.background(cohort.foreground, cohort.background)
        return cls(label_values.foreground(cohort.foreground), background)


def examine(scans: pd.DataFrame, values: Values, root: Path, workers: int | None = None) -> list[Checked]:
    """Read and check every scan once, in parallel; return what was found, in the rows' order.

    scans: columns subject, image, label (paths from root; several label files joined by ";"). Also compares the scans
    with one another: paths and voxels that occur twice.
    """
    jobs = list(zip(scans["image"], scans["label"], strict=True))
    work = partial(_check_row, values=values, root=Path(root))
    found = parallel.run(work, jobs, "check", workers, MEMORY_MB)
    images, masks = ([path and os.path.normpath(path) for path in scans[column]] for column in ("image", "label"))
    digests = [
        "" if path in images[:i] else each.digest for i, (path, each) in enumerate(zip(images, found, strict=True))
    ]
    for keys, what in ((images, "image"), (masks, "label"), (digests, "voxels")):
        _note_twins(found, scans, keys, f"the same {what}")
    return found


def _check_row(paths: tuple[str, str], values: Values, root: Path) -> Checked:
    found = check_scan(paths[0] and root / paths[0], paths[1], values, root)
    return found._replace(faults=_from_root(found.faults, root))


def _from_root(faults: list[Fault], root: Path) -> list[Fault]:
    return [fault._replace(file=manifest.from_root(fault.file, root)) for fault in faults]


def check_scan(image_path: Path | str, label: str, values: Values, root: Path = Path()) -> Checked:
    """Check a CT and its label (paths from root, joined by ";"; empty when unlabelled)."""
    files = labels.paths(label, root) if label else []
    if not (image_path or files):
        return Checked([])  # own_scans says so
    if not image_path:
        return Checked([Fault(str(files[0]), "a label without image of its name", "add the image or drop the label")])
    image, faults = _open(image_path)
    parts = [_open(path) for path in files]
    if image and len(parts) == 1 and parts[0][0] and _swapped(image, parts[0][0]):
        return Checked([Fault(str(image_path), *SWAPPED)], image.GetSpacing())
    faults += _ct_faults(image_path, image)
    for path, (part, unreadable) in zip(files, parts, strict=True):
        absent = len(files) > 1 and not path.exists()
        faults += [Fault(str(path), "no such file", ADD_BONE)] if absent else unreadable
        faults += _place_faults(path, part, image)
    if files and all(part for part, _ in parts):
        faults += _label_faults(files, [part for part, _ in parts], values)
    if image is None:
        return Checked(faults)
    digest = _digest(image)
    return Checked(faults, image.GetSpacing(), digest, _content(digest, image, [part for part, _ in parts if part]))


def check_image(path: Path | str) -> list[Fault]:
    """Return every fault of a CT without label."""
    return check_scan(path, "", Values([], [])).faults


def check_label_map(path: Path, values: Values, root: Path) -> list[Fault]:
    """Return every fault of a label map without CT, files named from root."""
    part, faults = _open(path)
    if part and (size := ct_checks.size_fault(part)):
        faults.append(Fault(str(path), *size))
    return _from_root(faults + (_label_faults([path], [part], values) if part else []), root)


def _open(path: Path | str) -> tuple[sitk.Image | None, list[Fault]]:
    """Return the volume, or what keeps it from being read."""
    try:
        sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what ITK would warn of is said in the table
        is_nifti = str(path).endswith(nifti.SUFFIXES) and os.path.isfile(path)
        fault = nifti.fault(Path(path)) if is_nifti else None
        return (None, [Fault(str(path), *fault)]) if fault else (volumes.read_image(path), [])
    except FaultError as error:
        return None, error.faults


def _swapped(image: sitk.Image, label: sitk.Image) -> bool:
    ours, theirs = sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(label)
    return label_checks.looks_like_label(ours) and not label_checks.looks_like_label(theirs)


def _ct_faults(path: Path | str, image: sitk.Image | None) -> list[Fault]:
    if image is None:
        return []
    found = ct_checks.size_fault(image), ct_checks.intensity_fault(sitk.GetArrayViewFromImage(image))
    return [Fault(str(path), *each) for each in found if each]


def _place_faults(path: Path, part: sitk.Image | None, image: sitk.Image | None) -> list[Fault]:
    said = grids.displacement(image, part) if image and part else None
    return [Fault(str(path), said, labels.ELSEWHERE)] if said else []


def _label_faults(files: list[Path], parts: list[sitk.Image], values: Values) -> list[Fault]:
    """Check the values of the only file, or of the label map that several files make up."""
    name = str(files[0] if len(files) == 1 else files[0].parent)
    for path, part in zip(files, parts, strict=True):
        if len(parts) > 1 and np.unique(sitk.GetArrayViewFromImage(part)).size > 2:
            return [Fault(str(path), "more than one value beside 0 in a file of one bone", "export each bone's mask")]
    whole = parts[0] if len(parts) == 1 else labels.combine([labels.put(part, parts[0]) for part in parts])
    array = sitk.GetArrayViewFromImage(whole)
    fault = label_checks.values_fault(np.unique(array), *values)
    fault = fault or label_checks.shape_fault(np.isin(array, values.foreground))
    return [Fault(name, *fault)] if fault else []


def _digest(image: sitk.Image) -> str:
    """Hash the voxels as seen in canonical orientation, whatever their type and the file's format."""
    voxels = sitk.GetArrayViewFromImage(image := volumes.canonical(image))
    digest = hashlib.blake2b(str(voxels.shape).encode(), digest_size=16)
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane, np.float32))
    return digest.hexdigest()


def _content(digest: str, image: sitk.Image, parts: list[sitk.Image]) -> str:
    voxels = [digest, *map(_digest, parts)]
    grids = [(each.GetOrigin(), each.GetSpacing(), each.GetDirection()) for each in (image, *parts)]
    return hashlib.blake2b(repr((voxels, grids)).encode(), digest_size=8).hexdigest()


def _note_twins(found: list[Checked], scans: pd.DataFrame, keys: list[str], what: str) -> None:
    """Add a fault to each scan whose key a scan before it has too; an empty key has no twin."""
    first: dict[str, int] = {}
    for number, (key, row) in enumerate(zip(keys, scans.itertuples(), strict=True)):
        twin = first.setdefault(key, number) if key else number
        if twin != number:
            said = f"subjects '{scans['subject'].iloc[twin]}' and '{row.subject}' have {what}"
            found[number].faults.append(Fault(row.image or row.label, said, "keep one of them"))
