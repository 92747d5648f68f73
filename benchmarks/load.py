"""How time, memory and disk grow with the cohort: `python -m benchmarks.load [10 100 950]`, an hour on two cores.

The whole pipeline at the paper's split, 350 : 100 : 500 scans and 8,640 patches at 950 scans, with the smoke profile's
coarse voxels (4 to 5 mm, patches of 16^3 at 4 mm), two methods and one pass over the training patches. Stage by stage
in build/profiles/load-N; results/load.csv, and a figure below build/load/. Linux.
"""

import argparse
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import psutil
from plotly.subplots import make_subplots
from ruamel.yaml import YAML

from pipeline import jobs, profiles
from ssl_hip import config
from ssl_hip.reporting import figure_files, figures

ROOT = config.ROOT
SCANS = {"train": 350, "validation": 100, "test": 500}  # of 950, as in the paper
PATCHES = {"train": 6266, "validation": 1174, "test": 1200}
STAGES = ("cohort", "shape_model", "patches", "train", "tables", "the rest", "nothing")
MADE = ("data", "runs", "reports")  # folders whose size is told; DVC's cache holds the same once more
SHOWN = {"seconds": "seconds", "peak_mb": "peak memory, MB", "disk_mb": "disk, MB"}


def parameters(scans: int) -> dict:
    """Return the smoke profile's parameters with so many scans, and patches in proportion."""
    tree, share = config.read_yaml(ROOT / "params/smoke.yaml"), scans / sum(SCANS.values())
    subjects = {split: max(1, round(n * share)) for split, n in SCANS.items()}
    tree["cohort"]["subjects"] = subjects
    count = {split: max(subjects[split], round(n * share)) for split, n in PATCHES.items()}
    tree["patches"] |= {"count": count, "subsets": {8: 2}, "draws": 1}
    tree["train"] |= {"methods": ["supervised", "embedding_matching"], "labelled_patches": [8], "ceiling_draws": []}
    tree["optimization"] |= {"epochs": 1, "validate_every": 500}
    tree["ablations"]["variants"] = []
    return tree


def measure(scans: int) -> pd.DataFrame:
    """Run the pipeline on so many scans from nothing; return scans, patches, stage, seconds, peak_mb, disk_mb a row."""
    profile = ROOT / f"build/load/load-{scans}.yaml"
    profile.parent.mkdir(parents=True, exist_ok=True)
    with profile.open("w") as file:
        YAML().dump(parameters(scans), file)
    shutil.rmtree(ROOT / "build/profiles" / profile.stem, ignore_errors=True)
    folder, rows = profiles.prepare(profile), []
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")  # a cache of its own: nothing is there yet
    for stage in STAGES:
        target = [] if stage in STAGES[-2:] else [stage]
        seconds, peak_mb = watch(jobs.dvc("repro", *target), folder)
        rows.append({"stage": stage, "seconds": round(seconds, 1), "peak_mb": round(peak_mb)})
        rows[-1]["disk_mb"] = round(sum(size_mb(folder / name) for name in MADE), 1)
        print(scans, rows[-1], flush=True)
    return pd.DataFrame(rows).assign(scans=scans, patches=len(pd.read_csv(folder / "data/patches/patches.csv")))


def watch(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its seconds and the largest memory of all its processes together that is no file's, MB."""
    peaks, over = [0.0], threading.Event()
    start = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(folder)}
    running = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)

    def sample():
        while not over.wait(0.5):
            peaks.append(tree_mb(running.pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    code = running.wait()
    seconds = time.monotonic() - start
    over.set()
    sampler.join()
    if code:
        raise jobs.StageError(f"{' '.join(command)} failed in {folder}")
    return seconds, max(peaks)


def tree_mb(pid: int) -> float:
    """Return the memory that is no file's, MB, of a process and all below it."""
    total = 0
    try:
        first = psutil.Process(pid)
        for process in [first, *first.children(recursive=True)]:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    except (psutil.NoSuchProcess, OSError):
        pass  # it has ended meanwhile
    return total / 2**10


def size_mb(folder: Path) -> float:
    """Return the size of all files of a folder, MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def draw(table: pd.DataFrame) -> go.Figure:
    """Return seconds, peak memory and disk against the number of scans, a line a stage."""
    figure = make_subplots(1, len(SHOWN), subplot_titles=list(SHOWN.values()), horizontal_spacing=0.08)
    for panel, column in enumerate(SHOWN, 1):
        for (stage, rows), colour in zip(table.groupby("stage", sort=False), figures.COLOURS.values(), strict=False):
            line = go.Scatter(x=rows.scans, y=rows[column], name=stage, legendgroup=stage, line_color=colour)
            figure.add_trace(line, 1, panel)
    figure.update_xaxes(type="log", title="scans").update_yaxes(type="log")
    return figures.finish(figure, 380)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure time, memory and disk of the pipeline on larger cohorts.")
    parser.add_argument("scans", nargs="*", type=int, default=[10, 100, 950], help="default: 10 100 950")
    table = pd.concat([measure(scans) for scans in parser.parse_args().scans])
    table = table[["scans", "patches", "stage", *SHOWN]]
    table.to_csv(ROOT / "results/load.csv", index=False)
    figure_files.write(draw(table), ROOT / "build/load/load.json")
    print(table.to_string(index=False))
