"""Tables of the final runs, as those of the main results: `python -m study.tables`, from results/study/ alone.

table1.csv (of names with all draws) and wilcoxon.csv as in results/; by_draw.csv: a row a run; differences.csv: each
run's name against the supervised network, by draw; goal.csv: whether embedding matching does what the study hoped for.
"""

from pathlib import Path

import pandas as pd

from ssl_hip import config, metrics
from ssl_hip.config import UserError
from ssl_hip.reporting import significance, study, tables
from study import plan, records
from study.command import command

BASE, METHOD = "supervised", "embedding_matching"  # names of the grid; other settings of the method begin with its name
CEILING = "ceiling"


def finished(folder: Path = records.FOLDER) -> tables.Runs:
    """Return the final runs that are recorded, each under its name; raise UserError where there are none."""
    info, scores, curves = (records.read(name, folder) for name in ("runs", "scores", "run_curves"))
    if missing := {BASE, METHOD} - set(info.name if len(info) else []):
        names = ", ".join(sorted(missing))
        raise UserError(f"{folder}: no final run of {names} is recorded yet; `make study` trains them after the trials")
    by_name = {"name": "method"}
    info = info.drop(columns="method").rename(columns=by_name)
    scores = scores.rename(columns={"scan": "subject"})
    scores = scores.reindex(columns=scores.columns.union(metrics.SCORES, sort=False))  # older records lack some
    return tables.Runs(scores, curves.rename(columns=by_name), pd.DataFrame(), info)


def comparable(runs: tables.Runs) -> tables.Runs:
    """Return the runs of names that have as many draws as the base, and the ceiling's: means of fewer say little."""
    draws = runs.info.method.value_counts()
    names = draws.index[(draws >= draws[BASE]) | (draws.index == CEILING)]
    scores, validation, info = (
        table[table.method.isin(names)].reset_index(drop=True) for table in (runs.scores, runs.validation, runs.info)
    )
    return tables.Runs(scores, validation, runs.history, info)


def made(runs: tables.Runs, scans: dict[int, int], base_seed: int) -> dict[str, pd.DataFrame]:
    """Return the tables by file name; scans: labelled scans of each subset."""
    scores = tables.reported(runs)
    full = comparable(runs)
    by_draw, full_by_draw = (tables.by_run(each, base_seed).rename(columns={"method": "name"}) for each in (runs, full))
    ours = [name for name in full_by_draw.name.unique() if name.startswith(METHOD)]
    tests = [significance.wilcoxon(scores, name).assign(method=name) for name in ours]
    tests = pd.concat(tests, ignore_index=True)
    return {
        "table1": tables.table1(full, scans),
        "by_draw": by_draw,
        "differences": study.differences(by_draw, BASE),
        "wilcoxon": tests,
        "goal": study.goal(full_by_draw, tests, ours, BASE, CEILING),
    }


def main() -> None:
    """Write the tables."""
    params = config.namespace(config.read_yaml(plan.PROFILE))
    for name, table in made(finished(), params.patches.subsets, params.train.base_seed).items():
        table.to_csv(records.FOLDER / f"{name}.csv", index=False, float_format="%.4g")
        print(records.FOLDER / f"{name}.csv")


if __name__ == "__main__":
    command(main)
