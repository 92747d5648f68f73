"""3D U-Net that returns logits and the embeddings they are computed from (Cicek 2016, Section 2)."""

from functools import partial

import torch
from torch import nn

from ssl_hip.checkpointing import recomputed
from ssl_hip.dropout import MaskPool, ReluDropout
from ssl_hip.group_norm import GroupNorm
from ssl_hip.up_convolution import UpConvolution


class UNet3d(nn.Module):
    """Encoder-decoder with skips: at level i two convolutions of width*2^i and width*2^(i+1) filters.

    width=16, levels=4 is the paper's network: half of the 3D U-Net's filters, 32 embedding channels.
    """

    def __init__(self, in_channels=1, classes=2, width=16, levels=4, norm="batch", dropout=0.15, seed=0):
        super().__init__()
        self.masks = MaskPool()
        self.checkpointing = False  # compute feature maps again in the backward pass instead of keeping them
        deep = [width * 2 ** (i + 1) for i in range(levels)]  # channels that leave each level
        inputs = [in_channels, *deep[:-1]]

        def activation(channels):
            return normalisation(norm, channels), ReluDropout(dropout, self.masks)

        def convolution(a, b):
            return nn.Conv3d(a, b, 3, padding=1), *activation(b)

        self.encoder = nn.ModuleList(
            nn.Sequential(Halve() if level else nn.Identity(), *convolution(a, c // 2), *convolution(c // 2, c))
            for level, (a, c) in enumerate(zip(inputs, deep, strict=True))
        )
        pairs = list(zip(deep[:-1], deep[1:], strict=True))[::-1]  # (skip, below) from the deepest up
        self.up = nn.ModuleList(UpConvolution(skip, below) for skip, below in pairs)
        self.decoder = nn.ModuleList(nn.Sequential(*activation(c), *convolution(c, c)) for c, _ in pairs)
        self.output = nn.Conv3d(deep[0], classes, 1)
        initialise(self, seed)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, classes, D, H, W) and embeddings (B, 2*width, D, H, W) of images x (B, 1, D, H, W).

        D, H and W must be multiples of 2^(levels-1).
        """
        run = partial(recomputed, self, self.masks) if self.checkpointing and torch.is_grad_enabled() else call
        skips = []
        for block in self.encoder:
            x = run(block, x)
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = run(partial(decode, up, block), x, skips.pop())
        return self.output(x), x


def call(part, *inputs: torch.Tensor) -> torch.Tensor:
    """Run a part of the network and keep its feature maps."""
    return part(*inputs)


def decode(up: UpConvolution, block: nn.Module, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """Return one level of the decoder."""
    return block(up(x, skip))


class Halve(nn.Module):
    """Maximum of each 2x2x2 voxels, in the type of its input; autocast would turn the volume to float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.max_pool3d(x, 2)


def normalisation(name: str, channels: int) -> nn.Module:
    """Return the norm layer of that name: batch, group (8 groups), instance or none."""
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm3d(channels)
    return GroupNorm({"group": 8, "instance": channels}[name], channels)


def initialise(network: nn.Module, seed: int) -> None:
    """He initialisation (He 2015) of all convolutions from a generator of its own; biases zero."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
