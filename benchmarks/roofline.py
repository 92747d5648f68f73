"""The least time that the layers of a network need: of each the longer of its arithmetic and its memory traffic."""

from dataclasses import dataclass

import torch
from torch import nn

from ssl_hip.dropout import ReluDropout
from ssl_hip.unet import Halve, UNet3d
from ssl_hip.up_convolution import UpConvolution

BYTES = 2  # bfloat16


@dataclass
class Layer:
    """Forward and backward of one layer on one batch."""

    name: str
    flop: float
    traffic: float  # bytes: every volume read or written once where it must be

    def seconds(self, peak: dict[str, float]) -> float:
        """Return the bound; peak: of `Machine.peaks`."""
        return max(self.flop / peak["bfloat16"], self.traffic / peak["copy"]) / 1e9


def convolution(name: str, inputs: int, outputs: int, weights: int, voxels: int, gradient: bool = True) -> Layer:
    """Forward, gradient of the weights and (gradient) of the input: as many multiplications, as many bytes.

    inputs, outputs, weights: their numbers of values; voxels: how often every weight is used.
    """
    times = 3 if gradient else 2
    return Layer(name, times * 2 * weights * voxels, times * BYTES * (inputs + outputs + weights))


def layers(network: UNet3d, x: torch.Tensor, composed: bool) -> list[Layer]:
    """Return the layers of forward and backward of x (B, 1, D, H, W).

    composed: up-convolution and convolution as the network computes them; else as they are drawn.
    """
    found: list[Layer] = []

    def see(module: nn.Module, inputs: tuple[torch.Tensor, ...], y: torch.Tensor) -> None:
        x = inputs[0]
        if isinstance(module, UpConvolution):
            found.extend(up(module, *inputs, y, composed))
        elif isinstance(module, nn.Conv3d):
            voxels = y.numel() // y.shape[1]
            gradient = x.shape[1] > 1  # the image needs none
            found.append(convolution("convolution", x.numel(), y.numel(), module.weight.numel(), voxels, gradient))
        elif isinstance(module, nn.BatchNorm3d | nn.GroupNorm):  # twice over the input for mean and deviation
            found.append(Layer("norm", 0, BYTES * (2 * x.numel() + y.numel() + 5 * x.numel())))
        elif isinstance(module, ReluDropout):  # input, mask, output; gradient, output, gradient
            found.append(Layer("ReLU and dropout", 0, BYTES * 6 * y.numel()))
        elif isinstance(module, Halve):
            found.append(Layer("pooling", 0, BYTES * 2 * (x.numel() + y.numel())))

    inner = {id(child) for up in network.decoder.up for child in up.children()}
    hooks = [m.register_forward_hook(see) for m in network.modules() if id(m) not in inner]
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        network(x)
    for hook in hooks:
        hook.remove()
    return found


def up(module: UpConvolution, x: torch.Tensor, skip: torch.Tensor, y: torch.Tensor, composed: bool) -> list[Layer]:
    """Return the layers of an up-convolution with the convolution after it."""
    below, fine, coarse = x.shape[1], y.numel() // y.shape[1], x.numel() // x.shape[1]
    weights = module.convolution.weight.numel()
    if not (composed and module.composition_pays(x)):
        middle = below * fine
        return [
            convolution("up-convolution", x.numel(), middle, module.up.weight.numel(), coarse),
            convolution("convolution", skip.numel() + middle, y.numel(), weights, fine),
        ]
    kernel = below * y.shape[1] * 64
    from_skip = 27 * skip.shape[1] * y.shape[1]
    return [
        convolution("composition", module.up.weight.numel(), kernel, 216 * below * below * y.shape[1], 1),
        convolution("up-convolution", x.numel(), y.numel(), kernel, coarse),
        convolution("convolution", skip.numel(), y.numel(), from_skip, fine),
        Layer("sum", 0, BYTES * 3 * y.numel()),
    ]


def bound(found: list[Layer], peak: dict[str, float]) -> float:
    """Return the least seconds of all layers."""
    return sum(layer.seconds(peak) for layer in found)
