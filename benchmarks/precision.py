"""Do bfloat16 and float32 learn alike? Embedding matching of the default profile, three draws of each.

    python -m benchmarks.precision [--draws 3] [--jobs 2] [--out results/precision.csv]

Needs data/patches (`make repro` or `dvc repro patches`); ten minutes on 2 cores.
"""

import argparse
import multiprocessing
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.trainings import PATCHES, SECTIONS, SUBSET
from ssl_hip import config
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import train

METHOD, PRECISIONS = "embedding_matching", ("bfloat16", "float32")


def run(precision: str, draw: int) -> pd.DataFrame:
    """Return the validation curve (precision, draw, iteration, iou, hd95_mm) and, as its last row, `test` scores."""
    params = config.load(*SECTIONS)
    params.optimization.precision = precision
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), PatchStore(PATCHES), METHOD, SUBSET, draw, params)
        curve = pd.read_csv(Path(folder) / "validation.csv")[["iteration", "iou", "hd95_mm"]]
        scores = pd.read_csv(Path(folder) / "scores.csv").groupby("network")[["iou", "hd95_mm"]].mean()
    test = scores.loc[[params.optimization.network]].assign(iteration="test")
    return pd.concat([curve, test]).assign(precision=precision, draw=draw)


def main() -> None:
    """Train, write the curves, print mean and standard deviation over draws."""
    parser = argparse.ArgumentParser(description="Compare training in bfloat16 and float32.")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=config.ROOT / "results" / "precision.csv")
    options = parser.parse_args()
    work = [(precision, draw) for draw in range(options.draws) for precision in PRECISIONS[::-1]]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        curves = pd.concat(pool.starmap(run, work, chunksize=1))
    columns = ["precision", "draw", "iteration", "iou", "hd95_mm"]
    curves[columns].to_csv(options.out, index=False, float_format="%.6g")
    print(curves.groupby(["iteration", "precision"], sort=False)[["iou", "hd95_mm"]].agg(["mean", "std"]).round(3))


if __name__ == "__main__":
    main()
