"""Tables: they read exactly the grid, count draws rightly, and agree with a plain re-statement."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ssl_hip.config import UserError
from ssl_hip.metrics import NOT_AVAILABLE
from ssl_hip.reporting import figures, tables

TRAIN = SimpleNamespace(
    methods=["supervised", "embedding_matching"], labelled_patches=[4], draws=[0, 1], ceiling_draws=[0]
)
SUBSETS = pd.DataFrame({"draw": [0, 0, 1], "labelled_patches": 4, "patch": [1, 2, 3], "subject": ["a", "b", "a"]})


def write_run(folder, method, labelled, draw, status="finished"):
    run = folder / f"{method}-{labelled}-{draw}"
    run.mkdir(parents=True)
    rng = np.random.default_rng([len(method), draw])
    patches = np.arange(12)
    scores = pd.concat(
        pd.DataFrame(
            {
                "method": method, "labelled_patches": labelled, "draw": draw, "network": network, "split": "test",
                "patch": patches, "subject": [f"t{i // 3}" for i in patches], "iou": rng.uniform(0.5, 1, 12),
                "hd95_mm": rng.uniform(1, 9, 12), "missed": patches == 0, "false_alarm": 0,
            }
        )
        for network in ("student", "teacher")
    )  # fmt: skip
    scores.astype({"missed": int}).to_csv(run / "scores.csv", index=False)
    pd.DataFrame({"iteration": [1, 2], "loss": [1.0, 0.5]}).to_csv(run / "history.csv", index=False)
    pd.DataFrame({"iteration": [1, 2], "iou": [0.1, 0.2], "hd95_mm": [9.0, 8.0]}).to_csv(
        run / "validation.csv", index=False
    )
    info = {"status": status, "iterations": 2, "kept_iteration": 2, "network": "student"}
    (run / "run.json").write_text(json.dumps(info))
    return scores


@pytest.fixture
def runs(tmp_path):
    for method, labelled, draw in tables.grid(TRAIN):
        write_run(
            tmp_path, method, labelled, draw, "collapsed" if (method, draw) == ("embedding_matching", 1) else "finished"
        )
    write_run(tmp_path, "uamt", 4, 0)  # left over from an earlier grid
    return tables.read_runs(tmp_path, tables.grid(TRAIN))


def test_names_of_scans_that_look_like_numbers_stay_texts(tmp_path):
    write_run(tmp_path, "supervised", 4, 0)
    path = tmp_path / "supervised-4-0" / "scores.csv"
    path.write_text(path.read_text().replace("t0", "001").replace("t1", "1"))
    scores = tables.read_runs(tmp_path, [("supervised", "4", 0)]).scores
    assert set(scores.subject) == {"001", "1", "t2", "t3"}


def above(runs):
    """Against a bar that is .1 IoU below and 1 mm above the first draw of the ceiling, patch by patch."""
    bar = runs.scores[(runs.scores.method == "ceiling") & (runs.scores.network == "student")]
    return tables.against_threshold(runs, bar.assign(iou=bar.iou - 0.1, hd95_mm=bar.hd95_mm + 1))


def test_rows_stand_as_far_above_the_threshold_as_they_are(runs):
    table = above(runs).set_index("method")
    assert list(table.index) == ["supervised", "supervised_ema", "embedding_matching", "ceiling"]
    assert np.allclose(table.loc["ceiling", ["iou_difference", "hd95_difference_mm"]].astype(float), [0.1, -1.0])
    assert np.isclose(table.iou_p["ceiling"], 0.125)  # 2 / 2^4: four scans, all on one side


def test_without_scores_every_row_stays_and_says_nothing(runs, tmp_path):
    """Runs whose scans have no label to score by: the tables hold their rows, and all goes on."""
    unscored = runs._replace(scores=runs.scores[:0], validation=runs.validation.assign(iou=np.nan, hd95_mm=np.nan))
    bare = tables.table1(unscored, SUBSETS)
    assert bare[tables.ROW].equals(tables.table1(runs, SUBSETS)[tables.ROW])
    assert bare.iou_mean.isna().all() and bare.draws.tolist() == tables.table1(runs, SUBSETS).draws.tolist()
    empty = pd.DataFrame(columns=["patch", "subject", "iou", "hd95_mm", "threshold_hu"])
    compared = tables.wilcoxon(unscored), tables.against_threshold(unscored, empty)
    assert all(table.empty for table in compared)
    tables.write(tmp_path / "results", {"table1": bare, "wilcoxon": compared[0], "threshold": compared[1]}, unscored)
    assert json.loads((tmp_path / "results" / "metrics.json").read_text()) == {}
    assert figures.label_efficiency(bare).data == ()
    drawn = figures.curves(unscored.validation, "hd95_mm", "HD95")
    assert drawn.data == () and NOT_AVAILABLE in [note.text for note in drawn.layout.annotations]


def test_without_test_patches_a_threshold_has_no_p(runs):
    """Scores of held-out validation patches, no threshold on them: differences are empty, nothing breaks."""
    empty = pd.DataFrame(columns=["patch", "subject", "iou", "hd95_mm", "threshold_hu"])
    table = tables.against_threshold(runs, empty)
    assert len(table) == 4 and table[["iou_difference", "iou_p"]].isna().all(axis=None)


def test_scores_by_group_are_means_over_the_patches_of_a_group(runs):
    patches = pd.DataFrame({"patch": range(12), "group": [0] * 5 + [4] * 4 + [np.nan] * 3})
    table = tables.by_group(runs, patches).set_index(["method", "group"])
    plain = runs.scores[(runs.scores.method == "embedding_matching") & (runs.scores.network == "student")]
    draws = plain[plain.patch.between(5, 8)].groupby("draw").hd95_mm.mean()
    row = table.loc[("embedding_matching", 4)]
    assert row.patches == 4 and np.isclose(row.hd95_mean_mm, draws.mean()) and np.isclose(row.hd95_sd_mm, draws.std())
    assert set(table.index.get_level_values("group")) == {0, 4}
    assert tables.by_group(runs, patches.assign(group=np.nan)).empty


def test_only_the_grid_is_read(runs):
    assert set(runs.scores.method) == {"supervised", "embedding_matching", "ceiling"}


def test_a_missing_run_is_named(tmp_path):
    write_run(tmp_path, "supervised", 4, 0)
    with pytest.raises(UserError, match=r"supervised-4-1, embedding_matching-4-0.*dvc repro"):
        tables.read_runs(tmp_path, tables.grid(TRAIN))


def test_table_1_is_the_mean_over_draws_of_the_mean_over_patches(runs):
    table = tables.table1(runs, SUBSETS).set_index("method")
    student = runs.scores[runs.scores.network == "student"]
    means = student[student.method == "supervised"].groupby("draw").hd95_mm.mean()
    assert table.hd95_mean_mm["supervised"] == pytest.approx(means.mean())
    assert table.hd95_sd_mm["supervised"] == pytest.approx(means.std())
    assert np.isnan(table.hd95_sd_mm["ceiling"]) and table.draws["ceiling"] == 1
    assert table.missed["supervised"] == 1
    assert table.labelled_scans["supervised"] == 2
    assert table.collapsed["embedding_matching"] == 1 and table.collapsed["supervised"] == 0


def test_the_baselines_average_is_a_row_of_its_own(runs):
    table = tables.table1(runs, SUBSETS).set_index("method")
    teacher = runs.scores[(runs.scores.network == "teacher") & (runs.scores.method == "supervised")]
    assert table.iou_mean["supervised_ema"] == pytest.approx(teacher.groupby("draw").iou.mean().mean())


def test_significance_counts_patches_and_scans(runs):
    tests = tables.wilcoxon(runs)
    assert tests.groupby("unit").n.first().to_dict() == {"patch": 12, "scan": 4}
    assert set(tests.rival) == {"supervised", "supervised_ema"} and tests.p.between(0, 1).all()


def test_files_are_written(runs, tmp_path):
    made = {"table1": tables.table1(runs, SUBSETS), "wilcoxon": tables.wilcoxon(runs), "threshold": above(runs)}
    tables.write(tmp_path / "results", made, runs)
    numbers = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert numbers["ceiling"]["all"]["iou"] > 0
    assert len(pd.read_csv(tmp_path / "results" / "curves.csv")) == 10
