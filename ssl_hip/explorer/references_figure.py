"""The references that carry a voxel's label, shown where they lie in their labelled patches."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip.explorer.matched import CLASSES, Reference
from ssl_hip.explorer.slices import GREY, TRUTH, outline
from ssl_hip.patch_store import PatchStore

EACH = 3  # of a class
WIDTH, HEIGHT = 800, 190  # px, within a tab
COLOURS = {"object": "#D55E00", "background": "#0072B2"}


def figure(size: int) -> go.Figure:
    """Return the figure with empty panels: EACH of the object, EACH of the background."""
    result = make_subplots(1, 2 * EACH, subplot_titles=[" "] * (2 * EACH), horizontal_spacing=0.01)
    for column in range(1, 2 * EACH + 1):
        place = {"row": 1, "col": column}
        silent = place | {"hoverinfo": "skip"}
        result.add_heatmap(colorscale=GREY, autocolorscale=False, zmin=0, zmax=1, showscale=False, **silent)
        result.add_scatter(mode="lines", line={"color": TRUTH, "width": 1}, **silent)
        colour = COLOURS[CLASSES[(column - 1) // EACH]]
        marker = {"size": 10, "symbol": "circle-open", "color": colour, "line": {"width": 3}}
        result.add_scatter(mode="markers", marker=marker, **silent)
        axis = "" if column == 1 else column
        result.update_xaxes(range=[-0.5, size - 0.5], visible=False, **place)
        result.update_yaxes(range=[size - 0.5, -0.5], visible=False, scaleanchor=f"x{axis}", **place)
    result.update_annotations(font_size=11)
    return result.update_layout(
        width=WIDTH, height=HEIGHT, margin={"t": 40, "b": 5, "l": 5, "r": 5}, showlegend=False, dragmode=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font_color="#808080",
    )  # fmt: skip


def fill(result: go.Figure, store: PatchStore, nearest: list[Reference], window_hu: tuple[float, float]) -> go.Figure:
    """Show the axial slice through each reference, the truth outlined; return the figure."""
    low, high = window_hu
    places = {kind: [each for each in nearest if each.kind == kind][:EACH] for kind in CLASSES}
    numbers = store.table("train").patch
    shown = [each for kind in CLASSES for each in places[kind] + [None] * (EACH - len(places[kind]))]
    with result.batch_update():
        for column, reference in enumerate(shown):
            image, line, marker = result.data[3 * column : 3 * column + 3]
            if reference is None:
                image.z, line.x, line.y, marker.x, marker.y = None, [], [], [], []
                result.layout.annotations[column].text = " "
                continue
            z, y, x = reference.voxel
            hu = store.normalization.to_hu(store.image["train"][reference.row][z].astype(np.float32))
            image.z = np.clip((hu - low) / (high - low), 0, 1)
            line.x, line.y = outline(store.label["train"][reference.row][z] == 1)
            marker.x, marker.y = [x], [y]
            kind = {"object": "bone", "background": "background"}[reference.kind]
            where = f"patch {numbers[reference.row]}, z {z}"
            result.layout.annotations[column].text = f"{kind} {reference.similarity:.3f}<br>{where}"
    return result
