"""What made the results: reports/run_info.json, which the report shows where it is there, and which no stage reads.

It differs from run to run and machine to machine, so it stands outside DVC's outputs and the page's bytes.
"""

import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

FILE = Path("reports/run_info.json")
WRITTEN = ("results", "reports", "dvc.lock")  # by a run itself: a change of these does not make the commit dirty


class Stopwatch:
    """Seconds by phase, in the order in which the phases ended."""

    def __init__(self):
        self.start = self.last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Note the seconds since the last lap as those of `phase`."""
        now = time.monotonic()
        self.seconds[phase] = round(now - self.last, 1)
        self.last = now

    def read(self) -> dict[str, float]:
        """Return all phases, and "whole": the seconds since the start."""
        return self.seconds | {"whole": round(time.monotonic() - self.start, 1)}


def git(*arguments: str) -> str | None:
    """Return what a git command prints; None outside a repository or without git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


def commit() -> str:
    """Return the commit, with " (dirty)" where the working tree differs in more than what a run writes."""
    name = git("rev-parse", "HEAD")
    if not name:
        return "unknown"
    changes = git("status", "--porcelain", "--", ":/", *(f":(top,exclude){path}" for path in WRITTEN))
    return name + (" (dirty)" if changes else "")


def processor() -> str:
    """Return the processor's name, of Linux from /proc/cpuinfo, where platform does not know it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(errors="replace").splitlines() if table.is_file() else []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or platform.machine())


def device() -> dict:
    """Return the device that trainings use and torch's threads; torch is imported here, as it takes seconds."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"device": name, "torch_threads": torch.get_num_threads()}


def collect(seconds: dict[str, float], trainings: int, jobs: int) -> dict:
    """Return all that the file holds. seconds: wall time by phase, of the last run that had something to do."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {"host": platform.node(), "platform": platform.platform(), "cpu": processor(), "cores": cores}
    done = {"trainings": trainings, "trainings_at_once": jobs, "seconds": seconds}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"commit": commit(), "date": date} | machine | device() | done


def write(seconds: dict[str, float], trainings: int, jobs: int, path: Path = FILE) -> None:
    """Write the file anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(collect(seconds, trainings, jobs), indent=2) + "\n", encoding="utf-8")
