"""What SimpleITK's NIfTI reader hides: it puts zeros in place of missing bytes, and of NaN and infinity."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

CUT_OFF = "not a complete NIfTI file; copy or export it again"
FLOATS = {16: "f4", 64: "f8"}


def complaint(path: Path) -> str | None:
    """Return what is wrong with a .nii or .nii.gz file's bytes, with the remedy; None when nothing is.

    Compressed NIfTI-2 files are checked for completeness only, uncompressed ones not at all.
    """
    try:
        packed = path.read_bytes()
        data = gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (EOFError, OSError, zlib.error):
        return CUT_OFF
    if len(data) < 348:
        return CUT_OFF
    order = "<" if data[:4] == (348).to_bytes(4, "little") else ">"
    if _number(data, order + "i4", 0) != 348:
        return None
    start, bits, kind = (_number(data, order + k, at) for k, at in (("f4", 108), ("i2", 72), ("i2", 70)))
    count, *sizes = np.frombuffer(data, order + "i2", 8, 40).tolist()
    voxels = math.prod(sizes[:count])
    if len(data) < start + voxels * bits / 8:
        return CUT_OFF
    if kind not in FLOATS:
        return None
    bad = np.count_nonzero(~np.isfinite(np.frombuffer(data, order + FLOATS[kind], voxels, int(start))))
    return f"{bad} voxels are NaN or infinite; replace them, e.g. by -1024 (air)" if bad else None


def _number(data: bytes, kind: str, offset: int) -> int | float:
    return np.frombuffer(data, kind, 1, offset).item()
