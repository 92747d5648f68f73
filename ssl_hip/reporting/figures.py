"""Plotly figures of finished runs: methods against the number of labels, and curves of their trainings."""

import math

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip import metrics

WIDTH = 840  # px of every figure, on a page and in its PNG: fits beside JupyterLab's file browser at 1,280 px
RUN = ["method", "labelled_patches", "draw"]
COLOURS = {  # Okabe-Ito, fit for colour-blind people: a method has one colour everywhere
    "supervised": "#000000",
    "supervised_ema": "#999999",
    "mean_teacher": "#56B4E9",
    "uamt": "#009E73",
    "cct": "#E69F00",
    "mtc": "#CC79A7",
    "dtc": "#0072B2",
    "embedding_matching": "#D55E00",
    "ceiling": "#C8B820",  # Okabe-Ito's yellow, darker: it has to be seen on white
}
DASHES = ["solid", "dash", "dot", "dashdot", "longdash"]
SCORES = [  # title, column of means, column of sd
    ("IoU (higher is better)", "iou_mean", "iou_sd"),
    ("HD95, mm (lower is better)", "hd95_mean_mm", "hd95_sd_mm"),
]
SHIFT = 0.05  # between methods at one place of an axis of places 0, 1, ..: spreads do not hide each other


def finish(figure: go.Figure, height: int, **layout) -> go.Figure:
    """Return the figure in the common layout, each legend group named once. height: px."""
    named = set()
    for trace in figure.select_traces("scatter"):
        if trace.legendgroup:
            trace.showlegend = trace.legendgroup not in named
            named.add(trace.legendgroup)
    layout = {"margin": {"t": 50, "b": 50, "l": 60, "r": 20}} | layout
    return figure.update_layout(width=WIDTH, height=height, template="plotly_white", **layout)


def say_not_available(figure: go.Figure, **place: int) -> None:
    """Write into an empty panel (row, col) that there is nothing to show."""
    figure.add_annotation(text=metrics.NOT_AVAILABLE, showarrow=False, xref="x domain", yref="y domain", **place)


def points(method: str, x: pd.Series, mean: pd.Series, sd: pd.Series, **style) -> go.Scatter:
    """Return a method's means and, as error bars, their spread over draws (none where there is one draw)."""
    error = {"type": "data", "array": sd.fillna(0).tolist(), "thickness": 1}
    common = {"name": method, "legendgroup": method, "marker_color": COLOURS.get(method)}
    return go.Scatter(x=x.tolist(), y=mean.tolist(), error_y=error, **common, **style)


def shifts(methods: list[str]) -> dict[str, float]:
    """Return how far each method stands beside a place 0, 1, .. of an axis."""
    return {method: SHIFT * (i - (len(methods) - 1) / 2) for i, method in enumerate(methods)}


def against_labels(table: pd.DataFrame, shown: list[tuple[str, str, str]]) -> go.Figure:
    """Return a panel for each (title, column of means, column of sd), a line a method against labelled patches.

    table: a row a method and labelled subset. The ceiling is a band, mean and sd. No data where nothing is known.
    """
    figure = make_subplots(1, len(shown), subplot_titles=[title for title, *_ in shown], horizontal_spacing=0.07)
    methods = [name for name in table.method.unique() if name != "ceiling"]
    places = {name: i for i, name in enumerate(n for n in table.labelled_patches.unique() if n != "all")}
    for column, (_, mean, sd) in enumerate(shown, 1):
        known = table.dropna(subset=mean)
        if known.empty:
            say_not_available(figure, row=1, col=column)
        for ceiling in known[known.method == "ceiling"].to_dict("records"):
            figure.add_traces(band((-0.4, len(places) - 0.6), ceiling[mean], ceiling[sd]), rows=1, cols=column)
        for method, rows in known[known.method.isin(methods)].groupby("method", sort=False):
            x = rows.labelled_patches.map(places) + shifts(methods)[method]
            figure.add_trace(points(method, x, rows[mean], rows[sd], mode="lines+markers"), 1, column)
    figure.update_xaxes(title="labelled patches", tickvals=list(places.values()), ticktext=list(places))
    return finish(figure, 420)


def band(x: tuple[float, float], mean: float, sd: float) -> list[go.Scatter]:
    """Return the ceiling as a dashed line from x to x, and its spread over draws, if it has one, as a band."""
    style = {"legendgroup": "ceiling", "name": "ceiling (all labels)", "mode": "lines", "hoverinfo": "name+y"}
    line = go.Scatter(x=x, y=[mean] * 2, line={"color": COLOURS["ceiling"], "dash": "dash"}, **style)
    if math.isnan(sd):
        return [line]
    corners = {"x": [*x, *x[::-1]], "y": [mean - sd] * 2 + [mean + sd] * 2}
    return [
        line,
        go.Scatter(**corners, fill="toself", opacity=0.3, line_width=0, fillcolor=COLOURS["ceiling"], **style),
    ]


def label_efficiency(table: pd.DataFrame) -> go.Figure:
    """Return IoU and HD95 of Table 1 against labelled patches."""
    return against_labels(table, SCORES)


def regions(table: pd.DataFrame) -> go.Figure:
    """Return how often the joint gap and the surroundings of metal are wrong (difficulty.regions), against labels."""
    gap = ("joint gap taken for bone, share", "gap_false_mean", "gap_false_sd")
    figure = against_labels(table, [gap, ("around metal wrong, share", "metal_wrong_mean", "metal_wrong_sd")])
    return figure.update_yaxes(tickformat=".0%")


def subset_panels(subsets: list[str]) -> tuple[go.Figure, dict[str, dict[str, int]]]:
    """Return a figure with a panel a labelled subset, two beside each other, and the panels' places (row, col)."""
    rows, columns = math.ceil(len(subsets) / 2), min(len(subsets), 2)
    titles = [f"{n} labelled patches" for n in subsets]
    figure = make_subplots(rows, columns, shared_yaxes="all", subplot_titles=titles, horizontal_spacing=0.04)
    return figure, {subset: {"row": 1 + i // 2, "col": 1 + i % 2} for i, subset in enumerate(subsets)}


def curves(table: pd.DataFrame, value: str, title: str) -> go.Figure:
    """Return a column of history.csv or validation.csv over iterations, a line a run, a panel a labelled subset.

    The dash tells the draw. The column may be missing where no run's method logs it.
    """
    table = table.reindex(columns=[*RUN, "iteration", value])
    figure, places = subset_panels([name for name in table.labelled_patches.unique() if name != "all"])
    for subset, place in places.items():
        known = table[table.labelled_patches == subset].dropna(subset=[value])
        if known.empty:
            say_not_available(figure, **place)
        for (method, draw), run in known.groupby(["method", "draw"], sort=False):
            style = {"color": COLOURS.get(method), "dash": DASHES[int(draw) % len(DASHES)], "width": 1.5}
            line = go.Scatter(
                x=run.iteration.tolist(), y=run[value].tolist(), mode="lines", line=style, name=method,
                legendgroup=method, hovertemplate=f"%{{y:.3g}} (draw {draw})",
            )  # fmt: skip
            figure.add_trace(line, **place)
    figure.update_xaxes(title="iteration").update_yaxes(title=title, col=1)
    return finish(figure, 60 + 340 * max(place["row"] for place in places.values()))
