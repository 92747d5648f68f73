"""A stage ends with the DVC that started it: `dvc repro`, typed again, then has the stage's files to itself."""

import os
import threading
import time
from pathlib import Path

import psutil

SECONDS = 0.5  # between two looks


def dvc_above() -> psutil.Process | None:
    """Return the DVC that started this process, directly or through a shell; None outside a stage."""
    for process in psutil.Process().parents():
        try:
            words = process.cmdline()[:3]
        except psutil.Error:
            continue
        if "dvc" in (Path(word).name for word in words):
            return process
    return None


def end_with(process: psutil.Process) -> None:
    """Watch a process from now on; when it is gone, kill what this one started and end."""

    def watch():
        while alive(process):
            time.sleep(SECONDS)
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def alive(process: psutil.Process) -> bool:
    """Say whether a process runs; one that was killed and not asked for yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
