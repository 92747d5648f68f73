"""Bad inputs, each made from a sound pair, and what is said about it."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from samples import FLIPPED, bone, ct, image, write_dicom, write_objects, write_pair

from ssl_hip.images import dicom, nifti, resampling, volumes
from ssl_hip.scans import checks, label_checks, layouts

VALUES = checks.Values([3], [0, 5])


def store(voxels, **grid):
    return lambda path: volumes.write(image(voxels, **grid), path)


def shrink(path, remaining):
    path.write_bytes(path.read_bytes()[:remaining])


def change(path, at, data):
    """Overwrite bytes of an uncompressed NIfTI file."""
    packed = bytearray(gzip.decompress(path.read_bytes()))
    packed[at : at + len(data)] = data
    path.write_bytes(gzip.compress(bytes(packed)))


def unpacked_short(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-50]))


def floats(**replaced):
    voxels = ct().astype(np.float32)
    voxels[0, 0, 0] = replaced["by"]
    return store(voxels)


def sheared(path, form=1):
    matrix = np.array([[3, 0, 0, 0], [0, 3.5, 2, 0], [0, 0, 6, 0]], np.float32)
    change(path, 252, np.int16(form).tobytes())
    change(path, 280, matrix.tobytes())


def padded(low):
    voxels = ct()
    voxels[:2] = low
    return voxels


def renamed(change_it, suffix):
    """Make a CT in another format beside the pair's, then spoil it; return its path."""

    def make(path):
        other = path.with_name("ct" + suffix)
        volumes_path = other
        sitk.WriteImage(image(ct()), str(volumes_path), useCompression="z" in suffix)
        change_it(other)
        return other

    return make


def cut(bytes_off):
    return lambda path: shrink(path, -bytes_off)


def zipped(suffix):
    def make(path):
        other = path.with_name("ct" + suffix)
        sitk.WriteImage(image(ct()), str(other), useCompression=True)
        shrink(other, -300)
        return other

    return make


def series(**settings):
    return lambda path: write_dicom(path.with_name("dicom"), **settings)


def heights(values):
    return [(0.0, 0.0, float(z)) for z in values]


def two_series(path):
    write_dicom(path.with_name("dicom"))
    return write_dicom(path.with_name("dicom"), ct(seed=1), uid="1.2.826.2")


def structures(path):
    write_objects(path.with_name("dicom"), "1.2.840.10008.5.1.4.1.1.481.3")
    return path.with_name("dicom")


def damaged_slice(path):
    folder = write_dicom(path.with_name("dicom"))
    shrink(sorted(folder.iterdir())[5], -100)
    return folder


HUGE = np.array([16384, 16384, 4096])  # 2^40 voxels


def claims(said, instead):
    def make(path):
        assert said in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(said, instead))

    return make


def bomb(sizes):
    """Let 13 MB unpack to 12.8 GB of zeros behind the header."""

    def make(path):
        header = bytearray(gzip.decompress(path.read_bytes())[:352])
        header[42:48] = sizes.astype("i2").tobytes()
        zeros = gzip.compress(bytes(1 << 26))
        path.write_bytes(gzip.compress(bytes(header)) + zeros * 200)

    return make


EVEN = np.arange(12) * 6.0
COLOUR = sitk.Compose([image((ct() % 256).astype(np.uint8))] * 3)
BAD_CTS = {  # what is wrong: how it is made of a sound CT (may return another path), what is said
    "no such file": (lambda p: p.unlink(), "no such file"),
    "no image at all": (lambda p: p.write_text("no image"), "not a complete NIfTI file"),
    "empty file": (lambda p: p.write_bytes(b""), "not a complete NIfTI file"),
    "cut .nii.gz": (lambda p: shrink(p, -50), "not a complete NIfTI file"),
    "cut before packing": (unpacked_short, "not a complete NIfTI file"),
    "cut .nii": (renamed(cut(60), ".nii"), "not a complete NIfTI file"),
    "cut .mha": (renamed(cut(60), ".mha"), "cut off, damaged or of another format"),
    "cut packed .mha": (zipped(".mha"), "cut off, damaged or of another format"),
    "cut .nrrd": (renamed(cut(60), ".nrrd"), "cut off, damaged or of another format"),
    "cut packed .nrrd": (zipped(".nrrd"), "cut off, damaged or of another format"),
    ".mhd without .raw": (renamed(lambda p: p.with_suffix(".raw").unlink(), ".mhd"), "cut off, damaged or of another"),
    "cut .raw of .mhd": (renamed(lambda p: shrink(p.with_suffix(".raw"), -60), ".mhd"), "cut off, damaged or of"),
    "2^40 voxels": (lambda p: change(p, 42, HUGE.astype("i2").tobytes()), "claims more voxels than any CT has"),
    "2^40 voxels in .nrrd": (
        renamed(claims(b"sizes: 20 16 12", b"sizes: 16384 16384 4096"), ".nrrd"),
        "claims more voxels",
    ),
    "2^40 voxels in .mha": (
        renamed(claims(b"DimSize = 20 16 12", b"DimSize = 16384 16384 4096"), ".mha"),
        "claims more",
    ),
    "NIfTI-2": (lambda p: change(p, 0, np.int32(540).tobytes()), "a NIfTI-2 file, which SimpleITK does not read"),
    "a bomb that its header admits": (bomb(HUGE), "claims more voxels than any CT has"),
    "a bomb of air": (bomb(np.array([100, 100, 100])), "every voxel is 0"),
    "2D": (
        lambda p: sitk.WriteImage(sitk.GetImageFromArray(ct()[0]), str(p)),
        "not a 3D volume but one slice (20 x 16)",
    ),
    "4D": (
        lambda p: sitk.WriteImage(sitk.JoinSeries([image(ct())] * 2), str(p)),
        "not a 3D volume but 4D (20 x 16 x 12 x 2)",
    ),
    "colour": (lambda p: sitk.WriteImage(COLOUR, str(p)), "3 values a voxel, a colour or vector image"),
    "NaN": (floats(by=np.nan), "1 voxel(s) are NaN or infinite"),
    "infinity": (floats(by=np.inf), "1 voxel(s) are NaN or infinite"),
    "NaN in .mha": (
        renamed(lambda p: floats(by=np.nan)(p), ".mha"),
        "1 voxel(s) are NaN or infinite",
    ),
    "constant": (store(np.full_like(ct(), 40)), "every voxel is 40"),
    "8-bit": (store((ct() % 256).astype(np.uint8)), "8-bit picture"),
    "raw scanner values": (store(ct() + 1024), ": looks like raw scanner values; apply"),
    "cropped to soft tissue": (store(np.clip(ct(), -1000, 0)), "holds no air (below -200) or no bone"),
    "intercept twice": (store(ct() - 1024), "the intercept looks applied twice"),
    "slope too large": (store(ct().astype(np.int32) * 30), "rescale slope looks wrong"),
    "extreme padding": (store(padded(-20000)), "extreme padding; export it again, or set padding to -1024"),
    "zero voxel size": (lambda p: change(p, 80, np.float32(0).tobytes()), "voxel size (0, 3.5, 6) mm is zero"),
    "negative voxel size": (lambda p: change(p, 84, np.float32(-3.5).tobytes()), "zero, negative or not a number"),
    "zero spacing in .nrrd": (
        renamed(lambda p: p.write_bytes(p.read_bytes().replace(b"(-3,0,0)", b"(0,0,0)")), ".nrrd"),
        "a voxel size is zero",
    ),
    "spacing in metres": (
        store(ct(), spacing=(3e-3, 3.5e-3, 6e-3)),
        "implausible voxel size 0.003 x 0.0035 x 0.006 mm",
    ),
    "a few slices": (store(ct((4, 16, 20))), "implausible physical size 60 x 56 x 24 mm"),
    "centimetres for mm": (store(ct(), spacing=(30.0, 35.0, 60.0)), "implausible voxel size 30 x 35 x 60 mm"),
    "sheared NIfTI": (sheared, "its axes are sheared"),
    "sheared matrix alone": (
        lambda p: sheared(p, form=0),
        "its axes are sheared",
    ),
    "NaN in the matrix": (lambda p: change(p, 280, np.float32(np.nan).tobytes()), "origin or direction holds NaN"),
    "infinite place": (lambda p: change(p, 292, np.float32(np.inf).tobytes()), "origin or direction holds NaN or infi"),
    "DICOM slice alone": (
        lambda p: next(iter(write_dicom(p.with_name("dicom")).iterdir())),
        "name the whole volume, of DICOM the series' folder",
    ),
    "DICOM, missing slices": (
        series(hu=ct()[:10], positions=heights(np.delete(EVEN, [3, 7]))),
        "2 slice(s) missing (usual distance 6 mm)",
    ),
    "DICOM, doubled slices": (series(positions=heights([*EVEN[:11], 6])), "1 slice(s) doubled"),
    "DICOM, uneven spacing": (series(positions=heights([*EVEN[:11], 67.5])), "unevenly spaced (6 to 7.5 mm)"),
    "DICOM, gantry tilt": (series(positions=[(0, k, 6 * k) for k in range(12)]), "tilted by 9.5 degrees"),
    "DICOM, several series": (two_series, "holds 2 CT series"),
    "DICOM, localizer only": (series(hu=ct()[:3]), "only a localizer (CT of 3 slice(s))"),
    "DICOM, MR": (series(modality="MR"), "a series that is not CT (modality MR)"),
    "DICOM, RT structures": (structures, "only 1 RT structure set; convert it to NIfTI"),
    "DICOM, damaged slice": (damaged_slice, "1 DICOM file(s) are cut off or damaged"),
    "DICOM, no rescale": (series(hu=ct() + 1024, rescale=(1, 0)), "looks like raw scanner values"),
    "folder without images": (lambda p: p.parent / "empty", "holds no DICOM image"),
}


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path)


@pytest.mark.parametrize("name", BAD_CTS)
def test_bad_ct(pair, name):
    make, words = BAD_CTS[name]
    (pair[0].parent / "empty").mkdir()
    made = make(pair[0])
    path = made if hasattr(made, "exists") else pair[0]
    (fault,) = checks.check_image(path)
    assert fault.file == str(path) and words in str(fault)
    assert "\n" not in str(fault) and len(fault.remedy) > 10


def turned(label):
    c, s = np.cos(0.05), np.sin(0.05)
    return image(label, direction=(-c, s, 0, -s, -c, 0, 0, 0, 1))


BAD_LABELS = {
    "no such file": (lambda p: p.unlink(), "no such file"),
    "cut": (lambda p: shrink(p, -20), "not a complete NIfTI file"),
    "one file of colours": (lambda p: sitk.WriteImage(COLOUR, str(p)), "3 values a voxel"),
    "other part of the body": (
        store(bone(), origin=(-30.0, 12.0, 180.0)),
        "it lies (0.0, 0.0, 80.0) mm (x, y, z) beside the image",
    ),
    "cropped": (
        lambda p: volumes.write(image(bone())[:, :, 2:], p),
        "it begins (0.0, 0.0, 12.0) mm and ends (0.0, 0.0, 0.0) mm",
    ),
    "flipped": (store(bone(), direction=tuple(np.eye(3).ravel())), "it lies ("),
    "turned": (lambda p: volumes.write(turned(bone()), p), "its axes are turned against the image's"),
    "unknown value": (store(bone() + 9 * bone(value=1)[..., ::-1]), "unknown label value(s) 9"),
    "fractions": (store(bone().astype(np.float32) * 0.3), "whole numbers"),
    "NaN": (store(np.where(bone(), np.nan, 0).astype(np.float32)), "NaN"),
    "empty": (store(bone() * 0), "every voxel is 0, nothing is outlined"),
    "all one value": (store(bone() * 0 + 3), "every voxel is 3, nothing is outlined"),
    "no foreground": (store(bone(value=5)), "no voxel has a foreground value (3), only 0, 5"),
    "one slice": (store(bone() * (np.arange(12) == 5)[:, None, None].astype(np.uint8)), "in one slice only"),
    "inverted": (store(np.where(bone(), 0, 3).astype(np.uint8)), "98% of the volume is foreground"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_label(pair, name):
    make, words = BAD_LABELS[name]
    make(pair[1])
    (fault,) = checks.check_scan(pair[0], str(pair[1]), VALUES).faults
    assert fault.file == str(pair[1]) and words in str(fault) and "\n" not in str(fault) and len(fault.remedy) > 10


def test_swapped(pair):
    (fault,) = checks.check_scan(pair[1], str(pair[0]), VALUES).faults
    assert str(fault) == f"{pair[1]}: image and label are swapped; exchange the two paths"


def test_what_is_packed_behind_the_voxels_is_not_unpacked(tmp_path, monkeypatch):
    path, _ = write_pair(tmp_path)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(1 << 26)) * 200)
    read, unpacked = gzip.GzipFile.read, []
    monkeypatch.setattr(gzip.GzipFile, "read", lambda *args: unpacked.append(len(got := read(*args))) or got)
    assert not checks.check_image(path)
    assert sum(unpacked) <= 3 * nifti.PIECE


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", "dicom"])
def test_a_sound_pair_has_no_problem(tmp_path, suffix):
    scan, label = write_pair(tmp_path, ".nii.gz" if suffix == "dicom" else suffix)
    if suffix == "dicom":
        scan = write_dicom(tmp_path / "scan")
        volumes.write(image(bone(), origin=(0, 0, 0), direction=tuple(np.eye(3).ravel())), label)
    found = checks.check_scan(scan, str(label), VALUES)
    assert found.faults == [] and found.spacing == pytest.approx((3, 3.5, 6)) and found.digest
    assert checks.check_image(scan) == []


HARMLESS = {
    "padding outside the field of view": lambda scan, label: store(padded(-2048))(scan),
    "metal": lambda scan, label: store(np.where(bone(), 30000, ct()).astype(np.int16))(scan),
    "no air but lung": lambda scan, label: store(np.clip(ct(), -850, None))(scan),
    "label in another orientation": lambda scan, label: volumes.write(sitk.DICOMOrient(image(bone()), "PIR"), label),
    "label on a finer grid": lambda scan, label: volumes.write(resampling.resample(image(bone()), 1.0, True), label),
    "label stored as floats": lambda scan, label: store(bone().astype(np.float64))(label),
    "volume over one time point": lambda scan, label: sitk.WriteImage(sitk.JoinSeries([image(ct())]), str(scan)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_problem(pair, name):
    HARMLESS[name](*pair)
    assert checks.check_scan(pair[0], str(pair[1]), VALUES).faults == []


def table(*rows):
    return pd.DataFrame(rows, columns=["subject", "image", "label"])


def problems(scans, root, values=VALUES):
    found = checks.examine(scans, values, root, workers=1)
    return [(row.subject, *fault) for row, each in zip(scans.itertuples(), found, strict=True) for fault in each.faults]


def test_all_problems_of_all_scans(tmp_path):
    for name in "ab":
        write_pair(tmp_path / name, seed=ord(name))
    shrink(tmp_path / "a/ct.nii.gz", -50)
    store(bone(value=5))(tmp_path / "a/label.nii.gz")
    store((ct() % 256).astype(np.uint8), spacing=(0.01, 3.5, 6.0))(tmp_path / "b/ct.nii.gz")
    found = problems(
        table(("a", "a/ct.nii.gz", "a/label.nii.gz"), ("b", "b/ct.nii.gz", "none.nii.gz"), ("c", "", "b/label.nii.gz")),
        tmp_path,
    )
    assert [(subject, file) for subject, file, *_ in found] == [
        ("a", "a/ct.nii.gz"),
        ("a", "a/label.nii.gz"),
        ("b", "b/ct.nii.gz"),
        ("b", "b/ct.nii.gz"),
        ("b", "none.nii.gz"),
        ("c", "b/label.nii.gz"),
    ]
    assert "without image" in found[-1][2] and str(tmp_path) not in str(found)


def test_the_same_scan_under_two_names(tmp_path):
    for name in "abcd":
        write_pair(tmp_path / name, seed=ord(name))
    volumes.write(sitk.DICOMOrient(image(ct(seed=ord("a")).astype(np.float32)), "RAS"), tmp_path / "b/ct.nii.gz")
    scans = table(*((n, f"{n}/ct.nii.gz", f"{n}/label.nii.gz") for n in "abc"), ("d", "c/ct.nii.gz", "a/label.nii.gz"))
    scans.loc[3, "image"] = "./c/ct.nii.gz"
    assert [row[:3] for row in problems(scans, tmp_path)] == [
        ("b", "b/ct.nii.gz", "subjects 'a' and 'b' have the same voxels"),
        ("d", "./c/ct.nii.gz", "subjects 'c' and 'd' have the same image"),
        ("d", "./c/ct.nii.gz", "subjects 'a' and 'd' have the same label"),
    ]


def test_a_label_of_several_files(tmp_path):
    write_pair(tmp_path)
    for name, voxels in (("l", bone(value=1)), ("r", bone(value=1)[..., ::-1]), ("empty", bone() * 0)):
        store(voxels)(tmp_path / f"{name}.nii.gz")
    store(bone() + bone()[..., ::-1] // 3)(tmp_path / "two.nii.gz")

    def said(label):
        return problems(table(("s", "ct.nii.gz", label)), tmp_path, checks.Values([1, 2], [0]))

    assert said("l.nii.gz;r.nii.gz") == said("l.nii.gz;empty.nii.gz") == []
    assert said("l.nii.gz;none.nii.gz")[0][1:] == ("none.nii.gz", "no such file", checks.ADD_BONE)
    assert said("empty.nii.gz;empty.nii.gz")[0][2] == "every voxel is 0, nothing is outlined"
    assert "more than one value beside 0" in said("two.nii.gz;l.nii.gz")[0][2]


def test_workers_change_nothing(tmp_path):
    for name in "abc":
        write_pair(tmp_path / name, seed=ord(name))
    shrink(tmp_path / "b/ct.nii.gz", -50)
    scans = table(*((n, f"{n}/ct.nii.gz", f"{n}/label.nii.gz") for n in "abc"))
    one, two = (checks.examine(scans, VALUES, tmp_path, workers=n) for n in (1, 2))
    assert one == two and [len(each.faults) for each in one] == [0, 1, 0]


def test_a_series_is_named_as_a_file_is(tmp_path):
    two_series(tmp_path / "ct")
    shutil.move(tmp_path / "dicom", tmp_path / "scan")
    scans = table(("a", "scan#1.2.826.1", ""), ("b", "scan#1.2.826.2", ""), ("c", "scan", ""))
    ((subject, file, problem, remedy),) = problems(scans, tmp_path)
    assert (subject, file) == ("c", "scan") and dicom.is_series(tmp_path / "scan#1.2.826.1")


def test_label_maps_without_ct(tmp_path):
    _, path = write_pair(tmp_path)
    assert checks.check_label_map(path, VALUES, tmp_path) == []
    store(bone(value=7), spacing=(3.0, 3.5, 60.0))(path)
    first, second = checks.check_label_map(path, VALUES, tmp_path)
    assert "implausible voxel size" in first.problem and "only 0, 7" in second.problem and second.file == "label.nii.gz"


def test_a_ct_is_no_label():
    assert label_checks.looks_like_label(bone()) and not label_checks.looks_like_label(ct())
    assert not label_checks.looks_like_label(bone() * 0.5) and FLIPPED[0] == -1


@pytest.mark.realdata
def test_the_real_ct_is_fit(real_data):
    bones = ["hip_left", "hip_right", "femur_left", "femur_right"]
    scans = layouts.table("totalsegmentator", real_data / "totalsegmentator_example", bones)
    assert scans["subject"].tolist() == ["s_example"] and scans["label"][0].count(";") == 3
    (found,) = checks.examine(scans, checks.Values([1, 2, 3, 4], [0]), real_data, workers=1)
    assert found.faults == [] and found.spacing == pytest.approx((3, 3, 3))
