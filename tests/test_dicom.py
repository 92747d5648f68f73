import numpy as np
import pytest
import SimpleITK as sitk
from samples import SPACING, ct, write_dicom, write_objects

from ssl_hip.images import dicom, volumes
from ssl_hip.images.faults import FaultError

RT_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
CORONAL = (1, 0, 0, 0, 0, -1)


def heights(values):
    return [(0.0, 0.0, float(z)) for z in values]


def said(path):
    with pytest.raises(FaultError) as caught:
        volumes.read_image(path)
    return str(caught.value)


def test_slices_are_sorted_by_place_whatever_their_names(tmp_path):
    names = [f"{(5 * k) % 12:02d}" for k in range(12)]
    found = volumes.read_image(write_dicom(tmp_path / "scan", names=names))
    assert np.array_equal(volumes.to_array(found), ct())
    assert found.GetSpacing() == pytest.approx(SPACING) and found.GetOrigin() == (0, 0, 0)
    assert not found.GetMetaDataKeys()


def test_files_in_sub_folders_and_of_other_kinds(tmp_path):
    write_dicom(tmp_path / "scan/a", ct()[:6], heights(range(0, 36, 6)))
    write_dicom(tmp_path / "scan/b", ct()[6:], heights(range(36, 72, 6)), start=6)
    (tmp_path / "scan/notes.txt").write_text("no DICOM")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(tmp_path / "scan/preview.png"))
    write_objects(tmp_path / "scan", RT_STRUCTURES)
    assert np.array_equal(volumes.to_array(volumes.read_image(tmp_path / "scan")), ct())


def test_an_oblique_series_lies_where_its_positions_say(tmp_path):
    c, s = np.cos(0.3), np.sin(0.3)
    normal = np.array([0, -s, c])
    places = [tuple(np.array([5.0, 7.0, 9.0]) + k * 6.0 * normal) for k in range(12)]
    found = volumes.read_image(write_dicom(tmp_path / "scan", positions=places[::-1], orientation=(1, 0, 0, 0, c, s)))
    assert found.GetOrigin() == pytest.approx(places[0], abs=1e-3)
    assert found.TransformIndexToPhysicalPoint((0, 0, 11)) == pytest.approx(places[-1], abs=1e-2)
    assert np.array_equal(volumes.to_array(found), ct()[::-1])


@pytest.mark.parametrize("rescale", [(1, 0), (2, -1024), (1, -1024)])
def test_slope_and_intercept_are_applied(tmp_path, rescale):
    slope, intercept = rescale
    hu = (ct() // slope) * slope + intercept % slope
    found = volumes.read_image(write_dicom(tmp_path / "scan", hu, rescale=rescale))
    assert np.array_equal(volumes.to_array(found), hu)


def test_slope_and_intercept_of_each_slice_are_its_own(tmp_path):
    rescale = [(1, -1024)] * 6 + [(2, -1000)] * 3 + [(0.5, -1000)] * 3
    hu = (ct() // 2) * 2
    assert np.array_equal(volumes.to_array(volumes.read_image(write_dicom(tmp_path / "a", hu, rescale=rescale))), hu)
    half = [(0.5, 0)] * 12
    found = volumes.to_array(volumes.read_image(write_dicom(tmp_path / "b", ct() / 2, rescale=half)))
    assert np.allclose(found, ct() / 2, atol=0.5)


def test_one_file_with_several_frames(tmp_path):
    made = sitk.GetImageFromArray(ct())
    made.SetSpacing(SPACING)
    made.SetMetaData("0010|0010", "PLANTED^PATIENT")
    made.SetMetaData("0008|0060", "CT")
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(tmp_path / "frames.dcm"))
    writer.Execute(made)
    for path in (tmp_path / "frames.dcm", tmp_path):
        found = volumes.read_image(path)
        assert np.array_equal(volumes.to_array(found), ct()) and found.GetSpacing() == pytest.approx(SPACING)
        assert not found.GetMetaDataKeys()


def test_localizers_are_passed_over(tmp_path):
    write_dicom(tmp_path / "scan")
    write_dicom(tmp_path / "scan", ct()[:2], uid="1.2.826.2", orientation=CORONAL)
    write_dicom(tmp_path / "scan", ct()[:1], heights([500]), orientation=CORONAL, start=50)
    assert np.array_equal(volumes.to_array(volumes.read_image(tmp_path / "scan")), ct())


def test_one_of_several_series_is_named_after_a_hash(tmp_path):
    write_dicom(tmp_path / "scan")
    write_dicom(tmp_path / "scan", ct(seed=1), uid="1.2.826.2")
    write_dicom(tmp_path / "scan", ct(seed=2), uid="1.2.826.3", modality="MR")
    message = said(tmp_path / "scan")
    assert "holds 2 CT series: 1.2.826.1 (12 slices), 1.2.826.2 (12 slices)" in message
    assert "e.g. scan#1.2.826.1" in message
    for seed in (0, 1):
        found = volumes.read_image(f"{tmp_path}/scan#1.2.826.{seed + 1}")
        assert np.array_equal(volumes.to_array(found), ct(seed=seed))
    assert "modality MR" in said(f"{tmp_path}/scan#1.2.826.3")
    assert "has no series 9.9; its CT series: 1.2.826.1, 1.2.826.2" in said(f"{tmp_path}/scan#9.9")


def test_a_folder_with_a_hash_in_its_name(tmp_path):
    assert dicom.split_path(write_dicom(tmp_path / "scan#1")) == (tmp_path / "scan#1", "")
    assert volumes.read_image(tmp_path / "scan#1").GetSize() == (20, 16, 12)
    assert not dicom.is_series(tmp_path / "other#1")


def test_what_holds_no_volume_says_what_it_holds(tmp_path):
    write_objects(tmp_path / "objects", RT_STRUCTURES)
    assert "only 1 RT structure set; convert it to NIfTI" in said(tmp_path / "objects")
    assert "a localizer (CT of 3 slice(s))" in said(write_dicom(tmp_path / "scout", ct()[:3]))
    assert "not CT (modality MR)" in said(write_dicom(tmp_path / "mr", modality="MR"))
    (tmp_path / "empty").mkdir()
    assert "no DICOM image" in said(tmp_path / "empty")


EVEN = np.arange(12) * 6.0
FAULTS = {
    "2 slice(s) missing (usual distance 6 mm)": lambda f: write_dicom(f, ct()[:10], heights(np.delete(EVEN, [4, 8]))),
    "3 slice(s) missing": lambda f: write_dicom(f, ct()[:9], heights(np.delete(EVEN, [4, 5, 6]))),
    "2 slice(s) doubled": lambda f: write_dicom(f, positions=heights([*EVEN[:10], 6, 12])),
    "unevenly spaced (6 to 7.5 mm)": lambda f: write_dicom(f, positions=heights([*EVEN[:11], 67.5])),
    "tilted by 9.5 degrees": lambda f: write_dicom(f, positions=[(0, k, 6 * k) for k in range(12)]),
    "slices of several orientations in one series (7 and 5)": lambda f: (
        write_dicom(f, ct()[:7], heights(EVEN[:7])) and write_dicom(f, ct()[:5], orientation=CORONAL, start=20)
    ),
    "slices of different sizes in one series (16 x 16, 20 x 16)": lambda f: (
        write_dicom(f) and write_dicom(f, ct((2, 16, 16)), heights([72, 78]), start=20)
    ),
}


@pytest.mark.parametrize("words", FAULTS)
def test_slices_that_make_no_regular_volume(tmp_path, words):
    FAULTS[words](tmp_path / "scan")
    message = said(tmp_path / "scan")
    assert message.startswith(f"{tmp_path / 'scan'}: ") and words in message and message.count("; ") == 1


def test_doubled_and_missing_slices_are_both_told(tmp_path):
    write_dicom(tmp_path / "scan", positions=heights([*np.delete(EVEN, [4]), 12]))
    assert "1 slice(s) doubled" in said(tmp_path / "scan") and "1 slice(s) missing" in said(tmp_path / "scan")


@pytest.mark.parametrize("cut", [50, 900])
def test_a_slice_that_is_cut_off_is_not_simply_left_out(tmp_path, cut):
    last = sorted(write_dicom(tmp_path / "scan").iterdir())[-1]
    data = last.read_bytes()
    last.write_bytes(data[:-cut])
    assert "1 DICOM file(s) are cut off or damaged, the first: 1.2.826.1-011.dcm" in said(tmp_path / "scan")


def test_rounded_positions_are_regular(tmp_path):
    places = heights(np.round(np.arange(12) * 1.2504, 2))
    assert volumes.read_image(write_dicom(tmp_path / "scan", positions=places, spacing=(3, 3, 1.25))).GetDepth() == 12


@pytest.mark.parametrize("storage", ["88.67", "11.1", "104.1"], ids=["dose report", "presentation state", "PDF"])
def test_objects_beside_the_slices_are_passed_over(tmp_path, storage):
    write_dicom(tmp_path / "scan")
    write_objects(tmp_path / "scan", f"1.2.840.10008.5.1.4.1.1.{storage}")
    assert (volumes.to_array(volumes.read_image(tmp_path / "scan")) == ct()).all()
