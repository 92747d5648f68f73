"""Surfaces of truth and prediction in 3D, coloured by their distance from each other in mm."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip import metrics
from ssl_hip.explorer.maps import Maps
from ssl_hip.shape.distance_field import Field, signed_distance
from ssl_hip.shape.shape_pictures import mesh

REACH_MM = 10.0  # of the colour scale
TITLES = ("ground truth", "prediction")
WIDTH, HEIGHT = 820, 420


def field(mask: np.ndarray, spacing_mm: float) -> Field | None:
    """Return the signed distance of a mask in mm; None where it has no surface."""
    if not metrics.surface(mask).any():
        return None
    return Field(signed_distance(mask, spacing_mm), np.zeros(3), spacing_mm)


def painted(shape: Field | None, other: Field | None) -> dict:
    """Return what a Mesh3d needs to show a surface, coloured by its distance in mm from the other one.

    Nothing to be seen without a surface; all of it as far away as the scale reaches without another.
    """
    if shape is None:
        return dict.fromkeys(("x", "y", "z", "i", "j", "k", "intensity"), [])
    vertices, faces = mesh(shape)
    away = np.full(len(vertices), REACH_MM) if other is None else np.abs(other.at(vertices.astype(np.float32)))
    values = (*vertices.round(2).T, *faces.T, away.round(2))
    return dict(zip(("x", "y", "z", "i", "j", "k", "intensity"), values, strict=True))


def figure(size: int, spacing_mm: float) -> go.Figure:
    """Return the figure of two empty scenes: truth and prediction."""
    result = make_subplots(1, 2, specs=[[{"type": "scene"}] * 2], subplot_titles=TITLES, horizontal_spacing=0)
    bar = {"title": "distance, mm", "thickness": 12}
    for column in (1, 2):
        scale = {"colorscale": "Cividis", "autocolorscale": False, "cmin": 0, "cmax": REACH_MM, "colorbar": bar}
        hover = {"hovertemplate": "%{intensity:.1f} mm<extra></extra>", "showscale": column == 2}
        result.add_mesh3d(**painted(None, None), **scale, **hover, row=1, col=column)
    axis = {"range": [0, spacing_mm * (size - 1)], "visible": False}
    result.update_scenes(aspectmode="cube", xaxis=axis, yaxis=axis, zaxis=axis)
    return result.update_layout(
        width=WIDTH, height=HEIGHT, margin={"t": 30, "b": 0, "l": 0, "r": 0}, uirevision="solid",
        paper_bgcolor="rgba(0,0,0,0)", font_color="#808080",
    )  # fmt: skip


def fill(result: go.Figure, maps: Maps, spacing_mm: float) -> go.Figure:
    """Put both surfaces of a patch into the figure and return it; what has no surface says so."""
    both = [field(mask, spacing_mm) for mask in (maps.truth == 1, maps.prediction)]
    with result.batch_update():
        for trace, shape, other in zip(result.data, both, both[::-1], strict=True):
            trace.update(painted(shape, other))
        for annotation, title, shape in zip(result.layout.annotations, TITLES, both, strict=True):
            annotation.text = title if shape else f"{title}: no surface"
    return result
