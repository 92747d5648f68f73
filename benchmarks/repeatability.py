"""What results depend on beside parameters, data and code: `python -m benchmarks.repeatability`, ten minutes.

Embedding matching on the smoke profile's patches, in processes of their own: again, with another number of threads,
with fewer of the processor's instructions, and, for comparison, with another draw. results/repeatability.csv tells how
far the weights and the test scores are from those of the first. In float32: without AVX-512 bfloat16 is emulated.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

from benchmarks.trainings import SECTIONS
from ssl_hip import config
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import train
from study.data import prepared

EPOCHS = (1, 25)  # of 8 iterations: at the beginning, and after a training
FIRST = "the first"
OLDER = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SETTINGS = {  # threads, draw, changes of the environment
    FIRST: (1, 0, {}),
    "again": (1, 0, {}),
    "two threads": (2, 0, {}),
    "no AVX-512": (1, 0, OLDER),
    "another draw": (1, 1, {}),
}


def work(folder: str, out: str, epochs: str, threads: str, draw: str) -> None:
    """Train one run on a profile's patches."""
    params = config.load(*SECTIONS, root=Path(folder))
    params.train.threads, params.optimization.epochs = int(threads), int(epochs)
    params.optimization.validate_every, params.optimization.precision = 100, "float32"
    train(Path(out), PatchStore(Path(folder) / "data/patches"), "embedding_matching", "4", int(draw), params)


def compare(run: Path, first: Path) -> dict[str, float]:
    """Return how far a run is from the first: largest difference of a weight, differences of mean IoU and HD95."""
    weights, others = (load_file(folder / "student.safetensors") for folder in (run, first))
    scores, base = (
        pd.read_csv(folder / "scores.csv").query("network == 'student'")[["iou", "hd95_mm"]].mean()
        for folder in (run, first)
    )
    largest = max(float((weights[name] - others[name]).abs().max()) for name in weights)
    return {"weights": largest} | (scores - base).to_dict()


def main() -> None:
    """Train all, write and print the table."""
    argparse.ArgumentParser(description="Measure what threads and instructions change.").parse_args()
    profile = prepared(config.ROOT / "params/smoke.yaml", "patches")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in EPOCHS:
            for name, (threads, draw, changes) in SETTINGS.items():
                run = Path(folder) / name / str(epochs)
                script = "import sys; from benchmarks.repeatability import work; work(*sys.argv[1:])"
                arguments = [str(profile), str(run), str(epochs), str(threads), str(draw)]
                subprocess.run([sys.executable, "-c", script, *arguments], env=os.environ | changes, check=True)
                rows.append({"setting": name, "iterations": 8 * epochs})
                rows[-1] |= compare(run, Path(folder) / FIRST / str(epochs))
    table = pd.DataFrame(rows)
    table.to_csv(config.ROOT / "results/repeatability.csv", index=False, float_format="%.3g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
