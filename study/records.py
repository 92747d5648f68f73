"""What is kept of the study's trainings: small tables in results/study/, in git, from which a study goes on."""

import json
import os
import shutil
import threading
from pathlib import Path

import pandas as pd

from ssl_hip import metrics
from ssl_hip.config import ROOT, UserError
from study import plan
from study.plan import GRID, TRIAL, Run

FOLDER = ROOT / "results/study"
WORK = ROOT / "build/study"  # KEY/: everything of a finished training, its networks included; not in git
NETWORK_DRAW = 0  # of each name of the grid the network of this draw is kept in git
LOCK = threading.Lock()  # of the tables: trainings end side by side
LOGS = {TRIAL: "trials", GRID: "runs"}  # names of the tables with a row a training
KEY_FILE = "key.txt"
SCORES = ["network", "scan", "patch", *metrics.SCORES]
CURVES = [  # of history.csv, where a method logs them
    "loss_supervised",
    "uncertain_share",
    "accuracy_pseudo_certain",
    "accuracy_pseudo_uncertain",
    "accuracy_matched_uncertain",
    "accuracy_matched_all",
    "near_surface_uncertain_share",
    "near_surface_accuracy_pseudo",
    "near_surface_accuracy_matched",
]


def read(table: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Return a table; without columns where nothing is finished yet."""
    path = folder / f"{table}.csv"
    types = {"scan": str, "key": str, "commit": str, "labelled_patches": str, "question": str}
    return pd.read_csv(path, dtype=types, keep_default_na=True) if path.is_file() else pd.DataFrame()


def done(folder: Path = FOLDER) -> set[str]:
    """Return the keys of all trainings that are recorded."""
    tables = (read(table, folder) for table in LOGS.values())
    return {key for table in tables if len(table) for key in table.key}


def network(run: Run, work: Path = WORK, folder: Path = FOLDER) -> Path | None:
    """Return the folder of a training's networks: work/KEY on this machine, or what `keep` left in git; else None."""
    here = work / run.key
    return here if (here / "run.json").is_file() else kept_network(run, folder)


def lacks_network(run: Run, folder: Path = FOLDER) -> bool:
    """Say whether a training's network should be in git, and is not."""
    return run.part == GRID and run.draw == NETWORK_DRAW and kept_network(run, folder) is None


def kept_network(run: Run, folder: Path = FOLDER) -> Path | None:
    """Return the folder in git that holds a training's network; None where there is none."""
    kept = folder / "networks" / run.title
    return kept if (kept / KEY_FILE).is_file() and (kept / KEY_FILE).read_text().strip() == run.key else None


def trained(names: list[str], work: Path = WORK, folder: Path = FOLDER) -> list[tuple[Run, Path]]:
    """Return the runs of these names, each with the folder of its networks; raise UserError where a name has none."""
    found = [(run, network(run, work, folder)) for run in plan.read() if run.name in names]
    found = [(run, place) for run, place in found if place]
    if missing := sorted(set(names) - {run.name for run, _ in found}):
        remedy = "`make study` trains one draw of a final run again; of a trial, take its rows out of trials.csv first"
        raise UserError(f"no networks of {', '.join(missing)} in {work} or {folder}: {remedy}")
    return found


def keep(run: Run, work: Path = WORK, folder: Path = FOLDER) -> None:
    """Add a finished training's rows to the tables; rows that are recorded already are left as they are.

    trials.csv / runs.csv   a row a training, written last: what `done` goes by
    trial_curves.csv / run_curves.csv   a row a validation: scores, and CURVES since the one before
    scores.csv              of the grid: a row a test patch and network; method: the run's name
    networks/TITLE/         of one draw of the grid: what `prediction.load_run` reads, and the training's key
    """
    if lacks_network(run, folder):
        keep_network(run, work / run.key, folder / "networks" / run.title)
    if run.key in done(folder):
        return
    source, log = work / run.key, LOGS[run.part]
    validation, history = (pd.read_csv(source / f"{name}.csv") for name in ("validation", "history"))
    curves = validation.merge(history[["iteration", *history.columns.intersection(CURVES)]], on="iteration")
    seed = run.params.train.base_seed + run.draw
    named = {"name": run.name, "labelled_patches": run.labelled_patches, "draw": run.draw}
    info = json.loads((source / "run.json").read_text())
    if run.part == GRID:
        scores = pd.read_csv(source / "scores.csv", dtype={"subject": str}).rename(columns={"subject": "scan"})
        title = {"method": run.name, "labelled_patches": run.labelled_patches, "draw": run.draw}
        add("scores", scores[SCORES].assign(seed=seed), title, folder)
    add(f"{log.removesuffix('s')}_curves", curves, named, folder)
    kept = validation[validation.iteration == info["kept_iteration"]].iloc[0]
    row = {"question": run.question, **named, "seed": seed, "method": run.method}
    row |= {"changes": json.dumps(run.changes)}
    row |= {key: info[key] for key in ("iterations", "status", "kept_iteration", "network")}
    row |= {"iou": kept.iou, "hd95_mm": kept.hd95_mm}
    row |= {"last_iou": validation.iou.iloc[-1], "last_hd95_mm": validation.hd95_mm.iloc[-1]}
    row |= {key: info[key] for key in ("seconds", "commit")} | {"key": run.key}
    add(log, pd.DataFrame([row]), {}, folder)


def keep_network(run: Run, source: Path, target: Path) -> None:
    """Copy the reported network of a training; the key, written last, says that it is whole."""
    target.mkdir(parents=True, exist_ok=True)
    (target / KEY_FILE).unlink(missing_ok=True)
    for name in (f"{json.loads((source / 'run.json').read_text())['network']}.safetensors", "run.json"):
        shutil.copyfile(source / name, target / name)
    (target / KEY_FILE).write_text(run.key + "\n")


def add(table: str, rows: pd.DataFrame, named: dict, folder: Path) -> None:
    """Append rows to a table, in place of those of the same run; the file is replaced whole or not at all."""
    before, path = read(table, folder), folder / f"{table}.csv"
    rows = rows.assign(**named)[[*named, *(column for column in rows.columns if column not in named)]]
    if len(before) and named:
        same = pd.Series(True, before.index)
        for column, value in named.items():
            same &= before[column].astype(str) == str(value)
        before = before[~same]
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    pd.concat([before, rows]).to_csv(temporary, index=False, float_format="%.5g")
    os.replace(temporary, path)
