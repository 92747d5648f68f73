"""Monte-Carlo dropout: predictions of a network whose dropout stays on, and how far they can be trusted (Gal 2016)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from ssl_hip.dropout import ReluDropout
from ssl_hip.losses import entropy

VOXELS_AT_ONCE = 1 << 18  # 8 patches of 32^3: more gain nothing and take memory


class Prediction(NamedTuple):
    """What M stochastic passes say."""

    probability: torch.Tensor  # (B, K, D, H, W) mean softmax
    mean_entropy: torch.Tensor  # (B, D, H, W) mean over the passes of the entropy, nats (Eq. 2)


def uncertain_voxels(entropy: torch.Tensor, limit: float, share: list[float]) -> torch.Tensor:
    """Return the mask (B, D, H, W) of voxels whose entropy is limit, in nats, or more.

    share: lowest and highest share of the batch's voxels that the mask may hold, for which limit is moved; [0, 1] is
    Eq. 3 as printed.
    """
    low, high = share
    if low > 0 or high < 1:
        bounds = torch.tensor([1 - high, 1 - low], device=entropy.device)
        lowest, highest = entropy.flatten().quantile(bounds)
        limit = lowest.clamp(min=limit).minimum(highest)
    return entropy >= limit


@contextmanager
def dropout_on(network: nn.Module):
    """Switch on the dropout of a network in eval mode, and nothing else: its norm statistics stay untouched."""
    layers = [module for module in network.modules() if isinstance(module, ReluDropout)]
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.train(mode)


@torch.no_grad()
def mc_dropout(network: nn.Module, image: torch.Tensor, passes: int, noise=None) -> Prediction:
    """Run `passes` stochastic passes over images (B, 1, D, H, W); entropies in float32 from log_softmax.

    noise: as stochastic_passes.
    """
    probability, total_entropy = 0.0, 0.0
    for log_probability in stochastic_passes(network, image, passes, noise):
        number = len(log_probability) // len(image)
        probability = probability + log_probability.exp().unflatten(0, (number, -1)).sum(0)
        total_entropy = total_entropy + entropy(log_probability).unflatten(0, (number, -1)).sum(0)
    return Prediction(probability / passes, total_entropy / passes)


def stochastic_passes(network: nn.Module, image: torch.Tensor, passes: int, noise=None) -> Iterator[torch.Tensor]:
    """Yield the log-softmax (n B, K, D, H, W), float32, of n passes with dropout until there are `passes` of them.

    Small images share a batch: several passes at once cost less than one after the other.
    noise: a function that returns a noisy copy of the image, called once a pass; None for no noise.
    """
    at_once = max(1, VOXELS_AT_ONCE // image.numel())
    for start in range(0, passes, at_once):
        number = min(at_once, passes - start)
        batch = torch.cat([image if noise is None else noise(image) for _ in range(number)])
        with dropout_on(network):
            logits, _ = network(batch.contiguous(memory_format=torch.channels_last_3d))
        yield logits.float().log_softmax(1)
