"""Plotly figures of what embedding matching logs: losses, weights, uncertainty, how often its labels are right."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip.losses import ramp_up
from ssl_hip.reporting.coverage import LOGGED
from ssl_hip.reporting.figures import finish, say_not_available, subset_panels
from ssl_hip.student_teacher import threshold

BLACK, GREY, BLUE, GREEN, ORANGE = "#000000", "#999999", "#0072B2", "#009E73", "#D55E00"  # Okabe-Ito
Lines = dict[str, tuple[str, str]]  # column -> its name in the legend and its colour
LOSSES = {
    "loss_supervised": ("L<sub>S</sub>", BLACK),
    "loss_ua": ("L<sub>UA</sub>", BLUE),
    "loss_nn": ("L<sub>NN</sub>", ORANGE),
    "loss_en": ("L<sub>EN</sub>", GREEN),
}
WEIGHTS = {
    "weight_ua": ("w<sub>UA</sub>", BLUE),
    "weight_nn": ("w<sub>NN</sub>", ORANGE),
    "weight_en": ("w<sub>EN</sub>", GREEN),
    "lambda_nats": ("λ<sub>T</sub>, nats", GREY),
}
LEAST_SHARE = 1e-4  # of uncertain voxels, half a voxel a patch of 16^3: what is right of fewer is chance
DASHED = "weight_en"  # it equals weight_nn in the paper: both are to be seen
UNCERTAIN = {"uncertain_share": ("uncertain voxels", GREY)}
ACCURACIES = {
    "accuracy_pseudo_certain": ("teacher, certain", BLACK),
    "accuracy_pseudo_uncertain": ("teacher, uncertain", BLUE),
    "accuracy_matched_uncertain": ("matched, uncertain", ORANGE),
}
ROWS = {"loss": LOSSES, "weight": WEIGHTS, "share": UNCERTAIN, "accuracy": ACCURACIES}
COVERAGE = dict(zip(LOGGED, (("uncertain", GREY), ("matched right", ORANGE), ("argmax right", BLUE)), strict=True))


def schedule(iterations: int, settings: SimpleNamespace, steps: int = 100) -> pd.DataFrame:
    """Return iteration, the weights of the three terms and lambda_T (lambda_nats) from the first to the last iteration.

    settings: methods.embedding_matching. The weights are ramped up as w exp(-5 (1 - T/T_N)^2), lambda_T with them.
    """
    shares = np.linspace(0, 1, steps + 1)
    ramp = np.array([ramp_up(share) for share in shares])
    weights = {name: getattr(settings, name) * ramp for name in ("weight_ua", "weight_nn", "weight_en")}
    nats = [threshold(settings.threshold, weight) for weight in ramp]
    return pd.DataFrame({"iteration": shares * iterations, **weights, "lambda_nats": nats})


def training(history: pd.DataFrame, settings: SimpleNamespace) -> go.Figure:
    """Return the course of embedding matching: a column a labelled subset; rows as ROWS, each with its own legend.

    history: runs.history of embedding matching. settings: methods.embedding_matching. Lines are means over draws, bands
    reach from the smallest to the largest draw. No data without a run.
    """
    subsets = list(history.labelled_patches.unique())
    if not subsets:
        return go.Figure()
    titles = [f"{n} labelled patches" for n in subsets]
    figure = make_subplots(
        len(ROWS), len(subsets), shared_xaxes=True, shared_yaxes=True, column_titles=titles,
        horizontal_spacing=0.03, vertical_spacing=0.04,
    )  # fmt: skip
    for column, subset in enumerate(subsets, 1):
        logged = enough(history[history.labelled_patches == subset])
        planned = schedule(logged.iteration.max(), settings)
        for row, lines in enumerate(ROWS.values(), 1):
            add_lines(figure, planned if lines is WEIGHTS else logged, lines, row, column)
    for row, title in enumerate(ROWS, 1):
        figure.update_yaxes(title=title, row=row, col=1)
        top = next(figure.select_yaxes(row=row, col=1)).domain[1]
        figure.update_layout({legend(row): {"y": top, "tracegroupgap": 0}})
    figure.update_yaxes(type="log", dtick=1, row=1).update_xaxes(title="iteration", row=len(ROWS))
    return finish(figure, 80 + 200 * len(ROWS))


def enough(history: pd.DataFrame) -> pd.DataFrame:
    """Return the history without accuracies on uncertain voxels where there are hardly any."""
    names = [name for name in ACCURACIES if name.endswith("_uncertain")]
    return history.assign(**{name: history[name].where(history.uncertain_share >= LEAST_SHARE) for name in names})


def legend(row: int) -> str:
    """Return plotly's name of a row's legend."""
    return "legend" if row == 1 else f"legend{row}"


def add_lines(figure: go.Figure, table: pd.DataFrame, lines: Lines, row: int, column: int) -> None:
    """Add columns of a table over its iterations to a panel."""
    if not any(name in table and table[name].notna().any() for name in lines):
        say_not_available(figure, row=row, col=column)
        return
    for name, (title, colour) in lines.items():
        draws = table[name].groupby(table.iteration).agg(["mean", "min", "max"]).dropna()
        if lines is LOSSES:  # a logarithmic axis has no place for 0, which a term is where no voxel takes part
            draws = draws[draws["mean"] > 0]
            draws["min"] = draws["min"].where(draws["min"] > 0, draws["mean"])
        style = {"legend": legend(row), "name": title, "legendgroup": f"{row}{name}", "mode": "lines"}
        iterations, mean = draws.index.tolist(), draws["mean"].tolist()
        line = {"color": colour, "dash": "dash" if name == DASHED else "solid"}
        figure.add_trace(go.Scatter(x=iterations, y=mean, line=line, **style), row, column)
        if (draws["max"] > draws["min"]).any():
            outline = {"x": iterations + iterations[::-1], "y": draws["max"].tolist() + draws["min"].tolist()[::-1]}
            area = {"fill": "toself", "fillcolor": colour, "opacity": 0.2, "line_width": 0, "hoverinfo": "skip"}
            figure.add_trace(go.Scatter(**outline, **area, **style), row, column)


def coverage(table: pd.DataFrame) -> go.Figure:
    """Return near-surface shares by third of the training, a panel a labelled subset; table: coverage.coverage.

    Uncertain: share of the near-surface voxels; matched and argmax: how often right on these. Bars: sd over draws.
    """
    subsets = list(table.labelled_patches.unique())
    if not subsets:
        return go.Figure()
    figure, places = subset_panels(subsets)
    for subset, place in places.items():
        rows = table[table.labelled_patches == subset]
        for name, (title, colour) in COVERAGE.items():
            known = rows.dropna(subset=f"{name}_mean")
            error = {"type": "data", "array": known[f"{name}_sd"].fillna(0).tolist(), "thickness": 1}
            style = {"name": title, "legendgroup": name, "mode": "lines+markers", "marker_color": colour}
            x, y = known.third.tolist(), known[f"{name}_mean"].tolist()
            if y:
                figure.add_trace(go.Scatter(x=x, y=y, error_y=error, **style), **place)
    figure.update_xaxes(title="third of the training", tickvals=[1, 2, 3], range=[0.8, 3.2])
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return finish(figure, 60 + 300 * max(place["row"] for place in places.values()))
