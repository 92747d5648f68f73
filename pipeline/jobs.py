"""`dvc repro` with several trainings at once: `python -m pipeline.jobs --jobs 2`.

DVC itself runs one stage after the other. Here it runs what comes before the trainings, then the trainings by several
workers (`dvc repro --single-item`, safe side by side), then the whole pipeline once more for the rest.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline import advice, finished, orphans, run_info

LOGS = Path("build/logs")
LOCK = Path("build/repro.lock")
ASIDE = Path("build/dvc.lock.damaged")
BEFORE = ("check", "source", "patches")
PARALLEL = ("train", "ablation", "ceiling")
BUSY = re.compile(r"is busy, it is being blocked|Unable to acquire lock")
NOISE = re.compile(
    r"^(Running stage|Updating lock file|ERROR: failed to reproduce|(In|Out)put Notebook:|Executing notebook|> )"
)
TAIL = 30


class StageError(Exception):
    """A stage failed; the message says which one and shows the end of its output."""


class BusyError(StageError):
    """Another DVC holds files that this one needs."""


class LockFileError(StageError):
    """DVC cannot read dvc.lock."""


def patiently(work: Callable[[], Any], tries: int = 20) -> Any:
    """Return the result of some work of DVC; where a neighbour's files are in its way, wait and try again."""
    for left in reversed(range(tries)):
        try:
            return work()
        except BusyError:
            if not left:
                raise
            time.sleep(random.uniform(0.5, 3))


def dvc(*arguments: str) -> list[str]:
    """Return a dvc command line that waits its turn at DVC's lock."""
    return [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]


def asked(*arguments: str, root: Path | None = None) -> str:
    """Return what a dvc command prints; root: a repository elsewhere. Raises StageError where it fails."""
    done = subprocess.run(dvc(*arguments), cwd=root, capture_output=True, text=True)
    if done.returncode:
        told = done.stderr.strip()
        raise error_of(told)(f"dvc {arguments[0]} failed:\n{advice.short(told) or told}")
    return done.stdout


def error_of(output: str) -> type[StageError]:
    """Return the kind of error that DVC's output tells."""
    kinds = {BUSY: BusyError, advice.DAMAGED_LOCK: LockFileError}
    return next((kind for pattern, kind in kinds.items() if re.search(pattern, output)), StageError)


def status(*targets: str, root: Path | None = None) -> dict[str, list]:
    """Return what `dvc status` says of each stage that is not up to date, by name."""
    return json.loads(asked("status", "--json", *targets, root=root))


def changed(*targets: str) -> list[str]:
    """Return the names of the stages that `dvc repro` would run, as far as DVC can tell before running any."""
    return list(patiently(lambda: status(*targets)))


def begin() -> list[str]:
    """Return what `changed` does; a dvc.lock that ends in the middle is set aside first.

    DVC writes the file in place, so that killing it may leave half of one. Of a merge's conflict its owner is told.
    """
    try:
        return changed()
    except LockFileError:
        lock = Path("dvc.lock")
        if "<<<<<<<" in lock.read_text(encoding="utf-8", errors="replace"):
            raise
        lock.replace(ASIDE)
    print(
        f"dvc.lock was damaged and is {ASIDE} now: results are found in DVC's cache by what they depend on.", flush=True
    )
    return changed()


def run(arguments: list[str], log: Path, echo: bool) -> None:
    """Run a command, keep its output in `log`, show it live if asked; raise StageError when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                file.write(chunk)
                file.flush()
                if echo:
                    sys.stdout.buffer.write(chunk)
                    sys.stdout.flush()
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if code:
        text = log.read_bytes().decode("utf-8", "replace")
        raise error_of(text)(explain(text, log))


def explain(text: str, log: Path) -> str:
    """Return what to show for a failed command: the stage, then a UserError's message alone or the output's end."""
    stage = re.search(r"failed to reproduce '([^']+)'", text)
    last = text.replace("\r\n", "\n").rpartition("Running stage '")[2]
    lines = [line.rpartition("\r")[2] for line in last.split("\n")]
    body = "\n".join(line for line in lines if not NOISE.match(line)).strip()
    _, mark, message = body.rpartition("UserError: ")
    shown = mark + message if mark else advice.short(body) or "\n".join(body.split("\n")[-TAIL:])
    return f"Stage {stage[1] if stage else '?'} failed; all of its output: {log}\n\n{shown}"


def train(stage: str) -> None:
    """Run one training stage; its checkpoint goes once DVC has stored the run."""
    run(dvc("repro", "--single-item", stage), LOGS / f"{stage.replace('@', '-')}.log", echo=False)
    finished.remove(stage)


def tell_cost(pending: list[str]) -> None:
    """Print how long the trainings will take and what memory they need; stop where they do not fit the device."""
    told = subprocess.run([sys.executable, "-m", "ssl_hip.cost", "params.yaml", "--stages", *pending])
    if told.returncode:
        sys.exit(told.returncode)


def train_all(pending: list[str], jobs: int, work: Callable[[str], None] = train) -> None:
    """Run trainings by `jobs` workers, showing all that run; after a failure start no more, then raise it."""
    print(f"{len(pending)} trainings to do, {jobs} at once; their output: {LOGS}/", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(patiently, partial(work, stage)): stage for stage in pending}
        screen = Screen()
        try:
            while not all(future.done() for future in futures):
                screen.show(futures)
                if any(failed(future) for future in futures):
                    pool.shutdown(wait=False, cancel_futures=True)
                time.sleep(0.5)
            screen.show(futures)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            orphans.stop_children()
            raise
    for future in futures:
        if not future.cancelled():
            future.result()


def failed(future: Future) -> bool:
    """Say whether a worker ended with an error."""
    return future.done() and not future.cancelled() and future.exception() is not None


class Screen:
    """The running trainings, one line each, redrawn in place on a terminal; elsewhere a report every minute."""

    def __init__(self):
        self.height, self.said, self.next_report = 0, set(), time.monotonic() + 60

    def show(self, futures: dict) -> None:
        """Report what finished since the last call, then what runs."""
        news = [(future, stage) for future, stage in futures.items() if future.done() and stage not in self.said]
        live = sys.stdout.isatty()
        if live and self.height:
            print(f"\x1b[{self.height}A\x1b[J", end="")
        for future, stage in news:
            self.said.add(stage)
            if not future.cancelled():
                outcome = "FAILED; the trainings that run go on to their end" if future.exception() else "done"
                print(f"[{len(self.said)}/{len(futures)}] {stage} {outcome}", flush=True)
        running = [f"  {stage}: {progress(stage)}" for future, stage in futures.items() if future.running()]
        self.height = len(running) if live else 0
        if running and (live or time.monotonic() > self.next_report):
            width = shutil.get_terminal_size().columns - 1 if live else None
            print("\n".join(line[:width] for line in running), flush=True)
            self.next_report = time.monotonic() + 60


def progress(stage: str) -> str:
    """Return the newest line of a training's output: its progress bar."""
    log = LOGS / f"{stage.replace('@', '-')}.log"
    if not log.is_file():
        return "starting"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        lines = re.split(r"[\r\n]+", file.read().decode("utf-8", "replace"))
    return next((line.strip() for line in reversed(lines) if line.strip() and not NOISE.match(line)), "starting")


def reproduce(jobs: int) -> None:
    """Bring everything up to date; raise StageError when a stage fails."""
    check = subprocess.run([sys.executable, "-m", "ssl_hip.schema"], stdout=subprocess.DEVNULL)
    if check.returncode:
        sys.exit(check.returncode)
    if not begin():
        finished.tidy([])
        print("Nothing has changed since the last run: all results are up to date.")
        return
    watch = run_info.Stopwatch()
    patiently(lambda: run(dvc("repro", *BEFORE), LOGS / "before.log", echo=True))
    watch.lap("before_trainings")
    pending = changed(*PARALLEL)
    finished.tidy(pending)
    if pending:
        tell_cost(pending)
        train_all(pending[::-1], jobs)  # the longest stand last in params.yaml; begun first, they end together
    watch.lap("trainings")
    patiently(lambda: run(dvc("repro"), LOGS / "after.log", echo=True))
    watch.lap("after_trainings")
    run_info.write(watch.read(), len(pending), jobs)


def main() -> None:
    """Read the command line, work, and leave the cause of a failure as the last thing on the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--jobs", type=int, default=cores, help="trainings at once (default: one a core)")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.getcwd()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ[orphans.STARTER] = str(os.getpid())
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, signal.default_int_handler)  # as Ctrl-C: nothing goes on unseen
    LOCK.parent.mkdir(exist_ok=True)
    try:
        with FileLock(LOCK, timeout=0):
            reproduce(max(1, arguments.jobs))
    except Timeout:
        sys.exit("Another 'make repro' runs in this folder; wait for it, or stop it with Ctrl-C where it was started.")
    except StageError as error:
        sys.exit(f"\n{error}")
    except OSError as error:
        if not (told := advice.short(str(error))):
            raise
        sys.exit(f"\n{told}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. 'make repro' goes on with what is missing.")


if __name__ == "__main__":
    main()
