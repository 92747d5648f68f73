"""How far apart networks keep the embeddings of bone and background: measures, table and pictures (Eq. 3)."""

from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ssl_hip import metrics
from ssl_hip.matching import Match, nearest_label, similarity
from ssl_hip.reporting import ablations, tables
from ssl_hip.reporting.embeddings import Voxels
from ssl_hip.reporting.figures import finish

KEY = [*tables.RUN, "trained"]
NUMBERS = ["silhouette", "margin", "accuracy"]
COLOURS = {"background": "#0072B2", "object": "#D55E00"}  # Okabe-Ito: fit for colour-blind people
SUBSET_COLOURS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#000000"]


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Return the directions of vectors (N, C), float64; a zero vector stays zero."""
    vectors = vectors.astype(float)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)


def silhouette(vectors: np.ndarray, bone: np.ndarray) -> float:
    """Return the mean of (b - a) / max(a, b) over vectors (N, C), -1 .. 1 (Rousseeuw 1987).

    a, b: mean cosine distance to the others of the own class, and to the other class. A mean of cosines is one dot
    product with the sum of the directions, so no matrix of pairs is needed. NaN without two vectors of each class.
    """
    directions, own = normalised(vectors), bone.astype(int)
    count = np.bincount(own, minlength=2)
    if count.min() < 2:
        return float("nan")
    cosine = directions @ np.stack([directions[own == side].sum(0) for side in (0, 1)]).T  # (N, 2), sums over a class
    each, itself = np.arange(len(own)), (directions**2).sum(1)
    a = 1 - (cosine[each, own] - itself) / (count[own] - 1)
    b = 1 - cosine[each, 1 - own] / count[1 - own]
    return float(np.mean((b - a) / np.maximum(a, b).clip(1e-12)))


def margin_and_accuracy(vectors: np.ndarray, bone: np.ndarray, half: np.ndarray) -> tuple[float, float]:
    """Return the mean of K(own class) - K(other class), and how often the nearest label is right (Eq. 3).

    K: mean cosine with a class's vectors in the other half, so that no scan is compared with itself. Classes are of
    equal size in each half. NaN where a half is empty.
    """
    if half.all() or not half.any():
        return float("nan"), float("nan")
    found, vectors = np.empty((len(bone), 2)), torch.from_numpy(vectors).double()
    for side in (half, ~half):
        references = torch.stack([vectors[~side & bone], vectors[~side & ~bone]])[:, None]  # (2, 1, k, C)
        found[side] = similarity(vectors[side], references).numpy()
    match = Match(*torch.from_numpy(found).unbind(-1), torch.ones(1))
    difference = np.where(bone, 1, -1) * (found[:, 0] - found[:, 1])
    return float(difference.mean()), float((nearest_label(match).numpy() == bone).mean())


def measure(vectors: dict[tuple, np.ndarray], voxels: dict[int, Voxels]) -> pd.DataFrame:
    """Return a row a network: KEY, silhouette, margin, accuracy; no rows where no voxel has a label."""
    rows = []
    for key, found in vectors.items():
        bone, half = voxels[key[2]].bone, voxels[key[2]].half
        if len(bone):
            rows.append((*key, silhouette(found, bone), *margin_and_accuracy(found, bone, half)))
    return pd.DataFrame(rows, columns=[*KEY, *NUMBERS])


def without_entropy(settings: dict[str, dict]) -> str | None:
    """Return the trained variant that differs from embedding matching in nothing but the absence of L_EN."""
    names = [name for name in ablations.within(settings, ["weight_en"]) if settings[name]["weight_en"] == 0]
    return names[0] if names and ablations.BASE not in names else None


def pictured(runs: list, without: str | None) -> dict[str, tuple]:
    """Return the keys of the networks to be pictured by their panels' titles, all of one labelled subset and draw.

    It is the first one for which the variant `without` L_EN is trained too, else the first; none without embedding
    matching.
    """
    bases = sorted((run for run in runs if run[0] == ablations.BASE), key=lambda run: (without, *run[1:]) not in runs)
    if not bases:
        return {}
    names = {
        "before training": (ablations.BASE, False),
        "embedding matching": (ablations.BASE, True),
        "without L<sub>EN</sub>": (without, True),
        "supervised": ("supervised", True),
    }
    keys = {title: (name, *bases[0][1:], trained) for title, (name, trained) in names.items()}
    return {title: key for title, key in keys.items() if key[:3] in runs}


def principal(vectors: np.ndarray, bone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two principal components (N, 2) of the vectors' directions, and their shares of the variance (2,).

    A component's sign is free: here bone's mean is on its positive side.
    """
    directions = normalised(vectors)
    u, s, _ = np.linalg.svd(directions - directions.mean(0), full_matrices=False)
    components = (u * s)[:, :2]
    return components * np.where(components[bone].mean(0) < 0, -1, 1), (s**2 / (s**2).sum().clip(1e-12))[:2]


def describe_training(table: pd.DataFrame) -> str:
    """Say whether embedding matching's runs keep the classes further apart than the weights they began with."""
    ours = table[table.method == ablations.BASE].groupby("trained").silhouette.mean()
    if len(ours) < 2:
        return f"before and after training: {metrics.NOT_AVAILABLE if table.empty else 'not available'}"
    verb = "separates" if ours[True] > ours[False] else "does not separate"
    return f"training {verb} the classes: silhouette {ours[False]:.3f} before, {ours[True]:.3f} after (mean over runs)"


def describe_entropy(table: pd.DataFrame, without: str | None) -> str:
    """Say whether runs with L_EN separate more than those of the variant `without` it, by pairs of subset and draw."""
    wide = table[table.trained.astype(bool)].pivot(index=tables.RUN[1:], columns="method", values="silhouette")
    pairs = wide.reindex(columns=[ablations.BASE, without]).dropna()
    if pairs.empty:
        return "with and without L_EN: not available"
    more, (ours, theirs) = int((pairs[ablations.BASE] > pairs[without]).sum()), pairs.mean()
    return (
        f"silhouette {ours:.3f} with L_EN, {theirs:.3f} without; larger with it in {more} of {len(pairs)} pairs of runs"
    )


def scatter(vectors: dict, voxels: dict[int, Voxels], chosen: dict[str, tuple], table: pd.DataFrame) -> go.Figure:
    """Return the principal components of the networks that `pictured` chose, a panel each, a dot a voxel."""
    silhouettes, titles = table.set_index(KEY).silhouette, []
    figure = make_subplots(
        1, len(chosen), shared_xaxes="all", shared_yaxes=True, subplot_titles=list(chosen), horizontal_spacing=0.02
    )
    for column, (title, key) in enumerate(chosen.items(), 1):
        bone = voxels[key[2]].bone
        components, shares = principal(vectors[key], bone)
        colour = np.where(bone, COLOURS["object"], COLOURS["background"])  # one trace: neither class hides the other
        x, y = components.astype(np.float32).T
        marker = {"size": 4, "opacity": 0.5, "color": colour}
        figure.add_scatter(x=x, y=y, mode="markers", marker=marker, showlegend=False, row=1, col=column)
        titles.append(f"{title}<br>PC1 {shares[0]:.0%}, PC2 {shares[1]:.0%}<br>silhouette {silhouettes[key]:.2f}")
    for annotation, title in zip(figure.layout.annotations, titles, strict=True):
        annotation.update(text=title, font_size=13)
    for name, colour in COLOURS.items():
        figure.add_scatter(x=[None], y=[None], name=name, mode="markers", marker={"size": 8, "color": colour})
    figure.update_xaxes(title="PC1").update_yaxes(title="PC2", col=1)
    return finish(figure, 420, margin={"t": 90, "b": 50, "l": 60, "r": 20})


def dot_plot(table: pd.DataFrame) -> go.Figure:
    """Return the silhouette of every run, a line a method, a colour a labelled subset; bars are the draws' means.

    The dashed line is the mean before training.
    """
    trained, figure = table[table.trained.astype(bool)], go.Figure()
    colours = dict(zip(trained.labelled_patches.unique(), cycle(SUBSET_COLOURS), strict=False))
    for subset, rows in trained.groupby("labelled_patches", sort=False):
        name, means = f"{subset} labelled patches", rows.groupby("method", sort=False).silhouette.mean()
        style = {"name": name, "legendgroup": name, "mode": "markers", "marker_color": colours[subset]}
        figure.add_scatter(x=rows.silhouette, y=rows.method, marker_size=8, marker_opacity=0.6, **style)
        bar = {"marker_symbol": "line-ns-open", "marker_size": 18, "marker_line_width": 3, "showlegend": False}
        figure.add_scatter(x=means, y=means.index, **bar, **style)
    before = table[~table.trained.astype(bool)].silhouette.mean()
    if np.isfinite(before):
        figure.add_vline(before, line_dash="dash", annotation={"text": "before training", "yanchor": "bottom"})
    shown = [table.silhouette.min() - 0.02, table.silhouette.max() + 0.02]
    figure.update_xaxes(title="silhouette (higher: further apart)", range=shown)
    figure.update_yaxes(autorange="reversed")
    return finish(figure, 160 + 24 * trained.method.nunique(), margin={"t": 50, "b": 50, "l": 160, "r": 20})
