"""Losses against plain restatements, and their limits."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssl_hip import losses

SHAPE = (2, 4, 4, 4)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.fixture
def label() -> torch.Tensor:
    return torch.randint(0, 2, SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_ramp_up_ends_and_rises():
    assert losses.ramp_up(0) == pytest.approx(math.exp(-5)) and losses.ramp_up(1) == 1
    values = [losses.ramp_up(i / 10) for i in range(11)]
    assert values == sorted(values)
    assert losses.ramp_up(0.5) == pytest.approx(math.exp(-1.25)) == losses.Progress(5, 10).ramp_up


def test_soft_labels_of_certain_classes_are_hard_labels(logits, label):
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) > 0.5
    sure = F.one_hot(label.long(), 2).movedim(-1, 1).float()
    hard, soft = (losses.masked_cross_entropy(logits, target, mask) for target in (label, sure))
    torch.testing.assert_close(hard, soft)


def test_entropy_in_nats():
    logits = torch.tensor([[0.0, 0.0], [100.0, 0.0], [math.log(3), 0.0]])
    expected = torch.tensor([math.log(2), 0.0, -0.75 * math.log(0.75) - 0.25 * math.log(0.25)])
    torch.testing.assert_close(losses.entropy(logits.log_softmax(1)), expected)


def test_dice_of_perfect_empty_and_wrong_masks(label):
    assert losses.soft_dice(label.float(), label).item() == pytest.approx(0, abs=1e-6)
    assert losses.soft_dice(torch.zeros(SHAPE), torch.zeros(SHAPE)) == 0
    assert losses.soft_dice(1 - label.float(), label).item() == pytest.approx(1, abs=1e-6)


def test_dice_counts_the_batch_as_one():
    """A patch without foreground must not dominate: sums go over the batch, not the mean of patches' Dice."""
    label = torch.zeros(2, 1, 1, 4)
    label[0, ..., :2] = 1
    probability = label.clone()
    probability[1, ..., 0] = 1
    assert losses.soft_dice(probability, label, 0).item() == pytest.approx(1 - 4 / 5)


def test_supervised_loss_restated(logits, label):
    p = logits.softmax(1)
    chosen = p.gather(1, label.long()[:, None])
    foreground, truth = p[:, 1], label.float()
    dice = (2 * (foreground * truth).sum() + 1e-5) / (foreground.sum() + truth.sum() + 1e-5)
    torch.testing.assert_close(losses.supervised_loss(logits, label), -chosen.log().mean() + 1 - dice)


def test_supervised_loss_is_float32_for_bfloat16_logits(logits, label):
    assert losses.supervised_loss(logits.bfloat16(), label).dtype == torch.float32


def test_masked_cross_entropy_full_mask_is_plain(logits, label):
    full = losses.masked_cross_entropy(logits, label, torch.ones(SHAPE, dtype=torch.bool))
    torch.testing.assert_close(full, F.cross_entropy(logits, label.long()))


def test_masked_cross_entropy_divides_by_the_mask_of_the_batch(logits, label):
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[0, :2], mask[1, 0, 0, 0] = True, True
    each = F.cross_entropy(logits, label.long(), reduction="none")
    torch.testing.assert_close(losses.masked_cross_entropy(logits, label, mask), each[mask].mean())


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_masked_cross_entropy_empty_mask_is_zero(logits, label, kind):
    loss = losses.masked_cross_entropy(logits, label, torch.zeros(SHAPE, dtype=kind))
    loss.backward()
    assert loss == 0 and not logits.grad.any() and logits.grad.isfinite().all()


def test_brier_loss_takes_labels_and_probabilities(logits, label):
    probability, mask = logits.softmax(1), label == 1
    loss = losses.masked_brier(logits, label, mask)
    torch.testing.assert_close(loss, probability[:, 0][mask].square().mean())
    assert losses.masked_brier(logits, probability, mask) == 0


def test_masked_mse_restated(logits):
    a, b = logits.softmax(1), logits.flip(0).softmax(1)
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) > 0.5
    torch.testing.assert_close(losses.masked_mse(a, b), F.mse_loss(a, b))
    torch.testing.assert_close(losses.masked_mse(a, b, torch.ones(SHAPE)), F.mse_loss(a, b))
    torch.testing.assert_close(losses.masked_mse(a, b, mask), ((a - b) ** 2).mean(1)[mask].mean())
    assert losses.masked_mse(a, b, mask & ~mask) == 0
