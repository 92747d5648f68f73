"""Plotly figures that compare: variants of embedding matching, and all methods by what patches are like."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip.reporting.ablations import SIMILARITY
from ssl_hip.reporting.figures import COLOURS, SCORES, finish, points, shifts

SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x"]  # of the labelled subsets


def ablations(table2: pd.DataFrame, table3: pd.DataFrame) -> go.Figure:
    """Return IoU and HD95 of Tables 2 and 3 as dots with their spread over draws, a row of panels a table.

    A table without a variant is left out; no data where both are.
    """
    similarity = [", ".join(settings) for settings in table3[SIMILARITY].to_numpy()]
    parts = {"terms of the loss": table2.assign(row=table2.terms), "similarity": table3.assign(row=similarity)}
    parts = {name: part for name, part in parts.items() if part.dropna(subset="iou_mean").variant.nunique() > 1}
    if not parts:
        return go.Figure()
    heights = [part.row.nunique() for part in parts.values()]
    figure = make_subplots(
        len(parts), 2, shared_xaxes="columns", shared_yaxes="rows", row_heights=heights, row_titles=list(parts),
        column_titles=[title for title, *_ in SCORES], horizontal_spacing=0.03, vertical_spacing=0.06,
    )  # fmt: skip
    for row, part in enumerate(parts.values(), 1):
        for symbol, (subset, rows) in zip(SYMBOLS, part.groupby("labelled_patches", sort=False), strict=False):
            for column, (_, mean, sd) in enumerate(SCORES, 1):
                figure.add_trace(dots(subset, symbol, rows.row, rows[mean], rows[sd]), row, column)
    figure.update_yaxes(autorange="reversed")
    return finish(figure, 120 + 45 * sum(heights), margin={"t": 50, "b": 50, "l": 160, "r": 40})


def dots(subset: str, symbol: str, rows: pd.Series, mean: pd.Series, sd: pd.Series) -> go.Scatter:
    """Return the variants' means at a labelled subset, a row each, and their spread over draws."""
    error = {"type": "data", "array": sd.fillna(0).tolist(), "thickness": 1}
    marker = {"color": COLOURS["embedding_matching"], "symbol": symbol, "size": 9}
    name = {"name": f"{subset} labelled patches", "legendgroup": subset}
    return go.Scatter(x=mean.tolist(), y=rows.tolist(), error_x=error, mode="markers", marker=marker, **name)


def difficulty(table: pd.DataFrame, subset: str) -> go.Figure:
    """Return HD95 by deviation group, and with metal against without, a line a method at a labelled subset.

    table: difficulty.by_difficulty; the ceiling stands beside. No data without scores.
    """
    shown = table[table.labelled_patches.isin([subset, "all"])]
    counts = shown.drop_duplicates("difficulty").set_index("difficulty").patches
    names = {True: [n for n in counts.index if n.startswith("group")], False: [n for n in counts.index if "metal" in n]}
    parts = [part for part in names.values() if part]
    if not parts:
        return go.Figure()
    offsets = shifts(list(shown.method.unique()))
    figure = make_subplots(1, len(parts), shared_yaxes=True, column_widths=[len(part) + 0.5 for part in parts])
    for column, part in enumerate(parts, 1):
        places = {name: i for i, name in enumerate(part)}
        for method, rows in shown[shown.difficulty.isin(part)].groupby("method", sort=False):
            x, mode = (
                rows.difficulty.map(places) + offsets[method],
                "lines+markers" if part is names[True] else "markers",
            )
            figure.add_trace(points(method, x, rows.hd95_mean_mm, rows.hd95_sd_mm, mode=mode), 1, column)
        ticks = [f"{name}<br>{counts[name]} patches" for name in part]
        figure.update_xaxes(tickvals=list(places.values()), ticktext=ticks, col=column)
    figure.update_yaxes(title=f"HD95 at {subset} labelled patches, mm", col=1)
    return finish(figure, 420)
