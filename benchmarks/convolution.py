"""Our convolution of one float32 volume beside torch's, forward and backward, at the sizes of the default network."""

import torch
from torch import nn

from benchmarks.measuring import Row, interleaved
from ssl_hip.convolution import Convolution

SIZES = [(16, 32), (32, 16), (64, 8)]  # channels and edge of each level: width 8, patches of 32^3


def forward_backward(layer: nn.Module, x: torch.Tensor) -> None:
    """One pass there and back."""
    y = layer(x)
    y.backward(torch.ones_like(y))


def rows(rounds: int = 10) -> list[Row]:
    """Return a row a level of the network."""
    found = []
    for channels, edge in SIZES:
        x = torch.randn(1, channels, edge, edge, edge).contiguous(memory_format=torch.channels_last_3d)
        x.requires_grad_()
        layers = {"torch": nn.Conv3d(channels, channels, 3, padding=1), "ours": Convolution(channels, channels)}
        seconds = interleaved({n: lambda g=layer, x=x: forward_backward(g, x) for n, layer in layers.items()}, rounds)
        what = f"Conv3d of torch / ours: forward + backward, one float32 volume, {channels} x {edge}^3"
        found.append(Row(what, seconds["torch"] / seconds["ours"], "times"))
    return found
