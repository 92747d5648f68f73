"""What a training takes: arithmetic and bytes, counted, and time, measured, on a few steps of throw-away networks.

python -m ssl_hip.cost params/paper.yaml
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

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
        each = f"{self.flop / 1e9:,.3g} GFLOP in {self.seconds:.2g} s"
        whole = duration(self.iterations * self.seconds)
        return f"{self.iterations:,} steps of {each}: about {whole} on this device, {self.gib:.2f} GiB"


def duration(seconds: float) -> str:
    """Return seconds in hours or minutes."""
    return f"{seconds / 3600:,.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def iterations(settings, training_patches: int) -> int:
    """Return T_N; settings: `optimization` of params.yaml."""
    return round(settings.epochs * math.ceil(training_patches / settings.batch_size))


def estimate(method: str, params, patch_size: int, steps: int, device: torch.device) -> Cost:
    """Count and time steps on random patches (the first warms up); weights and generators of a training stay untouched.

    Raises UserError where a step does not fit into the memory of a GPU.
    """
    learner = Learner(method, params, seeds(0), device)
    batch = random_batch(params.optimization.batch_size, patch_size, learner.method.uses_unlabelled, device)
    try:
        flop, kept = counted(learner, batch, steps)
        seconds = min(timed(learner, batch, steps) for _ in range(3))
    except torch.OutOfMemoryError as error:
        raise config.UserError(
            f"params.yaml: a step of '{method}' does not fit into this GPU's memory; lower patches.edge or "
            "optimization.batch_size"
        ) from error
    teacher, trained = map(nbytes, (learner.networks.teacher.parameters(), learner.trained))
    copies = 2 + 2 * len(learner.optimizers)  # weights, gradient and each Adam's two moments
    return Cost(steps, flop, seconds, (teacher + copies * trained + kept) / 2**30)


def nbytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the memory that tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def counted(learner: Learner, batch: Batch, steps: int) -> tuple[int, int]:
    """Return the floating-point operations of one step, and the bytes of feature maps that it keeps."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        learner.step(batch, 0, steps)
    return counter.get_total_flops(), sum(kept.values())


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

    labelled = (image(), label, distance)
    return Batch(*labelled, image(), label, distance) if unlabelled else Batch(*labelled)


def grid(train, ablations) -> Counter[str]:
    """Return how many trainings of each method, variant and ceiling a profile has; train, ablations: of params.yaml."""
    runs = Counter({method: len(train.labelled_patches) * len(train.draws) for method in train.methods})
    runs["ceiling"] = len(train.ceiling_draws)
    return +runs + Counter(
        {variant: len(ablations.labelled_patches) * len(ablations.draws) for variant in ablations.variants}
    )


def named(stages: list[str]) -> Counter[str]:
    """Return how many trainings of each name these DVC stages are, e.g. train@uamt-50-0, ceiling@0."""
    kinds = [stage.partition("@") for stage in stages]
    return Counter(kind if kind == "ceiling" else run.rsplit("-", 2)[0] for kind, _, run in kinds)


def settings_of(name: str, params) -> tuple[str, SimpleNamespace]:
    """Return the method and the parameters of a run by its name: a method's, a variant's or `ceiling`."""
    if name == "ceiling":
        epochs = params.train.ceiling_factor * params.optimization.epochs
        longer = SimpleNamespace(**vars(params.optimization) | {"epochs": epochs})
        return "supervised", SimpleNamespace(**vars(params) | {"optimization": longer})
    if name not in vars(params.variants):
        return name, params
    base, changes = params.methods.embedding_matching, getattr(params.variants, name)
    methods = SimpleNamespace(embedding_matching=SimpleNamespace(**vars(base) | vars(changes)))
    return "embedding_matching", SimpleNamespace(**vars(params) | {"methods": methods})


def main(path: str, stages: list[str]) -> None:
    """Print the cost of a profile's trainings, or of the named ones of them, and their sum."""
    params = config.namespace(config.read_yaml(Path(path)))
    torch.set_num_threads(params.train.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seconds = 0.0
    for name, number in (named(stages) if stages else grid(params.train, params.ablations)).items():
        method, settings = settings_of(name, params)
        steps = iterations(settings.optimization, params.patches.count.train)
        cost = estimate(method, settings, params.patches.edge, steps, device)
        seconds += number * cost.seconds * steps
        print(f"{name}, {number} times {cost}", flush=True)
    print(f"together about {duration(seconds)}, one after the other, validation and test not counted")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Estimate time and memory of a profile's trainings on this device.")
    parser.add_argument("params", help="params.yaml or a file of params/")
    parser.add_argument("--stages", nargs="*", default=[], help="these alone, e.g. train@uamt-50-0 (default: all)")
    options = parser.parse_args()
    try:
        main(options.params, options.stages)
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
