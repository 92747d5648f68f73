"""Ablations: each variant stands in the table of what it changes, beside the base at the same draws."""

from types import SimpleNamespace

import made_runs
import numpy as np
import pytest
from made_runs import ABLATIONS, BASE, TRAIN, VARIANTS

from ssl_hip.reporting import ablations, tables

SETTINGS = ablations.settings(BASE, VARIANTS, ABLATIONS.variants)


@pytest.fixture
def everything(tmp_path):
    return made_runs.read(tmp_path)


@pytest.fixture
def compared(everything):
    return tables.only(everything, ablations.compared(TRAIN, ABLATIONS))


def test_the_base_is_compared_at_the_draws_of_the_variants_only():
    train = SimpleNamespace(**vars(TRAIN) | {"draws": [0, 1, 2], "labelled_patches": [4, 9]})
    base = [run for run in ablations.compared(train, ABLATIONS) if run[0] == ablations.BASE]
    assert base == [(ablations.BASE, "4", 0), (ablations.BASE, "4", 1)]
    assert not set(ablations.grid(ABLATIONS)) & set(tables.grid(train))
    without = SimpleNamespace(**vars(TRAIN) | {"methods": ["supervised"]})
    assert ablations.compared(without, ABLATIONS) == ablations.grid(ABLATIONS)


def test_each_variant_stands_in_the_table_of_what_it_changes(compared):
    assert ablations.table2(compared, SETTINGS).variant.tolist() == [ablations.BASE, "ua"]
    assert ablations.table3(compared, SETTINGS).variant.tolist() == [ablations.BASE, "cosine_max", "euclidean_max"]
    others = ablations.other_variants(compared, SETTINGS)
    assert others.variant.tolist() == [ablations.BASE, "more_passes"] and others.changes.tolist() == ["", "passes: 8"]


def test_settings_in_effect_are_shown(compared):
    assert ablations.table2(compared, SETTINGS).terms.tolist() == ["L_UA + L_NN + L_EN", "L_UA"]
    table = ablations.table3(compared, SETTINGS)
    assert table[ablations.SIMILARITY].to_numpy().tolist() == [
        ["cosine", "mean"], ["cosine", "max"], ["euclidean", "max"]
    ]  # fmt: skip


def test_the_base_has_the_scores_of_table_1(everything, compared):
    full = tables.summary(tables.only(everything, tables.grid(TRAIN))).set_index("method").loc[ablations.BASE]
    for table in (ablations.table2(compared, SETTINGS), ablations.table3(compared, SETTINGS)):
        columns = ["draws", "patches", "iou_mean", "iou_sd", "hd95_mean_mm", "missed", "collapsed"]
        assert table.loc[0, columns].tolist() == full[columns].tolist()


def test_variants_are_tested_against_the_base_within_their_table(compared):
    """Two tests of a kind in Table 3, one in Table 2, which needs no correction."""
    for table, number in ((ablations.table2(compared, SETTINGS), 1), (ablations.table3(compared, SETTINGS), 2)):
        assert table.loc[0, ablations.TESTS].isna().all() and len(table) == number + 1
        assert table.loc[1:, ablations.TESTS].apply(lambda p: p.between(0, 1)).all(axis=None)
    names = [ablations.BASE, "ua"]
    alone = ablations.against_base(tables.reported(compared)[lambda scores: scores.method.isin(names)])
    assert np.allclose(
        alone[ablations.TESTS], ablations.table2(compared, SETTINGS).loc[1:, ablations.TESTS].astype(float)
    )


def test_the_best_is_of_the_rows_shown(compared):
    for table in (ablations.table2(compared, SETTINGS), ablations.table3(compared, SETTINGS)):
        assert table.best_iou[table.iou_mean.idxmax()] == "*" and (table.best_iou == "*").sum() == 1
        assert table.best_hd95[table.hd95_mean_mm.idxmin()] == "*" and (table.best_hd95 == "*").sum() == 1


def test_the_papers_figures_stand_beside_the_terms_they_are_of(compared):
    fifty = tables.Runs(*(table.replace({"labelled_patches": {"4": "50"}}) for table in compared))
    table2, table3 = ablations.table2(fifty, SETTINGS), ablations.table3(fifty, SETTINGS)
    assert table2.paper_iou.tolist() == [0.929, 0.918] and table2.paper_hd95_mm.tolist() == [3.30, 6.39]
    assert table3.paper_hd95_mm.tolist() == [3.30, 3.63, 3.67]


def test_tables_are_made_without_scores_without_variants_and_without_the_base(compared, tmp_path):
    unscored = tables.only(made_runs.read(tmp_path / "bare", scored=False), ablations.compared(TRAIN, ABLATIONS))
    only_base = tables.only(compared, ablations.compared(TRAIN, SimpleNamespace(**vars(ABLATIONS) | {"variants": []})))
    only_variants = tables.only(compared, ablations.grid(ABLATIONS))
    for make in (ablations.table2, ablations.table3, ablations.other_variants):
        full, bare = make(compared, SETTINGS), make(unscored, SETTINGS)
        assert list(bare) == list(full) and bare.variant.equals(full.variant)
        assert bare[["iou_mean", *ablations.TESTS]].isna().all(axis=None)
        assert make(only_base, ablations.settings(BASE, VARIANTS, [])).variant.tolist() == [ablations.BASE]
        assert make(only_variants, SETTINGS)[ablations.TESTS].isna().all(axis=None)
        assert list(make(tables.only(compared, []), SETTINGS)) == list(full)
