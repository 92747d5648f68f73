"""The explorer's widgets, without a browser: controls change what is shown."""

import html
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import write_balls

from ssl_hip import checksums
from ssl_hip.config import UserError
from ssl_hip.explorer import keep, slices
from ssl_hip.explorer.case import most_uncertain
from ssl_hip.explorer.controls import Controls
from ssl_hip.explorer.maps import Run
from ssl_hip.explorer.view import TABS, Explorer
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import train


@pytest.fixture(scope="module")
def explorer(tmp_path_factory, small_params):
    root = tmp_path_factory.mktemp("explorer")
    write_balls(root / "data/patches", small_params)
    store = PatchStore(root / "data/patches")
    for method in ("embedding_matching", "supervised"):
        train(root / f"runs/{method}-2-0", store, method, "2", 0, small_params)
    return Explorer(small_params.methods.embedding_matching, root)


def test_every_control_can_be_moved_and_the_state_brings_all_back(explorer):
    before = explorer.text.value
    for name, value in {"z": 3, "layer": slices.LAYERS[4], "references": 3, "reduce": "max", "kernel": "euclidean",
                        "center": True, "seed": 2, "limit": 0.2, "window": "soft tissue", "network": "teacher",
                        "split": "validation", "row": 1, "run": "supervised-2-0"}.items():  # fmt: skip
        getattr(explorer.controls, name).value = value
    after, shown = explorer.text.value, explorer.story.value
    explorer.restore(before)
    assert explorer.text.value == before and explorer.story.value != shown
    explorer.restore(after)
    assert explorer.text.value == after and explorer.story.value == shown


def test_a_run_of_embedding_matching_comes_first(small_params):
    runs = [Run("cct-2-0"), Run("embedding_matching-2-0")]
    made = [Controls(given, ["test"], small_params.methods.embedding_matching, 16) for given in (runs, runs[:1])]
    assert [controls.run.value for controls in made] == ["embedding_matching-2-0", "cct-2-0"]


def test_a_click_moves_the_cross_hair_and_the_story(explorer):
    trace = next(trace for trace in explorer.main.data if trace.name == "coronal image")
    _, y, _ = explorer.case().voxel
    explorer._clicked(trace, type("Points", (), {"xs": [4], "ys": [9]})(), None)
    assert explorer.case().voxel == (9, y, 4)
    assert f"voxel z 9, y {y}, x 4" in explorer.story.value


def test_next_and_previous_go_round(explorer):
    rows = [row for _, row in explorer.controls.row.options]
    first = explorer.controls.row.value
    for _ in rows:
        explorer.step(1)
    assert explorer.controls.row.value == first
    explorer.step(-1)
    assert explorer.controls.row.value == rows[rows.index(first) - 1]


def test_two_runs_stand_side_by_side_at_the_same_voxel(explorer):
    explorer.controls.beside.value = "supervised-2-0"
    assert explorer.compared.layout.display == "" and "supervised-2-0" in explorer.other.layout.title.text
    lines = [[trace.x for trace in figure.data if trace.name.endswith("cross-hair")] for figure in
             (explorer.main, explorer.other)]  # fmt: skip
    assert lines[0] == lines[1]
    explorer.controls.beside.value = "none"
    assert explorer.compared.layout.display == "none"


def around(points: np.ndarray) -> dict:
    """Return a lasso around points (N, 2), as plotly tells it."""
    (left, low), (right, high) = points.min(0) - 1, points.max(0) + 1
    path = f"M{left},{low}L{right},{low}L{right},{high}L{left},{high}Z"
    return {"type": "path", "path": path, "xref": "x", "yref": "y"}


def test_dots_light_up_in_the_slices_and_the_other_way_round(explorer):
    explorer.tabs.selected_index = TABS.index("space")
    explorer.dots.plotly_relayout({"selections": [around(explorer.cloud.place)]})
    mine = explorer.cloud.row == explorer.controls.row.value
    assert explorer.selected[1].tolist() == explorer.cloud.voxel[mine].tolist() and mine.any()
    assert f"{len(mine)} voxels chosen, {mine.sum()} of them" in explorer.message.value
    marked = next(trace for trace in explorer.main.data if trace.name == "axial marks")
    assert len(marked.x)
    whole = around(np.array([(0, 0), (99, 99)]))
    explorer.main.plotly_relayout({"selections": [whole]})
    assert len(explorer.dots.data[1].x) == len(marked.x)
    explorer.controls.seed.value += 1  # the rings stay
    assert len(explorer.dots.data[1].x) == len(marked.x)
    explorer.main.plotly_relayout({"selections": [whole | {"xref": "x2", "yref": "y2"}]})
    assert len(explorer.dots.data[1].x) == sum(explorer.cloud.voxel[mine][:, 1] == explorer.controls.y.value)
    explorer.main.plotly_relayout({"selections": []})
    explorer.dots.plotly_relayout({"selections": []})
    assert not len(explorer.dots.data[1].x) and not len(explorer.selected[1])
    explorer.dots.plotly_relayout({"selections": [around(explorer.cloud.place)]})
    explorer.step(1)  # to another patch: these are not its voxels
    assert not any(len(each.x) for each in explorer.main.data if each.name.endswith("marks"))


def test_sorting_by_what_is_not_known_yet_finds_it_out(explorer):
    explorer.controls.order.value = "HD95"
    told = [float(re.search(r"HD95 ([\d.]+) mm", title)[1]) for title, _ in explorer.controls.row.options]
    assert told == sorted(told, reverse=True)


def test_validation_is_scored_on_demand(explorer):
    explorer.score_validation()
    assert "2 validation patches" in explorer.message.value


def test_the_view_is_kept_as_a_page_that_needs_nothing_else(explorer):
    explorer.controls.beside.value = "supervised-2-0"
    drawn = {"type": "rect", "xref": "x", "yref": "y", "x0": 1, "x1": 5, "y0": 1, "y1": 5, "line": {"color": object()}}
    explorer.main._layout["selections"] = [drawn]  # as the browser tells it, undefined colours included
    page = explorer.keep("html").read_text()
    explorer.main._layout.pop("selections")
    explorer.controls.beside.value = "none"
    assert explorer.story.value in page and 'src="http' not in page and len(page) > 1e6
    assert page.count("Plotly.newPlot(") == 5  # slices of both runs, references, space, surfaces
    state = re.search("<code>(.+)</code>", page)[1]
    explorer.restore(html.unescape(state))
    assert "supervised-2-0" in explorer.other.layout.title.text
    again, explorer.controls.beside.value = explorer.keep("html"), "none"
    assert again.read_text() and explorer.keep("html") != again  # another state does not write over it


def test_pictures_stand_below_one_another_on_white():
    clear, red = np.zeros((1, 2, 4)), np.broadcast_to([1.0, 0, 0, 1], (2, 1, 4))
    whole = keep.stacked([clear, red])
    assert whole.shape == (3, 2, 4) and whole[0].min() == 1 and whole[1:, 0].tolist() == [[1, 0, 0, 1]] * 2


def test_what_is_wrong_with_a_wish_is_said_below_the_pictures(explorer):
    explorer.do(lambda: explorer.restore("z=many&depth=3"))
    assert "z: &#x27;many&#x27; is no int" in explorer.message.value and "depth" in explorer.message.value

    def without_browser():
        raise UserError("PNG files are drawn by a browser")

    explorer.do(without_browser)
    assert explorer.message.value == "PNG files are drawn by a browser"
    with pytest.raises(ZeroDivisionError):
        explorer.do(lambda: 1 / 0)
    assert "division by zero" in explorer.message.value


def test_without_patches_to_score_by_the_labelled_ones_are_shown(tmp_path, params, explorer):
    params.patches.count.validation = params.patches.count.test = 0
    write_balls(tmp_path / "data/patches", params)
    table = pd.read_csv(tmp_path / "data/patches/patches.csv")
    table[table.split == "train"].to_csv(tmp_path / "data/patches/patches.csv", index=False)
    checksums.write(tmp_path / "data/patches")
    shutil.copytree(explorer.root / "runs", tmp_path / "runs")
    alone = Explorer(params.methods.embedding_matching, tmp_path)
    assert alone.controls.split.options == ("train",)
    split, row, _ = most_uncertain(alone.source, alone.case().run)
    assert split == "train" and row in alone.source.store.labelled("2", 0)
