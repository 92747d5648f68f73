"""A folder's files are as they were written, or the one that is not is named."""

import pytest

from ssl_hip import checksums
from ssl_hip.config import UserError
from ssl_hip.patch_store import PatchStore


@pytest.fixture
def folder(tmp_path):
    for name in ("a.npy", "b.csv"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    checksums.write(tmp_path)
    return tmp_path


def test_what_was_written_is_accepted_and_writing_again_changes_nothing(folder):
    checksums.verify(folder)
    before = (folder / checksums.NAME).read_bytes()
    checksums.write(folder)
    assert (folder / checksums.NAME).read_bytes() == before


def test_files_that_came_later_do_no_harm(folder):
    (folder / "c.csv").write_text("later")
    checksums.verify(folder)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[2500] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a bit": flip_a_bit,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damaged_file_is_named_with_the_remedy(folder, damage):
    for name in ("a.npy", "b.csv"):
        DAMAGES[damage](folder / name)
    with pytest.raises(UserError) as told:
        checksums.verify(folder)
    first, second, remedy = str(told.value).splitlines()
    assert "a.npy: damaged or missing" in first and "b.csv" in second and "make repro" in remedy


@pytest.mark.parametrize("content", [None, "", "{"])
def test_hashes_that_are_no_longer_there(folder, content):
    (folder / checksums.NAME).unlink()
    if content is not None:
        (folder / checksums.NAME).write_text(content)
    with pytest.raises(UserError, match="sha256.json: damaged or missing"):
        checksums.verify(folder)


def test_patches_are_not_used_once_a_bit_has_changed(store):
    path = store.folder / "train_image.npy"
    flip_a_bit(path)
    with pytest.raises(UserError, match="train_image.npy: damaged or missing"):
        PatchStore(store.folder)
