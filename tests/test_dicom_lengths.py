"""A DICOM file's elements are followed as the standard says; a length that leads out of the file is seen."""

import struct

import pytest
from samples import ct, write_dicom

from ssl_hip.images import dicom_lengths
from ssl_hip.images.dicom_lengths import BIG_ENDIAN, DEFLATED, IMPLICIT, UNDEFINED

EXPLICIT = b"1.2.840.10008.1.2.1"


def element(group: int, number: int, kind: bytes, value: bytes, order="<", length=None) -> bytes:
    """Return an element's bytes; an empty kind: implicit. length: what it claims, by default the value's."""
    length, tag = len(value) if length is None else length, struct.pack(order + "HH", group, number)
    if not kind:
        return tag + struct.pack(order + "I", length) + value
    if kind in dicom_lengths.LONG:
        return tag + kind + b"\0\0" + struct.pack(order + "I", length) + value
    return tag + kind + struct.pack(order + "H", length) + value


def file(syntax: bytes, *elements: bytes) -> bytes:
    syntax += b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + element(2, 0x10, b"UI", syntax) + b"".join(elements)


def sequence(kind: bytes, inner: bytes, defined: bool) -> bytes:
    """Return a sequence of one item."""
    if defined:
        return element(8, 0x1115, kind, element(0xFFFE, 0xE000, b"", inner))
    item = element(0xFFFE, 0xE000, b"", inner + element(0xFFFE, 0xE00D, b"", b""), length=UNDEFINED)
    return element(8, 0x1115, kind, item + element(0xFFFE, 0xE0DD, b"", b""), length=UNDEFINED)


NAME, VOXELS = element(0x10, 0x10, b"PN", b"ab"), element(0x7FE0, 0x10, b"OW", bytes(64))
FRAGMENTS = element(0xFFFE, 0xE000, b"", b"") + element(0xFFFE, 0xE000, b"", b"\xff" * 40)
CLAIM = element(0x10, 0x20, b"OB", b"ab", length=1 << 31)
SOUND = {
    "explicit": file(EXPLICIT, NAME, VOXELS),
    "without preamble": file(EXPLICIT, NAME, VOXELS)[132:],
    "implicit": file(IMPLICIT, element(0x10, 0x10, b"", b"ab"), element(0x7FE0, 0x10, b"", bytes(64))),
    "big-endian": file(BIG_ENDIAN, element(0x10, 0x10, b"PN", b"ab", ">")),
    "deflated": file(DEFLATED, b"\xff" * 50),
    "sequence": file(EXPLICIT, sequence(b"SQ", NAME, True), NAME),
    "open sequence": file(EXPLICIT, sequence(b"SQ", NAME, False), NAME),
    "unknown sequence": file(EXPLICIT, sequence(b"UN", element(0x10, 0x10, b"", b"ab"), False), NAME),
    "fragments": file(EXPLICIT, element(0x7FE0, 0x10, b"OB", FRAGMENTS, length=UNDEFINED)),
    "zeros behind": file(EXPLICIT, NAME, VOXELS, bytes(100)),
    "empty": b"",
}
CLAIMS = {
    "explicit": file(EXPLICIT, CLAIM, VOXELS),
    "short": file(EXPLICIT, element(0x10, 0x10, b"PN", b"ab", length=3)),
    "implicit": file(IMPLICIT, element(0x10, 0x10, b"", b"ab", length=1 << 31)),
    "big-endian": file(BIG_ENDIAN, element(0x10, 0x10, b"OB", b"ab", ">", length=1 << 31)),
    "in a sequence": file(EXPLICIT, sequence(b"SQ", CLAIM, True), NAME),
    "in an open sequence": file(EXPLICIT, sequence(b"SQ", CLAIM, False), NAME),
    "voxels": file(EXPLICIT, NAME, VOXELS[:-1]),
    "of a representation that is none": file(EXPLICIT, element(0x10, 0x10, b"", b"ab", length=1 << 31)),
    "meta": file(EXPLICIT, element(2, 0x102, b"OB", b"ab", length=1 << 31)),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_possible(tmp_path, name):
    (tmp_path / "a.dcm").write_bytes(SOUND[name])
    assert dicom_lengths.are_possible(tmp_path / "a.dcm")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_beyond_the_end_is_seen(tmp_path, name):
    (tmp_path / "a.dcm").write_bytes(CLAIMS[name])
    assert not dicom_lengths.are_possible(tmp_path / "a.dcm")


def test_slices_as_written_are_possible_and_cut_off_ones_are_not(tmp_path):
    for path in write_dicom(tmp_path / "dicom", ct((6, 5, 6))).iterdir():
        assert dicom_lengths.are_possible(path)
        path.write_bytes(path.read_bytes()[:-1])
        assert not dicom_lengths.are_possible(path)
