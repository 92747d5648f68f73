"""Plotly figures of finished runs."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip import metrics

RUN = ["method", "labelled_patches", "draw"]
COLOURS = {  # Okabe-Ito: fit for colour-blind people
    "supervised": "#000000",
    "supervised_ema": "#999999",
    "mean_teacher": "#56B4E9",
    "uamt": "#009E73",
    "embedding_matching": "#D55E00",
    "ceiling": "#CC79A7",
}
DASHES = ["solid", "dash", "dot", "dashdot"]


def label_efficiency(table: pd.DataFrame) -> go.Figure:
    """Return IoU and HD95 against labelled patches, a line a method with its spread over draws, the ceiling dashed.

    Empty without scores.
    """
    table = table.dropna(subset="iou_mean")
    figure = make_subplots(1, 2, subplot_titles=("IoU (higher is better)", "HD95, mm (lower is better)"))
    for column, mean, sd in ((1, "iou_mean", "iou_sd"), (2, "hd95_mean_mm", "hd95_sd_mm")):
        for method, rows in table[table.method != "ceiling"].groupby("method", sort=False):
            error = {"type": "data", "array": rows[sd].fillna(0)}
            line = go.Scatter(
                x=rows.labelled_patches.astype(str), y=rows[mean], error_y=error, name=method, legendgroup=method,
                showlegend=column == 1, line_color=COLOURS.get(method), mode="lines+markers",
            )  # fmt: skip
            figure.add_trace(line, 1, column)
        for ceiling in table[table.method == "ceiling"][mean]:
            figure.add_hline(
                ceiling, line_dash="dash", line_color=COLOURS["ceiling"], annotation_text="all labels", col=column
            )
    figure.update_xaxes(title="labelled patches", type="category")
    return figure.update_layout(height=380, margin_t=40)


def curves(table: pd.DataFrame, value: str, title: str) -> go.Figure:
    """Return a column of history.csv or validation.csv over iterations, a line a run, a panel a labelled subset.

    The column may be missing where no run's method logs it.
    """
    table = table.reindex(columns=[*RUN, "iteration", value])
    subsets = [name for name in table.labelled_patches.unique() if name != "all"]
    panels = make_subplots(
        1, len(subsets), shared_yaxes=True, subplot_titles=[f"{n} labelled patches" for n in subsets]
    )
    for column, subset in enumerate(subsets, 1):
        known = table[table.labelled_patches == subset].dropna(subset=[value])
        if known.empty:
            panels.add_annotation(text=metrics.NOT_AVAILABLE, showarrow=False, row=1, col=column)
        for (method, draw), run in known.groupby(["method", "draw"], sort=False):
            style = {"color": COLOURS.get(method), "dash": DASHES[int(draw) % len(DASHES)], "width": 1.5}
            line = go.Scatter(
                x=run.iteration, y=run[value], name=f"{method}, draw {draw}", line=style, mode="lines",
                legendgroup=f"{method}{draw}", showlegend=column == 1,
            )  # fmt: skip
            panels.add_trace(line, 1, column)
    panels.update_xaxes(title="iteration").update_yaxes(title=title, col=1)
    return panels.update_layout(height=380, margin_t=40)


def case_table(rows: dict[str, list[np.ndarray]], columns: list[str], captions: dict[str, list[str]]) -> go.Figure:
    """Return a table of pictures: rows of RGB slices (H, W, 3) uint8 with a caption below each."""
    titles = [f"{column}<br>{captions[name][i]}" for name in rows for i, column in enumerate(columns)]
    figure = make_subplots(
        len(rows),
        len(columns),
        row_titles=list(rows),
        subplot_titles=titles,
        horizontal_spacing=0.01,
        vertical_spacing=0.12,
    )
    for r, pictures in enumerate(rows.values(), 1):
        for c, picture in enumerate(pictures, 1):
            figure.add_trace(go.Image(z=picture), r, c)
    figure.update_xaxes(visible=False).update_yaxes(visible=False).update_annotations(font_size=11)
    return figure.update_layout(height=240 * len(rows), margin_t=50)
