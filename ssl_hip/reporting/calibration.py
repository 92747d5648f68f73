"""Can the teacher's probability and entropy be trusted? Reliability, and entropy as a detector of wrong voxels."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ssl_hip import metrics
from ssl_hip.patch_store import PatchStore
from ssl_hip.prediction import load_network
from ssl_hip.reporting import ablations, tables
from ssl_hip.reporting.embeddings import autocast, batches
from ssl_hip.reporting.figures import COLOURS, DASHES, finish
from ssl_hip.uncertainty import Prediction, mc_dropout

BINS = 10
LEVELS = 10_000  # of certainty: fine enough to rank voxels by, whose number may exceed the memory
NAMES = {ablations.BASE: ablations.BASE, "supervised": "supervised_ema"}  # whose averaged weights are looked at
NUMBERS = ["ece", "auroc", "error", "uncertain_share"]


class Counts(NamedTuple):
    """What is known of a network's voxels; counts of parts of them add up."""

    voxels: np.ndarray  # (BINS,) with a mean foreground probability in this bin
    probability: np.ndarray  # (BINS,) sum of it
    bone: np.ndarray  # (BINS,) of them bone in truth
    right: np.ndarray  # (LEVELS,) whose argmax is right, by certainty 1 - H / ln 2
    wrong: np.ndarray  # (LEVELS,)
    uncertain: np.ndarray  # () with H >= lambda_T


def certainty(entropy: np.ndarray) -> np.ndarray:
    """Return 1 - H / ln 2 of entropies H in nats: 0 for a coin's toss, 1 where nothing is in doubt."""
    return (1 - entropy / math.log(2)).clip(0, 1)


def count(passes: Prediction, bone: np.ndarray, limit: float) -> Counts:
    """Count the voxels of stochastic passes (B, 2, D, H, W); bone (B, D, H, W) bool; limit: lambda_T, nats."""
    probability = passes.probability[:, 1].double().cpu().numpy().ravel()
    entropy, bone = passes.mean_entropy.double().cpu().numpy().ravel(), bone.ravel()
    bins = (probability * BINS).astype(int).clip(0, BINS - 1)
    levels = (certainty(entropy) * LEVELS).astype(int).clip(0, LEVELS - 1)
    right = (probability > 0.5) == bone
    return Counts(
        np.bincount(bins, minlength=BINS),
        np.bincount(bins, probability, BINS),
        np.bincount(bins[bone], minlength=BINS),
        np.bincount(levels[right], minlength=LEVELS),
        np.bincount(levels[~right], minlength=LEVELS),
        np.count_nonzero(entropy >= limit),
    )


def count_run(folder: Path, store: PatchStore, draw: int, passes: int, limit: float) -> Counts | None:
    """Count the voxels of a run's scored patches, of the teacher's stochastic passes; None without patches.

    The masks' seeds are fixed; those drawn afresh (on a GPU, or larger than the pool) come from torch's generator.
    """
    network, (split, rows) = load_network(folder, "teacher"), store.scored(draw)
    device, parts = next(network.parameters()).device, []
    network.masks.seed(0)
    with torch.random.fork_rng(), autocast(folder):
        torch.manual_seed(0)
        for part in batches(rows, store.size):
            found = mc_dropout(network, store.images(split, part, device), passes)
            parts.append(count(found, store.label[split][part] == 1, limit))
    return Counts(*map(sum, zip(*parts, strict=True))) if parts else None


def count_runs(folder: Path, runs: list, store: PatchStore, passes: int, limit: float) -> dict[tuple, Counts]:
    """Return the counts of the averaged weights of embedding matching and supervised runs, by RUN; see NAMES."""
    chosen = {run: folder / "-".join(map(str, run)) for run in runs if run[0] in NAMES}
    found = {(NAMES[run[0]], *run[1:]): count_run(path, store, run[2], passes, limit) for run, path in chosen.items()}
    return {run: counts for run, counts in found.items() if counts is not None}


def expected_error(counts: Counts) -> float:
    """Return the expected calibration error of the foreground: mean over voxels of a bin's |share of bone - p|."""
    return float(np.abs(counts.bone - counts.probability).sum() / counts.voxels.sum())


def auroc(right: np.ndarray, wrong: np.ndarray) -> float:
    """Return how often a wrong voxel is less certain than a right one, ties by half; counts by rising certainty.

    It is the area under the ROC curve (Mann and Whitney's U over the number of pairs); NaN where either is missing.
    """
    pairs = right.sum() * wrong.sum()
    more_certain = right.sum() - right.cumsum() + right / 2
    return float((wrong * more_certain).sum() / pairs) if pairs else math.nan


def numbers(counts: Counts) -> dict[str, float]:
    """Return ece, auroc, the share of wrong voxels and that of uncertain ones."""
    total = counts.voxels.sum()
    shares = {"error": counts.wrong.sum() / total, "uncertain_share": counts.uncertain / total}
    return {"ece": expected_error(counts), "auroc": auroc(counts.right, counts.wrong), **shares}


def calibration(counted: dict[tuple, Counts]) -> pd.DataFrame:
    """Return a row a run: RUN columns and NUMBERS."""
    rows = [dict(zip(tables.RUN, run, strict=True)) | numbers(counts) for run, counts in counted.items()]
    return pd.DataFrame(rows, columns=[*tables.RUN, *NUMBERS])


def reliability(counts: Counts) -> pd.DataFrame:
    """Return a row a bin of the foreground probability: its mean, the share of bone, voxels; no empty bins."""
    table = pd.DataFrame({"x": counts.probability, "y": counts.bone}).div(np.maximum(counts.voxels, 1), axis=0)
    return table.assign(voxels=counts.voxels)[counts.voxels > 0]


def accuracy(counts: Counts) -> pd.DataFrame:
    """Return a row a bin of certainty: its mean, the share of right voxels, voxels; no empty bins."""
    right, wrong = (each.reshape(BINS, -1) for each in (counts.right, counts.wrong))
    middle = ((np.arange(LEVELS) + 0.5) / LEVELS).reshape(BINS, -1)
    voxels = (right + wrong).sum(1)
    table = pd.DataFrame({"x": ((right + wrong) * middle).sum(1), "y": right.sum(1)})
    return table.div(np.maximum(voxels, 1), axis=0).assign(voxels=voxels)[voxels > 0]


def ideal() -> tuple[np.ndarray, np.ndarray]:
    """Return certainty 1 - H(q) / ln 2 and accuracy q of a network that is right with the probability q it says."""
    q = np.linspace(0.5, 1, 101)[:-1]
    entropy = -(q * np.log(q) + (1 - q) * np.log(1 - q))
    return np.append(certainty(entropy), 1.0), np.append(q, 1.0)


def describe(table: pd.DataFrame) -> list[str]:
    """Say how calibrated each method's averaged weights are, and whether entropy tells where they are wrong."""
    means = table.groupby(["labelled_patches", "method"], sort=False)[NUMBERS].mean()
    lines = [
        f"{subset} labelled patches, {method}: the share of bone is off the probability by {row.ece:.3f} on average; "
        f"{row.error:.1%} of the voxels are wrong, {detected(row.auroc)}"
        for (subset, method), row in means.iterrows()
    ]
    return lines + compared(means) or [f"calibration: {metrics.NOT_AVAILABLE}"]


def detected(area: float) -> str:
    """Say whether entropy tells wrong voxels; area under the ROC curve, .5 for chance."""
    verb = "entropy tells them" if area > 0.5 else "entropy does not tell them"
    return f"{verb} (AUROC {area:.3f})" if math.isfinite(area) else "AUROC not available"


def compared(means: pd.DataFrame) -> list[str]:
    """Say for each labelled subset that has both whether embedding matching's teacher does better than its rival."""
    lines = []
    for subset, rows in means.groupby(level=0, sort=False):
        if len(rows) == len(NAMES):
            ours, rival = (rows.loc[(subset, name)] for name in NAMES.values())
            calibrated = "better" if ours.ece < rival.ece else "no better"
            detector = "a better" if ours.auroc > rival.auroc else "no better"
            lines.append(
                f"{subset} labelled patches: embedding matching's teacher is {calibrated} calibrated than "
                f"{rival.name[1]}, its entropy {detector} detector"
            )
    return lines


def figure(counted: dict[tuple, Counts]) -> go.Figure:
    """Return both panels, a line a run: colour the method, dashes the labelled subset, a dot's area the voxels."""
    titles = ("Probability: how often is it bone?", "Certainty: how often is it right?")
    panels = make_subplots(1, 2, subplot_titles=titles)
    subsets = list(dict.fromkeys(run[1] for run in counted))
    for column, (bins, perfect) in enumerate(((reliability, ([0, 1], [0, 1])), (accuracy, ideal())), 1):
        panels.add_scatter(
            x=perfect[0], y=perfect[1], name="calibrated", mode="lines", showlegend=column == 1,
            line={"color": "#CCCCCC", "width": 4}, row=1, col=column,
        )  # fmt: skip
        seen = set()
        for (method, subset, _), counts in counted.items():
            table, name = bins(counts), f"{method}, {subset}"
            size = 3 + 22 * np.sqrt(table.voxels / table.voxels.sum())
            line = {"color": COLOURS.get(method), "dash": DASHES[subsets.index(subset) % len(DASHES)], "width": 1.5}
            panels.add_scatter(
                x=table.x, y=table.y, name=name, legendgroup=name, mode="lines+markers", line=line,
                marker={"size": size, "opacity": 0.6}, showlegend=column == 1 and name not in seen, row=1, col=column,
            )  # fmt: skip
            seen.add(name)
    panels.update_xaxes(title="mean probability p of bone", col=1).update_yaxes(title="share of bone", col=1)
    panels.update_xaxes(title="certainty 1 - H / ln 2", col=2).update_yaxes(title="share of right voxels", col=2)
    return finish(panels, 420)
