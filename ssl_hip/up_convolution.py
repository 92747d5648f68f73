"""An up-convolution and the convolution after it, computed as one: the same result from fewer multiplications."""

import torch
import torch.nn.functional as F
from torch import nn

from ssl_hip.convolution import Convolution, convolve

OVERHEAD = 160_000_000  # multiplications in the time that the small operators around the composition take
PATCHES = 4  # in a batch, for that comparison: a result must not depend on how many patches stand beside it


class UpConvolution(nn.Module):
    """3x3x3 convolution of a skip joined with the up-convolved (2x2x2, stride 2) level below (Cicek 2016, Section 2).

    Nothing stands between the two, so on the level below they are one transposed convolution of 4x4x4, stride 2, whose
    kernel is their product: 64 multiplications a voxel of that level instead of 216, and no joined volume.
    """

    def __init__(self, skip: int, below: int):
        super().__init__()
        self.up = nn.ConvTranspose3d(below, below, 2, stride=2)
        self.convolution = Convolution(skip + below, skip)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Return (B, skip, 2D, 2H, 2W) of x (B, below, D, H, W) and the skip (B, skip, 2D, 2H, 2W)."""
        return self.composed(x, skip) if self.composition_pays(x) else self.literal(x, skip)

    def composition_pays(self, x: torch.Tensor) -> bool:
        """Say whether the kernels' product costs less than it saves; for few voxels of many channels it does not."""
        below, skip = x.shape[1], self.convolution.out_channels
        saved = 8 * (27 * skip * below + below * below) - 64 * skip * below  # multiplications a voxel
        return PATCHES * saved * x[0, 0].numel() > 2 * 216 * skip * below * below + OVERHEAD

    def literal(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """As the paper draws it."""
        return self.convolution(torch.cat([skip, self.up(x)], 1))

    def composed(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """The same with one kernel for the level below."""
        weight, up = self.convolution.weight.to(x.dtype), self.up.weight.to(x.dtype)
        from_skip, from_below = weight.split([skip.shape[1], x.shape[1]], 1)
        kernel = Compose.apply(up.contiguous(), from_below.contiguous())
        below = F.conv_transpose3d(x, kernel, stride=2, padding=1)
        below = add_constant(below, self.up.bias.to(x.dtype), from_below)
        return convolve(skip, from_skip, self.convolution.bias) + below


class Compose(torch.autograd.Function):
    """Kernel (below, skip, 4, 4, 4) of up-convolution (below, below, 2, 2, 2) and convolution (skip, below, 3, 3, 3).

    It is the answer to a single voxel: the convolution of the up-convolution's kernel. Backwards, torch would sum over
    padding; both gradients are convolutions without any.
    """

    @staticmethod
    def forward(ctx, up, convolution):
        ctx.save_for_backward(up, convolution)
        return F.conv3d(up, convolution, padding=2)

    @staticmethod
    def backward(ctx, d_kernel):
        up, convolution = ctx.saved_tensors
        d_up = F.conv3d(d_kernel, convolution.transpose(0, 1).flip(2, 3, 4))
        d_convolution = F.conv3d(d_kernel.transpose(0, 1), up.transpose(0, 1)).flip(2, 3, 4)
        return d_up, d_convolution


def add_constant(volume: torch.Tensor, value: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return volume (B, O, D, H, W) plus the zero-padded convolution of a constant value (C,); kernel (O, C, 3, 3, 3).

    It differs from voxel to voxel at the faces only, so it is computed on 3 voxels an axis, of which the middle one is
    repeated by products with 0 and 1, whose gradients are fast sums.
    """
    batch, channels, depth, height, width = volume.shape
    small = F.conv3d(value.view(1, -1, 1, 1, 1).expand(-1, -1, 3, 3, 3), kernel, padding=1)[0]  # (O, 3, 3, 3)
    z, y, x = (repeat_middle(size, value) for size in (depth, height, width))
    plane = torch.einsum("oabc,yb,xc->ayxo", small, y, x).flatten(1)  # (3, H W O)
    flat = volume.permute(0, 2, 3, 4, 1).reshape(batch * depth, -1)  # a view where channels are last
    total = torch.addmm(flat, z.repeat(batch, 1), plane)
    return total.view(batch, depth, height, width, channels).permute(0, 4, 1, 2, 3)


def repeat_middle(size: int, like: torch.Tensor) -> torch.Tensor:
    """Return the matrix (size, 3) that turns (first, middle, last) into `size` voxels."""
    place = torch.ones(size, dtype=torch.long, device=like.device)
    place[0], place[-1] = 0, 2
    return F.one_hot(place, 3).to(like.dtype)
