"""Three orthogonal slices through a patch, with a layer of colour, outlines and a cross-hair."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip import display
from ssl_hip.explorer.maps import Maps
from ssl_hip.explorer.matched import Labels
from ssl_hip.reporting.figures import WIDTH

WINDOWS = {"bone": display.WINDOW_HU, "soft tissue": (-100, 200)}  # HU
PLANES = ("axial", "coronal", "sagittal")
AXES = {"axial": (1, 2), "coronal": (0, 2), "sagittal": (0, 1)}  # of (z, y, x): up or down, left or right
X_AXES = {"axial": "x", "coronal": "x2", "sagittal": "x3"}  # plotly's names
TRUTH, PREDICTION = "#56B4E9", "#E69F00"  # outlines
MOST_NATS = 0.7  # ln 2, rounded up
HEIGHT = 340  # px
GREY = [[0, "#000000"], [1, "#FFFFFF"]]
TWO = [[0, "#0072B2"], [0.5, "#0072B2"], [0.5, "#D55E00"], [1, "#D55E00"]]  # colours of 0 and 1


class Layer(NamedTuple):
    """Colours over the grey image."""

    values: np.ndarray  # (D, H, W), NaN: nothing is shown
    low: float
    high: float
    scale: str | list
    title: str


def flat(colour: str) -> list:
    """Return a colour scale of one colour."""
    return [[0, colour], [1, colour]]


LAYERS = (
    "nothing", "ground truth", "prediction", "error", "uncertainty H", "uncertain (H ≥ λ)", "K⁺ − K⁻",
    "label by matching", "label by the teacher", "agreement of the two", "similarity to the voxel",
)  # fmt: skip


def layers(maps: Maps, found: Labels, similar: np.ndarray, limit: float) -> dict[str, Layer]:
    """Return LAYERS of a patch by name. similar: similarity to the voxel chosen; limit: lambda_T, nats."""
    nothing = np.full(maps.hu.shape, np.nan)
    truth = np.where(maps.truth == 255, np.nan, maps.truth)
    error = np.where(maps.prediction == truth, np.nan, maps.prediction) + 0 * truth
    difference = found.object_similarity - found.background_similarity
    reach = max(float(np.abs(difference).max()), 1e-6)
    names, bone = "0 background, 1 bone", "probability of bone"
    return dict(zip(LAYERS, (
        Layer(nothing, 0, 1, TWO, ""),
        Layer(truth, 0, 1, TWO, names),
        Layer(maps.probability, 0, 1, "Cividis", bone),
        Layer(error, 0, 1, TWO, "0 missed, 1 false"),
        Layer(maps.entropy, 0, MOST_NATS, "Cividis", "H, nats"),
        Layer(np.where(maps.entropy >= limit, 1.0, np.nan), 0, 1, flat("#F0E442"), ""),
        Layer(difference, -reach, reach, "RdBu_r", "K⁺ − K⁻"),
        Layer(found.label.astype(float), 0, 1, TWO, names),
        Layer(maps.teacher_label.astype(float), 0, 1, TWO, names),
        Layer((found.label == maps.teacher_label).astype(float), 0, 1, TWO, "0 differ, 1 agree"),
        Layer(similar, float(similar.min()), float(similar.max()), "Cividis", "similarity"),
    ), strict=True))  # fmt: skip


def plane(volume: np.ndarray, voxel: tuple[int, int, int], name: str) -> np.ndarray:
    """Return the slice of (D, H, W) through a voxel; the head is up in coronal and sagittal ones by their axes."""
    axis = PLANES.index(name)
    return np.take(volume, voxel[axis], axis)


def to_voxel(name: str, voxel: tuple[int, int, int], x: float, y: float) -> tuple[int, int, int]:
    """Return the voxel that a click at x, y into a plane chooses; the plane's own coordinate stays."""
    chosen, (down, right) = list(voxel), AXES[name]
    chosen[down], chosen[right] = round(y), round(x)
    return tuple(int(n) for n in chosen)


def outline(mask: np.ndarray) -> tuple[list, list]:
    """Return the edges between a mask (h, w) and the rest as lines x, y with gaps (None) between them."""
    x, y = [], []
    for row, column in np.argwhere(np.diff(mask.astype(np.int8), axis=0)):
        x += [column - 0.5, column + 0.5, None]
        y += [row + 0.5, row + 0.5, None]
    for row, column in np.argwhere(np.diff(mask.astype(np.int8), axis=1)):
        x += [column + 0.5, column + 0.5, None]
        y += [row - 0.5, row + 0.5, None]
    return [None if n is None else float(n) for n in x], [None if n is None else float(n) for n in y]


def figure(size: int, title: str = "") -> go.Figure:
    """Return the figure with all its traces, empty; `content` says what belongs into each."""
    result = make_subplots(1, 3, subplot_titles=PLANES, horizontal_spacing=0.04)
    for column, name in enumerate(PLANES, 1):
        place = {"row": 1, "col": column}
        result.add_heatmap(
            name=f"{name} image", coloraxis="coloraxis", **place,
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
        bar = {"thickness": 12, "len": 0.9, "title": {"side": "right"}}
        result.add_heatmap(
            name=f"{name} layer",
            opacity=0.55,
            autocolorscale=False,
            hoverinfo="skip",
            showscale=column == 3,
            colorbar=bar,
            **place,
        )
        for mask, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
            style = {"mode": "lines", "line": {"color": colour, "width": 2}, "hoverinfo": "skip"}
            result.add_scatter(name=f"{name} {mask}", showlegend=False, **style, **place)
        marks = {"color": "#F0E442", "size": 5, "symbol": "square", "line": {"color": "#000000", "width": 1}}
        result.add_scatter(
            name=f"{name} marks", mode="markers", marker=marks, hoverinfo="skip", showlegend=False, **place
        )
        hair = {"mode": "lines", "line": {"color": "#FFFFFF", "width": 1, "dash": "dot"}, "hoverinfo": "skip"}
        result.add_scatter(name=f"{name} cross-hair", showlegend=False, **hair, **place)
        axis = "" if column == 1 else column
        upwards = [-0.5, size - 0.5] if name != "axial" else [size - 0.5, -0.5]
        result.update_yaxes(range=upwards, scaleanchor=f"x{axis}", constrain="domain", visible=False, **place)
        result.update_xaxes(range=[-0.5, size - 0.5], constrain="domain", visible=False, **place)
    margin = {"t": 60 if title else 30, "b": 5, "l": 5, "r": 5}
    grey = {"colorscale": GREY, "cmin": 0, "cmax": 1, "showscale": False}  # a live trace's own scale is lost at first
    return result.update_layout(
        coloraxis=grey,
        width=WIDTH, height=HEIGHT, margin=margin, title=title, dragmode="lasso", uirevision="slices",
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font_color="#808080",
    )  # fmt: skip


def content(
    maps: Maps,
    voxel: tuple[int, int, int],
    layer: Layer,
    window_hu: tuple[float, float],
    outlines: tuple[bool, bool] = (True, True),
    marks: np.ndarray | None = None,
) -> dict[str, dict]:
    """Return what each trace of `figure` shows, by its name. outlines: truth, prediction; marks: (n, 3) voxels."""
    low, high = window_hu
    grey = np.clip((maps.hu - low) / (high - low), 0, 1)
    marks, shown = np.empty((0, 3), int) if marks is None else marks, {}
    last = maps.hu.shape[0] - 0.5
    for axis, name in enumerate(PLANES):
        down, right = AXES[name]
        here, hu = marks[marks[:, axis] == voxel[axis]], plane(maps.hu, voxel, name)
        text = [[f"{value:.0f} HU, H {nats:.2f}" for value, nats in zip(*rows, strict=True)]
                for rows in zip(hu, plane(maps.entropy, voxel, name), strict=True)]  # fmt: skip
        shown[f"{name} image"] = {"z": plane(grey, voxel, name), "text": text}
        colours = {"zmin": layer.low, "zmax": layer.high, "colorscale": layer.scale}
        shown[f"{name} layer"] = {"z": plane(layer.values, voxel, name), **colours, "colorbar.title.text": layer.title}
        for mask, volume, on in zip(("truth", "prediction"), (maps.truth == 1, maps.prediction), outlines, strict=True):
            x, y = outline(plane(volume, voxel, name)) if on else ([], [])
            shown[f"{name} {mask}"] = {"x": x, "y": y}
        shown[f"{name} marks"] = {"x": here[:, right], "y": here[:, down]}
        x, y = voxel[right], voxel[down]
        shown[f"{name} cross-hair"] = {"x": [-0.5, last, None, x, x], "y": [y, y, None, -0.5, last]}
    return shown


def fill(result: go.Figure, shown: dict[str, dict]) -> go.Figure:
    """Put contents into a figure's traces and return it; in a FigureWidget it is one message to the browser."""
    with result.batch_update():
        for trace in result.data:
            trace.update({key.replace(".", "_"): value for key, value in shown[trace.name].items()})
    return result
