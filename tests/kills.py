"""Kill a process of `make repro` at a random moment, and again, until it has finished by itself."""

import hashlib
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import scratch

from ssl_hip import config

ROLES = {"pipeline.jobs": "jobs", "dvc": "dvc", "papermill": "papermill", "ipykernel_launcher": "kernel"}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
KEPT = ("params.yaml", "results", "runs", "data", "reports/nb", "reports/report.html")
OFTEN = "SECONDS = 0.2"  # between two checkpoints, so that kills fall into their writing too


def project(root: Path) -> Path:
    """Copy the smoke profile to root, with checkpoints that are written often."""
    scratch.copy(root)
    path = root / "ssl_hip/resume.py"
    path.write_text(path.read_text().replace("SECONDS = 50", OFTEN))
    assert OFTEN in path.read_text()
    scratch.commit(root)
    return root


def contents(root: Path) -> dict[str, str]:
    """Return the MD5 of every file that `make repro` promises, by name, and of dvc.lock.

    The stages of dvc.lock are sorted: trainings side by side end in any order.
    """
    paths = [path for name in KEPT for path in [root / name, *(root / name).rglob("*")] if path.is_file()]
    lock = json.dumps(config.read_yaml(root / "dvc.lock"), sort_keys=True).encode()
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(paths)} | {"dvc.lock": lock}
    return {name: hashlib.md5(content).hexdigest() for name, content in found.items()}


def role(process: psutil.Process) -> str | None:
    """Return what a process of the pipeline is; None for a shell or a helper."""
    try:
        words = {Path(word).name for word in process.cmdline()[:5]}
    except psutil.Error:
        return None
    return next((name for word, name in ROLES.items() if word in words), None)


def left(root: Path) -> list[str]:
    """Return the pipeline's processes that work in root, as role and process number."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(root) and role(process):
                found.append(f"{role(process)} {process.pid}")
        except psutil.Error:
            continue
    return found


def start(root: Path) -> subprocess.Popen:
    """Start `make repro`'s command in root; its output goes to ROOT.log beside it."""
    with log_of(root).open("w") as log:
        return scratch.start(root, "python", "-m", "pipeline.jobs", "--jobs", "2", output=log)


def log_of(root: Path) -> Path:
    """Return the file that the output of the command started in root goes to."""
    return root.with_name(f"{root.name}.log")


def kill_once(root: Path, rng: random.Random, longest: float) -> dict | None:
    """Start, wait at most `longest` seconds, kill one process at random, and wait until all have ended.

    Returns role, signal and seconds after the start; None where the pipeline had finished before, without an error.
    """
    running, wait, begin = start(root), rng.uniform(0.5, longest), time.monotonic()
    try:
        code = running.wait(wait)
        assert code == 0, log_of(root).read_text()[-3000:]
        return None
    except subprocess.TimeoutExpired:
        pass
    first = psutil.Process(running.pid)
    processes, told = [first, *first.children(recursive=True)], None
    chosen = sorted({role(each) for each in processes} - {None})
    if chosen:
        name, number = rng.choice(chosen), rng.choice(SIGNALS)
        victim = rng.choice([each for each in processes if role(each) == name])
        told = {"role": name, "signal": number.name, "seconds": round(time.monotonic() - begin, 1)}
        try:
            victim.send_signal(number)
        except psutil.NoSuchProcess:
            told = None
    running.wait(900)
    told = told or {"role": "none", "signal": "none", "seconds": 0.0}
    return told | {"exit": running.returncode, "orphans": orphans(root)}


def orphans(root: Path, patience: float = 60) -> list[str]:
    """Return what still works in root after the pipeline has ended and `patience` seconds more."""
    end = time.monotonic() + patience
    while (found := left(root)) and time.monotonic() < end:
        time.sleep(0.2)
    return found
