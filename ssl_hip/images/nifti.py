"""What SimpleITK's NIfTI reader hides: it puts zeros in place of missing bytes, of NaN and of infinity."""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ssl_hip.images.faults import Finding

SUFFIXES = (".nii", ".nii.gz")
CUT_OFF = ("not a complete NIfTI file", "copy or export it again")
MOST_BYTES = 1 << 32  # of voxels: 512 x 512 x 4096 of 4 bytes each
TOO_LARGE = ("its header claims more voxels than any CT has", "export it again")
NIFTI_2 = ("a NIfTI-2 file, which SimpleITK does not read", "store it as NIfTI-1, NRRD or MHA")
FLOATS = {16: "f4", 64: "f8"}
PIECE = 1 << 24  # bytes read at once; a multiple of 8
HEADER, HEADER_2 = 348, 540  # bytes of NIfTI-1 and of NIfTI-2
SHEARED = (
    "its axes are sheared (not at right angles), as after a gantry tilt",
    "resample it to a rectangular grid with the tool that wrote it",
)
NOWHERE = ("its origin or direction holds NaN or infinity", "mend the header, or export it again")


def fault(path: Path) -> Finding | None:
    """Return what is wrong with a .nii or .nii.gz file's header and bytes, and the remedy; None when nothing is.

    Reads the file once, in pieces, and no more of what is packed than the header claims and a piece.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return _examine(stream)
    except (EOFError, OSError, OverflowError, ValueError, zlib.error):  # the last but one: nonsense in the header
        return CUT_OFF


def _examine(stream: BinaryIO) -> Finding | None:
    header = stream.read(HEADER)
    if len(header) < HEADER:
        return CUT_OFF
    lengths = {order: int(_numbers(header, f"{order}i4", 0)[0]) for order in "<>"}
    if HEADER not in lengths.values():
        return NIFTI_2 if HEADER_2 in lengths.values() else CUT_OFF
    order = next(order for order, length in lengths.items() if length == HEADER)
    start, bits, kind = (_numbers(header, order + k, at).item() for k, at in (("f4", 108), ("i2", 72), ("i2", 70)))
    count, *sizes = _numbers(header, order + "i2", 40, 8).tolist()
    if not HEADER <= start <= PIECE:
        return CUT_OFF
    if (wanted := math.prod(sizes[:count]) * bits // 8) > MOST_BYTES:
        return TOO_LARGE
    stream.read(int(start) - HEADER)
    found, bad = _voxels(stream, wanted, order + FLOATS[kind] if kind in FLOATS else None)
    if found < wanted:
        return CUT_OFF
    if bad:
        return f"{bad} voxel(s) are NaN or infinite", "replace them, in a CT e.g. by -1024 (air)"
    return _grid_fault(header, order)


def _voxels(stream: BinaryIO, wanted: int, kind: str | None) -> tuple[int, int]:
    """Return how many of the wanted bytes of voxels there are, and how many voxels are NaN or infinite."""
    found = bad = 0
    while piece := stream.read(PIECE):
        if found >= wanted:  # the end of what is packed, and its checksum, come in the first piece behind the voxels
            break
        piece = piece[: wanted - found]
        found += len(piece)
        if kind:
            whole = len(piece) - len(piece) % np.dtype(kind).itemsize
            bad += int(np.count_nonzero(~np.isfinite(np.frombuffer(piece[:whole], kind))))
    return found, bad


def _grid_fault(header: bytes, order: str) -> Finding | None:
    """SimpleITK takes the absolute value of a voxel size, 1 in place of 0, and drops a sheared matrix for another."""
    spacing = _numbers(header, order + "f4", 80, 3)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        said = ", ".join(f"{v:g}" for v in spacing)
        return f"voxel size ({said}) mm is zero, negative or not a number", "mend the header: pixdim[1] to pixdim[3]"
    if _numbers(header, order + "i2", 254)[0] > 0:
        matrix = _numbers(header, order + "f4", 280, 12).reshape(3, 4)
        if not np.isfinite(matrix).all():
            return NOWHERE
        axes = matrix[:, :3].astype(float)
        axes = axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
        if np.abs(axes.T @ axes - np.eye(3)).max() > 0.005:
            return SHEARED
    return None


def _numbers(data: bytes, kind: str, offset: int, count: int = 1) -> np.ndarray:
    return np.frombuffer(data, kind, count, offset)
