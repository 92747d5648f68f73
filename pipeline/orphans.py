"""A stage ends with what started it, so that `make repro`, typed again, has the stage's files to itself."""

import os
import threading
import time
from pathlib import Path

import psutil

SECONDS = 0.5  # between two looks
STARTER = "SSL_HIP_STARTED_BY"  # process number of pipeline.jobs, in the environment of all that it starts


def starters() -> list[psutil.Process | None]:
    """Return the processes that this one is not to survive, None for one that is gone already.

    They are the DVC that runs this stage, directly or through a shell, and the pipeline.jobs that started it.
    """
    found = [process for process in psutil.Process().parents() if is_dvc(process)]
    if STARTER in os.environ:
        number = int(os.environ[STARTER])
        found.append(psutil.Process(number) if psutil.pid_exists(number) else None)
    return found


def is_dvc(process: psutil.Process) -> bool:
    """Say whether a process is DVC."""
    try:
        return "dvc" in (Path(word).name for word in process.cmdline()[:3])
    except psutil.Error:
        return False


def end_with(processes: list[psutil.Process | None]) -> None:
    """Watch processes from now on; when one is gone, kill what this one started and end."""

    def watch():
        while all(map(alive, processes)):
            time.sleep(SECONDS)
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def alive(process: psutil.Process | None) -> bool:
    """Say whether a process runs; one that was killed and not asked for yet does not."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_children() -> None:
    """Ask all processes that this one started to end."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            continue
