"""Test patches chosen by a rule that looks at no method's result, as pictures: truth and what networks make of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssl_hip import display
from ssl_hip.patch_store import PatchStore
from ssl_hip.prediction import load_network, predict_patches
from ssl_hip.region_bits import JOINT_GAP, METAL

SHOWN = {"metal": METAL, "narrow joint": JOINT_GAP}  # of a case: the region whose richest slice is shown, else bone's
LEAST_GAP = 30  # voxels: fewer are no joint


class Pictures(NamedTuple):
    """What a table of cases shows, by row."""

    rows: dict[str, list[np.ndarray]]  # RGB slices (H, W, 3) uint8
    columns: list[str]
    captions: dict[str, list[str]]  # one a slice


def choose(patches: pd.DataFrame) -> dict[str, int]:
    """Return the patches `hardest`, `metal`, `narrow joint` and `typical`, as far as there are such; none twice.

    patches: rows of patches.csv. Hardest: the largest surface deviation; metal: the most voxels around metal; narrow
    joint: the narrowest joint gap (of equals the most voxels of it) where at least LEAST_GAP are; typical: the
    deviation nearest to the median. Of equals the lower patch number.
    """
    from_median = (patches.deviation_mm - patches.deviation_mm.median()).abs()
    rankings = {
        "hardest": patches.assign(first=-patches.deviation_mm, second=0),
        "metal": patches.assign(first=-patches.metal_voxels, second=0)[patches.metal_voxels > 0],
        "narrow joint": patches.assign(first=patches.gap_mm, second=-patches.gap_voxels)[
            patches.gap_voxels >= LEAST_GAP
        ],
        "typical": patches.assign(first=from_median, second=0),
    }
    chosen = {}
    for name, ranked in rankings.items():
        ranked = ranked.dropna(subset="first").sort_values(["first", "second", "patch"])
        free = [patch for patch in ranked.patch.tolist() if patch not in chosen.values()]
        chosen |= {name: free[0]} if free else {}
    return chosen


def richest_slice(store: PatchStore, split: str, row: int, case: str) -> int:
    """Return the slice with most bone; for a case of SHOWN the one with most voxels of its region."""
    shown = store.region[split][row] & SHOWN[case] > 0 if case in SHOWN else store.label[split][row] == 1
    return int(shown.sum((1, 2)).argmax())


def worst_slice(truth: np.ndarray, masks: list[np.ndarray]) -> int:
    """Return the slice with most wrong voxels, of all masks (s, s, s) together."""
    return int(sum((mask != truth).sum((1, 2)) for mask in masks).argmax())


def pictures(
    folder: Path,
    store: PatchStore,
    scores: pd.DataFrame,
    patches: dict[str, int],
    runs: dict[str, str],
    window_hu: list[float],
    worst: bool = False,
) -> Pictures:
    """Return a row of pictures for each of the patches, by name: image, ground truth, one for each run.

    worst: show the slice with most errors, else `richest_slice`.

    folder: holds the runs. scores: rows of tables.reported with the column run, of one split. patches: all scored by
    every run. runs: title -> name, such as embedding_matching-50-0. Captions: HD95 of the whole patch in mm.
    """
    split = scores.split.iloc[0]
    table = store.table(split).set_index("patch").loc[list(patches.values())]
    images, labels = store.image[split][table.row].astype(np.float32), store.label[split][table.row] == 1
    masks = [predict_patches(load_network(folder / run), images) > 0.5 for run in runs.values()]
    hd95 = scores.set_index(["run", "patch"]).hd95_mm
    rows, captions = {}, {}
    for i, (name, patch) in enumerate(patches.items()):
        found = [mask[i] for mask in masks]
        z = worst_slice(labels[i], found) if worst else richest_slice(store, split, table.row.iloc[i], name)
        grey = display.to_grey(store.normalization.to_hu(images[i, z]), window_hu)
        truth, plain = labels[i, z], np.repeat(grey[..., None], 3, axis=-1)
        rows[name] = [plain, *(display.overlay(grey, truth, mask) for mask in [truth, *(each[z] for each in found)])]
        about = f"patch {patch}, {table.subject.iloc[i]}"
        captions[name] = [about, "", *(f"{hd95[run, patch]:.1f} mm" for run in runs.values())]
    return Pictures(rows, ["image", "ground truth", *runs], captions)
