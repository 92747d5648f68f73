"""Cases: chosen by rule, shown where it matters, coloured by hit and miss."""

import numpy as np
import pandas as pd
import pytest

from ssl_hip import display
from ssl_hip.reporting import case_table, cases

WINDOW = [-200, 800]


def patches(**changes) -> pd.DataFrame:
    table = {
        "patch": [5, 6, 7, 8],
        "deviation_mm": [9.0, 2.0, 2.1, 1.0],
        "metal_voxels": [0, 0, 90, 50],
        "gap_mm": [3.0, 3.0, np.nan, 3.0],
        "gap_voxels": [40, 80, 0, 29],
    }
    return pd.DataFrame(table | changes)


def test_each_case_is_the_extreme_of_its_rule_and_no_patch_comes_twice():
    assert cases.choose(patches()) == {"hardest": 5, "metal": 7, "narrow joint": 6, "typical": 8}


def test_a_case_that_is_not_there_is_left_out():
    nothing = patches(metal_voxels=0, gap_mm=np.nan, gap_voxels=np.nan)
    assert list(cases.choose(nothing)) == ["hardest", "typical"]
    assert cases.choose(nothing.assign(deviation_mm=np.nan)) == {}


def test_the_slice_is_that_of_the_case(store):
    region = np.zeros_like(store.region["test"])
    region[0, 3], region[0, 12, :4] = cases.METAL, cases.JOINT_GAP
    store.region["test"] = region
    bone = (store.label["test"][0] == 1).sum((1, 2)).argmax()
    found = [cases.richest_slice(store, "test", 0, name) for name in ("metal", "narrow joint", "typical")]
    assert found == [3, 12, bone]


@pytest.mark.parametrize("worst", [False, True])
def test_a_perfect_network_has_no_false_colour(store, monkeypatch, tmp_path, worst):
    truth = store.label["test"][[1, 0]] == 1
    wrong = truth.copy()
    wrong[:, 2] = ~wrong[:, 2]
    masks = {"right": truth, "wrong": wrong}
    monkeypatch.setattr(cases, "load_network", lambda folder: folder.name)
    monkeypatch.setattr(cases, "predict_patches", lambda name, images: masks[name].astype(float))
    numbers = store.table("test").patch[[1, 0]].tolist()
    scores = pd.DataFrame({"run": np.repeat(["right", "wrong"], 2), "patch": numbers * 2, "hd95_mm": [0, 0, 9.0, 8.0]})
    chosen = dict(zip(("hardest", "typical"), numbers, strict=True))
    shown = cases.pictures(
        tmp_path, store, scores.assign(split="test"), chosen, {"a": "right", "b": "wrong"}, WINDOW, worst
    )
    for name in chosen:
        _, real, right, other = shown.rows[name]
        assert np.array_equal(real, right)
        assert np.array_equal(other, right) != worst  # only the worst slice shows the wrong one
    assert shown.captions["hardest"][2:] == ["0.0 mm", "9.0 mm"] and shown.columns[2:] == ["a", "b"]
    figure = case_table.case_table(shown)
    assert sum(trace.type == "image" for trace in figure.data) == 8
    assert {trace.name for trace in figure.data if trace.type == "scatter"} == set(case_table.LEGEND)


def test_colours_tell_hit_false_positive_and_miss():
    truth, mask = np.array([[1, 0, 1, 0]], bool), np.array([[1, 1, 0, 0]], bool)
    shown = display.overlay(np.zeros((1, 4), np.uint8), truth, mask)[0]
    expected = [display.GREEN, display.VERMILION, display.BLUE, (0, 0, 0)]
    for pixel, colour in zip(shown, expected, strict=True):
        assert np.allclose(pixel, 0.45 * np.array(colour), atol=1)
