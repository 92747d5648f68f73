"""The study's tables, restated by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ssl_hip.config import UserError
from ssl_hip.reporting import study, study_figures
from study import records
from study import tables as study_tables


def runs() -> pd.DataFrame:
    table = pd.DataFrame(
        [
            ("1", "a", "50", 0, 0.5, 10.0, "finished"),
            ("1", "a", "50", 1, 0.7, 14.0, "finished"),
            ("2", "b", "50", 0, 0.6, 9.0, "collapsed"),
            ("2", "b", "50", 1, 0.9, 15.0, "finished"),
            ("2", "b", "all", 0, 0.9, 4.0, "finished"),
        ],
        columns=["question", "name", "labelled_patches", "draw", "iou", "hd95_mm", "status"],
    )
    return table.assign(last_iou=table.iou - 0.1, last_hd95_mm=table.hd95_mm + 1)


def test_means_and_spread_over_draws():
    table = study.over_draws(runs()).set_index(["name", "labelled_patches"])
    assert table.loc[("a", "50"), ["draws", "collapsed"]].tolist() == [2, 0] and table.collapsed["b", "50"] == 1
    assert table.iou_mean["a", "50"] == pytest.approx(0.6) and table.hd95_mm_sd["a", "50"] == pytest.approx(8**0.5)
    assert table.last_iou_mean["b", "50"] == pytest.approx(0.65) and math.isnan(table.iou_sd["b", "all"])


def test_differences_are_paired_by_draw():
    table = study.differences(runs(), "a").set_index(["labelled_patches", "metric"])
    assert list(table.index) == [("50", "iou"), ("50", "hd95_mm")]  # "a" has no run with all labels
    row = table.loc["50", "iou"]
    assert row.draws == 2 and row.difference == pytest.approx(0.15) and row.better == 2
    low, high = stats.ttest_1samp([0.1, 0.2], 0).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((low, high))
    assert table.better["50", "hd95_mm"] == 1


def test_one_draw_has_no_interval():
    assert all(math.isnan(value) for value in study.interval(np.array([1.0])))


def test_thirds_of_a_training():
    curves = pd.DataFrame({"name": "a", "labelled_patches": "50", "draw": np.repeat([0, 1], 6)})
    curves = curves.assign(iteration=[*range(100, 700, 100)] * 2, share=[*range(6), *range(2, 8)])
    table = study.thirds(curves, ["share"])
    assert table.third.tolist() == [1, 2, 3] and table.share.tolist() == [1.5, 3.5, 5.5]


def test_figures_show_every_draw_of_every_setting():
    shown = runs()[lambda table: table.labelled_patches == "50"]
    figure = study_figures.settings(shown)
    circles = [trace for trace in figure.data if trace.name.startswith("draw")]
    assert sorted(value for trace in circles for value in trace.x) == sorted([*shown.iou, *shown.hd95_mm])
    assert list(figure.layout.yaxis.categoryarray) == ["a", "b"]


def test_curves_have_a_line_a_run():
    table = pd.DataFrame({"name": list("aab"), "draw": [0, 1, 0], "iteration": [5, 5, 5], "iou": [0.1, 0.2, 0.3]})
    figure = study_figures.curves(table, "iou", "IoU")
    assert [(trace.name, *trace.y) for trace in figure.data] == [("a", 0.1), ("a", 0.2), ("b", 0.3)]
    assert [trace.showlegend for trace in figure.data] == [True, False, True]


def record(folder, name: str, draw: int, hd95: list[float]) -> None:
    """Record a final run of six patches of three scans, as records.keep does."""
    named = {"name": name, "labelled_patches": "50", "draw": draw}
    rows = pd.DataFrame({"network": "student", "scan": list("aabbcc"), "patch": range(6), "hd95_mm": hd95})
    rows = rows.assign(iou=1 - rows.hd95_mm / 100, missed=0, false_alarm=0, seed=draw)
    records.add("scores", rows, {"method": name, "labelled_patches": "50", "draw": draw}, folder)
    records.add("run_curves", pd.DataFrame({"iteration": [4], "iou": [0.5], "hd95_mm": [9.0]}), named, folder)
    row = named | {"method": name, "status": "finished", "iterations": 4, "kept_iteration": 4, "network": "student"}
    records.add("runs", pd.DataFrame([row | {"key": f"{name}{draw}"}]), {}, folder)


def test_final_tables_are_those_of_the_main_results(tmp_path):
    with pytest.raises(UserError, match="no final run of embedding_matching, supervised is recorded yet"):
        study_tables.finished(tmp_path)
    for draw in (0, 1):
        record(tmp_path, "supervised", draw, [10.0, 11, 12, 13, 14, 15 + draw])
        record(tmp_path, "embedding_matching", draw, [8.0, 9, 10, 11, 12, 12])
    record(tmp_path, "uamt", 0, [1.0] * 6)  # of one draw: no mean that could be compared
    made = study_tables.made(study_tables.finished(tmp_path), {50: 4}, base_seed=0)
    assert "uamt" in set(made["by_draw"].name) and "uamt" not in set(made["table1"].method)
    table = made["table1"].set_index("method")
    assert table.hd95_mean_mm["embedding_matching"] == pytest.approx(62 / 6) and table.labelled_scans.eq(4).all()
    assert table.best_hd95["embedding_matching"] == "*" and table.best_hd95["supervised"] == ""
    row = made["differences"].set_index(["name", "metric"]).loc["embedding_matching", "hd95_mm"]
    assert row.difference == pytest.approx(-(10 + 3 + 0.5) / 6) and row.better == row.draws == 2
    scans = made["wilcoxon"].query("unit == 'scan' and metric == 'hd95_mm' and rival == 'supervised'")
    assert scans.n.tolist() == [3] and scans.p.tolist() == pytest.approx([stats.wilcoxon([-2, -2, -2.75]).pvalue])
    goal = made["goal"].set_index("name").loc["embedding_matching"]
    assert goal.lowest and goal.best_other == "supervised" and goal.better == goal.draws == 2
    assert not goal.reached and math.isnan(goal.gap_closed)  # no ceiling


@pytest.mark.parametrize(
    "changes, lowest, better, closed, reached",
    [
        ({}, True, 3, 0.6, True),
        ({"p_holm": 0.06}, True, 3, 0.6, False),
        ({"uamt": 6.0}, False, 3, 0.6, False),
        ({"ceiling": 1.0}, True, 3, 1 / 3, False),
        ({"worse": 13.0}, True, 2, 0.2, False),
    ],
)
def test_the_goal_needs_all_of_its_parts(changes, lowest, better, closed, reached):
    hd95 = {"supervised": [10.0, 10, 10], "uamt": [8.0] * 3, "ceiling": [5.0], "embedding_matching": [7.0, 7, 7]}
    hd95 |= {name: [value] * len(hd95[name]) for name, value in changes.items() if name in hd95}
    if "worse" in changes:
        hd95["embedding_matching"], hd95["uamt"] = [7.0, 7, changes["worse"]], [9.5] * 3
    rows = [(name, draw, value) for name, values in hd95.items() for draw, value in enumerate(values)]
    tests = {"method": "embedding_matching", "rival": "supervised", "unit": "scan", "metric": "hd95_mm", "p_holm": 0.01}
    tests = pd.DataFrame([tests | {key: value for key, value in changes.items() if key == "p_holm"}])
    by_draw = pd.DataFrame(rows, columns=["name", "draw", "hd95_mm"])
    row = study.goal(by_draw, tests, ["embedding_matching"], "supervised", "ceiling").iloc[0]
    assert (row.lowest, row.better, row.reached) == (lowest, better, reached)
    assert row.gap_closed == pytest.approx(closed)
