import gzip
from functools import partial

import numpy as np
import pytest
import samples
import SimpleITK as sitk
from samples import OBLIQUE, ct, extent

from ssl_hip.config import UserError
from ssl_hip.images import volumes

image = partial(samples.image, spacing=(0.8, 1.1, 2.5))


def test_write_and_read_keep_voxels_and_place(tmp_path):
    original = image(ct(), direction=OBLIQUE)
    volumes.write(original, tmp_path / "new/a.nii.gz")
    back = volumes.read_image(tmp_path / "new/a.nii.gz")
    assert np.array_equal(volumes.to_array(back), ct()) and back.GetPixelID() == original.GetPixelID()
    assert np.allclose(extent(back), extent(original), atol=1e-4)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.nii.gz"]
    first = (tmp_path / "new/a.nii.gz").read_bytes()
    volumes.write(original, tmp_path / "b.nii.gz")
    assert (tmp_path / "b.nii.gz").read_bytes() == first


def test_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        volumes.write(image(ct()), tmp_path / "a.unknown")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", ["RAS", "LPI", "PIR", "SAL"])
def test_canonical_keeps_every_voxel_at_its_place(code):
    original = image(ct())
    moved = volumes.canonical(sitk.DICOMOrient(original, code))
    straight = volumes.canonical(original)
    assert moved.GetDirection() == tuple(np.eye(3).ravel())
    assert np.array_equal(volumes.to_array(moved), volumes.to_array(straight))
    assert np.allclose(moved.GetOrigin(), straight.GetOrigin())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_formats_read_the_same(tmp_path, suffix):
    volumes.write(image(ct(), direction=OBLIQUE), tmp_path / f"a{suffix}")
    found = volumes.read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(volumes.to_array(found), ct()) and np.allclose(
        extent(found), extent(image(ct(), direction=OBLIQUE)), atol=1e-3
    )


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_nothing_of_a_header_but_the_grid_is_handed_on(tmp_path, suffix):
    named = image(ct())
    for key in ("descrip", "aux_file", "db_name", "0010|0010"):
        named.SetMetaData(key, "PLANTED")
    volumes.write(named, tmp_path / f"in{suffix}")
    source, back = tmp_path / f"in{suffix}", tmp_path / "back.mha"
    assert b"PLANTED" in (gzip.decompress(source.read_bytes()) if suffix == ".nii.gz" else source.read_bytes())
    volumes.write(volumes.read_image(source), back)
    assert not volumes.read_image(source).GetMetaDataKeys() and b"PLANTED" not in back.read_bytes()


def test_header_keys_that_are_no_text_do_not_matter(tmp_path):
    volumes.write(image(ct()), tmp_path / "a.mha")
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(data.replace(b"NDims = 3\n", b"NDims = 3\nGr\xf6\xdfe = PLANTED\n"))
    found = volumes.read_image(tmp_path / "a.mha")
    assert np.array_equal(volumes.to_array(found), ct()) and not found.GetMetaDataKeys()


@pytest.mark.parametrize("name", ["a.tif", "a.vtk"])
def test_other_formats_are_refused(tmp_path, name):
    """SimpleITK's readers of these crash on damaged files."""
    sitk.WriteImage(sitk.GetImageFromArray(ct().astype(np.uint16)), str(tmp_path / name))
    with pytest.raises(UserError, match="of another format; copy or export it again, as NIfTI"):
        volumes.read_image(tmp_path / name)


def test_read_raises_a_user_error(tmp_path):
    with pytest.raises(UserError, match="nothing.nii.gz: no such file; correct the path"):
        volumes.read_image(tmp_path / "nothing.nii.gz")
