"""Figures: every run of a table is drawn."""

import pandas as pd

from ssl_hip.reporting import figures


def test_curves_draw_every_run():
    rows = [("uamt", "4", d, i, i * 1.0) for d in (0, 1) for i in (1, 2)] + [("ceiling", "all", 0, 1, 1.0)]
    table = pd.DataFrame(rows, columns=["method", "labelled_patches", "draw", "iteration", "hd95_mm"])
    assert [line.name for line in figures.curves(table, "hd95_mm", "").data] == ["uamt, draw 0", "uamt, draw 1"]
