"""Tiny scans for tests: a sound CT and label in every format, DICOM slices as a scanner's export holds them."""

import locale
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip.images import volumes

SPACING = (3.0, 3.5, 6.0)
SHAPE = (12, 16, 20)
FLIPPED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
AXIAL = (1, 0, 0, 0, 1, 0)
OBLIQUE = (0, 1, 0, -1, 0, 0, 0, 0, 1)
PLANTED = ("PLANTED^PATIENT", "19610203", "PLANTED HOSPITAL")


def ct(shape=SHAPE, seed=0):
    """Noise with the HU of air (two fifths), of soft tissue (half) and of bone."""
    rng = np.random.default_rng([seed, 2])
    air, soft, hard = (rng.integers(*bounds, shape) for bounds in ((-1000, -900), (-100, 150), (200, 1500)))
    kind = rng.random(shape)
    return np.where(kind < 0.4, air, np.where(kind < 0.9, soft, hard)).astype(np.int16)


def bone(shape=SHAPE, value=3):
    """A block of foreground."""
    label = np.zeros(shape, np.uint8)
    label[4:8, 4:8, 4:9] = value
    return label


def image(voxels, spacing=SPACING, origin=(-30.0, 12.0, 100.0), direction=FLIPPED):
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    made.SetDirection(direction)
    return made


def extent(made):
    """Outer corners of the first and the last voxel, mm."""
    last = [n - 0.5 for n in made.GetSize()]
    return np.array([made.TransformContinuousIndexToPhysicalPoint(index) for index in ([-0.5] * 3, last)])


def write_pair(folder: Path, suffix=".nii.gz", seed=0) -> tuple[Path, Path]:
    """Write a sound CT and label."""
    paths = folder / f"ct{suffix}", folder / f"label{suffix}"
    for path, voxels in zip(paths, (ct(seed=seed), bone()), strict=True):
        volumes.write(image(voxels), path)
    return paths


def write_dicom(
    folder: Path,
    hu=None,
    positions=None,
    uid="1.2.826.1",
    modality="CT",
    orientation=AXIAL,
    rescale=(1, -1024),
    spacing=SPACING,
    names=None,
    start=0,
) -> Path:
    """Write slices (z, y, x) of HU as DICOM; rescale: slope and intercept, one pair for all or one a slice."""
    hu = ct() if hu is None else hu
    positions = [(0.0, 0.0, z * spacing[2]) for z in range(len(hu))] if positions is None else positions
    folder.mkdir(parents=True, exist_ok=True)
    before = locale.setlocale(locale.LC_ALL)  # which GDCM sets to "C" when it writes
    for number, (voxels, position) in enumerate(zip(hu, positions, strict=True)):
        slope, intercept = rescale[number] if isinstance(rescale, list) else rescale
        whole = float(slope).is_integer()  # else GDCM writes from floating point only
        made = sitk.GetImageFromArray(voxels if whole else voxels.astype(np.float64))
        made.SetSpacing(spacing[:2])
        name, born, hospital = PLANTED
        tags = {"0010|0010": name, "0010|0030": born, "0008|0080": hospital, "0008|103e": name, "0008|0060": modality}
        tags |= {"0020|000d": "1.2.826.0", "0020|000e": uid, "0008|0018": f"{uid}.{start + number + 1}"}
        tags |= {"0020|0032": text(position), "0020|0037": text(orientation), "0020|0013": str(number + 1)}
        tags |= {"0028|1053": str(slope), "0028|1052": str(intercept)}
        tags |= {"0028|0100": "16", "0028|0101": "16", "0028|0102": "15", "0028|0103": "1"}
        for tag, value in tags.items():
            made.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / (names[number] if names else f"{uid}-{start + number:03d}.dcm")))
        writer.Execute(made)
    locale.setlocale(locale.LC_ALL, before)
    return folder


def text(values) -> str:
    return "\\".join(f"{v:g}" for v in values)


def write_objects(folder: Path, storage: str) -> None:
    """Write a DICOM file without image: preamble and the storage class, as an RT structure set begins."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = storage.encode() + b"\0" * (len(storage) % 2)
    element = b"\x02\x00\x02\x00UI" + len(uid).to_bytes(2, "little") + uid
    syntax = b"1.2.840.10008.1.2.1\0"
    element += b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little")
    (folder / "structures.dcm").write_bytes(b"\0" * 128 + b"DICM" + length + element)
