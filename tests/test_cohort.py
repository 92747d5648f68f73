from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from ssl_hip import checks, cohort, cohort_pictures, config, resampling, volumes
from ssl_hip.config import UserError


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
                "foreground": [1, 2, 3, 4],
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
    rng = np.random.default_rng(0)
    for i in range(5):
        hu = rng.integers(-1000, 900, (6, 7, 8)).astype(np.int16)
        for kind, array in (("images", hu), ("labels", (hu > 500).astype(np.uint8))):
            volumes.write(sitk.GetImageFromArray(array), tmp_path / "own" / kind / f"s{i}.nii.gz")
    return tmp_path / "own"


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
        assert checks.check_pair(root / row.image, root / row.label, [1, 2, 3, 4]) == []


def test_manifest_is_read_back_and_nothing_unfinished_stays(built: tuple[pd.DataFrame, Path]) -> None:
    table, root = built
    assert cohort.read(root)["tags"].tolist() == table["tags"].tolist()
    assert "right_neck_shaft_deg" in table and "osteoporosis" in table
    assert sorted(path.name for path in (root / "data").iterdir()) == ["cohort", "cohort.csv"]


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
    table = cohort.build(settings("scans", "own", train=3), scans.parent)
    assert table["split"].value_counts().to_dict() == {"train": 3, "validation": 1, "test": 1}
    assert set(table["image"]) == {f"own/images/s{i}.nii.gz" for i in range(5)}
    again = cohort.build(settings("scans", "own", train=3), scans.parent)
    assert again.equals(table)


def test_unlabelled_scans_go_to_train_only(scans: Path) -> None:
    for i in (0, 1, 2):
        (scans / "labels" / f"s{i}.nii.gz").unlink()
    table = cohort.build(settings("scans", "own", train=3), scans.parent)
    assert set(table.loc[table["label"] == "", "split"]) == {"train"}
    with pytest.raises(UserError, match="only 2 of own have a label"):
        cohort.build(settings("scans", "own", train=1, validation=2), scans.parent)


def test_splits_of_a_manifest_are_kept(scans: Path) -> None:
    rows = [
        ("a", *files(0), "test"),
        ("b", *files(1), "train"),
        ("c", "images/s2.nii.gz", "", "train"),
        ("d", *files(3), "validation"),
    ]
    table = cohort.build(settings("scans", write_manifest(scans, rows)), scans.parent)
    assert table.set_index("subject")["split"].to_dict() == dict(a="test", b="train", c="train", d="validation")


def test_all_problems_of_all_scans_are_told_at_once(scans: Path) -> None:
    (scans / "images" / "s1.nii.gz").unlink()
    rows = [
        ("a", *files(0), "train"),
        ("a", *files(1), "validation"),
        ("b", "images/s2.nii.gz", "", "test"),
        ("c", *files(3), "tset"),
    ]
    with pytest.raises(UserError) as caught:
        cohort.build(settings("scans", write_manifest(scans, rows)), scans.parent)
    for part in ("subject 'a' occurs more than once", "s1.nii.gz", "no such file", "'b'", "'tset'"):
        assert part in str(caught.value)
    assert not (scans.parent / "data/cohort.csv").exists() and not (scans.parent / "data/cohort").exists()


@pytest.mark.parametrize(
    ("source", "path", "message"),
    [
        ("scan", "", "cohort.source is 'scan'"),
        ("scans", "nowhere", "'nowhere' does not exist"),
        ("labelmaps", "nowhere", "'nowhere' is no folder"),
        ("scans", "empty", "has no folder images/"),
    ],
)
def test_a_wrong_source_or_path(tmp_path: Path, source: str, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        cohort.build(settings(source, path), tmp_path)


def test_more_subjects_than_files(scans: Path) -> None:
    for source, path, count in (("scans", "own", 5), ("labelmaps", "own/labels", 5)):
        with pytest.raises(UserError, match=f"= 11 subjects, but {path} holds {count} "):
            cohort.build(settings(source, path, train=9), scans.parent)


def test_manifest_without_a_column(scans: Path) -> None:
    with pytest.raises(UserError, match="column.s. label missing"):
        cohort.build(settings("scans", write_manifest(scans, [("a", "x")], "subject,image")), scans.parent)


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
        volumes.write(sitk.GetImageFromArray(np.full((4, 4, 4), 7, np.uint8)), tmp_path / "maps" / f"m{i}.nii.gz")
    with pytest.raises(UserError, match="4 problem.*(?s:.*)m0.nii.gz: no label 1-4"):
        cohort.build(settings("labelmaps", "maps"), tmp_path, workers=1)
    assert not (tmp_path / "data/cohort").exists()


@pytest.mark.realdata
def test_real_label_maps(tmp_path: Path, real_data: Path) -> None:
    (tmp_path / "maps").symlink_to((real_data / "hip_labelmaps").resolve())
    table = cohort.build(settings("labelmaps", "maps"), tmp_path)
    for row in table.itertuples():
        assert checks.check_pair(tmp_path / row.image, tmp_path / row.label, [1, 2, 3, 4]) == []
