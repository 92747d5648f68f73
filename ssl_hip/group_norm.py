"""Group normalisation whose backward pass is fast for channels-last volumes on a CPU (Wu 2018)."""

import math

import torch
from torch import nn

LANES = 128  # values a row has at least: broadcasting along 8 channels alone takes 10 times as long
CHANNELS, VOXELS = 16, 4096  # with fewer of either, a CPU normalises bfloat16 3 to 8 times as fast by way of float32


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm with a backward pass of two sweeps over the volume.

    Same result to rounding; torch's own backward pass takes more than a third of a training step here.
    Input and output (B, C, D, H, W); statistics in float32.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return normalised(x, self.weight, self.bias, self.num_groups, self.eps)[0]
        return Normalise.apply(x, self.weight, self.bias, self.num_groups, self.eps)


class Normalise(torch.autograd.Function):
    """y = weight (x - mean) / deviation + bias, with mean and deviation of each sample's groups of channels."""

    @staticmethod
    def forward(ctx, x, weight, bias, groups: int, eps: float):
        y, mean, rstd = normalised(x, weight, bias, groups, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx, d_y):
        """With h = (x - mean) rstd: dx = rstd (w dy - mean(w dy) - h mean(w dy h)), the means over a group."""
        x, weight, mean, rstd = ctx.saved_tensors
        grouped = (*mean.shape, -1)  # (B, groups, channels of a group)
        mean, rstd = mean.float()[..., None], rstd.float()[..., None]
        d_bias = d_y.flatten(2).sum(-1, dtype=torch.float32).view(grouped)
        d_weight = ((d_y * x).flatten(2).sum(-1, dtype=torch.float32).view(grouped) - mean * d_bias) * rstd
        scale = weight.float().view(1, *grouped[1:])
        number = x[0, 0].numel() * d_bias.shape[-1]
        mean_d = (scale * d_bias).sum(-1, keepdim=True) / number
        mean_dh = (scale * d_weight).sum(-1, keepdim=True) / number
        shift = (rstd * (mean * rstd * mean_dh - mean_d)).expand(d_bias.shape)
        slope = (-rstd.square() * mean_dh).expand(d_bias.shape)
        times = math.gcd(x[0, 0].numel(), max(1, LANES // x.shape[1]))
        shift, slope, factor = (repeated(values, x, times) for values in (shift, slope, scale * rstd))
        d_x = torch.addcmul(shift, in_rows(x, times), slope).addcmul_(in_rows(d_y, times), factor)
        return as_volume(d_x, x), d_weight.sum(0).flatten(), d_bias.sum(0).flatten(), None, None


def normalised(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, groups: int, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x (B, C, D, H, W) normalised, in its type, and mean and 1 / deviation of each group (B, groups)."""
    batch, channels, voxels = *x.shape[:2], x[0, 0].numel()
    slow = x.dtype == torch.bfloat16 and x.device.type == "cpu" and (channels < CHANNELS or voxels < VOXELS)
    taken = x.float() if slow else x
    y, mean, rstd = torch.native_group_norm(taken, weight, bias, batch, channels, voxels, groups, eps)
    return y.to(x.dtype), mean, rstd


def in_rows(x: torch.Tensor, times: int) -> torch.Tensor:
    """Return x (B, C, D, H, W) in rows (B, voxels / times, times C); a view, where memory is channels-last."""
    return x.movedim(1, -1).reshape(len(x), -1, times * x.shape[1])


def as_volume(rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return what in_rows made of a volume of the shape of x (B, C, D, H, W)."""
    return rows.view(len(x), *x.shape[2:], x.shape[1]).movedim(-1, 1)


def repeated(values: torch.Tensor, x: torch.Tensor, times: int) -> torch.Tensor:
    """Give a value a sample and channel the type of x and the length of a row: (B, 1, times C)."""
    return values.to(x.dtype).reshape(len(x), 1, -1).repeat(1, 1, times)
