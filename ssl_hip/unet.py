"""3D U-Net that returns logits and the embeddings they are computed from (Cicek 2016, Section 2)."""

from dataclasses import dataclass

import torch
from torch import nn

from ssl_hip.convolution import Convolution
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
        self.layers = layers = Layers(norm, dropout, self.masks)
        self.channels = [width * 2 ** (i + 1) for i in range(levels)]  # that leave each level of the encoder
        self.encoder = nn.ModuleList(
            nn.Sequential(
                Halve() if level else nn.Identity(), *layers.convolution(a, c // 2), *layers.convolution(c // 2, c)
            )
            for level, (a, c) in enumerate(zip([in_channels, *self.channels[:-1]], self.channels, strict=True))
        )
        self.decoder = Decoder(layers, self.channels, classes)
        initialise(self, seed)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, classes, D, H, W) and embeddings (B, 2*width, D, H, W) of images x (B, 1, D, H, W).

        D, H and W must be multiples of 2^(levels-1).
        """
        return self.decoder(self.encode(x))

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the feature maps of every level, finest first: level i is (B, 2^(i+1)*width, D/2^i, H/2^i, W/2^i)."""
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        return features


@dataclass(frozen=True)
class Layers:
    """What stands after each convolution: norm, ReLU and dropout; all dropout masks come from one pool."""

    norm: str
    dropout: float
    masks: MaskPool

    def activation(self, channels: int) -> tuple[nn.Module, ...]:
        """Return norm, ReLU and dropout."""
        return normalisation(self.norm, channels), ReluDropout(self.dropout, self.masks)

    def convolution(self, inputs: int, outputs: int) -> tuple[nn.Module, ...]:
        """Return a 3x3x3 convolution, norm, ReLU and dropout."""
        return Convolution(inputs, outputs), *self.activation(outputs)


class Decoder(nn.Module):
    """From the deepest level up: each joins the encoder's features of its level; the last gives the embeddings."""

    def __init__(self, layers: Layers, channels: list[int], classes: int):
        """channels: of the encoder's levels, finest first."""
        super().__init__()
        pairs = list(zip(channels[:-1], channels[1:], strict=True))[::-1]  # (skip, below) from the deepest up
        self.up = nn.ModuleList(UpConvolution(skip, below) for skip, below in pairs)
        blocks = [nn.Sequential(*layers.activation(c), *layers.convolution(c, c)) for c, _ in pairs]
        self.last = blocks[-1].pop(-1) if blocks else nn.Identity()  # ReLU and dropout of the embeddings
        self.blocks = nn.ModuleList(blocks)
        self.output = nn.Conv3d(channels[0], classes, 1)
        self.embeddings = "after_relu"  # after_relu: what the output is computed from | before_relu

    def forward(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and embeddings of what UNet3d.encode returns."""
        *skips, x = features
        for up, block in zip(self.up, self.blocks, strict=True):
            x = block(up(x, skips.pop()))
        before = x.clone() if self.embeddings == "before_relu" else None  # ReLU and dropout overwrite their input
        x = self.last(x)
        return self.output(x), x if before is None else before


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
