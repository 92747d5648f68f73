"""Figures of the study: each setting's draws side by side, and validation curves of many settings."""

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip.reporting.figures import DASHES, finish

PANELS = [("iou", "validation IoU"), ("hd95_mm", "validation HD95, mm")]
PALETTE = px.colors.qualitative.Safe  # fit for colour-blind people


def settings(runs: pd.DataFrame, panels: list[tuple[str, str]] = PANELS) -> go.Figure:
    """Return a row a setting: a circle a draw, a bar at their mean; runs: a row a training, of one labelled subset."""
    figure = make_subplots(1, len(panels), shared_yaxes=True, subplot_titles=[title for _, title in panels])
    names = list(runs.name.unique())
    for column, (value, _) in enumerate(panels, 1):
        means = runs.groupby("name", sort=False)[value].mean()
        bar = {"symbol": "line-ns", "size": 16, "line": {"width": 2, "color": "black"}}
        figure.add_scatter(
            x=means.tolist(), y=names, mode="markers", marker=bar, name="mean", legendgroup="mean", row=1, col=column
        )
        for draw, rows in runs.groupby("draw"):
            marker = {"color": PALETTE[int(draw) % len(PALETTE)], "size": 8, "opacity": 0.8}
            figure.add_scatter(
                x=rows[value].tolist(), y=rows.name.tolist(), mode="markers", marker=marker, name=f"draw {draw}",
                legendgroup=f"draw {draw}", row=1, col=column,
            )  # fmt: skip
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=names)
    return finish(figure, 110 + 24 * max(len(names), 3 + runs.draw.nunique()))  # the legend has to fit as well


def curves(table: pd.DataFrame, value: str, title: str) -> go.Figure:
    """Return a column of trial_curves.csv over iterations: a colour a setting, a dash a draw; one labelled subset."""
    figure = go.Figure()
    for number, (name, rows) in enumerate(table.groupby("name", sort=False)):
        for draw, run in rows.groupby("draw"):
            style = {"color": PALETTE[number % len(PALETTE)], "dash": DASHES[int(draw) % len(DASHES)], "width": 1.5}
            figure.add_scatter(
                x=run.iteration.tolist(), y=run[value].tolist(), mode="lines", line=style, name=name, legendgroup=name,
                hovertemplate=f"%{{y:.3g}} (draw {draw})",
            )  # fmt: skip
    figure.update_xaxes(title="iteration").update_yaxes(title=title)
    return finish(figure, 420)
