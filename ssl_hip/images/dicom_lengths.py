"""What GDCM takes on trust: it sets aside as many bytes as an element of a DICOM file claims to have, up to 4 GiB.

And it never gives them back where reading then fails. So the lengths are looked at first (DICOM PS3.5, section 7).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# value representations: those with lengths of 2 bytes, those with 4
SHORT = set(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG = set(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
IMPLICIT, BIG_ENDIAN, DEFLATED = (b"1.2.840.10008.1.2" + end for end in (b"", b".2", b".1.99"))  # transfer syntaxes
SYNTAX, PIXELS, ITEMS = (0x0002, 0x0010), (0x7FE0, 0x0010), 0xFFFE
UNDEFINED = 0xFFFFFFFF


def are_possible(path: Path) -> bool:
    """Tell whether every element has its bytes within the file, as far as elements can be followed.

    They cannot where the data are deflated, or a sequence of unknown representation has no length.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(132 if stream.read(132)[128:] == b"DICM" else 0)
        return all(start + length <= size for start, length in _elements(stream))


def _elements(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each element's value starts and its length, sequences' elements too; of undefined ones 0."""
    syntax, in_pixels = b"", False
    while len(head := stream.read(8)) == 8:
        meta = head[:2] == b"\2\0"  # always explicit and little-endian
        order = ">" if syntax == BIG_ENDIAN and not meta else "<"
        tag, kind = struct.unpack(order + "HH", head[:4]), head[4:6]
        if tag[0] == ITEMS or (syntax == IMPLICIT and not meta) or kind not in SHORT | LONG:  # unknown: as GDCM does
            kind, (length,) = b"", struct.unpack(order + "I", head[4:])
        elif kind in LONG:
            (length,) = struct.unpack(order + "I", stream.read(4).ljust(4, b"\0"))
        else:
            (length,) = struct.unpack(order + "H", head[6:])
        if kind == b"UN" and length == UNDEFINED:  # of other rules than the file's own
            return
        in_pixels |= tag == PIXELS
        within = length == UNDEFINED or kind == b"SQ" or (tag[0] == ITEMS and not in_pixels)
        yield stream.tell(), 0 if length == UNDEFINED else length
        if tag == SYNTAX:
            syntax = stream.read(length).strip(b"\0 ")
            if syntax == DEFLATED:
                return
        elif not within:
            stream.seek(length, 1)
