"""The same work on many scans: in processes, bounded by memory, with a progress bar, resumed after an interruption."""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from ssl_hip.config import UserError

THREADS = ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def run(
    work: Callable[[Any], Any],
    jobs: Sequence[Any],
    name: str,
    workers: int | None = None,
    memory_mb: float = 0,
    finished: Path | None = None,
) -> list[Any]:
    """Return work(job) for every job, in the jobs' order; the result does not depend on the number of workers.

    workers: processes at most, default one a core; fewer where free memory does not hold memory_mb for each. A process
    begins afresh (no locks of ITK or OpenBLAS are inherited) and has one thread: more would get into each other's way
    and change the order of sums. So work and jobs must be importable by name. 1: no process but this one.
    finished: a folder that keeps each result as JSON; jobs whose result is there already are not run again.
    Raises UserError where a process is killed, as it is when memory runs out.
    """
    files = [finished / f"{number:05d}.json" if finished else None for number in range(len(jobs))]
    if finished:
        finished.mkdir(parents=True, exist_ok=True)
    results = {place: json.loads(file.read_text()) for place, file in enumerate(files) if file and file.is_file()}
    waiting = {place: job for place, job in enumerate(jobs) if place not in results}
    with tqdm(total=len(jobs), initial=len(results), desc=name, unit="scan", mininterval=0.5) as bar:
        for place, result in _results(work, waiting, workers, memory_mb):
            results[place] = result
            if finished:
                write_json(files[place], result)
            bar.update()
    return [results[place] for place in range(len(jobs))]


def _results(
    work: Callable[[Any], Any], jobs: dict[int, Any], workers: int | None, memory_mb: float
) -> Iterator[tuple[int, Any]]:
    """Yield place and result of each job as it is done."""
    if workers == 1 or not jobs:
        yield from ((place, work(job)) for place, job in jobs.items())
        return
    number = min(affordable(workers or cores(), memory_mb), len(jobs))
    context = multiprocessing.get_context("spawn")
    with one_thread(), ProcessPoolExecutor(number, context, _end_with_parent) as pool:
        places = {pool.submit(work, job): place for place, job in jobs.items()}
        try:
            yield from ((places[future], future.result()) for future in as_completed(places))
        except BrokenProcessPool as error:
            raise UserError(
                f"a process of {number} was ended from outside, most often because memory ran out; "
                "close other programs and start again"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """Watch the parent from a thread: a worker would wait for ever for the next job of one that was killed."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let processes that begin within have one thread for ITK, OpenBLAS and OpenMP."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def affordable(workers: int, memory_mb: float) -> int:
    """Return how many of the workers fit into four fifths of the memory that is free now, one at least."""
    free_mb = psutil.virtual_memory().available / 2**20
    return workers if memory_mb <= 0 else max(1, min(workers, int(0.8 * free_mb / memory_mb)))


def write_json(path: Path, content: Any) -> None:
    """Write under a temporary name first: a file of this name is always complete."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)


def discard(unfinished: Path, pattern: str) -> None:
    """Remove folders of this pattern below `unfinished`, each under another name first.

    What a kill leaves of a folder that is half removed is never taken for unfinished work to go on with.
    """
    gone = unfinished / "gone"
    shutil.rmtree(gone, ignore_errors=True)
    for folder in unfinished.glob(pattern):
        folder.rename(gone)
        shutil.rmtree(gone)


def fingerprint(settings: Any, inputs: Sequence[Path] = ()) -> str:
    """Return a name for unfinished work: a hash of settings, of the inputs' sizes and times, and of this package."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=vars).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    for path in inputs:
        digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
