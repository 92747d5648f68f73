"""One training of the study in a process of its own: `python -m study.worker KEY PATCHES`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from ssl_hip.config import ROOT, UserError
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import Trainer, write
from study import plan, records


def work(run: plan.Run, patches: Path, folder: Path) -> None:
    """Train a run into folder/KEY, which is there whole or not at all; a trial sees no test patch.

    An interrupted one goes on from its checkpoint in folder/checkpoints.
    """
    params = run.params
    trainer = Trainer(PatchStore(patches), run.method, run.labelled_patches, run.draw, params)
    checkpoint = trainer.checkpoint(folder / "checkpoints", run.title)
    status = trainer.run(checkpoint)
    scores = trainer.test() if run.part == plan.GRID else pd.DataFrame()
    target, partial = folder / run.key, folder / f"{run.key}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    info = write(partial, trainer, scores, status)
    info |= {"seconds": round(trainer.seconds), "commit": commit()}
    (partial / "run.json").write_text(json.dumps(info, indent=2) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    checkpoint.remove()


def commit() -> str:
    """Return the commit of the code, with + where files of it differ."""
    names = subprocess.run(["git", "describe", "--always", "--exclude=*", "--dirty=+"], cwd=ROOT, capture_output=True)
    return names.stdout.decode().strip()


if __name__ == "__main__":
    key, patches = sys.argv[1:]
    try:
        work(next(run for run in plan.read() if run.key == key), Path(patches), records.WORK)
    except UserError as error:
        sys.exit(f"UserError: {error}")
