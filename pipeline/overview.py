"""What has been run and what to do next: the tables of notebooks/00_start_here.ipynb."""

from pathlib import Path

import pandas as pd

from pipeline import jobs
from ssl_hip.config import ROOT

SHOWN = 3  # causes named a stage


def stages(root: Path = ROOT) -> pd.DataFrame:
    """Return a row a stage of dvc.yaml, as `tabulated` does; takes DVC a few seconds, and waits while DVC is busy."""
    names = jobs.asked("stage", "list", "--name-only", root=root).split()
    return tabulated(names, jobs.status(root=root))


def tabulated(names: list[str], status: dict[str, list]) -> pd.DataFrame:
    """Return a row a stage: stage, up_to_date, of (numbers of its parts, one a training), because.

    names: as of `dvc stage list`, PART as in STAGE@PART; status: as of `dvc status --json`, stages not up to date.
    because: what is missing or has changed. DVC looks at files: a stage does not know that one before it will run.
    """
    table = pd.DataFrame({"stage": [name.partition("@")[0] for name in names], "name": names})
    rows = []
    for stage, parts in table.groupby("stage", sort=False).name:
        behind = [name for name in parts if name in status]
        causes = dict.fromkeys(cause for name in behind for cause in differences(status[name]))
        rows.append((stage, len(parts) - len(behind), len(parts), shortened(list(causes))))
    return pd.DataFrame(rows, columns=["stage", "up_to_date", "of", "because"])


def differences(entries: list) -> list[str]:
    """Return what `dvc status` says of one stage: not made yet, or a phrase a file, parameter or command."""
    found = []
    for entry in entries:
        if isinstance(entry, str):  # "changed command"
            found.append(entry)
            continue
        for kind, files in entry.items():
            if kind == "changed outs" and {"deleted", "not in cache"} & set(files.values()):
                return ["not made here yet"]
            for file, change in files.items():
                keys = change if isinstance(change, dict) else {file: change}
                found += [f"{key} {'missing' if how == 'deleted' else how}" for key, how in keys.items()]
    return found


def shortened(causes: list[str]) -> str:
    """Return the first causes, and how many there are besides."""
    more = len(causes) - SHOWN
    return ", ".join(causes[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def finished_runs(root: Path = ROOT) -> list[str]:
    """Return the names of the finished trainings in runs/."""
    return sorted(path.parent.name for path in (root / "runs").glob("*/run.json"))


def next_step(table: pd.DataFrame, runs: list[str]) -> str:
    """Say in Markdown what to do next. table: as of `tabulated`."""
    behind = table.stage[table.up_to_date < table.of].tolist()
    explore = "open [explore_embeddings.ipynb](explore_embeddings.ipynb)"
    read = "read [reports/report.html](../reports/report.html)"
    if not runs:
        return (
            "**Nothing is trained yet.** Type `make repro` in a terminal (File ▸ New ▸ Terminal): it makes everything."
        )
    if behind:
        return (
            f"**{len(runs)} trainings are finished; not up to date: {', '.join(behind)}.** Type `make repro` in a "
            f"terminal (File ▸ New ▸ Terminal): it runs these and what depends on them. Meanwhile {explore}."
        )
    return (
        f"**All is up to date, {len(runs)} trainings are finished.** Now {read}, {explore}, or edit `params.yaml` and "
        "type `make repro` again: only what depends on the edit runs."
    )
