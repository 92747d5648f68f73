"""Runs made up for tests of tables: folders as a training writes them, with scores drawn at random."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ssl_hip.reporting import ablations, tables

TRAIN = SimpleNamespace(
    methods=["supervised", "embedding_matching"], labelled_patches=[4], draws=[0, 1], ceiling_draws=[0]
)
BASE = SimpleNamespace(weight_ua=0.25, weight_nn=0.125, weight_en=0.125, kernel="cosine", reduce="mean", passes=5)
VARIANTS = SimpleNamespace(
    ua=SimpleNamespace(weight_nn=0.0, weight_en=0.0),
    cosine_max=SimpleNamespace(reduce="max"),
    euclidean_max=SimpleNamespace(kernel="euclidean", reduce="max"),
    more_passes=SimpleNamespace(passes=8),
    never_trained=SimpleNamespace(reduce="max"),
)
ABLATIONS = SimpleNamespace(
    variants=["ua", "cosine_max", "euclidean_max", "more_passes"], labelled_patches=[4], draws=[0, 1]
)
PATCHES = 12  # 0 .. 11, of the scans t0 .. t3


def scores(method, labelled, draw):
    """Twelve patches of four scans, both networks; the first patch is missed."""
    rng = np.random.default_rng([*method.encode(), draw])
    patches = np.arange(PATCHES)
    table = pd.concat(
        pd.DataFrame(
            {
                "method": method, "labelled_patches": labelled, "draw": draw, "network": network, "split": "test",
                "patch": patches, "subject": [f"t{i // 3}" for i in patches], "iou": rng.uniform(0.5, 1, PATCHES),
                "hd95_mm": rng.uniform(1, 9, PATCHES), "hd95_pooled_mm": rng.uniform(1, 9, PATCHES),
                "missed": patches == 0, "false_alarm": 0,
                "gap_voxels": 10 * patches, "gap_false": rng.integers(0, 10 * patches + 1),
                "metal_voxels": np.where(patches < 3, 50, 0), "metal_wrong": np.where(patches < 3, 5 + draw, 0),
            }
        )
        for network in ("student", "teacher")
    )  # fmt: skip
    return table.astype({"missed": int})


def history(method):
    """Six rows of six iterations; what is logged near the surface grows from row to row, where matching logs it."""
    table = pd.DataFrame({"iteration": range(1, 7), "loss": 1.0})
    if method not in ("supervised", "ceiling"):
        share = np.arange(6) / 10
        table["near_surface_uncertain_share"] = share
        table["near_surface_accuracy_matched"] = np.where(share > 0, 0.5 + share / 5, np.nan)
        table["near_surface_accuracy_pseudo"] = np.where(share > 0, 0.55, np.nan)
    return table


def write(folder, method, labelled, draw, status="finished", scored=True):
    """Write the folder of a run; not scored: no patch has a label."""
    run = folder / f"{method}-{labelled}-{draw}"
    run.mkdir(parents=True)
    scores(method, labelled, draw)[: None if scored else 0].to_csv(run / "scores.csv", index=False)
    history(method).to_csv(run / "history.csv", index=False)
    known = [1.0 if scored else np.nan] * 2
    validation = {"iteration": [1, 2], "iou": np.multiply([0.1, 0.2], known), "hd95_mm": np.multiply([9, 8], known)}
    pd.DataFrame(validation).to_csv(run / "validation.csv", index=False)
    info = {"status": status, "iterations": 6, "kept_iteration": 2, "network": "student"}
    (run / "run.json").write_text(json.dumps(info))


def read(folder, scored=True):
    """Write and read the runs of Table 1 and the ablations; the second draw of embedding matching has collapsed."""
    grid = tables.grid(TRAIN) + ablations.grid(ABLATIONS)
    for run in grid:
        status = "collapsed" if run == ("embedding_matching", "4", 1) else "finished"
        write(folder, *run, status=status, scored=scored)
    return tables.read_runs(folder, grid)
