import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from ssl_hip.config import UserError
from ssl_hip.images import resampling, volumes
from ssl_hip.shape import deviation_score, shape_cohort, shape_parts
from ssl_hip.shape.deviation_score import Subject
from ssl_hip.simulation import phantom
from ssl_hip.simulation.anatomy import draw_anatomy

BOUNDS_MM = [1.20, 1.725, 2.73, 4.66, 8.24]


def ball(centre, radius: float, spacing=(1.5, 1.5, 2.0), size=(60, 60, 45)) -> sitk.Image:
    """A label map (value 3) of a ball around a point (x, y, z) in mm from the first voxel."""
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(size[::-1], spacing[::-1], strict=True)], indexing="ij")
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2
    image = sitk.GetImageFromArray((3 * inside).astype(np.uint8))
    image.SetSpacing(spacing)
    return image


def fit_of_ball(labels: sitk.Image, centre, radius: float) -> sitk.Image:
    """Signed distance of a ball as shape_cohort writes it."""
    grid = shape_cohort.empty_fit(shape_parts.own_frame(labels))
    axes = [o + s * np.arange(n) for o, s, n in zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True)]
    x, y, z = axes[0][None, None], axes[1][None, :, None], axes[2][:, None, None]
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) - radius
    return volumes.like(np.clip(np.round(distance * 10), -120, 120).astype(np.int8), grid)


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (3.0, 3.0), (6.0, 6.0)])
def test_the_score_of_shifted_balls_is_their_shift(shift, expected) -> None:
    labels = ball((45, 45, 45), 20)
    subject = Subject(labels, [3], fit_of_ball(labels, (45 + shift, 45, 45), 20))
    score = subject.score((10, 10, 10), 70)
    assert score == pytest.approx(expected, abs=1.0) and (shift > 0 or score <= 1.0)


def test_the_score_of_the_own_label_is_zero() -> None:
    labels = ball((45, 45, 45), 20, spacing=(1.0, 1.0, 1.0), size=(90, 90, 90))
    subject = Subject(labels, [3], fit_of_ball(labels, (45, 45, 45), 20))
    subject.distance = sitk.Cast(0.5 - subject.share, sitk.sitkFloat32) - 1e-6
    assert subject.score((20, 20, 20), 48) == 0


@pytest.mark.parametrize(
    ("label_radius", "fit_radius", "corner"), [(20, 20, (0, 0, 0)), (3, 20, (55, 40, 40)), (20, 3, (55, 40, 40))]
)
def test_no_score_where_either_has_no_surface(label_radius, fit_radius, corner) -> None:
    labels = ball((45, 45, 45), label_radius)
    subject = Subject(labels, [3], fit_of_ball(labels, (45, 45, 45), fit_radius))
    assert np.isnan(subject.score(corner, 12))


def test_a_surface_too_small_has_no_score() -> None:
    labels = ball((45, 45, 45), 20)
    subject = Subject(labels, [3], fit_of_ball(labels, (45, 45, 45), 20))
    corner = (17, 38, 38)  # the cube reaches 5 mm into the ball, which shows a cap of less than 2 cm^2
    assert np.isfinite(subject.score(corner, 13, 0.0)) and np.isfinite(subject.score(corner, 13, 0.5))
    assert np.isnan(subject.score(corner, 13, 10.0))


def test_the_end_where_the_scan_cuts_a_bone_is_no_surface() -> None:
    labels = ball((45, 45, 89), 30)  # the scan ends at 89 mm, in the middle of the ball
    subject = Subject(labels, [3], fit_of_ball(labels, (45, 45, 89), 30))
    label, fit = subject.masks((10, 10, 40), 70)
    assert label.shape == fit.shape == (49, 70, 70) and label[-1, 35, 35] and fit[-1, 35, 35]
    assert subject.score((10, 10, 40), 70) <= 1


def test_orientation_does_not_matter() -> None:
    labels = ball((40, 45, 42), 18)
    fit = fit_of_ball(labels, (43, 45, 42), 18)
    turned = sitk.DICOMOrient(labels, "RAS")
    turned.SetOrigin((100, -50, 7))
    assert Subject(turned, [3], fit).score((5, 5, 5), 70) == Subject(labels, [3], fit).score((5, 5, 5), 70)


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 3.0])
def test_a_patch_begins_where_resampling_put_its_voxel(spacing_mm) -> None:
    labels = ball((45, 45, 45), 20)
    scan = resampling.resample(labels, spacing_mm)
    subject, voxel = Subject(labels, [3], fit_of_ball(labels, (45, 45, 45), 20)), (4, 5, 6)
    centre = scan.TransformContinuousIndexToPhysicalPoint([v - 0.5 for v in voxel[::-1]])
    assert subject.corner_mm(np.array(voxel), spacing_mm) == pytest.approx(centre)


def test_bounds_of_the_groups() -> None:
    scores = [0, 1.1999, 1.20, 1.7249, 1.725, 2.73, 4.66, 8.2399, 8.24, 70, np.nan]
    groups = deviation_score.group(scores, BOUNDS_MM)
    assert groups[:10].tolist() == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5] and groups.isna().tolist() == [False] * 10 + [True]


def test_table_4_counts_and_means() -> None:
    scores = pd.DataFrame(
        dict(deviation_mm=[1.0, 1.1, 1.5, 9.0, np.nan], split=["train", "test", "train", "test", "train"])
    )
    table = deviation_score.table4(scores, BOUNDS_MM)
    assert table.group.tolist() == [0, 1, 2, 3, 4, 5]
    assert table.train.tolist() == [1, 1, 0, 0, 0, 0] and table.test.tolist() == [1, 0, 0, 0, 0, 1]
    assert table.hd95_mean_mm[0] == pytest.approx(1.05) and np.isnan(table.hd95_mean_mm[2])
    assert deviation_score.unscored(scores).tolist() == [1, 0, 0]


def test_stratified_takes_the_same_number_a_group_as_far_as_there_are() -> None:
    groups = pd.Series([0] * 10 + [1] * 3 + [pd.NA] * 4, dtype="Int64")
    chosen = deviation_score.stratified(groups, 5, 0)
    assert groups[chosen].value_counts().to_dict() == {0: 5, 1: 3}
    assert np.array_equal(chosen, deviation_score.stratified(groups, 5, 0))
    assert not np.array_equal(chosen, deviation_score.stratified(groups, 5, 1))
    assert len(deviation_score.stratified(groups[13:], 5, 0)) == 0


PARTS = SimpleNamespace(femur=SimpleNamespace(right=1, left=2))


def settings(**changes) -> SimpleNamespace:
    defaults = dict(parts=PARTS, grid_mm=8.0, modes="explained_variance", explained_variance=0.95, folds=2, seed=0)
    return SimpleNamespace(shape_model=SimpleNamespace(**(defaults | changes)))


def write_cohort(root, splits: list[str]) -> None:
    rows = []
    for i, split in enumerate(splits):
        anatomy = draw_anatomy(np.random.default_rng(i))
        image = sitk.GetImageFromArray(phantom.label_map(anatomy, (4.0, 4.0, 4.0)))
        image.SetSpacing((4.0, 4.0, 4.0))
        volumes.write(image, root / "data" / "labels" / f"s{i}.nii.gz")
        name = f"data/labels/s{i}.nii.gz"  # no image is needed but its grid
        rows.append(dict(subject=f"s{i}", split=split, image=name, label=name, held_out=""))
    rows.append(dict(subject="unlabelled", split="train", image="", label="", held_out=""))
    pd.DataFrame(rows).to_csv(root / "data" / "cohort.csv", index=False)


def test_training_subjects_are_fitted_by_models_that_have_not_seen_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shape_cohort, "DISTANCE_MM", 4.0)
    splits = ["train"] * 4 + ["test"]
    write_cohort(tmp_path, splits)
    folder = tmp_path / "data" / "shape_model"
    table = shape_cohort.build(settings(), tmp_path / "data" / "cohort.csv", folder, workers=1)
    fold_of = shape_cohort.folds([f"s{i}" for i in range(4)], 2, 0)
    assert sorted(table.subject.unique()) == [f"s{i}" for i in range(5)]
    for row in table.itertuples():
        assert row.fold == str(fold_of.get(row.subject, "all"))
    assert sorted(p.name for p in folder.iterdir()) == ["femur.npz", "fits", "fits.json"]
    assert not list((tmp_path / "data" / ".unfinished").iterdir())

    images = {s: (folder / "fits" / f"{s}.nii.gz").read_bytes() for s in ("s0", "s4")}
    again = shape_cohort.build(settings(), tmp_path / "data" / "cohort.csv", folder, workers=1)
    assert json.dumps(table.to_dict("list")) == json.dumps(again.to_dict("list"))
    assert images == {s: (folder / "fits" / f"{s}.nii.gz").read_bytes() for s in images}

    # Another label of a subject changes neither the model that it is fitted by nor the fits of its own fold.
    other = next(s for s in ("s1", "s2", "s3") if fold_of[s] == fold_of["s0"])
    labels = volumes.read_image(tmp_path / "data" / "labels" / "s0.nii.gz")
    volumes.write(sitk.BinaryDilate(labels, (1, 1, 1), sitk.sitkBall, 0, 1), tmp_path / "data" / "labels" / "s0.nii.gz")
    changed = shape_cohort.build(settings(), tmp_path / "data" / "cohort.csv", folder, workers=1)
    assert table[table.subject == other].to_dict("list") == changed[changed.subject == other].to_dict("list")
    assert table[table.subject == "s4"].to_dict("list") != changed[changed.subject == "s4"].to_dict("list")


def test_wrong_values_of_the_parts_are_named(tmp_path) -> None:
    write_cohort(tmp_path, ["train", "train"])
    wrong = settings(parts=SimpleNamespace(femur=SimpleNamespace(right=77, left=78)))
    with pytest.raises(UserError, match="shape_model.parts"):
        shape_cohort.build(wrong, tmp_path / "data" / "cohort.csv", tmp_path / "data" / "shape_model", workers=1)


def test_an_interrupted_build_goes_on_and_gives_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shape_cohort, "DISTANCE_MM", 4.0)
    write_cohort(tmp_path, ["train", "train", "test"])
    csv, folder = tmp_path / "data" / "cohort.csv", tmp_path / "data" / "shape_model"
    whole = shape_cohort.build(settings(), csv, folder, workers=1)
    fit_subject, asked = shape_cohort.fit_subject, []

    def interrupted(task):
        asked.append(task.subject)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return fit_subject(task)

    monkeypatch.setattr(shape_cohort, "fit_subject", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shape_cohort.build(settings(), csv, folder, workers=1)
    again = shape_cohort.build(settings(), csv, folder, workers=1)
    assert asked == ["s0", "s1", "s1", "s2"]  # s0 was not fitted again
    assert json.dumps(again.to_dict("list")) == json.dumps(whole.to_dict("list"))


FILE_CALLS = [(shape_cohort.shutil, "rmtree"), (shape_cohort.shutil, "copytree"), (shape_cohort.shutil, "copyfile")]
FILE_CALLS += [(Path, "rename"), (Path, "write_text")]


def test_interrupted_between_any_two_files_it_gives_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shape_cohort, "DISTANCE_MM", 4.0)
    write_cohort(tmp_path, ["train", "train", "test"])
    csv, folder = tmp_path / "data" / "cohort.csv", tmp_path / "data" / "shape_model"

    def content():
        return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    shape_cohort.build(settings(), csv, folder, workers=1)
    whole, finish, passed = content(), shape_cohort._finish, 0
    while True:  # stopped before the first of the calls that change files, before the second, ... till none is left
        with monkeypatch.context() as patch:
            patch.setattr(shape_cohort, "_finish", stopped_after(passed, finish, patch))
            try:
                shape_cohort.build(settings(), csv, folder, workers=1)
                break
            except KeyboardInterrupt:
                passed += 1
        shape_cohort.build(settings(), csv, folder, workers=1)
        assert content() == whole, passed
    assert passed > 5


def stopped_after(passed: int, finish, patch):
    """Return `finish`, stopped before the file call that comes after `passed` others."""
    calls = iter(range(passed))

    def counted(call):
        def wrapped(*arguments, **options):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return call(*arguments, **options)

        return wrapped

    def stopped(*arguments):
        for owner, name in FILE_CALLS:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        return finish(*arguments)

    return stopped


def test_a_single_training_subject_fits_the_others_but_has_no_score(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shape_cohort, "DISTANCE_MM", 4.0)
    write_cohort(tmp_path, ["train", "test"])
    folder = tmp_path / "data" / "shape_model"
    table = shape_cohort.build(settings(), tmp_path / "data" / "cohort.csv", folder, workers=1)
    assert set(table.subject) == {"s1"}
    assert [deviation_score.fit_file(folder, subject).is_file() for subject in ("s0", "s1")] == [False, True]


@pytest.mark.parametrize("changes", [dict(splits=["test"]), dict(splits=["train", "test"], parts=SimpleNamespace())])
def test_without_training_labels_or_parts_there_is_nothing(tmp_path, changes) -> None:
    write_cohort(tmp_path, changes.pop("splits"))
    folder = tmp_path / "data" / "shape_model"
    assert shape_cohort.build(settings(**changes), tmp_path / "data" / "cohort.csv", folder, workers=1).empty
    assert (folder / "fits.json").is_file() and list((folder / "fits").iterdir()) == []
