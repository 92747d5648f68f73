"""Losses and the ramp-up that all methods share. Logits are (B, K, D, H, W), labels (B, D, H, W) with values 0..K-1."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

DICE_EPSILON = 1e-5  # voxels: 0 / 0 of empty masks is no loss


class Progress(NamedTuple):
    """How far a training is."""

    iteration: int  # T, from 0
    iterations: int  # T_N

    @property
    def share(self) -> float:
        """T/T_N."""
        return self.iteration / self.iterations

    @property
    def ramp_up(self) -> float:
        """The weight of all losses but the labelled one."""
        return ramp_up(self.share)


def ramp_up(share: float) -> float:
    """Return exp(-5 (1 - T/T_N)^2), from .0067 to 1; share is T/T_N in [0, 1] (Eq. 1)."""
    return math.exp(-5 * (1 - share) ** 2)


def soft_dice(probability: torch.Tensor, label: torch.Tensor, epsilon: float = DICE_EPSILON) -> torch.Tensor:
    """Return 1 - soft Dice of the foreground, summed over the whole batch; both (B, D, H, W)."""
    truth = label.to(probability.dtype)
    overlap = (probability * truth).sum()
    return 1 - (2 * overlap + epsilon) / (probability.sum() + truth.sum() + epsilon)


def supervised_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy (nats) + soft Dice, 1:1."""
    logits = logits.float()
    return F.cross_entropy(logits, label.long()) + soft_dice(logits.softmax(1)[:, 1], label)


def entropy(log_probability: torch.Tensor) -> torch.Tensor:
    """Return the entropy in nats over axis 1 of a log-softmax."""
    return -(log_probability.exp() * log_probability).sum(1)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of values where mask holds, over the whole batch; 0 (not NaN) where it holds nowhere."""
    mask = mask.to(values.dtype)
    return (values * mask).sum() / mask.sum().clamp(min=1)


def masked_cross_entropy(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (nats) over the voxels of mask (B, D, H, W); 0 where the mask is empty.

    target: labels (B, D, H, W), or probabilities (B, K, D, H, W) as float.
    """
    target = target if target.is_floating_point() else target.long()
    return masked_mean(F.cross_entropy(logits.float(), target, reduction="none"), mask)


def masked_brier(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of softmax and target over classes and the voxels of mask (Brier 1950).

    Unlike the cross-entropy it is bounded: a confident, wrong target pulls no harder than any other. Shapes as there.
    """
    if not target.is_floating_point():
        target = F.one_hot(target.long(), logits.shape[1]).movedim(-1, 1)
    return masked_mse(logits.float().softmax(1), target, mask)


def masked_mse(probability: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean squared difference of two softmax maps (B, K, D, H, W), over classes and the voxels of mask."""
    squared = (probability - target).square().mean(1)
    return squared.mean() if mask is None else masked_mean(squared, mask)
