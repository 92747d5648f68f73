"""Test patches chosen by rule, as pictures: truth and what each method makes of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from ssl_hip import display
from ssl_hip.patch_store import PatchStore
from ssl_hip.prediction import load_network, predict_patches

QUANTILES = {"median": 0.5, "hard": 0.9, "worst": 1.0}


def choose(scores: pd.DataFrame) -> dict[str, int]:
    """Return the patch at the median, at the 90th percentile and at the top of a run's HD95, by name.

    scores: columns patch and hd95_mm of one run and network; ties go to the lower patch number.
    """
    ranked = scores.sort_values(["hd95_mm", "patch"], ignore_index=True)
    return {name: int(ranked.patch[int(q * (len(ranked) - 1))]) for name, q in QUANTILES.items()}


def pictures(folder: Path, store: PatchStore, scores: pd.DataFrame, runs: list[str], window_hu: list[float]):
    """Return rows of RGB slices (H, W, 3), the column titles, and a caption each; None where there are no scores.

    folder: holds the runs. scores: scores.csv of these runs, the students' rows. runs: names such as uamt-50-0; the
    first chooses the patches. Captions: HD95 of the whole patch in mm. The slice shown is the one with most bone.
    Columns: image, truth, one for each run.
    """
    if scores.empty:
        return None
    split = scores.split.iloc[0]
    place = store.table(split).set_index("patch").row
    by_run = dict(
        iter(scores.groupby(scores[["method", "labelled_patches", "draw"]].astype(str).agg("-".join, axis=1)))
    )
    networks = [load_network(folder / run) for run in runs]
    rows, captions = {}, {}
    for name, patch in choose(by_run[runs[0]]).items():
        image, truth = store.image[split][place[patch]].astype(np.float32), store.label[split][place[patch]] == 1
        middle = int(truth.sum((1, 2)).argmax())
        grey = display.to_grey(store.normalization.to_hu(image[middle]), window_hu)
        masks = [predict_patches(network, image[None])[0, middle] > 0.5 for network in networks]
        plain = np.repeat(grey[..., None], 3, axis=-1)
        rows[name] = [plain, *(display.overlay(grey, truth[middle], mask) for mask in [None, *masks])]
        hd95 = [by_run[run].set_index("patch").hd95_mm[patch] for run in runs]
        captions[name] = [f"patch {patch}", "", *(f"{value:.1f} mm" for value in hd95)]
    return rows, ["image", "truth", *runs], captions
