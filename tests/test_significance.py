"""Significance: patches and scans are counted, and Holm's correction keeps its promises."""

import made_runs
import numpy as np
import pandas as pd
import pytest
from made_runs import TRAIN

from ssl_hip.reporting import significance, tables

NO_BAR = pd.DataFrame(columns=["patch", "subject", "iou", "hd95_mm", "threshold_hu"])


@pytest.fixture
def scores(tmp_path):
    return tables.reported(tables.only(made_runs.read(tmp_path), tables.grid(TRAIN)))


def test_holm_by_hand():
    """Smallest p times 4, the next times 3, ...; never below the one before, never above 1."""
    p = pd.Series([0.04, 0.01, 0.03, 0.6], index=list("abcd"))
    assert np.allclose(significance.holm(p)[list("bcad")], [0.04, 0.09, 0.09, 0.6])


@pytest.mark.parametrize("number", [1, 2, 7, 20])
def test_holm_never_helps_keeps_the_order_and_stays_a_probability(number):
    p = pd.Series(np.random.default_rng(number).uniform(0, 1, number) ** 3)
    corrected = significance.holm(p)
    assert (corrected >= p).all() and corrected.max() <= 1
    assert corrected[p.sort_values().index].is_monotonic_increasing
    assert corrected.min() == pytest.approx(min(1, number * p.min()))  # as Bonferroni


def test_one_test_needs_no_correction():
    assert significance.holm(pd.Series([0.03])).tolist() == [0.03]


def test_holm_does_not_count_what_is_missing():
    p = pd.Series([np.nan, 0.02, 0.01, np.nan])
    corrected = significance.holm(p)
    assert corrected.isna().tolist() == p.isna().tolist() and np.allclose(corrected.dropna(), [0.02, 0.02])
    assert significance.holm(p[p.isna()]).isna().all() and significance.holm(p[:0]).empty


def test_significance_counts_patches_and_scans(scores):
    tests = significance.wilcoxon(scores, "embedding_matching")
    assert tests.groupby("unit").n.first().to_dict() == {"patch": 12, "scan": 4}
    assert set(tests.rival) == {"supervised", "supervised_ema"} and tests.p.between(0, 1).all()
    assert len(tests) == 2 * 2 * 2 and (tests.p_holm >= tests.p).all()


def test_a_difference_is_of_means_and_changes_its_sign_with_the_sides(scores):
    ours, theirs = (scores[scores.method == name] for name in ("embedding_matching", "supervised"))
    there, back = significance.compare(ours, theirs), significance.compare(theirs, ours)
    assert np.allclose(there.difference, -back.difference) and np.allclose(there.p, back.p)
    assert there.difference[0] == pytest.approx(ours.iou.mean() - theirs.iou.mean())


def test_nothing_differs_from_itself_and_only_common_patches_count(scores):
    same = significance.compare(scores, scores)
    assert (same.difference == 0).all() and same.p.isna().all()
    part = significance.compare(scores, scores[scores.patch < 5])
    assert part.set_index(["metric", "unit"]).n.to_dict()["iou", "patch"] == 5


def test_only_draws_that_both_have_are_compared(scores):
    """A rival that lacks a hard draw is not better for it."""
    one = pd.concat([scores.assign(draw=0), scores.assign(draw=1, iou=scores.iou - 0.3, hd95_mm=scores.hd95_mm + 9)])
    fewer = one[(one.method == "embedding_matching") | (one.draw == 0)]
    expected, found = (significance.wilcoxon(each, "embedding_matching") for each in (scores.assign(draw=0), fewer))
    pd.testing.assert_frame_equal(found, expected)


def test_families_are_corrected_apart(scores):
    """The same method at another subset neither counts as a rival nor among the tests."""
    both = pd.concat([scores, scores[scores.method != "ceiling"].assign(labelled_patches="9")])
    alone = significance.wilcoxon(scores, "embedding_matching")
    twice = significance.wilcoxon(both, "embedding_matching")
    assert len(twice) == 2 * len(alone) and np.allclose(twice.p_holm[: len(alone)], alone.p_holm)


def above(scores):
    """Against a bar that is .1 IoU below and 1 mm above the ceiling, patch by patch."""
    bar = scores[scores.method == "ceiling"]
    return significance.against_threshold(scores, bar.assign(iou=bar.iou - 0.1, hd95_mm=bar.hd95_mm + 1))


def test_rows_stand_as_far_above_the_threshold_as_they_are(scores):
    table = above(scores).set_index("method")
    assert list(table.index) == ["supervised", "supervised_ema", "embedding_matching", "ceiling"]
    assert np.allclose(table.loc["ceiling", ["iou_difference", "hd95_difference_mm"]].astype(float), [0.1, -1.0])
    assert np.isclose(table.iou_p["ceiling"], 0.125)  # 2 / 2^4: four scans, all on one side


def test_without_test_patches_a_threshold_has_no_p(scores):
    """Scores of held-out validation patches, no threshold on them: differences are empty, nothing breaks."""
    table = significance.against_threshold(scores, NO_BAR)
    assert len(table) == 4 and table[["iou_difference", "iou_p"]].isna().all(axis=None)


def test_without_scores_nothing_is_compared(tmp_path):
    scores = tables.reported(made_runs.read(tmp_path, scored=False))
    tests, bar = significance.wilcoxon(scores, "embedding_matching"), significance.against_threshold(scores, NO_BAR)
    assert tests.empty and bar.empty and {"p", "p_holm"} <= set(tests) and "iou_p" in bar
