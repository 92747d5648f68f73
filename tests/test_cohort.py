import gzip
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from samples import PLANTED, bone, ct, image, write_dicom

from ssl_hip import config
from ssl_hip.config import UserError
from ssl_hip.images import resampling, volumes
from ssl_hip.images.faults import Fault
from ssl_hip.preparation import cohort, cohort_pictures
from ssl_hip.scans import checks, manifest, problems

VALUES = checks.Values([1, 2, 3, 4], [0, 5])
MADE = [".unfinished", "cohort", "cohort.csv", "problems.csv"]


def settings(
    source: str = "phantom", path: str = "", train: int = 2, validation: int = 1, test: int = 1, **phantom: float
) -> SimpleNamespace:
    ranges = {"in_plane_mm": [3.6, 4.0], "slice_mm": [4.0, 4.5], "diseased": 0.5, "metal": 0.25} | phantom
    subjects = {"train": train, "validation": validation, "test": test}
    return config.namespace(
        {
            "cohort": {
                "source": source,
                "path": path,
                "layout": "manifest" if path.endswith(".csv") else "folder",
                "foreground": [1, 2, 3, 4],
                "background": [0, 5],
                "split": "counts",
                "on_error": "stop",
                "seed": 0,
                "subjects": subjects,
                "phantom": ranges,
            }
        }
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    root = tmp_path_factory.mktemp("phantom")
    return cohort.build(settings(train=4), root, workers=1), root


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of five tiny scans with images/ and labels/."""
    for i in range(5):
        for kind, array in (("images", ct(seed=i)), ("labels", bone())):
            volumes.write(image(array), tmp_path / "own" / kind / f"s{i}.nii.gz")
    return tmp_path / "own"


def own(path: str = "own", **changed) -> SimpleNamespace:
    """Settings of the user's own scans."""
    made = settings("scans", path)
    vars(made.cohort).update(changed)
    return made


def write_manifest(scans: Path, rows: list[tuple[str, ...]], header: str = "subject,image,label,split") -> str:
    (scans / "manifest.csv").write_text("\n".join([header] + [",".join(row) for row in rows]) + "\n")
    return "own/manifest.csv"


def files(i: int) -> tuple[str, str]:
    return f"images/s{i}.nii.gz", f"labels/s{i}.nii.gz"


def test_phantom_manifest_and_files(built: tuple[pd.DataFrame, Path]) -> None:
    table, root = built
    assert table["subject"].tolist() == [f"p{i:03d}" for i in range(6)]
    assert table["split"].value_counts().to_dict() == {"train": 4, "validation": 1, "test": 1}
    assert table["metal"].isin([0, 1]).all() and table.loc[table["split"] == "train", "metal"].sum() == 1
    for row in table.itertuples():
        image, label = (volumes.read_image(root / path) for path in (row.image, row.label))
        assert image.GetPixelID() == sitk.sitkInt16 and label.GetPixelID() == sitk.sitkUInt8
        assert image.GetSpacing() == pytest.approx((row.spacing_x_mm, row.spacing_y_mm, row.spacing_z_mm), abs=1e-3)
        assert checks.check_scan(root / row.image, str(root / row.label), VALUES).faults == []


def test_manifest_is_read_back_and_nothing_unfinished_stays(built: tuple[pd.DataFrame, Path]) -> None:
    table, root = built
    assert manifest.read(root / "data/cohort.csv")["tags"].tolist() == table["tags"].tolist()
    assert "right_neck_shaft_deg" in table and "osteoporosis" in table
    assert sorted(path.name for path in (root / "data").iterdir()) == MADE
    assert not list((root / "data/.unfinished").iterdir())


def test_orientations_differ_and_lead_back_to_the_same_anatomy(built: tuple[pd.DataFrame, Path]) -> None:
    table, root = built
    directions = {volumes.read_image(root / path).GetDirection() for path in table["image"]}
    assert len(directions) > 1
    for row in table.itertuples():
        labels = volumes.to_array(volumes.canonical(volumes.read_image(root / row.label)))
        assert np.argwhere(labels == 1)[:, 2].mean() < np.argwhere(labels == 2)[:, 2].mean()


def test_the_result_does_not_depend_on_the_number_of_workers(built: tuple[pd.DataFrame, Path], tmp_path: Path) -> None:
    table, root = built
    again = cohort.build(settings(train=4), tmp_path, workers=2)
    assert (tmp_path / "data/cohort.csv").read_bytes() == (root / "data/cohort.csv").read_bytes()
    assert all((tmp_path / path).read_bytes() == (root / path).read_bytes() for path in again["image"])


def test_pictures_are_small_bytes(built: tuple[pd.DataFrame, Path]) -> None:
    table, root = built
    image, mask, spacing = cohort_pictures.load(next(table.itertuples()), root, [1, 2, 3, 4])
    planes = cohort_pictures.three_planes(image, mask, spacing, "title").data
    assert [plane.z.dtype for plane in planes] == [np.uint8] * 3
    assert len(cohort_pictures.histogram([(image, mask, spacing)]).data) == 2


def test_own_scans_are_referenced_in_place(scans: Path) -> None:
    table = cohort.build(settings("scans", "own", train=3), scans.parent, workers=1)
    assert table["split"].value_counts().to_dict() == {"train": 3, "validation": 1, "test": 1}
    assert set(table["image"]) == {f"own/images/s{i}.nii.gz" for i in range(5)}
    again = cohort.build(settings("scans", "own", train=3), scans.parent, workers=1)
    assert again.equals(table)


def test_scans_outside_a_linked_project_are_found(scans: Path) -> None:
    (scans.parent / "elsewhere/project").mkdir(parents=True)
    (scans.parent / "link").symlink_to(scans.parent / "elsewhere/project")
    table = cohort.build(own(str(scans), split="all"), scans.parent / "link", workers=1)
    assert table["image"][0] == str(scans / "images/s0.nii.gz")
    assert all((scans.parent / "link" / path).is_file() for path in [*table["image"], *table["label"]])


@pytest.mark.parametrize("place", ["data/mine", "../data/mine", "/elsewhere/mine"])
def test_paths_are_named_as_a_reader_would_type_them(tmp_path: Path, place: str) -> None:
    """Not ../../../../elsewhere/mine."""
    assert manifest.from_root(tmp_path / "project" / place, tmp_path / "project") == place


def test_unlabelled_scans_go_to_train_only(scans: Path) -> None:
    for i in (0, 1, 2):
        (scans / "labels" / f"s{i}.nii.gz").unlink()
    table = cohort.build(settings("scans", "own", train=3), scans.parent, workers=1)
    assert set(table.loc[table["label"] == "", "split"]) == {"train"}
    with pytest.raises(UserError, match="only 2 of own have a label"):
        cohort.build(settings("scans", "own", train=1, validation=2), scans.parent, workers=1)


def test_splits_of_a_manifest_are_kept(scans: Path) -> None:
    rows = [
        ("a", *files(0), "test"),
        ("b", *files(1), "train"),
        ("c", "images/s2.nii.gz", "", "train"),
        ("d", *files(3), "validation"),
    ]
    table = cohort.build(settings("scans", write_manifest(scans, rows)), scans.parent, workers=1)
    assert table.set_index("subject")["split"].to_dict() == dict(a="test", b="train", c="train", d="validation")


def test_all_problems_of_all_scans_are_told_at_once(scans: Path) -> None:
    (scans / "images" / "s1.nii.gz").unlink()
    rows = [
        ("a", *files(0), "train"),
        ("a", *files(1), "validation"),
        ("b", "images/s2.nii.gz", "", "test"),
        ("c", *files(3), "tset"),
        ("d", *files(4), ""),
        ("", "images/s4.nii.gz", "", "train"),
        ("e", "", "", "train"),
    ]
    for on_error in ("stop", "skip"):  # the list itself is at fault: nothing can be left out
        with pytest.raises(UserError) as caught:
            cohort.build(own(write_manifest(scans, rows), on_error=on_error), scans.parent, workers=1)
        for part in (
            "subject 'a' occurs more than once",
            "own/images/s1.nii.gz: no such file",
            "'b' is in test without",
        ):
            assert part in str(caught.value)
        for part in (
            "split 'tset'",
            "filled for some subjects only",
            "no subject",
            "subject 'e' has no image",
            "subjects 'd' and '' have the same",
        ):
            assert part in str(caught.value)
        assert len(problems.read(scans.parent)) == 8 and str(scans.parent) not in str(caught.value)
    assert {path.name for path in (scans.parent / "data").iterdir()} == {".unfinished", "problems.csv"}


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "<script>alert(1)</script>", "../../a", "a\x1b[2J", "-1", "a\tb"])
def test_a_name_that_is_a_formula_or_html_or_a_path_is_refused(scans: Path, name: str) -> None:
    rows = [(name, *files(0), "train"), ("b", *files(1), "train")]
    with pytest.raises(UserError, match="rename it: a letter") as caught:
        cohort.build(own(write_manifest(scans, rows), on_error="skip"), scans.parent, workers=1)
    assert f"subject {name!r}" in str(caught.value)
    subjects = pd.read_csv(scans.parent / "data/problems.csv").subject
    assert subjects.tolist() == [repr(name)]  # quoted, so that a spreadsheet takes it for text


def test_a_label_map_with_such_a_name_is_refused(scans: Path) -> None:
    (scans / "labels/s0.nii.gz").rename(scans / "labels/=1+1.nii.gz")
    with pytest.raises(UserError, match="rename it.*\n.*label map '=1"):
        cohort.build(settings("labelmaps", "own/labels"), scans.parent, workers=1)


@pytest.mark.parametrize("kind", ["link", "path"])
def test_what_a_manifest_names_elsewhere_is_read_as_a_scan_or_not_at_all(scans: Path, kind: str) -> None:
    """Scans on other disks, named by links or paths, are usual; of a file that is none nothing is told."""
    secret = scans.parent.parent / f"{scans.parent.name}-secret.txt"
    secret.write_text("root:TOP-SECRET:0:0")
    (scans / "link.nii.gz").symlink_to(secret)
    image = "link.nii.gz" if kind == "link" else f"../../{secret.name}"
    rows = [("a", image, "labels/s0.nii.gz", "train"), ("b", *files(1), "train")]
    with pytest.raises(UserError, match="1 problem.s. in 1 of 2 scan.*\n.*copy") as caught:
        cohort.build(own(write_manifest(scans, rows)), scans.parent, workers=1)
    written = (scans.parent / "data/problems.csv").read_text()
    assert "SECRET" not in str(caught.value) + written and len(written.splitlines()) == 2


def test_faulty_scans_are_left_out_when_asked(scans: Path, capsys: pytest.CaptureFixture) -> None:
    volumes.write(image(ct(seed=7) + 1024), scans / "images" / "s1.nii.gz")
    volumes.write(image(bone(value=9)), scans / "labels" / "s2.nii.gz")
    volumes.write(image(bone()), scans / "labels" / "lonely.nii.gz")
    with pytest.raises(UserError, match=r"3 problem\(s\) in 3 of 6 scan\(s\); all of them: data/problems.csv"):
        cohort.build(own(split="all"), scans.parent, workers=1)
    assert problems.read(scans.parent)["skipped"].tolist() == [0, 0, 0]
    table = cohort.build(own(split="all", on_error="skip"), scans.parent, workers=1)
    assert table["subject"].tolist() == ["s0", "s3", "s4"]
    said = problems.read(scans.parent)
    assert said.columns.tolist() == ["subject", "file", "problem", "remedy", "skipped"]
    assert said[["subject", "file", "skipped"]].values.tolist() == [
        ["s1", "own/images/s1.nii.gz", 1],
        ["s2", "own/labels/s2.nii.gz", 1],
        ["lonely", "own/labels/lonely.nii.gz", 1],
    ]
    warning = capsys.readouterr().err
    assert "raw scanner values" in warning and "left out" in warning
    with pytest.raises(UserError, match="asks for 2 train .* but own holds 3 scans"):
        cohort.build(own(on_error="skip"), scans.parent, workers=1)


def test_many_problems_of_one_kind_are_cut_short(tmp_path: Path) -> None:
    found = [(f"s{i}", Fault(f"s{i}.nii", "is bad", "mend it")) for i in range(30)] + [("t", Fault("t.nii", "a", "b"))]
    with pytest.raises(UserError) as caught:
        problems.settle(found, 40, "stop", tmp_path)
    text = str(caught.value)
    assert text.startswith(
        "31 problem(s) in 31 of 40 scan(s); all of them: data/problems.csv\n- mend it:\n    s0.nii: is bad"
    )
    assert "... and 20 more" in text and "t.nii: a" in text and text.count("\n") < 20
    assert len(problems.read(tmp_path)) == 31


def test_auto_holds_out_each_labelled_scan_once(scans: Path) -> None:
    """Four labelled and ten unlabelled scans, and no others."""
    (scans / "labels/s3.nii.gz").unlink()
    for i in range(5, 14):
        volumes.write(image(ct(seed=i)), scans / "images" / f"s{i}.nii.gz")
    table = cohort.build(own(split="auto"), scans.parent, workers=1)
    assert set(table["split"]) == {"train"} and len(table) == 14
    labelled = table["label"] != ""
    assert sorted(table["held_out"][labelled]) == ["0", "1", "2", "3"] and set(table["held_out"][~labelled]) == {""}
    written = manifest.read(scans.parent / "data/cohort.csv")["held_out"]
    assert written.equals(pd.to_numeric(table["held_out"]).reset_index(drop=True))
    assert cohort.build(own(split="auto"), scans.parent, workers=1).equals(table)
    orders = {tuple(cohort.build(own(split="auto", seed=s), scans.parent, workers=1)["held_out"]) for s in range(4)}
    assert len(orders) > 1


def test_all_trains_on_every_scan(scans: Path) -> None:
    table = cohort.build(own(split="all"), scans.parent, workers=1)
    assert set(table["split"]) == {"train"} and len(table) == 5 and set(table["held_out"]) == {""}


def test_too_few_labels(scans: Path) -> None:
    for i in range(1, 5):
        (scans / "labels" / f"s{i}.nii.gz").unlink()
    with pytest.raises(UserError, match="set cohort.split: all and optimization.select: last"):
        cohort.build(own(split="auto"), scans.parent, workers=1)
    (scans / "labels" / "s0.nii.gz").unlink()
    with pytest.raises(UserError, match="no scan has a label"):
        cohort.build(own(split="all"), scans.parent, workers=1)


def test_validation_and_test_may_be_absent(scans: Path) -> None:
    table = cohort.build(settings("scans", "own", train=3, validation=0, test=0), scans.parent, workers=1)
    assert table["split"].tolist() == ["train"] * 3
    rows = [(f"s{i}", *files(i), split) for i, split in enumerate(("train", "test", "train"))]
    table = cohort.build(own(write_manifest(scans, rows), split="auto"), scans.parent, workers=1)
    assert table["split"].tolist() == ["train", "test", "train"] and set(table["held_out"]) == {""}
    rows = [(f"s{i}", *files(i), "test") for i in range(2)]
    with pytest.raises(UserError, match="no subject has split 'train'"):
        cohort.build(own(write_manifest(scans, rows)), scans.parent, workers=1)


def test_no_name_of_a_header_reaches_an_output(scans: Path, capfd: pytest.CaptureFixture) -> None:
    """DICOM, NIfTI, MHA and NRRD with planted names, each once sound and once with a problem, and as label maps."""
    write_dicom(scans / "images/d", ct(seed=10))
    write_dicom(scans / "images/tilted", positions=[(0, k, 6 * k) for k in range(12)])
    write_dicom(scans / "images/two", ct(seed=11))
    write_dicom(scans / "images/two", ct(seed=12), uid="1.2.826.2")
    for number, suffix in enumerate((".nii.gz", ".mha", ".nrrd")):
        for name, hu in ((f"x{number}", ct(seed=20 + number)), (f"raw{number}", ct(seed=30 + number) + 1024)):
            named = image(hu)
            for key in ("descrip", "aux_file", "db_name", "PatientName"):
                named.SetMetaData(key, PLANTED[0])
            volumes.write(named, scans / "images" / f"{name}{suffix}")
    assert PLANTED[0].encode() in (scans / "images/x1.mha").read_bytes()
    table = cohort.build(own(split="all", on_error="skip"), scans.parent, workers=1)
    assert set(table["subject"]) == {"d", "x0", "x1", "x2"} | {f"s{i}" for i in range(5)}
    label = image(bone())
    label.SetMetaData("descrip", PLANTED[0])
    for name in "abcd":
        volumes.write(label, scans.parent / "maps" / f"{name}.nii.gz")
    outputs = [capfd.readouterr(), b"".join(contents(scans.parent / "data"))]
    cohort.build(settings("labelmaps", "maps"), scans.parent, workers=1)
    outputs += [capfd.readouterr(), b"".join(contents(scans.parent / "data"))]
    assert len(outputs[1]) > 500 and len(outputs[3]) > 10_000
    assert not [name for name in PLANTED for output in outputs if name in str(output)]


def contents(folder: Path) -> list[bytes]:
    """Every file's bytes, unpacked."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in files]


def test_an_interrupted_generation_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cohort.build(settings(train=2), tmp_path / "whole", workers=1)
    root, simulate, done = tmp_path / "broken", cohort._phantom_subject, []

    def until_the_third(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job["subject"])
        return simulate(job)

    (root / "data/cohort").mkdir(parents=True)
    (root / "data/cohort/older").touch()
    (root / "data/.unfinished/cohort-stale").mkdir(parents=True)
    monkeypatch.setattr(cohort, "_phantom_subject", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        cohort.build(settings(train=2), root, workers=1)
    assert (root / "data/cohort/older").exists() and not (root / "data/cohort.csv").exists()
    monkeypatch.setattr(cohort, "_phantom_subject", lambda job: done.append(job["subject"]) or simulate(job))
    table = cohort.build(settings(train=2), root, workers=1)
    assert done == ["p000", "p001", "p002", "p003"] and table.equals(whole)
    assert (root / "data/cohort.csv").read_bytes() == (tmp_path / "whole/data/cohort.csv").read_bytes()
    assert all((root / path).read_bytes() == (tmp_path / "whole" / path).read_bytes() for path in table["label"])
    assert sorted(path.name for path in (root / "data").iterdir()) == MADE
    assert not list((root / "data/.unfinished").iterdir())


@pytest.mark.parametrize(
    ("source", "path", "message"),
    [
        ("scan", "", "cohort.source is 'scan'"),
        ("scans", "nowhere", "'nowhere' does not exist"),
        ("labelmaps", "nowhere", "'nowhere' is no folder"),
        ("scans", "empty", "images: no such folder"),
    ],
)
def test_a_wrong_source_or_path(tmp_path: Path, source: str, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        cohort.build(settings(source, path), tmp_path)


def test_more_subjects_than_files(scans: Path) -> None:
    for source, path, count in (("scans", "own", 5), ("labelmaps", "own/labels", 5)):
        with pytest.raises(UserError, match=f"= 11 subjects, but {path} holds {count} "):
            cohort.build(settings(source, path, train=9), scans.parent, workers=1)


def test_manifest_without_a_column(scans: Path) -> None:
    with pytest.raises(UserError, match="column.s. label missing"):
        cohort.build(settings("scans", write_manifest(scans, [("a", "x")], "subject,image")), scans.parent, workers=1)


def test_labelmaps_become_scans(
    built: tuple[pd.DataFrame, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "LABELMAP_MM", 4.0)
    table, root = built
    source = tmp_path / "maps"
    for path in table["label"][:3]:
        small = resampling.resample(volumes.canonical(volumes.read_image(root / path)), 5.0, label=True)
        volumes.write(small, source / Path(path).name)
    result = cohort.build(settings("labelmaps", "maps", train=1), tmp_path, workers=1)
    assert sorted(result["subject"]) == ["p000", "p001", "p002"]
    label = volumes.to_array(volumes.read_image(tmp_path / result["label"][0]))
    assert set(np.unique(label)) == {0, 1, 2, 3, 4, 5}


def test_a_label_map_without_bone_is_named(tmp_path: Path) -> None:
    for i in range(4):
        volumes.write(image(bone(value=7)), tmp_path / "maps" / f"m{i}.nii.gz")
    with pytest.raises(
        UserError, match=r"4 problem.*(?s:.*)m0.nii.gz: no voxel has a foreground value \(1, 2, 3, 4\), only 0, 7"
    ):
        cohort.build(settings("labelmaps", "maps"), tmp_path, workers=1)
    assert not (tmp_path / "data/cohort").exists()


@pytest.mark.realdata
def test_real_label_maps(tmp_path: Path, real_data: Path) -> None:
    (tmp_path / "maps").symlink_to((real_data / "hip_labelmaps").resolve())
    table = cohort.build(settings("labelmaps", "maps"), tmp_path)
    for row in table.itertuples():
        assert checks.check_scan(tmp_path / row.image, str(tmp_path / row.label), VALUES).faults == []


def test_a_changed_scan_or_label_changes_the_manifest(scans: Path) -> None:
    before = cohort.build(own(split="all"), scans.parent, workers=1)
    for name in ("images/s0.nii.gz", "labels/s1.nii.gz"):
        volume = volumes.read_image(scans / name)
        voxels = volumes.to_array(volume)
        voxels[0, 0, 0] = voxels.max()
        volumes.write(volumes.like(voxels, volume), scans / name)
    after = cohort.build(own(split="all"), scans.parent, workers=1)
    assert (before != after).stack().loc[lambda differs: differs].index.tolist() == [(0, "content"), (1, "content")]
