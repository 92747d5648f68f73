"""A supervised step on a patch that is learnt, with denormal numbers and without: what flushing them to zero saves.

    python -m benchmarks.denormals

Half a minute on one thread (train.threads); part of `make bench`.
"""

import numpy as np
import torch

from benchmarks.measuring import Row, interleaved
from ssl_hip import config
from ssl_hip.learner import Learner, seeds
from ssl_hip.student_teacher import Batch

EDGE, STEPS, ITERATIONS = 32, 100, 6000  # voxels; until the sphere is learnt, of a training so long


def sphere(edge: int) -> Batch:
    """Return one patch, a bright sphere in noise."""
    inside = torch.from_numpy(((np.indices((edge,) * 3) - (edge - 1) / 2) ** 2).sum(0) < (edge / 3) ** 2)[None]
    noise = torch.randn(inside.shape, generator=torch.Generator().manual_seed(0))
    image = (2 * inside + 0.2 * noise)[:, None]
    return Batch(image, inside.long(), torch.zeros(inside.shape))


def rows(rounds: int = 15) -> list[Row]:
    """Return how many times as long a step takes with denormal numbers."""
    params = config.load("model", "optimization", "methods")
    params.optimization.precision = "float32"
    learner, batch = Learner("supervised", params, seeds(0), torch.device("cpu")), sphere(EDGE)
    for iteration in range(STEPS):
        learner.step(batch, iteration, ITERATIONS)
    kept, flushed = Learner.step.__wrapped__, Learner.step
    work = {name: lambda f=f: f(learner, batch, STEPS, ITERATIONS) for name, f in (("with", kept), ("ours", flushed))}
    seconds = interleaved(work, rounds)
    return [
        Row(
            "supervised step on a learnt patch, float32: with denormal numbers / ours",
            seconds["with"] / seconds["ours"],
            "times",
        )
    ]


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(config.load("train.threads").train.threads)
    for row in rows():
        print(f"{row.name}: {row.value:.3g} {row.unit}")


if __name__ == "__main__":
    main()
