"""Gradient checkpointing: feature maps are computed again in the backward pass instead of being kept (Chen 2016)."""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ssl_hip.dropout import MaskPool


def recomputed(network: nn.Module, masks: MaskPool, part: Callable, *inputs: torch.Tensor) -> torch.Tensor:
    """Return part(*inputs), a part of the network, whose inner feature maps are not kept for the backward pass.

    Weights, gradients and norm statistics are those without checkpointing.
    """
    state = masks.generator.get_state()
    contexts = lambda: (nullcontext(), second_run(network, masks, state))  # noqa: E731
    return checkpoint(part, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def second_run(network: nn.Module, masks: MaskPool, state: torch.Tensor):
    """Draw the dropout masks of the first run again, and keep norm statistics from being updated twice."""
    now = masks.generator.get_state()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    masks.generator.set_state(state)
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        masks.generator.set_state(now)
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
