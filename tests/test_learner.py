"""One training step: learning rate, clipping, seeds, and that checkpointing changes nothing but memory."""

import pytest
import torch

from ssl_hip import cost, learner
from ssl_hip.learner import Learner, seeds

CPU = torch.device("cpu")


def trained(params, method="embedding_matching", steps=3) -> Learner:
    found = Learner(method, params, seeds(0), CPU)
    batch = cost.random_batch(2, 8, found.method.uses_unlabelled, CPU)
    for iteration in range(steps):
        found.step(batch, iteration, steps)
    return found


def test_the_learning_rate_falls_to_zero_or_stays(params):
    settings = params.optimization
    settings.learning_rate, settings.learning_rate_power = 0.004, 0.5
    assert [learner.decayed(settings, progress) for progress in (0, 0.75, 1)] == [0.004, 0.002, 0]
    settings.learning_rate_power = 0
    assert learner.decayed(settings, 0.99) == 0.004


def test_gradients_are_no_longer_than_the_clip(params):
    norms = []
    for clip in (0, 1e-3):
        params.optimization.gradient_clip = clip
        gradients = [p.grad for p in trained(params, "supervised", 1).networks.student.parameters()]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
    assert norms[0] > 1e-2 and norms[1] <= 1e-3 * (1 + 1e-4)


def test_purposes_have_seeds_of_their_own():
    assert len({*seeds(0).values(), *seeds(1).values()}) == 2 * len(learner.PURPOSES)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_checkpointing_changes_nothing_but_memory(params, norm):
    """Same dropout masks, norm statistics and weights after several steps; fewer bytes are kept."""
    params.model.norm, params.model.dropout = norm, 0.2
    states, kept = [], []
    for checkpointing in (False, True):
        params.optimization.checkpointing = checkpointing
        networks = trained(params).networks
        states.append([*networks.student.state_dict().items(), *networks.teacher.state_dict().items()])
        kept.append(cost.estimate("embedding_matching", params, 8, 1, CPU).gib)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(*states, strict=True))
    assert kept[1] < kept[0]
