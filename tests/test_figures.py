"""Figures: colours mean what the legend says, and every run of a table is drawn."""

import numpy as np
import pandas as pd

from ssl_hip import figures


def test_window_maps_to_grey():
    assert figures.to_grey(np.array([-300.0, -200.0, 300.0, 800.0, 900.0]), [-200, 800]).tolist() == [
        0,
        0,
        127,
        255,
        255,
    ]


def test_overlay_colours_hits_false_positives_and_misses():
    truth, mask = np.array([[1, 0, 1, 0]], bool), np.array([[1, 1, 0, 0]], bool)
    hit, false_positive, miss, nothing = figures.overlay(np.full((1, 4), 100, np.uint8), truth, mask)[0].astype(int)
    assert hit.argmax() == 1 and false_positive.argmax() == 0 and miss.argmax() == 2
    assert nothing.tolist() == [100, 100, 100]


def test_curves_draw_every_run():
    rows = [("uamt", "4", d, i, i * 1.0) for d in (0, 1) for i in (1, 2)] + [("ceiling", "all", 0, 1, 1.0)]
    table = pd.DataFrame(rows, columns=["method", "labelled_patches", "draw", "iteration", "hd95_mm"])
    assert [line.name for line in figures.curves(table, "hd95_mm", "").data] == ["uamt, draw 0", "uamt, draw 1"]
