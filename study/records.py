"""What is kept of the study's trainings: small tables in results/study/, in git, from which a study goes on."""

import json
import os
import threading
from pathlib import Path

import pandas as pd

from ssl_hip.config import ROOT, UserError
from study import plan
from study.plan import GRID, TRIAL, Run

FOLDER = ROOT / "results/study"
WORK = ROOT / "build/study"  # KEY/: everything of a finished training, its networks included; not in git
LOCK = threading.Lock()  # of the tables: trainings end side by side
LOGS = {TRIAL: "trials", GRID: "runs"}  # names of the tables with a row a training
SCORES = ["network", "scan", "patch", "iou", "hd95_mm", "missed", "false_alarm"]
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


def trained(names: list[str], work: Path = WORK) -> list[Run]:
    """Return the runs of these names whose networks lie in work; raise UserError where a name has none."""
    runs = [run for run in plan.read() if run.name in names and (work / run.key / "run.json").is_file()]
    if missing := sorted(set(names) - {run.name for run in runs}):
        remedy = f"to train them here, take their rows out of the tables in {FOLDER} and type `make study`"
        raise UserError(f"no networks of {', '.join(missing)} in {work}: {remedy}")
    return runs


def keep(run: Run, work: Path = WORK, folder: Path = FOLDER) -> None:
    """Add a finished training's rows to the tables; a training that is recorded already is left as it is.

    trials.csv / runs.csv   a row a training, written last: what `done` goes by
    trial_curves.csv / run_curves.csv   a row a validation: scores, and CURVES since the one before
    scores.csv              of the grid: a row a test patch and network; method: the run's name
    """
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
