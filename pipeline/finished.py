"""The checkpoint of a training is kept until its run is in safety: `python -m pipeline.finished`, last in its stage.

Whatever fails in the notebook after the training, such as writing it to a full disk, costs no training then. Under
`make repro` the checkpoint outlives its stage, and goes when DVC has stored the run (`pipeline/jobs.py`).
"""

import os
from pathlib import Path

from pipeline import orphans

CHECKPOINTS, RUNS = Path("build/checkpoints"), Path("runs")


def name(stage: str) -> str:
    """Return the name of the run that a stage of dvc.yaml trains: train@uamt-50-0, ablation@ua_nn-50-0, ceiling@0."""
    kind, _, key = stage.rpartition(":")[2].partition("@")
    return f"ceiling-all-{key}" if kind == "ceiling" else key


def remove(stage: str) -> None:
    """Remove the checkpoints of a stage's run."""
    for path in CHECKPOINTS.glob(f"{name(stage)}-*.pt"):
        path.unlink(missing_ok=True)


def tidy(pending: list[str]) -> None:
    """Remove the checkpoints of runs that are there and have no stage to do: what is forced later begins anew."""
    unfinished = {name(stage) for stage in pending}
    for path in CHECKPOINTS.glob("*.pt"):
        run = path.stem.rpartition("-")[0]
        if run not in unfinished and (RUNS / run).is_dir():
            path.unlink(missing_ok=True)


if __name__ == "__main__" and orphans.STARTER not in os.environ:
    remove(os.environ["DVC_STAGE"])
