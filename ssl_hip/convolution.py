"""3x3x3 convolution that is as fast for one patch as for two, on a CPU in float32 too."""

import torch
import torch.nn.functional as F
from torch import nn

LEAST = 8  # voxels along depth; below, the layers that both halves hold cost more than they save


class Convolution(nn.Conv3d):
    """nn.Conv3d of 3x3x3, padded with zeros: the same weights, the same result to rounding."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return convolve(x, self.weight, self.bias)


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return the convolution (B, O, D, H, W) of x (B, C, D, H, W) by a kernel (O, C, 3, 3, 3), padded with zeros.

    On one thread, torch leaves a single float32 volume to a kernel that takes 2 to 11 times as long as oneDNN's
    (`python -m benchmarks.convolution`). Two halves are a batch of two, and where channels are last their results lie
    in memory as those of the whole.
    """
    depth = x.shape[2]
    if not single(x) or depth < LEAST or depth % 2:
        return F.conv3d(x, weight, bias, padding=1)
    padded = F.pad(x, (0, 0, 0, 0, 1, 1))
    halves = torch.cat([padded[:, :, : depth // 2 + 2], padded[:, :, depth // 2 :]])
    found = F.conv3d(halves, weight, bias, padding=(0, 1, 1)).movedim(1, -1)  # (2, D / 2, H, W, O)
    return found.reshape(1, depth, *found.shape[2:]).movedim(-1, 1)


def single(x: torch.Tensor) -> bool:
    """Say whether torch would leave x to its slow kernel: one volume, float32, on a CPU."""
    return len(x) == 1 and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
