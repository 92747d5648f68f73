"""Plotly figures of shape models and scores."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip.shape.distance_field import Field
from ssl_hip.shape.shape_model import ShapeModel

GROUPS = ["#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00"]  # Okabe-Ito


def modes(model: ShapeModel, number: int = 3, deviations: float = 2.0, step_mm: float = 4.0) -> go.Figure:
    """Return the mean shape and the first modes at -/+ so many standard deviations, a row a mode, as 3D surfaces.

    Coloured by how far the surface moved from the mean shape, in mm.
    """
    number = min(number, model.modes)
    titles = [
        f"mode {m + 1}, {s:+.0f} sd" if s else "mean" for m in range(number) for s in (-deviations, 0, deviations)
    ]
    layout = [[{"type": "scene"}] * 3] * number
    figure = make_subplots(number, 3, specs=layout, subplot_titles=titles, horizontal_spacing=0, vertical_spacing=0.03)
    mean = shape(model, np.zeros(model.modes), step_mm)
    for mode in range(number):
        for column, size in enumerate((-deviations, 0.0, deviations), 1):
            moved = shape(model, np.eye(model.modes)[mode] * size, step_mm)
            figure.add_trace(painted(moved, mean), mode + 1, column)
    figure.update_scenes(aspectmode="data", xaxis_visible=False, yaxis_visible=False, zaxis_visible=False)
    return figure.update_layout(height=330 * number, margin=dict(l=0, r=0, t=30, b=0))


def shape(model: ShapeModel, coefficients: np.ndarray, step_mm: float) -> Field:
    """Return the signed distance (z, y, x) of a shape of the model on a coarse grid of the template's frame."""
    size = [int(n * model.template.spacing_mm / step_mm) for n in model.template.values.shape[:3]]
    grid = Field(np.zeros(size, np.float32), model.template.origin, step_mm)
    points = grid.points()
    moved = points + model.displacement.at(points) @ np.r_[1.0, coefficients].astype(np.float32)
    return grid._replace(values=model.template.at(moved)[:, 0].reshape(size))


def painted(moved: Field, mean: Field) -> go.Mesh3d:
    """Return the zero level of a signed distance as a mesh, coloured by its distance from the mean shape's."""
    vertices, faces = mesh(moved)
    x, y, z = vertices.round(1).T
    i, j, k = faces.T
    colour = dict(intensity=mean.at(vertices).round(2), colorscale="RdBu_r", cmin=-8, cmax=8, colorbar_title="mm")
    return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, **colour, hovertemplate="%{intensity:.1f} mm<extra></extra>")


def mesh(distance: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (n, 3) in mm and triangles (m, 3) of the zero level of a signed distance.

    Surface nets (Gibson 1998): a vertex in every cell that the surface crosses, a quadrilateral around every grid edge
    that it crosses; the vertices are moved onto the surface along the gradient.
    """
    inside, quads = distance.values < 0, []
    for axis in range(3):
        along, first, second = (np.eye(3, dtype=int)[(axis + i) % 3] for i in range(3))
        edges = np.argwhere(np.diff(inside, axis=axis))
        edges = edges[(edges * (first + second) > 0).sum(1) == 2]
        ring = np.stack([edges, edges - first, edges - first - second, edges - second], 1)
        outwards = inside[tuple(edges.T)]
        quads.append(np.where(outwards[:, None, None], ring[:, ::-1], ring))
    quads = np.concatenate(quads)
    cells, corner = np.unique(quads.reshape(-1, 3), axis=0, return_inverse=True)
    corner = corner.reshape(-1, 4)
    centres = distance.origin + distance.spacing_mm * (cells[:, ::-1] + 0.5)
    return onto_surface(distance, centres), np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]])


def onto_surface(distance: Field, points: np.ndarray) -> np.ndarray:
    """Move points (n, 3) along the gradient to the zero level, half a cell at most."""
    z, y, x = np.gradient(distance.values, distance.spacing_mm)
    value = distance._replace(values=np.stack([distance.values, x, y, z], -1)).at(points)
    step = -value[:, :1] * value[:, 1:] / np.maximum(np.square(value[:, 1:]).sum(1, keepdims=True), 0.1)
    return points + np.clip(step, -distance.spacing_mm / 2, distance.spacing_mm / 2)


def generalisation(table: pd.DataFrame) -> go.Figure:
    """Return leave-one-out error against the number of modes, a line a part.

    table: columns part, modes, mean_mm and hd95_mm, one row a left-out bone and number of modes.
    """
    figure = make_subplots(1, 2, subplot_titles=("mean surface distance, mm", "HD95, mm"))
    for column, name in ((1, "mean_mm"), (2, "hd95_mm")):
        for colour, (part, rows) in zip(GROUPS, table.groupby("part"), strict=False):
            by_modes = rows.groupby("modes")[name]
            style = dict(name=part, legendgroup=part, showlegend=column == 1, line_color=colour, mode="lines+markers")
            error = dict(type="data", array=by_modes.std())
            figure.add_trace(go.Scatter(x=list(by_modes.groups), y=by_modes.mean(), error_y=error, **style), 1, column)
    figure.update_xaxes(title="modes").update_yaxes(rangemode="tozero")
    return figure.update_layout(height=360, margin_t=40)


def histogram(scores: pd.DataFrame, bounds_mm: list[float]) -> go.Figure:
    """Return the distribution of scores, a panel a split, with the groups' bounds. scores: split, deviation_mm."""
    splits = list(scores.split.unique())
    figure = make_subplots(len(splits), 1, subplot_titles=splits, shared_xaxes=True, vertical_spacing=0.08)
    edges = [0.0, *bounds_mm, max(float(scores.deviation_mm.max()), bounds_mm[-1] + 1)]
    for row, split in enumerate(splits, 1):
        values = scores.deviation_mm[scores.split == split].dropna()
        bins = dict(start=0, end=edges[-1], size=0.25)
        figure.add_trace(go.Histogram(x=values, xbins=bins, marker_color="#333333", showlegend=False), row, 1)
        for group, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
            label = dict(annotation_text=str(group), annotation_position="top left") if row == 1 else {}
            figure.add_vrect(
                low, high, fillcolor=GROUPS[group % 6], opacity=0.25, line_width=0, row=row, col=1, **label
            )
    figure.update_xaxes(range=[0, min(edges[-1], 20)]).update_xaxes(
        title="surface deviation score, mm", row=len(splits)
    )
    return figure.update_yaxes(title="patches").update_layout(height=160 + 160 * len(splits), margin_t=40, bargap=0)
