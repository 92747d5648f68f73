"""List exactly the runs that params.yaml names, with the hash of each of their files: build/grid.json.

The tables depend on this list. They cannot depend on the runs one by one (a DVC dependency list is not templated over
a matrix), and depending on the folder `runs` itself would redo them whenever a run left over from other settings
comes or goes. This cheap stage depends on the folder; its output changes only when a run of the grid does.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from ssl_hip import config
from ssl_hip.reporting import ablations, tables

RUNS, LIST = Path("runs"), Path("build/grid.json")


def grid() -> list[str]:
    """Return the folder names of the grid's runs."""
    keys = [f"train.{key}" for key in ("methods", "labelled_patches", "draws", "ceiling_draws")]
    params = config.load(*keys, "ablations")
    return ["-".join(map(str, run)) for run in tables.grid(params.train) + ablations.grid(params.ablations)]


def hashes(run: Path) -> dict[str, str]:
    """Return file name -> md5 of a run's files."""
    files = sorted(path for path in run.iterdir() if path.is_file())
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def write() -> None:
    """Write build/grid.json; raise UserError when a run is missing."""
    if missing := [name for name in grid() if not (RUNS / name).is_dir()]:
        raise config.UserError(f"runs/: missing {', '.join(missing)}; 'make repro' trains them")
    LIST.parent.mkdir(exist_ok=True)
    LIST.write_text(json.dumps({name: hashes(RUNS / name) for name in grid()}, indent=1) + "\n", encoding="utf-8")


def prune() -> None:
    """Remove runs outside the grid from the folder; DVC's cache still holds the finished ones."""
    for folder in sorted(RUNS.iterdir() if RUNS.is_dir() else []):
        if folder.is_dir() and folder.name not in grid():
            print(f"removing {folder}")
            shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        prune() if "--prune" in sys.argv else write()
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
