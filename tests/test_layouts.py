import pytest
from samples import bone, ct, image, write_dicom

from ssl_hip.config import UserError
from ssl_hip.images import volumes
from ssl_hip.scans import layouts, manifest

BONES = ["hip_left", "hip_right"]


def rows(table):
    return [tuple(row) for row in table[["subject", "image", "label"]].itertuples(index=False)]


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_folder(tmp_path):
    touch(tmp_path, "images/a.nii.gz", "images/b.mha", "images/.c.nii.gz", "labels/a.nrrd", "labels/lonely.nii.gz")
    touch(tmp_path, "images/case.1/0001.dcm", "labels/case.1.nii.gz")
    table = layouts.table("folder", tmp_path, [1])
    images, labels = tmp_path / "images", tmp_path / "labels"
    assert rows(table) == [
        ("a", f"{images}/a.nii.gz", f"{labels}/a.nrrd"),
        ("b", f"{images}/b.mha", ""),
        ("case.1", f"{images}/case.1", f"{labels}/case.1.nii.gz"),
        ("lonely", "", f"{labels}/lonely.nii.gz"),
    ]
    assert table.columns.tolist() == layouts.COLUMNS and set(table["split"]) == {""} and set(table["metal"]) == {"0"}


def test_manifest(tmp_path):
    text = "\ufeffsubject, image,label,split,tags\n01,a.nii.gz,,train,x\nb,scan#1.2.3,m/l.nii.gz;m/r.nii.gz,test,\n"
    (tmp_path / "scans.csv").write_text(text, encoding="utf-8")
    table = layouts.table("manifest", tmp_path / "scans.csv", [1])
    assert rows(table) == [
        ("01", f"{tmp_path}/a.nii.gz", ""),
        ("b", f"{tmp_path}/scan#1.2.3", f"{tmp_path}/m/l.nii.gz;{tmp_path}/m/r.nii.gz"),
    ]
    assert table["split"].tolist() == ["train", "test"] and table["metal"].tolist() == ["0", "0"]


def test_totalsegmentator(tmp_path):
    touch(tmp_path, "s0001/ct.nii.gz", "s0001/segmentations/hip_left.nii.gz", "s0002/ct.nii.gz", "s0003/mri.nii.gz")
    (tmp_path / "meta.csv").write_text("image_id;split\ns0001;test\n")
    table = layouts.table("totalsegmentator", tmp_path, BONES)
    masks = tmp_path / "s0001/segmentations"
    assert rows(table) == [
        ("s0001", f"{tmp_path}/s0001/ct.nii.gz", f"{masks}/hip_left.nii.gz;{masks}/hip_right.nii.gz"),
        ("s0002", f"{tmp_path}/s0002/ct.nii.gz", ""),
    ]
    assert set(table["split"]) == {""}
    with pytest.raises(UserError, match=r"cohort.foreground lists names of files, e.g. \[hip_left"):
        layouts.table("totalsegmentator", tmp_path, [1, 2])


def test_ctpelvic1k(tmp_path):
    touch(tmp_path, "data/dataset6_CLINIC_0001_data.nii.gz", "data/dataset7_CLINIC_metal_0001_data.nii.gz")
    touch(tmp_path, "ipcai2021/dataset6_CLINIC_0001_mask_4label.nii.gz", "m/CLINIC_metal_0001_mask_4label.nii.gz")
    touch(tmp_path, "data/dataset6_CLINIC_0002_data.nii.gz", "ipcai2021/dataset6_CLINIC_0009_mask_4label.nii.gz")
    assert rows(layouts.table("ctpelvic1k", tmp_path, [2, 3])) == [
        (
            "dataset6_CLINIC_0001",
            f"{tmp_path}/data/dataset6_CLINIC_0001_data.nii.gz",
            f"{tmp_path}/ipcai2021/dataset6_CLINIC_0001_mask_4label.nii.gz",
        ),
        ("dataset6_CLINIC_0002", f"{tmp_path}/data/dataset6_CLINIC_0002_data.nii.gz", ""),
        (
            "dataset7_CLINIC_metal_0001",
            f"{tmp_path}/data/dataset7_CLINIC_metal_0001_data.nii.gz",
            f"{tmp_path}/m/CLINIC_metal_0001_mask_4label.nii.gz",
        ),
        ("dataset6_CLINIC_0009", "", f"{tmp_path}/ipcai2021/dataset6_CLINIC_0009_mask_4label.nii.gz"),
    ]


WRONG = {  # layout, what lies there: what is said
    (
        "folder",
        "s1/ct.nii.gz",
    ): "images: no such folder; layout 'folder' expects .* labels/ .*, but there is s1",
    ("folder", "images/readme.txt"): "holds no scans; layout 'folder' expects scans .*, but there is readme.txt",
    ("manifest", "a.nii.gz"): "layout 'manifest' expects a CSV file",
    ("totalsegmentator", "images/a.nii.gz"): "expects SUBJECT/ct.nii.gz .*, but there is images",
    ("ctpelvic1k", "images/a.nii.gz"): "expects NAME_data.nii.gz .*, but there is images",
    ("dicom", "a"): "cohort.layout is 'dicom'; choose one of folder, manifest, totalsegmentator, ctpelvic1k",
}


@pytest.mark.parametrize(("layout", "name"), WRONG)
def test_a_wrong_folder_says_what_is_expected_and_what_is_there(tmp_path, layout, name):
    touch(tmp_path, name)
    with pytest.raises(UserError, match=WRONG[layout, name]):
        layouts.table(layout, tmp_path, BONES)


@pytest.mark.parametrize("layout", ["folder", "totalsegmentator", "ctpelvic1k"])
def test_a_file_is_no_folder(tmp_path, layout):
    with pytest.raises(UserError, match=f"layout '{layout}' expects"):
        layouts.table(layout, touch(tmp_path, "scans.csv") / "scans.csv", BONES)


@pytest.mark.parametrize("text", ["", "subject;image\na;b\n", "subject,image,label\na,b,c\nd,e,f,g\n"])
def test_a_broken_manifest(tmp_path, text):
    (tmp_path / "scans.csv").write_text(text)
    with pytest.raises(UserError, match="header is subject,image,label"):
        layouts.table("manifest", tmp_path / "scans.csv", [1])
    (tmp_path / "scans.csv").write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        layouts.table("manifest", tmp_path / "scans.csv", [1])


def test_dicom_folders_with_labels_beside(tmp_path):
    write_dicom(tmp_path / "images/case")
    volumes.write(image(bone()), tmp_path / "labels/case.nii.gz")
    (row,) = layouts.table("folder", tmp_path, [3]).itertuples()
    assert (volumes.to_array(volumes.read_image(row.image)) == ct()).all()


def test_names_without_suffix_and_series():
    names = {"a/scan.nii.gz": "scan", "b.c/d.1": "d.1", "a/scan.x#1.2.840.1": "scan.x", "x.dcm": "x", "a/f/": "f"}
    assert {name: manifest.stem(name) for name in names} == names


def test_two_labels_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "labels/a.nrrd", "labels/b.nrrd")
    with pytest.raises(
        UserError, match=r"several labels for one scan; keep one\na: .*labels/a.nii.gz, .*labels/a.nrrd$"
    ):
        layouts.table("folder", tmp_path, [1])


def test_ctpelvic1k_prefers_the_label_of_the_same_data_set(tmp_path):
    touch(tmp_path, *(f"{kind}/dataset{n}_A_{kind}.nii.gz" for n in (2, 3) for kind in ("data", "mask_4label")))
    table = layouts.table("ctpelvic1k", tmp_path, [2, 3])
    assert [label.split("/")[-1] for label in table["label"]] == [f"dataset{n}_A_mask_4label.nii.gz" for n in (2, 3)]


def test_a_linked_manifest_means_the_folder_of_its_file(tmp_path):
    touch(tmp_path, "real/a.nii.gz", "elsewhere/x")
    (tmp_path / "real/scans.csv").write_text("subject,image,label\na,a.nii.gz,\n")
    (tmp_path / "elsewhere/scans.csv").symlink_to(tmp_path / "real/scans.csv")
    assert layouts.table("manifest", tmp_path / "elsewhere/scans.csv", [1])["image"].tolist() == [
        str(tmp_path / "real/a.nii.gz")
    ]
