"""Embeddings of near-surface voxels as a cloud: where a network puts them, and which voxel a dot is."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch

from ssl_hip import metrics
from ssl_hip.explorer.maps import Maps
from ssl_hip.explorer.matched import Labels
from ssl_hip.matching import near_surface
from ssl_hip.reporting.separation import principal

DOTS = 2000  # at most, in all
COLOURINGS = ("truth", "label by matching", "uncertainty H", "patch")
WIDTH, HEIGHT = 820, 420


class Cloud(NamedTuple):
    """Near-surface voxels of some patches and their place in the plane."""

    row: np.ndarray  # (N,) of the split's arrays
    voxel: np.ndarray  # (N, 3) z, y, x
    place: np.ndarray  # (N, 2) principal components of the directions
    shares: np.ndarray  # (2,) of the variance
    truth: np.ndarray  # (N,) bool
    label: np.ndarray  # (N,) bool, by matching
    entropy: np.ndarray  # (N,) nats


def cloud(patches: dict[int, tuple[Maps, Labels]], band_mm: float, spacing_mm: float, seed: int = 0) -> Cloud:
    """Draw voxels within band_mm of the true surface of each patch, by row, and project their embeddings.

    Empty where no patch has a surface that is known.
    """
    rng, parts = np.random.default_rng(seed), []
    for row, (maps, found) in patches.items():
        truth = maps.truth == 1
        distance = torch.from_numpy(metrics.signed_distance(truth, spacing_mm))
        near = torch.stack(near_surface(torch.from_numpy(truth), distance, band_mm)).any(0).numpy()
        voxels = np.argwhere(near & (maps.truth != 255))
        chosen = voxels[np.sort(rng.permutation(len(voxels))[: DOTS // len(patches)])]
        at = tuple(chosen.T)
        vectors = maps.embeddings[0].numpy()[:, *at].T
        parts.append((np.full(len(chosen), row), chosen, vectors, truth[at], found.label[at], maps.entropy[at]))
    row, voxel, vectors, truth, label, entropy = (np.concatenate(column) for column in zip(*parts, strict=True))
    place, shares = principal(vectors, truth) if len(vectors) > 2 else (np.zeros((len(row), 2)), np.zeros(2))
    return Cloud(row, voxel, place, shares, truth, label, entropy)


def colours(shown: Cloud, colouring: str) -> dict:
    """Return the marker settings of a colouring."""
    if colouring == "uncertainty H":
        return {"color": shown.entropy, "colorscale": "Cividis", "cmin": 0, "cmax": 0.7, "showscale": True}
    if colouring == "patch":
        return {"color": np.unique(shown.row, return_inverse=True)[1], "colorscale": "Viridis", "showscale": False}
    values = shown.truth if colouring == "truth" else shown.label
    return {"color": np.where(values, "#D55E00", "#0072B2").tolist(), "showscale": False}


def figure() -> go.Figure:
    """Return the empty figure: dots, and the ring around those that are chosen in the slices."""
    result = go.Figure()
    result.add_scatter(mode="markers", marker={"size": 5, "opacity": 0.7}, name="voxels", showlegend=False,
                       hovertemplate="%{text}<extra></extra>")  # fmt: skip
    ring = {"size": 11, "color": "rgba(0,0,0,0)", "line": {"width": 2, "color": "#CC79A7"}}
    result.add_scatter(mode="markers", marker=ring, name="chosen", showlegend=False, hoverinfo="skip")
    return result.update_layout(
        width=WIDTH, height=HEIGHT, margin={"t": 30, "b": 50, "l": 60, "r": 20}, dragmode="lasso", uirevision="space",
        template="plotly_white", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font_color="#808080",
    )  # fmt: skip


def fill(result: go.Figure, shown: Cloud, colouring: str, ringed: np.ndarray | slice = slice(0)) -> go.Figure:
    """Put a cloud into the figure, with rings around some dots, (N,) bool, and return it."""
    text = [f"patch row {row}, z {z}, y {y}, x {x}" for row, (z, y, x) in zip(shown.row, shown.voxel, strict=True)]
    with result.batch_update():
        result.data[0].update(x=shown.place[:, 0], y=shown.place[:, 1], text=text, selectedpoints=None)
        result.data[0].marker.update(colours(shown, colouring))
        result.data[1].update(x=shown.place[ringed, 0], y=shown.place[ringed, 1])
        result.layout.xaxis.title = f"PC1, {shown.shares[0]:.0%} of the variance"
        result.layout.yaxis.title = f"PC2, {shown.shares[1]:.0%}"
    return result
