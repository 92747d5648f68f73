"""Plotly pictures of the cohort's scans: uint8 planes, small enough to be stored in a notebook."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip import display
from ssl_hip.images import isotropic
from ssl_hip.simulation import reality

PICTURE_MM = 2.0
Scan = tuple[np.ndarray, np.ndarray, tuple[float, float, float]]


def load(row: Any, root: Path, foreground: list[int] | list[str]) -> Scan:
    """Read a subject of the manifest in LPS at PICTURE_MM: HU (z, y, x), foreground (bool), spacing (x, y, z) in mm."""
    scan, _ = isotropic.read(row._asdict(), Path(root), PICTURE_MM, foreground)
    return scan.hu, scan.label == 1, (PICTURE_MM,) * 3


def three_planes(image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float], title: str) -> go.Figure:
    """Axial, coronal and sagittal plane through the centre of the foreground's right half; axes in mm."""
    points = np.argwhere(mask)
    z, y, x = points[points[:, 2] <= points[:, 2].mean()].mean(axis=0).astype(int)
    x_mm, y_mm, z_mm = spacing
    planes = [
        (image[z], mask[z], x_mm, y_mm),
        (image[::-1, y], mask[::-1, y], x_mm, z_mm),
        (image[::-1, :, x], mask[::-1, :, x], y_mm, z_mm),
    ]
    figure = make_subplots(1, 3, subplot_titles=("axial", "coronal", "sagittal"), horizontal_spacing=0.02)
    for i, (hu, inside, dx, dy) in enumerate(planes, start=1):
        picture = display.outline(display.to_grey(hu), inside)
        figure.add_trace(go.Image(z=picture, dx=dx, dy=dy), row=1, col=i)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.update_layout(title=title, height=320, margin=dict(l=10, r=10, t=60, b=10))


def beside_reality(measured: pd.DataFrame) -> go.Figure:
    """A panel a measure (columns of measured, see reality.measures): a dot a scan, real ones and the cohort's."""
    real = pd.read_csv(reality.REAL, index_col="scan")
    figure = make_subplots(2, 6, subplot_titles=list(real.columns))
    for i, name in enumerate(real.columns):
        for label, table, colour in (("real", real, "#d55e00"), ("cohort", measured, "#0072b2")):
            place = dict(row=i // 6 + 1, col=i % 6 + 1)
            style = dict(boxpoints="all", pointpos=0, jitter=0.6, line_width=1, marker=dict(size=4, color=colour))
            figure.add_trace(go.Box(y=table[name].round(4), name=label, showlegend=False, **style), **place)
    return figure.update_layout(height=520, title="Phantoms beside real CT", margin=dict(l=30, r=10, t=80, b=30))


def histogram(scans: list[Scan], low: float = -300, high: float = 1500, bins: int = 90) -> go.Figure:
    """Share of voxels by HU, foreground against the rest of the body."""
    edges = np.linspace(low, high, bins + 1)
    figure = go.Figure()
    for name, wanted in (("foreground", True), ("rest of the body", False)):
        count = sum(np.histogram(image[(mask == wanted) & (image > low)], edges)[0] for image, mask, _ in scans)
        share = np.round(count / max(count.sum(), 1), 6)
        figure.add_trace(go.Scatter(x=(edges[:-1] + edges[1:]) / 2, y=share, name=name, mode="lines"))
    return figure.update_layout(xaxis_title="HU", yaxis_title="share of voxels", yaxis_type="log")
