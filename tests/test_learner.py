"""One training step: learning rate, clipping, seeds, one optimiser a loss."""

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


def test_each_loss_of_a_method_has_a_step_and_an_optimiser_of_its_own(params):
    """MTC's reconstruction moves what it reaches by its own learning rate, and leaves the rest to the segmentation."""
    params.optimization.learning_rate_power, params.optimization.gradient_clip = 0, 0
    params.methods.mtc.learning_rate = 0.25
    found = Learner("mtc", params, seeds(0), CPU)
    before = {name: [p.detach().clone() for p in part.parameters()] for name, part in parts(found).items()}
    log = found.step(cost.random_batch(2, 8, True, CPU), 0, 10)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in found.optimizers]
    assert rates == [params.optimization.learning_rate, 0.25 * params.optimization.learning_rate]
    torch.testing.assert_close(log["loss"], log["loss_supervised"] + log["loss_reconstruction"])
    step, moved = params.optimization.learning_rate, {}
    for name, part in parts(found).items():  # Adam's first step is as long as the learning rate
        changes = [(p - old).abs().max() for p, old in zip(part.parameters(), before[name], strict=True)]
        moved[name] = max(changes).item()
    assert moved["decoder"] == pytest.approx(step, rel=1e-3) and moved["heads"] == pytest.approx(step / 4, rel=1e-3)
    assert moved["encoder"] == pytest.approx(1.25 * step, rel=1e-3)


def test_numbers_next_to_zero_are_zero_in_a_step_and_nowhere_else(params):
    """A learnt patch's gradients are full of them, and a step takes several times as long."""
    found, seen = Learner("supervised", params, seeds(0), CPU), []
    weight = found.trained[0]

    def loss(batch, progress):
        seen.append(float(torch.tensor(1e-39) * 1))
        return (1e-39 * weight).sum(), {}

    assert float(torch.tensor(1e-39) * 1) > 0
    found.losses = [(loss, 1.0)]
    found.step(None, 0, 10)
    assert seen == [0] and not weight.grad.any()
    found.losses = [(lambda batch, progress: 1 / 0, 1.0)]
    with pytest.raises(ZeroDivisionError):
        found.step(None, 0, 10)
    assert float(torch.tensor(1e-39) * 1) > 0


def parts(found: Learner) -> dict[str, torch.nn.Module]:
    student = found.networks.student
    return {"encoder": student.encoder, "decoder": student.decoder, "heads": found.networks.heads}
