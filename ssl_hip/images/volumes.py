"""Read and write CT volumes; arrays are (z, y, x), SimpleITK's spacing and size (x, y, z)."""

import math
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip.images import dicom, dicom_lengths, nifti
from ssl_hip.images.faults import Fault, FaultError

AIR_HU = -1024.0
MOST_VOXELS = 1 << 30  # 512 x 512 x 4096
READERS = {  # by suffix; everything else is tried as DICOM
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
KNOWN_REFUSALS = {  # what SimpleITK says: what it means, and the remedy
    "orthonormal": nifti.SHEARED,
    "Zero-valued spacing": ("a voxel size is zero", "mend the header's spacing"),
}
UNREADABLE = (
    "not a readable image: cut off, damaged or of another format",
    "copy or export it again, as NIfTI, NRRD, MHA or DICOM",
)


def read_image(path: Path | str) -> sitk.Image:
    """Read a 3D scalar image: NIfTI, NRRD, MHA, MHD, a DICOM file with several frames, or a DICOM folder.

    A folder that holds several CT series is named as folder#SERIES_INSTANCE_UID. Nothing of the header is kept but the
    grid: no name of a patient can reach any output. Raises FaultError (a UserError) where it is no such image.
    """
    image = dicom.read(path) if dicom.is_series(path) else _read_file(Path(path))
    if fault := _shape_fault(image):
        raise FaultError([Fault(str(path), *fault)])
    return _without_texts(image)


def files(path: Path | str) -> list[Path]:
    """Return the files that hold a volume: a DICOM folder's, of MHD the voxels beside the header; none if absent."""
    place = dicom.split_path(path)[0]
    if place.is_dir():
        return sorted(file for file in place.rglob("*") if file.is_file())
    beside = [place.with_suffix(suffix) for suffix in (".raw", ".zraw")] if place.suffix == ".mhd" else []
    return [file for file in (place, *beside) if file.is_file()]


def _without_texts(image: sitk.Image) -> sitk.Image:
    try:
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
        return image
    except TypeError:  # a key that is not UTF-8 cannot be named
        return like(to_array(image), image)


def _read_file(path: Path) -> sitk.Image:
    if not path.is_file():
        raise FaultError([Fault(str(path), "no such file", "correct the path")])
    kind = next((name for suffix, name in READERS.items() if path.name.endswith(suffix)), "GDCMImageIO")
    if kind == "GDCMImageIO" and not dicom_lengths.are_possible(path):
        raise FaultError([Fault(str(path), *UNREADABLE)])
    reader = sitk.ImageFileReader()
    reader.SetImageIO(kind)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if math.prod(reader.GetSize()) > MOST_VOXELS:
            raise FaultError([Fault(str(path), *nifti.TOO_LARGE)])
        return reader.Execute()
    except RuntimeError as error:
        known = (fault for words, fault in KNOWN_REFUSALS.items() if words in str(error))
        raise FaultError([Fault(str(path), *next(known, UNREADABLE))]) from None


def _shape_fault(image: sitk.Image) -> tuple[str, str] | None:
    size, values = " x ".join(map(str, image.GetSize())), image.GetNumberOfComponentsPerPixel()
    if values != 1:
        return f"{values} values a voxel, a colour or vector image", "store the CT's one value a voxel"
    if image.GetDimension() > 3:
        return f"not a 3D volume but {image.GetDimension()}D ({size})", "store one volume a file"
    if image.GetDimension() < 3 or min(image.GetSize()) < 2:
        return f"not a 3D volume but one slice ({size})", "name the whole volume, of DICOM the series' folder"
    if not np.isfinite([*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]).all():
        return nifti.NOWHERE
    return None


def canonical(image: sitk.Image) -> sitk.Image:
    """Permute and flip the axes to LPS (x to the patient's left, y to the back, z to the head); voxels are kept."""
    return sitk.DICOMOrient(image, "LPS")


def canonical_view(image: sitk.Image) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return `canonical`'s voxels and spacing, both (z, y, x), without a copy: valid as long as the image is."""
    letters = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    axes = [next(axis for axis in range(3) if letters[axis] in pair) for pair in ("SI", "PA", "LR")]
    forward = tuple(slice(None, None, 1 if letters[axis] in "LPS" else -1) for axis in axes)
    voxels = sitk.GetArrayViewFromImage(image).transpose([2 - axis for axis in axes])[forward]
    return voxels, tuple(image.GetSpacing()[axis] for axis in axes)


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
