"""Figures: every run and method is drawn, numbers are those of the tables, nothing known is said so."""

import math
from types import SimpleNamespace

import made_runs
import numpy as np
import pandas as pd
import pytest

from ssl_hip import config, metrics
from ssl_hip.reporting import (
    ablations,
    comparison_figures,
    coverage,
    difficulty,
    figure_files,
    figures,
    scatter_figure,
    static_figures,
    tables,
    training_figures,
)

SCANS = {4: 1}
SETTINGS = SimpleNamespace(weight_ua=0.25, weight_nn=0.5, weight_en=0.125, threshold=[0.75, 1.0])


@pytest.fixture(params=[True, False], ids=["scored", "unscored"])
def runs(tmp_path, request):
    return tables.only(made_runs.read(tmp_path, request.param), tables.grid(made_runs.TRAIN))


@pytest.fixture
def scored(tmp_path):
    return tables.only(made_runs.read(tmp_path), tables.grid(made_runs.TRAIN))


def said(figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def test_every_method_has_a_colour_of_its_own():
    methods = {path.stem for path in (config.ROOT / "ssl_hip" / "methods").glob("[!_]*.py")}
    assert methods | {"ceiling", "supervised_ema"} == set(figures.COLOURS)
    assert len(set(figures.COLOURS.values())) == len(figures.COLOURS)


def test_curves_draw_every_run_and_name_a_method_once():
    rows = [("uamt", "4", d, i, i * 1.0) for d in (0, 1) for i in (1, 2)] + [("ceiling", "all", 0, 1, 1.0)]
    table = pd.DataFrame(rows, columns=["method", "labelled_patches", "draw", "iteration", "hd95_mm"])
    lines = figures.curves(table, "hd95_mm", "").data
    assert [line.name for line in lines] == ["uamt", "uamt"] and [line.showlegend for line in lines] == [True, False]
    assert len({line.line.dash for line in lines}) == 2
    assert metrics.NOT_AVAILABLE in said(figures.curves(table, "loss_nowhere", ""))


def test_label_efficiency_has_the_numbers_of_table_1(scored):
    table = tables.table1(scored, SCANS)
    drawn = {trace.name: trace for trace in figures.label_efficiency(table).data[: len(table)]}
    for row in table[table.method != "ceiling"].itertuples():
        assert drawn[row.method].y == (row.iou_mean,) and drawn[row.method].error_y.array == (row.iou_sd,)


def test_the_ceiling_is_a_band_of_several_draws_and_a_line_of_one():
    line, area = figures.band((0, 1), 0.7, 0.1)
    assert line.y == (0.7, 0.7) and min(area.y) == pytest.approx(0.6) and max(area.y) == pytest.approx(0.8)
    assert len(figures.band((0, 1), 0.7, math.nan)) == 1


def test_the_schedule_rises_to_its_weights():
    plan = training_figures.schedule(100, SETTINGS)
    assert plan.iteration.iloc[-1] == 100 and plan.weight_nn.iloc[-1] == 0.5
    assert plan.weight_ua.iloc[0] == pytest.approx(0.25 * math.exp(-5))
    assert plan.lambda_nats.iloc[-1] == pytest.approx(math.log(2)) and plan.lambda_nats.is_monotonic_increasing


def test_the_course_of_a_training_is_drawn_where_there_is_one():
    names = [*training_figures.LOSSES, *training_figures.UNCERTAIN, *training_figures.ACCURACIES]
    history = pd.DataFrame({"labelled_patches": "4", "draw": [0, 0], "iteration": [1, 2]} | dict.fromkeys(names, 0.5))
    drawn = {trace.name for trace in training_figures.training(history, SETTINGS).data}
    assert drawn == {title for lines in training_figures.ROWS.values() for title, _ in lines.values()}
    assert not training_figures.training(history[:0], SETTINGS).data
    few = training_figures.enough(history.assign(uncertain_share=[0.5, 1e-6]))
    assert few.accuracy_matched_uncertain.tolist()[0] == 0.5 and few.accuracy_matched_uncertain.isna().tolist()[1]


def test_coverage_is_drawn_by_third(scored):
    table = coverage.coverage(scored, [ablations.BASE])
    uncertain = training_figures.coverage(table).data[0]
    assert uncertain.x == (1, 2, 3) and uncertain.y == tuple(table.near_surface_uncertain_share_mean)
    assert not training_figures.coverage(table[:0]).data


def test_figures_of_comparisons_survive_runs_without_scores(runs):
    cut = pd.DataFrame({"patch": range(made_runs.PATCHES), "group": 0, "metal_voxels": 0})
    drawn = comparison_figures.difficulty(difficulty.by_difficulty(runs, cut), "4")
    regions = figures.regions(difficulty.regions(runs))
    assert bool(drawn.data) == bool(len(runs.scores))
    assert (metrics.NOT_AVAILABLE in said(regions)) == (not len(runs.scores))


def test_ablations_are_drawn_a_row_a_variant(tmp_path):
    everything = made_runs.read(tmp_path)
    compared = tables.only(everything, ablations.compared(made_runs.TRAIN, made_runs.ABLATIONS))
    settings = ablations.settings(made_runs.BASE, made_runs.VARIANTS, made_runs.ABLATIONS.variants)
    made = ablations.table2(compared, settings), ablations.table3(compared, settings)
    terms, *_ = comparison_figures.ablations(*made).data
    assert set(terms.y) == {"L_UA + L_NN + L_EN", "L_UA"} and terms.x == tuple(made[0].iou_mean)
    alone, none = [table[table.variant == ablations.BASE] for table in made], [table[:0] for table in made]
    assert not comparison_figures.ablations(*alone).data and not comparison_figures.ablations(*none).data


def test_the_scatter_compares_the_same_patches_and_names_the_hardest(scored):
    scores = tables.reported(scored)
    pairs = scatter_figure.side_by_side(scores, ["embedding_matching", "supervised"], "4")
    ours = scores[scores.method == "embedding_matching"].groupby("patch").hd95_mm.mean()
    assert np.allclose(pairs.embedding_matching, ours) and len(pairs) == made_runs.PATCHES
    worst = scatter_figure.hardest(pairs)
    assert worst[0] == pairs.max(axis=1).idxmax()[0] and len(worst) == 5
    figure = scatter_figure.scatter(pairs, pd.Series(dtype=float), worst)
    assert sum('href="#patch-' in text for text in said(figure)) == 5
    assert not scatter_figure.scatter(pairs[:0], pd.Series(dtype=float), []).data


def test_shares_above_and_below_the_diagonal():
    ours, theirs = pd.Series([1.0, 2, 3, 4]), pd.Series([2.0, 2, 2, 5])
    assert scatter_figure.verdict(ours, theirs) == "50% of patches below the diagonal, 25% above"


def test_rivals_are_the_baseline_and_the_best_other(scored):
    table = tables.table1(scored, SCANS)
    assert scatter_figure.rivals(table, "embedding_matching", "4") == ["supervised", "supervised_ema"]


def test_a_figure_comes_back_from_its_file_with_the_same_bytes(tmp_path):
    figure = figures.finish(figures.go.Figure(figures.band((0, 1), 0.7, 0.1)), 300)
    for folder in ("a/b", "a/c"):
        figure_files.write(figure, tmp_path / folder / "band.json")
    first, second = (tmp_path / folder / "band.json" for folder in ("a/b", "a/c"))
    assert first.read_bytes() == second.read_bytes()
    assert figure_files.read(tmp_path)["band"].to_dict() == figure.to_dict()


def test_without_figures_the_remedy_is_told(tmp_path):
    with pytest.raises(config.UserError, match="make repro"):
        static_figures.write(tmp_path, tmp_path / "png")
