"""Tables: they read exactly the grid, count draws rightly, and agree with a plain re-statement."""

import json

import made_runs
import numpy as np
import pandas as pd
import pytest
from made_runs import TRAIN

from ssl_hip.config import UserError
from ssl_hip.metrics import NOT_AVAILABLE
from ssl_hip.reporting import figures, tables

SUBSETS = pd.DataFrame({"draw": [0, 0, 1], "labelled_patches": 4, "patch": [1, 2, 3], "subject": ["a", "b", "a"]})
SCANS = tables.labelled_scans(SUBSETS)


@pytest.fixture
def runs(tmp_path):
    everything = made_runs.read(tmp_path)
    return tables.only(everything, tables.grid(TRAIN))


def test_means_and_spreads_are_those_of_the_runs(tmp_path):
    runs = tables.only(made_runs.read(tmp_path), tables.grid(made_runs.TRAIN))
    each, table = tables.by_run(runs, 7), tables.summary(runs).set_index(tables.ROW)
    assert (each.seed == 7 + each.draw).all() and not each.duplicated(tables.RUN).any()
    groups = each.groupby(tables.ROW)
    for column, mean, sd in (("iou", "iou_mean", "iou_sd"), ("hd95_mm", "hd95_mean_mm", "hd95_sd_mm")):
        assert np.allclose(groups[column].mean(), table[mean].reindex(groups[column].mean().index))
        assert np.allclose(groups[column].std(), table[sd].reindex(groups[column].std().index), equal_nan=True)
    assert tables.by_run(made_runs.read(tmp_path / "unscored", scored=False), 0).iou.isna().all()


def test_names_of_scans_that_look_like_numbers_stay_texts(tmp_path):
    made_runs.write(tmp_path, "supervised", 4, 0)
    path = tmp_path / "supervised-4-0" / "scores.csv"
    path.write_text(path.read_text().replace("t0", "001").replace("t1", "1"))
    scores = tables.read_runs(tmp_path, [("supervised", "4", 0)]).scores
    assert set(scores.subject) == {"001", "1", "t2", "t3"}


def test_without_scores_every_row_stays_and_says_nothing(runs, tmp_path):
    """Runs whose scans have no label to score by: the tables hold their rows, and all goes on."""
    unscored = tables.only(made_runs.read(tmp_path / "unscored", scored=False), tables.grid(TRAIN))
    bare, full = (tables.table1(table, SCANS) for table in (unscored, runs))
    assert bare[[*tables.ROW, "draws", "collapsed"]].equals(full[[*tables.ROW, "draws", "collapsed"]])
    assert bare[["patches", "iou_mean", "hd95_mean_mm"]].isna().all(axis=None)
    assert set(bare.best_iou) | set(bare.best_hd95) == {""}
    tables.write(tmp_path / "results", {"table1": bare}, unscored)
    assert json.loads((tmp_path / "results" / "metrics.json").read_text()) == {}
    assert figures.label_efficiency(bare).data == ()
    drawn = figures.curves(unscored.validation, "hd95_mm", "HD95")
    assert drawn.data == () and NOT_AVAILABLE in [note.text for note in drawn.layout.annotations]


def test_only_the_grid_is_read(tmp_path):
    for run in [*tables.grid(TRAIN), ("uamt", 4, 0)]:  # the last is left over from an earlier grid
        made_runs.write(tmp_path, *run)
    scores = tables.read_runs(tmp_path, tables.grid(TRAIN)).scores
    assert set(scores.method) == {"supervised", "embedding_matching", "ceiling"}


def test_of_all_runs_only_the_chosen_ones_are_kept(runs):
    kept = tables.only(runs, [("supervised", "4", 1)])
    assert all(set(tables.run_name(table)) == {"supervised-4-1"} for table in kept)
    assert all(table.empty for table in tables.only(runs, []))


def test_a_missing_run_is_named(tmp_path):
    made_runs.write(tmp_path, "supervised", 4, 0)
    with pytest.raises(UserError, match=r"supervised-4-1, embedding_matching-4-0.*dvc repro"):
        tables.read_runs(tmp_path, tables.grid(TRAIN))


def test_rows_go_by_labels_then_by_method_as_in_the_parameters(tmp_path):
    train = made_runs.SimpleNamespace(**vars(TRAIN) | {"labelled_patches": [150, 50]})
    for run in tables.grid(train):
        made_runs.write(tmp_path, *run)
    table = tables.summary(tables.read_runs(tmp_path, tables.grid(train)))
    methods = ["supervised", "supervised_ema", "embedding_matching"]
    assert table.method.tolist() == [*methods, *methods, "ceiling"]
    assert table.labelled_patches.tolist() == ["50"] * 3 + ["150"] * 3 + ["all"]


def test_table_1_is_the_mean_over_draws_of_the_mean_over_patches(runs):
    table = tables.table1(runs, SCANS).set_index("method")
    student = runs.scores[runs.scores.network == "student"]
    means = student[student.method == "supervised"].groupby("draw").hd95_mm.mean()
    assert table.hd95_mean_mm["supervised"] == pytest.approx(means.mean())
    assert table.hd95_sd_mm["supervised"] == pytest.approx(means.std())
    assert np.isnan(table.hd95_sd_mm["ceiling"]) and table.draws["ceiling"] == 1
    assert table.missed["supervised"] == 1 and set(table.patches) == {made_runs.PATCHES}
    assert table.labelled_scans["supervised"] == 2
    assert table.collapsed["embedding_matching"] == 1 and table.collapsed["supervised"] == 0


def test_the_best_of_each_labelled_subset_is_marked_and_the_ceiling_never():
    rows = [("a", "4", 0.7, 3.0), ("b", "4", 0.8, 4.0), ("c", "4", 0.8, np.nan), ("a", "9", 0.6, 5.0)]
    table = pd.DataFrame([*rows, ("ceiling", "all", 0.9, 1.0)], columns=[*tables.ROW, "iou_mean", "hd95_mean_mm"])
    marked = tables.mark_best(table)
    assert marked.best_iou.tolist() == ["", "*", "*", "*", ""]
    assert marked.best_hd95.tolist() == ["*", "", "", "*", ""]


def test_the_papers_figures_stand_beside_the_same_subset_only(runs):
    renamed = runs._replace(info=runs.info.replace({"labelled_patches": {"4": "50"}}))
    table = tables.table1(renamed, {50: 2}).set_index("method")
    assert table.paper_iou["embedding_matching"] == 0.929 and table.paper_hd95_mm["supervised"] == 9.45
    assert table.paper_iou["ceiling"] == 0.948 and np.isnan(table.paper_iou["supervised_ema"])
    other = tables.table1(runs, SCANS).query("method != 'ceiling'")
    assert other[["paper_iou", "paper_hd95_mm"]].isna().all(axis=None)


def test_the_baselines_average_is_a_row_of_its_own(runs):
    table = tables.table1(runs, SCANS).set_index("method")
    teacher = runs.scores[(runs.scores.network == "teacher") & (runs.scores.method == "supervised")]
    assert table.iou_mean["supervised_ema"] == pytest.approx(teacher.groupby("draw").iou.mean().mean())


def test_files_are_written(runs, tmp_path):
    tables.write(tmp_path / "results", {"table1": tables.table1(runs, SCANS)}, runs)
    numbers = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert numbers["ceiling"]["all"]["iou"] > 0
    assert len(pd.read_csv(tmp_path / "results" / "curves.csv")) == 10
