"""Difficulty: a patch counts under everything that makes it hard, regions by their voxels."""

import made_runs
import numpy as np
import pandas as pd
import pytest
from made_runs import TRAIN

from ssl_hip.reporting import difficulty, tables

PATCHES = pd.DataFrame(
    {"patch": range(12), "group": [0] * 5 + [4] * 4 + [np.nan] * 3, "metal_voxels": [9, 1, 0] + [0] * 8 + [np.nan]}
)


@pytest.fixture
def runs(tmp_path):
    return tables.only(made_runs.read(tmp_path), tables.grid(TRAIN))


@pytest.fixture
def unscored(tmp_path):
    return tables.only(made_runs.read(tmp_path / "unscored", scored=False), tables.grid(TRAIN))


def plain(runs, method="embedding_matching"):
    return runs.scores[(runs.scores.method == method) & (runs.scores.network == "student")]


def test_scores_by_group_are_means_over_the_patches_of_a_group(runs):
    row = (
        difficulty.by_difficulty(runs, PATCHES).set_index(["method", "difficulty"]).loc["embedding_matching", "group 4"]
    )
    scores = plain(runs)
    draws = scores[scores.patch.between(5, 8)].groupby("draw").hd95_mm.mean()
    assert row.patches == 4 and row.draws == 2
    assert np.isclose(row.hd95_mean_mm, draws.mean()) and np.isclose(row.hd95_sd_mm, draws.std())


def test_a_patch_counts_in_its_group_and_by_its_metal(runs):
    table = difficulty.by_difficulty(runs, PATCHES)
    assert table.difficulty.unique().tolist() == ["group 0", "group 4", "metal", "no metal"]
    counts = table[table.method == "ceiling"].set_index("difficulty").patches
    assert counts.to_dict() == {"group 0": 5, "group 4": 4, "metal": 2, "no metal": 9}
    assert set(table.method) == {"supervised", "supervised_ema", "embedding_matching", "ceiling"}


def test_without_groups_metal_or_scores_the_table_is_empty_but_made(runs, unscored):
    full = difficulty.by_difficulty(runs, PATCHES)
    unknown = difficulty.by_difficulty(runs, PATCHES.assign(group=np.nan, metal_voxels=np.nan))
    for table in (unknown, difficulty.by_difficulty(unscored, PATCHES)):
        assert table.empty and list(table) == list(full)


def test_a_regions_error_is_the_share_of_all_its_voxels(runs):
    row = difficulty.regions(runs).set_index("method").loc["embedding_matching"]
    sums = plain(runs).groupby("draw")[["gap_false", "gap_voxels"]].sum()
    shares = sums.gap_false / sums.gap_voxels
    assert row.gap_voxels == 10 * 66 and row.metal_voxels == 150
    assert np.isclose(row.gap_false_mean, shares.mean()) and np.isclose(row.gap_false_sd, shares.std())
    assert np.isclose(row.metal_wrong_mean, (15 + 18) / 2 / 150)


def test_patches_without_a_joint_gap_do_not_count_and_nowhere_means_empty(runs):
    nowhere = runs.scores.assign(gap_voxels=np.nan, gap_false=np.nan, metal_voxels=0, metal_wrong=0)
    table = difficulty.regions(runs._replace(scores=nowhere))
    assert table[["gap_voxels", "gap_false_mean", "metal_wrong_mean"]].isna().all(axis=None)
    assert (table.metal_voxels == 0).all()
    first = runs.scores.patch == 0  # has no voxels of the gap anyway
    partly = runs.scores.assign(
        gap_voxels=runs.scores.gap_voxels.mask(first), gap_false=runs.scores.gap_false.mask(first)
    )
    assert difficulty.regions(runs._replace(scores=partly)).equals(difficulty.regions(runs))


def test_every_row_of_table_1_is_in_the_regions(runs, unscored):
    for table in (difficulty.regions(runs), difficulty.regions(unscored)):
        assert table[tables.ROW].equals(tables.summary(runs)[tables.ROW])
    assert difficulty.regions(unscored).gap_false_mean.isna().all()
