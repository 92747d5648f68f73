"""Overlapping windows over a volume, their maps blended by Gaussian weights."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from tqdm import tqdm

from ssl_hip.config import UserError

Maps = Callable[[torch.Tensor], torch.Tensor]


def sliding_window(
    maps: Maps,
    volume: np.ndarray,
    size: int,
    batch: int = 4,
    air: float = 0.0,
    body: float = -np.inf,
    overlap: float = 0.5,
) -> np.ndarray:
    """Return the maps (K, z, y, x) float32 of a normalised volume (z, y, x), windows blended by Gaussian weights.

    maps: (B, 1, size, size, size) -> (B, K, size, size, size).
    A volume smaller than the window is padded with `air` at its far faces. Windows without a voxel above `body` are
    not computed: their maps are 0. Raises UserError where that is all of them.
    """
    padded = np.pad(volume, [(0, max(0, size - n)) for n in volume.shape], constant_values=air).astype(np.float32)
    weight, total, blended = gaussian(size), np.zeros(padded.shape, np.float32), None
    windows = list(corners(padded.shape, size, overlap))
    for corner in windows:
        total[box(corner, size)] += weight
    windows = [corner for corner in windows if padded[box(corner, size)].max() > body]
    with tqdm(total=len(windows), desc="segmenting", unit="window", mininterval=1.0) as bar:
        for start in range(0, len(windows), batch):
            chosen = windows[start : start + batch]
            cubes = torch.from_numpy(np.stack([padded[box(corner, size)] for corner in chosen])[:, None])
            for corner, found in zip(chosen, maps(cubes).cpu().numpy(), strict=True):
                blended = np.zeros((len(found), *padded.shape), np.float32) if blended is None else blended
                blended[(slice(None), *box(corner, size))] += weight * found
            bar.update(len(chosen))
    if blended is None:
        raise UserError("the scan holds nothing but air; is it a CT in Hounsfield units?")
    return (blended / total)[(slice(None), *map(slice, volume.shape))]


def corners(shape: tuple[int, ...], size: int, overlap: float) -> Iterator[tuple[int, ...]]:
    """Yield the windows' first voxels (z, y, x); the last window of an axis is moved in to end with the volume."""
    step = max(1, round(size * (1 - overlap)))
    return itertools.product(*([*range(0, n - size, step), n - size] for n in shape))


def box(corner: tuple[int, ...], size: int) -> tuple[slice, ...]:
    """Return the slices of a window."""
    return tuple(slice(c, c + size) for c in corner)


def gaussian(size: int) -> np.ndarray:
    """Return blending weights (size, size, size) float32, 1 at the centre; standard deviation size / 8 (Isensee 2021).

    At least 1e-3, so that voxels that only a window's corner sees keep their precision.
    """
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (size / 8)) ** 2)
    weight = line[:, None, None] * line[:, None] * line
    return np.maximum(weight / weight.max(), 1e-3).astype(np.float32)
