"""Is the precision that `auto` takes the faster one here? Training steps of the default profile in both, side by side.

    python -m benchmarks.precision_speed

A minute on one thread (train.threads); part of `make bench`. On a GPU it measures that.
"""

import copy
from functools import partial

import torch

from benchmarks.machine import waiting
from benchmarks.measuring import Row, interleaved
from ssl_hip import config, precision
from ssl_hip.cost import random_batch
from ssl_hip.learner import Learner, seeds

METHODS, PRECISIONS = ("supervised", "embedding_matching"), ("float32", "bfloat16")
EDGE, STEPS = 32, 1000  # voxels; of the training whose middle step is timed


def seconds(device: torch.device, rounds: int) -> dict[tuple[str, str], float]:
    """Return the median seconds of a step by method and precision; bfloat16 where the device would not emulate it."""
    params, work = config.load("model", "optimization", "methods"), {}
    for method in METHODS:
        for name in PRECISIONS:
            settings = copy.deepcopy(params)
            settings.optimization.precision = name
            learner = Learner(method, settings, seeds(0), device)
            if learner.networks.precision == name:
                batch = random_batch(params.optimization.batch_size, EDGE, learner.method.uses_unlabelled, device)
                work[method, name] = partial(learner.step, batch, STEPS // 2, STEPS)
    return interleaved(work, rounds, waiting(device))


def rows(device: torch.device | None = None, rounds: int = 15) -> list[Row]:
    """Return the seconds of each step, and whether the precision that `auto` takes is the faster one."""
    device = device or torch.device("cpu")
    found, width = seconds(device, rounds), config.load("model.width").model.width
    taken, why = precision.decide("auto", device.type)
    listed = []
    for method in METHODS:
        here = {name: found[method, name] for name in PRECISIONS if (method, name) in found}
        what = f"step of {method} ({EDGE}^3, width {width})"
        listed += [Row(f"{what}, {name}", 1e3 * value, "ms") for name, value in here.items()]
        others = [value for name, value in here.items() if name != taken]
        if others:
            said = f"the same in {taken}, which auto takes ({why}) / in the other precision"
            listed.append(Row(said, here[taken] / others[0], "times", "at most 1"))
    return listed


def main() -> None:
    """Measure and print what trains here: a GPU, or one CPU thread."""
    torch.set_num_threads(config.load("train.threads").train.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for row in rows(device):
        print(f"{row.name}: {row.value:.3g} {row.unit}" + (f", goal {row.goal}: {row.met}" if row.goal else ""))


if __name__ == "__main__":
    main()
