"""Group normalisation that is fast for channels-last volumes on a CPU (Wu 2018)."""

import torch
from torch import nn


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm, computed as one scale and one shift a sample and channel: y = a x + b.

    Same result to rounding; torch's own backward pass takes more than a third of a training step here.
    Input and output (B, C, D, H, W); statistics in float32.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, square = ChannelMoments.apply(x)  # (B, C)
        grouped = (len(x), self.num_groups, -1)
        group_mean = mean.view(grouped).mean(-1, keepdim=True)
        variance = square.view(grouped).mean(-1, keepdim=True) - group_mean.square()
        deviation = (variance.clamp(min=0) + self.eps).rsqrt()
        scale = deviation * self.weight.view(1, self.num_groups, -1)
        shift = self.bias.view(1, self.num_groups, -1) - group_mean * scale
        return ScaleShift.apply(x, *(v.reshape(mean.shape) for v in (scale, shift)))


def spread(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Give (B, C) values the type of x and axes to broadcast over its volume."""
    return values.to(x.dtype)[..., None, None, None]


class ChannelMoments(torch.autograd.Function):
    """Mean of x and of x^2 over the volume, (B, C) float32 each."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        flat = x.flatten(2)
        return flat.mean(-1, dtype=torch.float32), flat.square().mean(-1, dtype=torch.float32)

    @staticmethod
    def backward(ctx, d_mean, d_square):
        (x,) = ctx.saved_tensors
        volume = x[0, 0].numel()
        return torch.addcmul(spread(d_mean / volume, x), x, spread(d_square * (2 / volume), x))


class ScaleShift(torch.autograd.Function):
    """a x + b with a and b (B, C)."""

    @staticmethod
    def forward(ctx, x, scale, shift):
        ctx.save_for_backward(x, scale)
        return torch.addcmul(spread(shift, x), x, spread(scale, x))

    @staticmethod
    def backward(ctx, d_y):
        x, scale = ctx.saved_tensors
        d_scale = (d_y * x).flatten(2).sum(-1, dtype=torch.float32)
        return d_y * spread(scale, x), d_scale, d_y.flatten(2).sum(-1, dtype=torch.float32)
