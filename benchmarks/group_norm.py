"""Our GroupNorm's forward and backward pass beside torch's, at the sizes of the study's network."""

import torch
from torch import nn

from benchmarks.measuring import Row, interleaved
from ssl_hip.group_norm import GroupNorm

SIZES = [(8, 24), (16, 12), (32, 6)]  # channels and edge of each level: width 8, patches of 24^3
GROUPS, PATCHES = 8, 4


def forward_backward(layer: nn.Module, x: torch.Tensor) -> None:
    """One pass there and back, from a gradient that lies in memory as the volume does."""
    layer(x).backward(torch.ones_like(x))


def rows(rounds: int = 20) -> list[Row]:
    """Return a row a level of the network."""
    found = []
    for channels, edge in SIZES:
        x = torch.randn(PATCHES, channels, edge, edge, edge).bfloat16()
        x = x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        layers = {"torch": nn.GroupNorm(GROUPS, channels), "ours": GroupNorm(GROUPS, channels)}
        seconds = interleaved({n: lambda g=layer, x=x: forward_backward(g, x) for n, layer in layers.items()}, rounds)
        what = f"GroupNorm of torch / ours: forward + backward, {PATCHES} x {channels} x {edge}^3, bfloat16"
        found.append(Row(what, seconds["torch"] / seconds["ours"], "times"))
    return found
