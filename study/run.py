"""Run the study in parts, going on from what results/study/ holds: `python -m study.run --minutes 50`.

Each training is recorded as it ends; commit results/study/ after a part. `--list` shows what is done and what remains.
"""

import argparse
import json
import os
import sys

import torch

from pipeline import jobs
from ssl_hip import cost
from study import plan, records
from study.command import command
from study.data import prepared

NEIGHBOURS = 1.3  # times as long as alone: trainings beside it, validation, test


def expected(runs: list[plan.Run]) -> list[float]:
    """Return about how many seconds each training takes: a step of each kind is measured once."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    known: dict[str, float] = {}
    seconds = []
    for run in runs:
        params, tree = run.params, run.tree
        steps = cost.iterations(params.optimization, params.patches.count.train)
        kind = json.dumps([run.method, tree["methods"][run.method], tree["model"], tree["patches"]["edge"]])
        if kind not in known:
            torch.set_num_threads(params.train.threads)
            known[kind] = cost.estimate(run.method, params, params.patches.edge, steps, device).seconds
        seconds.append(NEIGHBOURS * known[kind] * steps)
    return seconds


def fitting(runs: list[plan.Run], seconds: list[float], workers: int, minutes: float) -> list[plan.Run]:
    """Return the first of the runs that `workers` finish within so many minutes; one at least."""
    free, chosen = [0.0] * workers, []
    for run, takes in zip(runs, seconds, strict=True):
        free.sort()
        free[0] += takes
        if free[0] > 60 * minutes and chosen:
            break
        chosen.append(run)
    return chosen


def part(runs: list[plan.Run], workers: int) -> None:
    """Train runs, several at once, and record each as it ends."""
    patches = prepared(plan.PROFILE, "patches") / "data/patches"
    by_title = {run.title: run for run in runs}

    def work(title: str) -> None:
        run = by_title[title]
        command = [sys.executable, "-m", "study.worker", run.key, str(patches)]
        jobs.run(command, jobs.LOGS / f"{title}.log", echo=False)
        with records.LOCK:
            records.keep(run)

    jobs.train_all(list(by_title), workers, work)


def show(runs: list[plan.Run], done: set[str]) -> None:
    """Print every training: missing, recorded without the network that should be in git, or done."""
    for run in runs:
        state = "missing" if run.key not in done else "network" if records.lacks_network(run) else "done"
        print(f"{state:7}", run.part, run.question, run.title)


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=50, help="length of this part (default: 50)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at once (default: one a core)")
    parser.add_argument("--list", action="store_true", help="show what is done and what remains, train nothing")
    options = parser.parse_args()
    runs = plan.read()
    if not runs:
        print("Nothing is planned: study/plan.yaml has no trials and no grid")
        return
    for run in runs:
        if (records.WORK / run.key / "run.json").is_file():
            records.keep(run)
    done = records.done()
    if options.list:
        show(runs, done)
        return
    missing = [run for run in runs if run.key not in done]
    missing += [run for run in runs if run.key in done and records.lacks_network(run)]  # their rows stay as they are
    if not missing:
        print("The study is complete: results/study/")
        return
    seconds = expected(missing)
    chosen = fitting(missing, seconds, options.jobs, options.minutes)
    finished, hours = len(runs) - len(missing), sum(seconds) / options.jobs / 3600
    print(f"{finished} of {len(runs)} trainings done; {hours:.1f} hours remain")
    part(chosen, options.jobs)


if __name__ == "__main__":
    command(main)
