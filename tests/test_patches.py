"""Patches: where they are cut, what is stored, and that labels have no say in training."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from conftest import no_file_above, write_balls
from samples import write_dicom

from pipeline import advice
from ssl_hip import metrics, parallel, region_bits
from ssl_hip.config import UserError
from ssl_hip.images import isotropic, volumes
from ssl_hip.images.isotropic import Scan
from ssl_hip.patch_store import REGION_ERRORS, PatchStore
from ssl_hip.preparation import cutting, patches, regions
from ssl_hip.scans import manifest

SPLITS = ["train"] * 4 + ["validation", "test"]


def scan(size=(24, 28, 32), seed=0) -> tuple[np.ndarray, np.ndarray]:
    """HU (z, y, x) of a body in air, and a label with two bones."""
    rng, label = np.random.default_rng(seed), np.zeros(size, np.uint8)
    hu = np.full(size, -1000.0)
    hu[3:-3, 3:-3, 3:-3] = 40 + rng.normal(0, 20, tuple(n - 6 for n in size))
    label[6:14, 6:14, 6:14], label[12:20, 12:20, 18:26] = 1, 3
    hu[label > 0] += 400
    return hu.astype(np.int16), label


def write_scan(path, array: np.ndarray, spacing=(2.0, 2.0, 2.0)) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    volumes.write(image, path)


@pytest.fixture
def cohort(tmp_path, params):
    """A cohort of six scans on disk and parameters that fit it."""
    rows = []
    for i, split in enumerate(SPLITS):
        hu, label = scan(seed=i)
        names = [f"data/cohort/{kind}/s{i}.nii.gz" for kind in ("images", "labels")]
        for name, array in zip(names, (hu, label), strict=True):
            write_scan(tmp_path / name, array)
        rows.append(manifest.row(f"s{i}", split, *names, (2.0, 2.0, 2.0), 0, "a;b"))
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "data" / "cohort.csv", index=False)
    params.cohort.foreground, params.patches.spacing_mm = [1, 3], 2.0
    return SimpleNamespace(csv=tmp_path / "data" / "cohort.csv", table=table, root=tmp_path, params=params)


def build(cohort, name="patches", workers=1) -> PatchStore:
    cohort.table.to_csv(cohort.csv, index=False)
    patches.build(cohort.params, cohort.csv, cohort.root / "data" / name, workers)
    return PatchStore(cohort.root / "data" / name)


def contents(cohort, name="patches") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cohort.root / "data" / name).iterdir()}


def grid_of(cohort, subject, spacing_mm, foreground) -> Scan:
    return isotropic.read(subject, cohort.root, spacing_mm, foreground)[0]


def cut(cohort, i=0, n=3, split="train"):
    subject = cohort.table.loc[i].to_dict()
    job = cutting.Job(
        i, subject, {split: n}, cohort.params, cohort.root, Path(tempfile.mkdtemp(dir=cohort.root)), cohort.root
    )
    table = pd.DataFrame(cutting.cut(job))
    return table, cutting.read_cubes(job, split, list(range(n)))


def test_a_folder_of_patches_keeps_its_contract(cohort):
    store = build(cohort)
    counts = {"train": 8, "validation": 2, "test": 2}
    for split, n in counts.items():
        assert store.image[split].shape == store.label[split].shape == (n, 16, 16, 16)
        assert store.image[split].dtype == np.float16 and set(np.unique(store.label[split])) <= {0, 1}
        assert np.isfinite(store.image[split]).all() and store.table(split).row.tolist() == list(range(n))
    for split in ("validation", "test"):
        assert store.region[split].shape == (counts[split], 16, 16, 16) and store.region[split].dtype == np.uint8
    train = store.image["train"].astype(np.float64)
    assert train.mean() == pytest.approx(0, abs=2e-3) and train.std() == pytest.approx(1, abs=2e-3)
    assert store.distance.dtype == np.float16 and store.patches.patch.tolist() == list(range(12))
    assert (store.table("validation").foreground >= cohort.params.patches.min_foreground).all()
    assert store.patches.groupby("subject").split.nunique().max() == 1
    assert store.patches.subject.unique().tolist() == [f"s{i}" for i in range(6)]


def test_building_again_gives_the_same_bytes_whatever_the_number_of_workers(cohort):
    build(cohort, "a", workers=1), build(cohort, "b", workers=2)
    assert len(contents(cohort, "a")) == 13 and contents(cohort, "a") == contents(cohort, "b")


@pytest.mark.parametrize("name", ["cut", "write"])
def test_an_interrupted_build_goes_on_where_it_stopped(cohort, monkeypatch, name):
    build(cohort, "uninterrupted")
    module, real, begun = (cutting, cutting.cut, []) if name == "cut" else (patches, patches.write, [])

    def interrupted(*arguments):
        begun.append(arguments)
        if len(begun) == (4 if name == "cut" else 1):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(cohort)
    assert not (cohort.root / "data" / "patches").exists()
    cut_before = sum(1 for _ in (cohort.root / "data" / ".unfinished").glob("patches-*/*.json"))
    monkeypatch.setattr(module, name, real)
    again, real_cut = [], cutting.cut
    monkeypatch.setattr(cutting, "cut", lambda job: again.append(job.number) or real_cut(job))
    build(cohort)
    assert (cut_before, again) == ((3, [3, 4, 5]) if name == "cut" else (6, []))
    assert contents(cohort) == contents(cohort, "uninterrupted")
    assert not list((cohort.root / "data" / ".unfinished").iterdir())


@pytest.mark.parametrize(("size", "cut_before"), [(4_000, 0), (40_000, 6)])
def test_a_full_disk_harms_nothing(cohort, size, cut_before):
    """It fills while cubes are cut, and while they are stored."""
    build(cohort, "uninterrupted")
    with no_file_above(size), pytest.raises(OSError, match="File too large") as told:
        build(cohort)
    assert "The disk is full" in advice.remedy(str(told.value))
    assert not (cohort.root / "data" / "patches").exists()
    assert sum(1 for _ in (cohort.root / "data" / ".unfinished").glob("patches-*/*.json")) == cut_before
    build(cohort)
    assert contents(cohort) == contents(cohort, "uninterrupted")


def test_a_scan_replaced_while_patches_are_cut_is_noticed(cohort, monkeypatch):
    real_cut = cutting.cut

    def replacing(job):
        result = real_cut(job)
        if job.number == 2:
            spoil_image(cohort, 1)  # which is cut already
        return result

    monkeypatch.setattr(cutting, "cut", replacing)
    with pytest.raises(UserError, match="cohort.csv: a scan, label or fit was replaced while patches were cut; start"):
        build(cohort)
    assert not (cohort.root / "data" / "patches").exists()
    monkeypatch.setattr(cutting, "cut", real_cut)
    build(cohort, "after"), build(cohort, "again")
    assert contents(cohort, "after") == contents(cohort, "again")


def test_unfinished_work_of_other_parameters_or_scans_is_not_used(cohort, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(patches, "write", interrupted)
    for changes in (lambda: None, lambda: setattr(cohort.params.patches, "seed", 7), lambda: spoil_image(cohort, 0)):
        changes()
        with pytest.raises(KeyboardInterrupt):
            build(cohort)
    assert len(list((cohort.root / "data" / ".unfinished").iterdir())) == 3


def test_a_slice_changed_in_place_is_noticed(cohort):
    series, table = (
        write_dicom(cohort.root / "series" / "deeper"),
        cohort.table.iloc[:1].assign(image="series", label=""),
    )
    before = parallel.fingerprint([], patches.scan_files(table, cohort.root / "data"))
    first = sorted(series.iterdir())[0]
    first.write_bytes(first.read_bytes() + b"\0")
    assert parallel.fingerprint([], patches.scan_files(table, cohort.root / "data")) != before


def spoil_image(cohort, i):
    write_scan(cohort.root / cohort.table.image[i], scan(seed=99)[0])


def test_what_is_stored_is_what_stands_at_the_place(cohort):
    store = build(cohort)
    rows, subject = store.table("train"), cohort.table.loc[0].to_dict()
    hu, label = grid_of(cohort, subject, 2.0, [1, 3])
    for row in rows[rows.subject == "s0"].itertuples():
        place = tuple(slice(c, c + 16) for c in (row.z, row.y, row.x))
        assert np.array_equal(store.label["train"][row.row], label[place])
        scaled = store.normalization.apply(hu[place])
        np.testing.assert_allclose(store.image["train"][row.row], scaled, rtol=1e-3, atol=1e-3)
        expected = metrics.signed_distance(label[place], 2.0).astype(np.float16)
        assert np.array_equal(store.distance[row.row], expected, equal_nan=True)


def near_bones(cohort) -> None:
    """Give the cohort's scans, whose bones lie 8 mm apart, a joint there; and metal."""
    cohort.params.patches.joint_gap_mm = 10.0
    for name in cohort.table.image:
        voxels = volumes.to_array(volumes.read_image(cohort.root / name))
        voxels[13, 13, 13] = 2600
        write_scan(cohort.root / name, voxels)


def test_regions_are_those_of_the_whole_scan(cohort):
    near_bones(cohort)
    store = build(cohort)
    for i, split in ((4, "validation"), (5, "test")):
        subject = cohort.table.loc[i].to_dict()
        on_grid, label = isotropic.read(subject, cohort.root, 2.0, [1, 3])
        found = regions.find(on_grid, label, cohort.params)
        for row in store.table(split).itertuples():
            place = tuple(slice(c, c + 16) for c in (row.z, row.y, row.x))
            assert np.array_equal(store.region[split][row.row], found.cube(place))
            assert row.gap_voxels == np.count_nonzero(store.region[split][row.row] & region_bits.JOINT_GAP)
            assert row.metal_voxels == np.count_nonzero(store.region[split][row.row] & region_bits.METAL) > 0
        assert (store.table(split).gap_voxels > 0).any() and store.table(split).gap_mm.dropna().between(2, 10).all()
    assert store.table("train")[["gap_voxels", "gap_mm", "metal_voxels"]].isna().all(axis=None)


def test_without_named_bones_the_gap_is_not_available(cohort):
    near_bones(cohort)
    cohort.params.shape_model.parts = {}
    store = build(cohort)
    test = store.table("test")
    assert test[["gap_voxels", "gap_mm"]].isna().all(axis=None) and (test.metal_voxels > 0).all()
    errors = pd.DataFrame(store.region_errors("test", test.row, store.label["test"][:] == 0))
    assert errors[["gap_voxels", "gap_false"]].isna().all(axis=None)
    assert errors.metal_wrong.tolist() == errors.metal_voxels.tolist() == test.metal_voxels.tolist()


@pytest.mark.parametrize("code", ["LPS", "RAS", "LPI", "PIR", "SAL", "ILP", "ASR"])
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_the_canonical_view_is_the_canonical_image(code, turn):
    image = sitk.GetImageFromArray(scan()[0])
    image.SetSpacing((0.7, 0.9, 2.0))
    image.SetDirection((np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1))
    image = sitk.DICOMOrient(image, code)
    voxels, spacing = volumes.canonical_view(image)
    straight = volumes.canonical(image)
    assert np.array_equal(voxels, volumes.to_array(straight)) and spacing == straight.GetSpacing()[::-1]


def test_a_coarse_voxel_is_bone_where_half_of_it_is(cohort):
    label = np.zeros((24, 28, 32), np.uint8)
    label[:, :, :15] = 1  # 30 mm of bone: the coarse grid's voxels of 8 mm are whole but for the one it ends in
    write_scan(cohort.root / cohort.table.label[0], label)
    coarse = grid_of(cohort, cohort.table.loc[0].to_dict(), 8.0, [1]).label
    assert coarse.shape == (6, 7, 8)
    assert coarse[:, :, :4].all() and not coarse[:, :, 4:].any()


@pytest.mark.parametrize("share", [0.0, 0.03, 0.2, 0.9])  # anywhere; where enough is bright; more than there is
def test_training_positions_do_not_depend_on_labels(cohort, share):
    cohort.params.patches.training_places.share = share
    before, cubes = cut(cohort, n=5)
    hu, noise = cubes.image.copy(), np.random.default_rng(1).integers(0, 6, (24, 28, 32)).astype(np.uint8)
    for label in (noise, np.zeros_like(noise)):
        write_scan(cohort.root / cohort.table.label[0], label)
        after, same = cut(cohort, n=5)
        assert before[["z", "y", "x"]].equals(after[["z", "y", "x"]]) and np.array_equal(hu, same.image)
    cohort.table.loc[0, "label"] = ""
    after, cubes = cut(cohort, n=5)
    assert before[["z", "y", "x"]].equals(after[["z", "y", "x"]])
    assert cubes.label is None and after.foreground.isna().all()


def test_a_scan_with_too_little_that_is_bright_is_told(cohort):
    """Its patches hold less than asked for, and the table says so."""
    cohort.params.patches.training_places.share = 0.05
    write_scan(cohort.root / cohort.table.image[1], np.full((24, 28, 32), 40, np.int16))
    train = build(cohort).table("train")
    dark = train.subject == "s1"
    assert dark.sum() == 2 and (train.bright[dark] == 0).all() and (train.bright[~dark] >= 0.05).all()


def test_places_that_scores_are_computed_at_need_bone_not_brightness(cohort):
    before = build(cohort, "a")
    cohort.params.patches.training_places.share = 0.5
    after = build(cohort, "b")
    for split in ("validation", "test"):
        assert before.table(split).equals(after.table(split))
    assert not before.table("train").equals(after.table("train"))


def test_an_unlabelled_scan_is_stored_as_unknown_and_never_labelled(cohort):
    cohort.table.loc[1, "label"] = ""
    store = build(cohort)
    rows = store.table("train").query("subject == 's1'").row.to_numpy()
    assert len(rows) and (store.label["train"][rows] == 255).all() and np.isnan(store.distance[rows]).all()
    assert "s1" not in set(store.subsets.subject)


def test_a_cohort_without_validation_and_test_scans_gives_empty_arrays(cohort):
    cohort.table["split"], cohort.params.patches.count.train = "train", 12
    store = build(cohort)
    for split in ("validation", "test"):
        assert store.image[split].shape == store.label[split].shape == store.region[split].shape == (0, 16, 16, 16)
        assert len(store.table(split)) == 0
    assert len(store.image["train"]) == 12


def test_a_count_of_0_gives_nothing(cohort):
    cohort.params.patches.count.test = 0
    cohort.table.loc[5, "label"] = ""
    store = build(cohort)
    assert store.image["test"].shape == (0, 16, 16, 16) and "s5" not in set(store.patches.subject)


def test_held_out_scans_give_training_and_validation_patches(cohort):
    cohort.table["split"] = "train"
    cohort.table["held_out"] = ["", "0", "1", "", "", ""]
    cohort.params.patches.count = SimpleNamespace(train=12, validation=5, test=2)
    store = build(cohort)
    validation, train = store.table("validation"), store.table("train")
    assert validation.subject.tolist() == ["s1"] * 3 + ["s2"] * 2
    assert validation.held_out.tolist() == [0] * 3 + [1] * 2
    assert train.groupby("subject").held_out.first().fillna(-1).tolist() == [-1, 0, 1, -1, -1, -1]
    assert train.subject.value_counts().eq(2).all()
    assert (validation.foreground >= cohort.params.patches.min_foreground).all()
    label = grid_of(cohort, cohort.table.loc[2].to_dict(), 2.0, [1, 3]).label
    place = tuple(slice(c, c + 16) for c in validation.loc[3, ["z", "y", "x"]])
    assert np.array_equal(store.label["validation"][3], label[place])


def test_training_patches_do_not_depend_on_what_is_held_out(cohort):
    cohort.table["split"], cohort.params.patches.count.train = "train", 12
    before = build(cohort, "a").table("train")
    cohort.table["held_out"] = ["0"] + [""] * 5
    after = build(cohort, "b").table("train")
    same = [name for name in before if name not in ("patch", "held_out")]
    assert before[same].equals(after[same])


def test_positions_are_centred_on_the_body():
    hu = np.full((40, 40, 40), -1000.0, np.float32)
    hu[20:30, 20:30, 20:30] = 0
    settings = SimpleNamespace(edge=8, body_hu=-300, spacing_mm=2.0)
    corners = cutting.positions(Scan(hu, None), 6, settings, 0, np.random.default_rng(0), "s")
    assert ((corners + 4 >= 20) & (corners + 4 < 30)).all()


def test_cubes_stay_inside_the_volume():
    settings, volume = SimpleNamespace(edge=16, body_hu=-300, spacing_mm=1.0), np.zeros((16, 20, 33), np.float32)
    corners = cutting.positions(Scan(volume, None), 8, settings, 0, np.random.default_rng(0), "s")
    assert len(corners) == 8 and (corners >= 0).all() and (corners + 16 <= volume.shape).all()


def test_cubes_overlap_far_less_than_by_chance():
    settings, volume = SimpleNamespace(edge=8, body_hu=-300, spacing_mm=3.0), np.zeros((32, 32, 32), np.float32)
    few, many = (cutting.positions(Scan(volume, None), n, settings, 0, np.random.default_rng(0), "s") for n in (10, 60))
    assert np.array_equal(many[:10], few)
    for chosen in (few, many):
        random = np.random.default_rng(0).integers(0, 25, (50, len(chosen), 3))
        chance = np.array([cutting.overlaps(corners, 8) for corners in random])
        found = cutting.overlaps(chosen, 8)
        assert found.mean() < 0.5 * chance.mean() and found.max() < 0.6 * chance.max(axis=1).mean()


def test_overlap_of_cubes():
    a = np.array([3, 4, 5])
    assert cutting.overlap(a, a, 8) == 1
    assert cutting.overlap(a, a + [8, 0, 0], 8) == 0 == cutting.overlap(a, a - [20, 0, 0], 8)
    assert cutting.overlap(a, a + [4, 4, 0], 8) == 0.25
    assert cutting.overlaps(np.array([a, a, a + 100]), 8).tolist() == [1, 1, 0]
    assert cutting.overlaps(a[None], 8).tolist() == [0]


def test_the_body_is_the_largest_region_without_the_table():
    hu = np.full((20, 40, 40), -1000.0)
    hu[:, 5:25, 5:35], hu[:, 30:32, :] = 0, 100
    body = cutting.body_mask(hu, -300)
    assert body[10, 15, 20] and not body[:, 28:].any()


def test_the_body_is_found_on_any_grid():
    hu = np.full((40, 60, 60), -1000.0, np.float32)
    hu[8:32, 12:48, 12:48] = 0
    for spacing_mm in (0.5, 1.0, 3.0):
        settings = SimpleNamespace(edge=2, body_hu=-300, spacing_mm=spacing_mm)
        centres = 1 + cutting.draw_corners(hu, settings, np.random.default_rng(0), "s")
        low, high = np.array([8, 12, 12]) - 6, np.array([32, 48, 48]) + 6
        assert ((centres >= low) & (centres < high)).all() and (np.ptp(centres, axis=0) > (high - low) / 2).all()


def test_small_scans_are_padded_with_air(cohort):
    hu, label = scan((12, 14, 32))
    write_scan(cohort.root / cohort.table.image[0], hu)
    write_scan(cohort.root / cohort.table.label[0], label)
    table, cubes = cut(cohort)
    assert cubes.image.shape == (3, 16, 16, 16) and (cubes.image[:, 12:] == volumes.AIR_HU).all()
    assert not cubes.label[:, 12:].any() and (table.z == 0).all() and cubes.region is None
    assert cut(cohort, split="test")[1].region.shape == cubes.image.shape


def test_memory_asked_for_grows_with_the_scan(cohort):
    job = cutting.Job(
        0, cohort.table.loc[0].to_dict(), {"train": 1}, cohort.params, cohort.root, cohort.root, cohort.root
    )
    small = cutting.memory_mb(job)
    write_scan(cohort.root / cohort.table.image[0], np.zeros((240, 280, 32), np.int16))
    large = cutting.memory_mb(job)
    assert 50 < small < large < cutting.memory_mb(job._replace(counts={"train": 1, "test": 1})) < 1000


def test_patches_are_shared_out_equally(cohort):
    count = SimpleNamespace(train=10, validation=3, test=1)
    plan = patches.patches_per_scan(cohort.table.assign(held_out=np.nan), count)
    assert plan.sum(axis=1).tolist() == [3, 3, 2, 2, 3, 1] and plan.sum().tolist() == [10, 3, 1]


def test_scores_that_are_not_available_are_not_a_text(store):
    assert store.patches[["deviation_mm", "group"]].isna().all(axis=None)


def test_the_store_gives_what_a_run_may_see(store):
    assert len(store.labelled("2", 0)) == 2 and len(store.labelled("all", 0)) == 8
    assert set(store.labelled("2", 0)) <= set(store.labelled("4", 0))
    image, label, distance = store.training(np.array([3, 1]), torch.device("cpu"))
    assert image.shape == (2, 1, 16, 16, 16) and image.dtype == distance.dtype == torch.float32
    assert label.dtype == torch.uint8 and np.array_equal(label[0].numpy(), store.label["train"][3])


def test_errors_are_counted_in_the_gap_and_around_metal(store):
    rows, truth = np.array([1, 0]), store.label["test"][[1, 0]] == 1
    gap, metal = (store.region["test"][[1, 0]] & bit > 0 for bit in (region_bits.JOINT_GAP, region_bits.METAL))
    for mask in (truth, ~truth, np.ones_like(truth), np.zeros_like(truth)):
        errors = store.region_errors("test", rows, mask)
        assert all(isinstance(value, int) for each in errors for value in each.values())
        found, inside = pd.DataFrame(errors), (1, 2, 3)
        assert found.columns.tolist() == REGION_ERRORS
        assert found.gap_voxels.tolist() == gap.sum(inside).tolist() == store.table("test").gap_voxels[rows].tolist()
        assert found.gap_false.tolist() == (gap & mask).sum(inside).tolist()
        assert found.metal_voxels.tolist() == metal.sum(inside).tolist()
        assert found.metal_wrong.tolist() == (metal & (mask != truth)).sum(inside).tolist()
    assert not pd.DataFrame(store.region_errors("test", rows, truth))[["gap_false", "metal_wrong"]].any(axis=None)
    assert store.region_errors("test", rows[:0], truth[:0]) == []


def test_writing_twice_is_the_same(tmp_path, params):
    a, b = write_balls(tmp_path / "a", params), write_balls(tmp_path / "b", params)
    assert all((b / path.name).read_bytes() == path.read_bytes() for path in a.iterdir())


def wrong_subsets(cohort):
    cohort.params.patches.subsets = {4: 9, 8: 2}


def no_training(cohort):
    cohort.table["split"], cohort.params.patches.subsets = "test", {}


def unlabelled_held_out_scan(cohort):
    cohort.table["held_out"] = ["0", "", "", "", "", ""]
    cohort.table.loc[0, "label"] = ""


def lost_image(cohort):
    (cohort.root / cohort.table.image[0]).unlink()


def too_few_patches(cohort):
    cohort.params.patches.count.train = 3


def unlabelled_test_scan(cohort):
    cohort.table.loc[5, "label"] = ""


def no_hounsfield(cohort):
    write_scan(cohort.root / cohort.table.image[0], np.full((24, 28, 32), -900, np.int16))


def no_bone(cohort):
    write_scan(cohort.root / cohort.table.label[4], np.zeros((24, 28, 32), np.uint8))


@pytest.mark.parametrize(("spoil", "said"), [
    (wrong_subsets, r"4 patches of 9 scans, only 4 training scans .*2 scans have no 8 patches"),
    (no_training, r"no scan in the split 'train'; raise cohort\.subjects\.train"),
    (unlabelled_held_out_scan, r"s0: a scan that gives validation or test patches needs a label"),
    (lost_image, r"s0\.nii\.gz: no such file"),
    (too_few_patches, r"patches\.count\.train = 3 gives nothing to some of the 4 scans"),
    (unlabelled_test_scan, r"s5: a scan that gives validation or test patches needs a label"),
    (no_hounsfield, r"s0: no voxel above patches\.body_hu"),
    (no_bone, r"s4: no patch with 1% foreground found"),
])  # fmt: skip
def test_what_does_not_fit_is_told_and_nothing_is_written(cohort, spoil, said):
    spoil(cohort)
    with pytest.raises(UserError, match=said):
        build(cohort)
    assert not (cohort.root / "data" / "patches").exists()


def candidates(groups: list) -> pd.DataFrame:
    """A training patch and as many test candidates as groups, of two scans in turn."""
    test = pd.DataFrame({"split": "test", "group": groups, "place": [i // 2 for i in range(len(groups))]})
    return pd.concat([pd.DataFrame({"split": ["train"], "group": [np.nan], "place": [0]}), test], ignore_index=True)


def test_of_the_candidates_each_group_gives_as_many_test_patches(params):
    params.patches.count.test, table = 12, candidates([0] * 20 + [1] * 9 + [5] + [np.nan] * 4)
    kept = patches.choose_test(table, params)
    assert kept[kept.split == "test"].group.value_counts().to_dict() == {0: 2, 1: 2, 5: 1}
    assert (kept.split == "train").sum() == 1


def test_without_deviation_the_first_patches_of_each_scan_are_tested(params):
    params.patches.count.test, table = 6, candidates([np.nan] * 20)
    kept = patches.choose_test(table, params)
    assert kept[kept.split == "test"].place.tolist() == [0, 0, 1, 1, 2, 2]


def test_only_the_chosen_candidates_are_stored(cohort):
    cohort.params.patches.count.test = 3
    few = build(cohort, "few")
    cohort.params.patches.test_candidates = 5
    many = build(cohort, "many")
    assert np.array_equal(few.label["test"], many.label["test"]) and len(many.table("test")) == 3
