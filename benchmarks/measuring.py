"""How all rows of `make bench` are measured: contenders take turns in one run, after a warm-up; the median counts."""

import multiprocessing
import operator
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COMPARE = {"at least": operator.ge, "at most": operator.le, "below": operator.lt}


@dataclass
class Row:
    """One line of results/bench.json; goal: "at least 5" and the like, empty for a figure that stands beside."""

    name: str
    value: float
    unit: str
    goal: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if not self.goal:
            return None
        relation, _, bound = self.goal.rpartition(" ")
        return bool(COMPARE[relation](self.value, float(bound)))


def interleaved(contenders: dict[str, Callable], rounds: int, wait: Callable = lambda: None) -> dict[str, float]:
    """Return the median seconds of each contender; wait: returns when the device has done its work."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):  # the first warms up
        for name, work in contenders.items():
            wait()
            start = time.perf_counter()
            work()
            wait()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def fresh(function: Callable, *arguments):
    """Return function(*arguments) from a process of its own, so that its memory is its own too.

    Freed blocks go back to the system at once: the peak is that of the tensors, not of the allocator's habits.
    """
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 16)
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(function, arguments)
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


def status_mb(name: str) -> float:
    """Return a line of /proc/self/status in MB, e.g. VmHWM, the peak of resident memory; Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 2**10


def reset_peak() -> float:
    """Let VmHWM start anew from what is resident now, and return that in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_mb("VmRSS")
