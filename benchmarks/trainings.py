"""What stands around the training steps: feeding, validation and test, several trainings at once, notebook and DVC."""

import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.measuring import Row, fresh, interleaved, status_mb
from ssl_hip import checksums, config
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import Trainer, train

PATCHES = config.ROOT / "data" / "patches"
SECTIONS = ("model", "optimization", "train", "methods")
SMOKE = config.ROOT / "build" / "profiles" / "smoke"
SUBSET = "50"  # labelled patches of the default profile
SMOKE_RUN = ("supervised", "4", 0)


def trainer(method: str, folder: Path = PATCHES) -> Trainer:
    """Return a trainer of the default profile."""
    return Trainer(PatchStore(folder), method, SUBSET, 0, config.load(*SECTIONS))


def step(of: Trainer) -> None:
    """One step of its training, in the middle."""
    of.learner.step(of.batch(), of.iterations // 2, of.iterations)


def share_rows(rounds: int = 30) -> list[Row]:
    """Return the share of validation and test in a training, and of the feeding in a step."""
    found = []
    for method in ("supervised", "embedding_matching"):
        of = trainer(method)
        seconds = interleaved({"step": partial(step, of), "feed": of.batch}, rounds)
        scored = interleaved({"validation": partial(of.validate, 1), "test": of.test}, 3)
        validations = math.ceil(of.iterations / of.settings.validate_every)
        scoring = validations * scored["validation"] + scored["test"]
        whole = of.iterations * seconds["step"] + scoring
        found.append(Row(f"validation and test in a training of {method}", 100 * scoring / whole, "%", "at most 5"))
        found.append(Row(f"feeding in a step of {method}", 100 * seconds["feed"] / seconds["step"], "%", "at most 2"))
    return found


def enlarge(folder: Path, times: int) -> Path:
    """Write the default profile's patches so many times one after the other."""
    folder.mkdir()
    patches = pd.read_csv(PATCHES / "patches.csv", keep_default_na=False)
    sizes = patches.split.value_counts()
    copies = [patches.assign(row=patches.row + i * patches.split.map(sizes)) for i in range(times)]
    pd.concat(copies).to_csv(folder / "patches.csv", index=False)
    for path in sorted(PATCHES.glob("*.npy")):
        array = np.load(path, mmap_mode="r")
        out = np.lib.format.open_memmap(folder / path.name, "w+", array.dtype, (times * len(array), *array.shape[1:]))
        for i in range(times):
            out[i * len(array) : (i + 1) * len(array)] = array
    for name in ("subsets.csv", "normalization.json"):
        (folder / name).write_bytes((PATCHES / name).read_bytes())
    checksums.write(folder)
    return folder


def fed_mb(folder: Path) -> float:
    """Return the resident memory that is no file's, MB, of a process that has read every training patch."""
    store, device = PatchStore(folder), torch.device("cpu")
    rows = np.random.default_rng(0).permutation(store.rows("train", 0))
    for start in range(0, len(rows), 2):
        store.training(rows[start : start + 2], device)
    return status_mb("RssAnon")


def memory_row() -> Row:
    """Return how memory grows with the cohort."""
    with tempfile.TemporaryDirectory(dir=config.ROOT / "build") as scratch:
        once, more = (fresh(fed_mb, enlarge(Path(scratch) / str(times), times)) for times in (1, 10))
    return Row("resident memory with 10 times the patches", more / once, "times", "at most 1.05")


def work(threads: int, seconds: float, ready, queue) -> None:
    """Train until the time is over; put the number of steps a second into the queue."""
    torch.set_num_threads(threads)
    of = trainer("embedding_matching")
    for _ in range(5):
        step(of)
    ready.wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step(of)
        steps += 1
    queue.put(steps / (time.perf_counter() - start))


def throughput(jobs: int, threads: int, seconds: float = 8.0) -> float:
    """Return steps a second of so many trainings at once, together."""
    context = multiprocessing.get_context("spawn")
    ready, queue = context.Barrier(jobs), context.Queue()
    workers = [context.Process(target=work, args=(threads, seconds, ready, queue)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    total = sum(queue.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total


def grid_rows(rounds: int = 3) -> list[Row]:
    """Return the throughput of two trainings at once beside one."""
    settings = {"two": (2, 1), "one": (1, 1), "one, two threads": (1, 2)}
    found: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(rounds):
        for name, setting in settings.items():
            found[name].append(throughput(*setting))
    two, one, threaded = (statistics.median(values) for values in found.values())
    return [
        Row("steps of embedding matching, default profile, JOBS=1, one thread", one, "1/s"),
        Row("JOBS=2 / JOBS=1, one thread each", two / one, "times", "at least 1.6"),
        Row("JOBS=2, one thread each / JOBS=1, two threads", two / threaded, "times", "at least 1"),
    ]


def plain(out: str) -> None:
    """What notebook 04 does with its run, without notebook and DVC, in the current folder's profile."""
    folder = Path.cwd()
    params = config.load(*SECTIONS, root=folder)
    train(Path(out), PatchStore(folder / "data" / "patches"), *SMOKE_RUN, params)


def overhead_row(rounds: int = 5) -> Row:
    """Return the seconds that notebook and DVC add to the smoke profile's training."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    profile = [sys.executable, "-m", "pipeline.profiles", "params/smoke.yaml"]
    subprocess.run(profile, cwd=config.ROOT, **quiet)
    stage = "train@" + "-".join(map(str, SMOKE_RUN))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    inside = quiet | {"cwd": SMOKE, "env": os.environ | {"PYTHONPATH": str(SMOKE), "PATH": path}}
    with tempfile.TemporaryDirectory() as out:
        script = f"from benchmarks.trainings import plain; plain({out!r})"
        seconds = interleaved(
            {
                "stage": partial(subprocess.run, [sys.executable, "-m", "dvc", "repro", "-s", "-f", stage], **inside),
                "plain": partial(subprocess.run, [sys.executable, "-c", script], **inside),
            },
            rounds,
        )
    return Row("notebook and DVC around one training", seconds["stage"] - seconds["plain"], "s", "at most 5")


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*share_rows(), memory_row(), *grid_rows(), overhead_row()]
