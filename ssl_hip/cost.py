"""What a training takes: arithmetic and bytes, counted, and time, measured, in steps of networks thrown away.

python -m ssl_hip.cost params/paper.yaml
"""

import argparse
import copy
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ssl_hip import config
from ssl_hip.learner import Learner, seeds
from ssl_hip.student_teacher import Batch


@dataclass(frozen=True)
class Cost:
    """Of one training."""

    iterations: int
    flop: float  # floating-point operations of one step: convolutions and matrix products
    seconds: float  # of one step
    gib: float  # weights, gradients, optimiser, teacher and the feature maps kept for the backward pass

    def __str__(self) -> str:
        hours = self.iterations * self.seconds / 3600
        time_left = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
        each = f"{self.flop / 1e9:,.3g} GFLOP in {self.seconds:.2g} s"
        return f"{self.iterations:,} steps of {each}: about {time_left} on this device, {self.gib:.2f} GiB"


def iterations(settings, training_patches: int) -> int:
    """Return T_N; settings: `optimization` of params.yaml."""
    return settings.epochs * math.ceil(training_patches / settings.batch_size)


def estimate(method: str, params, patch_size: int, steps: int, device: torch.device) -> Cost:
    """Count and time steps on random patches (the first warms up); weights and generators of a training stay untouched.

    Raises UserError where a step does not fit into the memory of a GPU.
    """
    learner = Learner(method, params, seeds(0), device)
    batch = random_batch(params.optimization.batch_size, patch_size, learner.method.uses_unlabelled, device)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    try:
        with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            learner.step(batch, 0, steps)
        seconds = min(timed(learner, batch, steps) for _ in range(2))
    except torch.OutOfMemoryError as error:
        raise config.UserError(
            f"params.yaml: a step of '{method}' does not fit into this GPU's memory; set optimization.checkpointing "
            "to true, or lower patches.size or optimization.batch_size"
        ) from error
    weights = sum(p.numel() * p.element_size() for p in learner.networks.student.parameters())
    gib = (5 * weights + sum(kept.values())) / 2**30  # student, teacher, gradient and Adam's two moments
    return Cost(steps, counter.get_total_flops(), seconds, gib)


def timed(learner: Learner, batch: Batch, steps: int) -> float:
    """Return the seconds of one step, the device's work included."""
    start = time.perf_counter()
    log = learner.step(batch, 0, steps)
    float(log["loss"])  # waits for the device
    return time.perf_counter() - start


def random_batch(size: int, edge: int, unlabelled: bool, device: torch.device) -> Batch:
    """Return patches of noise around a ball, as a method sees them."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.arange(edge) - edge / 2
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0) - edge / 3
    distance = distance.expand(size, -1, -1, -1).contiguous().to(device)
    label = (distance < 0).to(torch.uint8)

    def image() -> torch.Tensor:
        noise = torch.randn(size, 1, edge, edge, edge, generator=generator).to(device)
        return (noise + label[:, None]).contiguous(memory_format=torch.channels_last_3d)

    return Batch(image(), label, distance, image(), label) if unlabelled else Batch(image(), label, distance)


def main(path: str) -> None:
    """Print the cost of every training of a profile, and of the whole grid one training after the other."""
    params = config.namespace(config.read_yaml(Path(path)))
    torch.set_num_threads(params.train.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training_patches = max(params.patches.count.train, 1)
    steps, total = iterations(params.optimization, training_patches), 0.0
    runs = len(params.train.labelled_patches) * len(params.train.draws)
    grid = [(method, runs) for method in params.train.methods] + [("supervised", len(params.train.ceiling_draws))]
    for method, number in grid:
        cost = estimate(method, copy.deepcopy(params), params.patches.size, steps, device)
        total += number * cost.seconds * steps / 3600
        print(f"{method}, {number} times: {cost}", flush=True)
    print(f"together about {total:.1f} hours one after the other, without preparation, validation and test")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Estimate time and memory of a profile's trainings on this device.")
    parser.add_argument("params", help="params.yaml or a file of params/")
    try:
        main(parser.parse_args().params)
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
