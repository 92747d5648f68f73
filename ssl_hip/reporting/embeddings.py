"""Embeddings of the same near-surface voxels by every network, trained or not."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ssl_hip import metrics, precision
from ssl_hip.learner import seeds
from ssl_hip.matching import near_surface
from ssl_hip.patch_store import PatchStore
from ssl_hip.prediction import load_network
from ssl_hip.reporting import ablations, tables
from ssl_hip.uncertainty import VOXELS_AT_ONCE
from ssl_hip.unet import UNet3d

VOXELS, AT_MOST = 2000, 8  # in all, as far as patches allow; of a patch and class


class Voxels(NamedTuple):
    """Near-surface voxels of scored patches: in each patch as many of the object as of the background."""

    split: str
    row: np.ndarray  # (N,) of the split's arrays, ascending
    place: np.ndarray  # (N,) in the flattened patch
    bone: np.ndarray  # (N,) bool, the truth
    half: np.ndarray  # (N,) bool: which half of the scans, or of the patches of a single scan


def batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Return the rows in batches, so small that feature maps of few patches are held at once."""
    number = max(1, min(8, VOXELS_AT_ONCE // size**3))
    return [rows[start : start + number] for start in range(0, len(rows), number)]


def draw_voxels(store: PatchStore, draw: int, band_mm: float, seed: int = 0) -> Voxels:
    """Draw voxels within band_mm of the true surface, the same ones whenever it is called."""
    split, rows = store.scored(draw)
    at_most = np.clip(VOXELS // max(1, 2 * len(rows)), 1, AT_MOST)
    rng = np.random.default_rng(seed)
    row, place, bone = [np.empty(0, int)], [np.empty(0, int)], [np.empty(0, bool)]
    for patch in rows:
        label = store.label[split][patch] == 1
        distance = torch.from_numpy(metrics.signed_distance(label, store.spacing_mm))
        classes = [np.flatnonzero(mask) for mask in near_surface(torch.from_numpy(label), distance, band_mm)]
        n = min(at_most, *map(len, classes))
        row.append(np.full(2 * n, patch))
        place += [rng.choice(places, n, replace=False) for places in classes]
        bone.append(np.repeat([True, False], n))
    row = np.concatenate(row)
    subject = store.table(split).set_index("row").subject[row].to_numpy()
    unit = subject if len(np.unique(subject)) > 1 else row
    half = np.unique(unit, return_inverse=True)[1] % 2 == 1
    return Voxels(split, row, np.concatenate(place), np.concatenate(bone), half)


def autocast(folder: Path) -> torch.autocast:
    """Return what lets a network run in the precision that a run was trained in."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    asked = tables.read_keys(folder / "run.json", ["precision"])["precision"]
    return precision.autocast(asked, device)


@torch.no_grad()
def embed(network: UNet3d, store: PatchStore, voxels: Voxels) -> np.ndarray:
    """Return the embeddings (N, C) of the voxels, float32, without dropout."""
    device, parts = next(network.parameters()).device, [torch.empty(0, network.channels[0])]
    for rows in batches(np.unique(voxels.row), store.size):
        _, embeddings = network(store.images(voxels.split, rows, device))  # (B, C, D, H, W)
        here = np.isin(voxels.row, rows)
        patch, place = np.searchsorted(rows, voxels.row[here]), voxels.place[here]
        parts.append(embeddings.movedim(1, -1).flatten(1, -2)[patch, place].float().cpu())
    return torch.cat(parts).numpy()


def initial_network(folder: Path, base_seed: int, draw: int) -> UNet3d:
    """Return a run's network in eval mode with the weights that its training began with."""
    model = tables.read_keys(folder / "run.json", ["model"])["model"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = UNet3d(**model, seed=seeds(base_seed + draw)["init"])
    return network.to(device, memory_format=torch.channels_last_3d).eval()


def embed_runs(folder: Path, runs: list, store: PatchStore, voxels: dict[int, Voxels], base_seed: int) -> dict:
    """Return the embeddings (N, C) of each draw's voxels by (method, labelled_patches, draw, trained).

    trained: of every run; not trained: of embedding matching's runs, which begin alike where the draw is the same.
    """
    vectors, before = {}, {}
    for run in runs:
        path, draw = folder / "-".join(map(str, run)), run[2]
        with autocast(path):
            vectors[*run, True] = embed(load_network(path), store, voxels[draw])
            if run[0] == ablations.BASE and draw not in before:
                before[draw] = embed(initial_network(path, base_seed, draw), store, voxels[draw])
    return vectors | {(*run, False): before[run[2]] for run in runs if run[0] == ablations.BASE}
