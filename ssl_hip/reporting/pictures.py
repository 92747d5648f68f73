"""Planes of a segmented scan: a plotly figure and a static PNG, both from the same small colour pictures."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly.express as px
import plotly.graph_objects as go
import SimpleITK as sitk
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from ssl_hip import display
from ssl_hip.images import resampling, volumes

DISPLAY_MM = 1.5  # pixel edge; every picture stays below 0.1 MB
OPAQUE = 0.5


class View(NamedTuple):
    """Volumes (z, y, x) on one isotropic LPS grid: patient's right at low x, back at high y, head at high z."""

    grey: np.ndarray  # uint8, the CT in a display window
    mask: np.ndarray  # bool
    uncertainty: np.ndarray  # float32, 0 .. 1: nats / ln 2
    truth: np.ndarray | None  # bool
    centre: tuple[int, int, int]  # planes to show


def view(
    image: sitk.Image,
    mask: sitk.Image,
    uncertainty: sitk.Image,
    truth: sitk.Image | None = None,
    window_hu: tuple[float, float] = display.WINDOW_HU,
) -> View:
    """Bring a scan, its mask, its uncertainty (nats) and perhaps the truth onto one grid for display."""
    ct = resampling.resample(volumes.canonical(image), DISPLAY_MM)
    grey = display.to_grey(volumes.to_array(ct), window_hu)
    shown = _onto(mask, ct) > 0
    real = None if truth is None else _onto(truth, ct) > 0
    nats = volumes.to_array(resampling.resample_onto(uncertainty, ct))
    return View(grey, shown, nats / math.log(2), real, richest(shown if real is None or not real.any() else real))


def _onto(label: sitk.Image, grid: sitk.Image) -> np.ndarray:
    return volumes.to_array(resampling.resample_onto(label, grid, "nearest"))


def richest(mask: np.ndarray) -> tuple[int, int, int]:
    """Return the planes (z, y, x) that hold the most foreground; the middle ones of an empty mask."""
    if not mask.any():
        return tuple(n // 2 for n in mask.shape)
    return tuple(int(np.argmax(mask.sum(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3))


def planes(volume: np.ndarray, centre: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Return the three planes as one looks at them: head up, patient's right on the left (axial, coronal)."""
    z, y, x = centre
    return {"axial": volume[z], "coronal": volume[::-1, y], "sagittal": volume[::-1, :, x]}


def panels(shown: View) -> dict[str, dict[str, np.ndarray]]:
    """Return pictures (h, w, 3) uint8 by layer (CT, truth where there is one, prediction, uncertainty) and plane."""
    layers = {"CT": (np.zeros(shown.grey.shape), display.ORANGE)}
    if shown.truth is not None:
        layers["truth"] = (OPAQUE * shown.truth, display.SKY_BLUE)
    layers["prediction"] = (OPAQUE * shown.mask, display.ORANGE)
    layers["uncertainty"] = (shown.uncertainty, display.YELLOW)
    grey = planes(shown.grey, shown.centre)
    return {
        layer: {plane: display.tint(grey[plane], part, colour) for plane, part in planes(weight, shown.centre).items()}
        for layer, (weight, colour) in layers.items()
    }


def figure(shown: View) -> go.Figure:
    """Return a plotly figure: a row a layer, a column a plane; pictures are embedded as PNG."""
    rows = panels(shown)
    titles = [f"{layer}, {plane}" for layer, columns in rows.items() for plane in columns]
    result = make_subplots(len(rows), 3, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.06)
    for row, columns in enumerate(rows.values(), 1):
        for column, picture in enumerate(columns.values(), 1):
            result.add_trace(px.imshow(picture, binary_string=True).data[0], row, column)
    result.update_traces(hoverinfo="skip", hovertemplate=None)
    result.update_xaxes(visible=False).update_yaxes(visible=False)
    return result.update_layout(height=330 * len(rows), margin={"t": 40, "b": 10, "l": 10, "r": 10})


def save(shown: View, path: Path | str) -> None:
    """Write a PNG: coronal above axial, a column a layer."""
    columns = panels(shown)
    drawing = Figure(figsize=(3.2 * len(columns), 6), dpi=100, layout="constrained")
    axes = drawing.subplots(2, len(columns))
    for column, (layer, pictures) in enumerate(columns.items()):
        for row, plane in enumerate(("coronal", "axial")):
            axes[row, column].imshow(pictures[plane])
            axes[row, column].set(xticks=[], yticks=[], title=layer if row == 0 else "")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, format="png", metadata={"Software": None})
