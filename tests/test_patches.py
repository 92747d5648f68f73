"""Patches: where they are cut, what is stored, and that labels have no say in training."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from conftest import write_balls

from ssl_hip import patches, volumes
from ssl_hip.config import UserError
from ssl_hip.patch_store import PatchStore
from ssl_hip.patches import Scan

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
        rows.append(
            {"subject": f"s{i}", "split": split, "image": names[0], "label": names[1], "metal": 0, "tags": "a;b"}
        )
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "data" / "cohort.csv", index=False)
    params.cohort.foreground, params.patches.spacing_mm = [1, 3], 2.0
    return SimpleNamespace(csv=tmp_path / "data" / "cohort.csv", table=table, root=tmp_path, params=params)


def build(cohort, name="patches") -> PatchStore:
    patches.build(cohort.params, cohort.csv, cohort.root / "data" / name)
    return PatchStore(cohort.root / "data" / name)


def cut(cohort, i=0, n=3):
    return patches.cut_scan((cohort.table.loc[i].to_dict(), n, cohort.params, cohort.root, i))


def test_a_folder_of_patches_keeps_its_contract(cohort):
    store = build(cohort)
    counts = {"train": 8, "validation": 2, "test": 2}
    for split, n in counts.items():
        assert store.image[split].shape == store.label[split].shape == (n, 16, 16, 16)
        assert store.image[split].dtype == np.float16 and set(np.unique(store.label[split])) <= {0, 1}
        assert np.isfinite(store.image[split]).all() and store.table(split).row.tolist() == list(range(n))
    train = store.image["train"].astype(np.float64)
    assert train.mean() == pytest.approx(0, abs=2e-3) and train.std() == pytest.approx(1, abs=2e-3)
    assert store.distance.dtype == np.float16 and store.patches.patch.tolist() == list(range(12))
    assert (store.table("validation").foreground >= cohort.params.patches.min_foreground).all()
    assert store.patches.groupby("subject").split.nunique().max() == 1
    assert store.patches.subject.unique().tolist() == [f"s{i}" for i in range(6)]


def test_building_again_gives_the_same_bytes(cohort):
    build(cohort, "a"), build(cohort, "b")
    files = sorted(path.name for path in (cohort.root / "data" / "a").iterdir())
    assert len(files) == 10
    assert all(
        (cohort.root / "data" / "a" / f).read_bytes() == (cohort.root / "data" / "b" / f).read_bytes() for f in files
    )


def test_what_is_stored_is_what_stands_at_the_place(cohort):
    store = build(cohort)
    rows = store.table("train")
    stored = patches.read_scan(cohort.table.loc[0].to_dict(), cohort.root, 2.0, [1, 3])
    for row in rows[rows.subject == "s0"].itertuples():
        cube = tuple(slice(c, c + 16) for c in (row.z, row.y, row.x))
        assert np.array_equal(store.label["train"][row.row], stored.label[cube])
        scaled = store.normalization.apply(stored.hu[cube])
        np.testing.assert_allclose(store.image["train"][row.row], scaled, rtol=1e-3, atol=1e-3)


def test_a_coarse_voxel_is_bone_where_half_of_it_is(cohort):
    label = np.zeros((24, 28, 32), np.uint8)
    label[:, :, :15] = 1  # 30 mm of bone: the coarse grid's voxels of 8 mm are whole but for the one it ends in
    write_scan(cohort.root / cohort.table.label[0], label)
    coarse = patches.read_scan(cohort.table.loc[0].to_dict(), cohort.root, 8.0, [1]).label
    assert coarse.shape == (6, 7, 8)
    assert coarse[:, :, :4].all() and not coarse[:, :, 4:].any()


def test_training_positions_do_not_depend_on_labels(cohort):
    before, hu, _ = cut(cohort, n=5)
    noise = np.random.default_rng(1).integers(0, 6, (24, 28, 32)).astype(np.uint8)
    for label in (noise, np.zeros_like(noise)):
        write_scan(cohort.root / cohort.table.label[0], label)
        after, same, _ = cut(cohort, n=5)
        assert before[["z", "y", "x"]].equals(after[["z", "y", "x"]]) and np.array_equal(hu, same)
    cohort.table.loc[0, "label"] = ""
    after, _, label = cut(cohort, n=5)
    assert before[["z", "y", "x"]].equals(after[["z", "y", "x"]])
    assert (label == 255).all() and after.foreground.isna().all()


def test_an_unlabelled_scan_is_stored_as_unknown_and_never_labelled(cohort):
    cohort.table.loc[1, "label"] = ""
    cohort.table.to_csv(cohort.csv, index=False)
    store = build(cohort)
    rows = store.table("train").query("subject == 's1'").row.to_numpy()
    assert (store.label["train"][rows] == 255).all() and np.isnan(store.distance[rows]).all()
    assert "s1" not in set(store.subsets.subject)


def test_positions_are_centred_on_the_body():
    hu = np.full((40, 40, 40), -1000.0, np.float32)
    hu[20:30, 20:30, 20:30] = 0
    settings = SimpleNamespace(size=8, body_hu=-300, min_foreground=0)
    corners = patches.positions(Scan(hu, None), 6, settings, 0, np.random.default_rng(0), "s")
    assert ((corners + 4 >= 20) & (corners + 4 < 30)).all()


def test_cubes_stay_inside_the_volume():
    settings = SimpleNamespace(size=16, body_hu=-300, min_foreground=0)
    corners = patches.positions(
        Scan(np.zeros((16, 20, 33), np.float32), None), 8, settings, 0, np.random.default_rng(0), "s"
    )
    assert (corners >= 0).all() and (corners + 16 <= (16, 20, 33)).all()


def test_cubes_overlap_less_than_by_chance():
    settings, volume = SimpleNamespace(size=8, body_hu=-300), np.zeros((32, 32, 32), np.float32)
    chosen = patches.positions(Scan(volume, None), 10, settings, 0, np.random.default_rng(0), "s")
    random = np.random.default_rng(0).integers(0, 25, (200, 10, 3))
    assert patches.overlaps(chosen, 8).mean() < 0.5 * np.mean(
        [patches.overlaps(corners, 8).mean() for corners in random]
    )


def test_overlap_of_cubes():
    a = np.array([3, 4, 5])
    assert patches.overlap(a, a, 8) == 1
    assert patches.overlap(a, a + [8, 0, 0], 8) == 0 == patches.overlap(a, a - [20, 0, 0], 8)
    assert patches.overlap(a, a + [4, 4, 0], 8) == 0.25
    assert patches.overlaps(np.array([a, a, a + 100]), 8).tolist() == [1, 1, 0]
    assert patches.overlaps(a[None], 8).tolist() == [0]


def test_the_body_is_the_largest_region_without_the_table():
    hu = np.full((20, 40, 40), -1000.0)
    hu[:, 5:25, 5:35], hu[:, 30:32, :] = 0, 100
    body = patches.body_mask(hu, -300)
    assert body[10, 15, 20] and not body[:, 28:].any()


def test_small_scans_are_padded_with_air(cohort):
    hu, label = scan((12, 14, 32))
    write_scan(cohort.root / cohort.table.image[0], hu)
    write_scan(cohort.root / cohort.table.label[0], label)
    table, cubes, labels = cut(cohort)
    assert cubes.shape == (3, 16, 16, 16) and (cubes[:, 12:] == volumes.AIR_HU).all() and not labels[:, 12:].any()
    assert (table.z == 0).all()


def test_distances_are_signed_millimetres():
    label = np.zeros((3, 8, 8, 8), np.uint8)
    label[0, 2:7, 2:7, 2:7], label[2] = 1, 255
    found = patches.distances(label, 2.0)
    assert found[0, 4, 4, 4] < 0 < found[0, 0, 0, 0] and found[0, 4, 4, 0] == pytest.approx(4, abs=2)
    assert np.isnan(found[1:]).all()


def test_patches_are_shared_out_equally(cohort):
    count = SimpleNamespace(train=10, validation=3, test=1)
    assert patches.patches_per_scan(cohort.table, count) == [3, 3, 2, 2, 3, 1]


def test_the_store_gives_what_a_run_may_see(store):
    assert len(store.labelled("2", 0)) == 2 and len(store.labelled("all", 0)) == 8
    assert set(store.labelled("2", 0)) <= set(store.labelled("4", 0))
    image, label, distance = store.training(np.array([3, 1]), torch.device("cpu"))
    assert image.shape == (2, 1, 16, 16, 16) and image.dtype == distance.dtype == torch.float32
    assert label.dtype == torch.uint8 and np.array_equal(label[0].numpy(), store.label["train"][3])


def test_writing_twice_is_the_same(tmp_path, params):
    a, b = write_balls(tmp_path / "a", params), write_balls(tmp_path / "b", params)
    assert all((b / path.name).read_bytes() == path.read_bytes() for path in a.iterdir())


def wrong_subsets(cohort):
    cohort.params.patches.subsets = {4: 9, 8: 2}


def no_validation(cohort):
    cohort.table.loc[4, "split"] = "train"


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
    (no_validation, r"no scan in the split 'validation'; raise cohort\.subjects\.validation"),
    (too_few_patches, r"patches\.count\.train = 3 gives nothing to some of the 4 scans"),
    (unlabelled_test_scan, r"s5: a scan of the split 'test' needs a label"),
    (no_hounsfield, r"s0: no voxel above patches\.body_hu"),
    (no_bone, r"s4: no patch with 1% foreground found"),
])  # fmt: skip
def test_what_does_not_fit_is_told_and_nothing_is_written(cohort, spoil, said):
    spoil(cohort)
    cohort.table.to_csv(cohort.csv, index=False)
    with pytest.raises(UserError, match=said):
        build(cohort)
    assert not (cohort.root / "data" / "patches").exists()
