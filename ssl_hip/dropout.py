"""ReLU with voxel-wise dropout whose masks come from a seeded generator and cost little on a CPU."""

import torch
from torch import nn

POOL_SIZE = 1 << 24  # mask values, 32 MB in bfloat16; some 60 times the default profile's largest feature map


class ReluDropout(nn.Module):
    """ReLU, then zero with probability `rate` and the rest scaled by 1 / (1 - rate) (Srivastava 2014).

    Input and output (B, C, D, H, W); the input is overwritten. Drawing a fresh mask takes half of the inference time on
    a CPU, so there a mask is a window at a random offset into a pool of independent draws, shared by all layers of a
    network; inputs larger than the pool, and other devices, draw afresh. A window repeats no value within one call.
    """

    def __init__(self, rate: float, masks: "MaskPool"):
        super().__init__()
        self.rate = rate
        self.masks = masks

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, C, D, H, W)
        if not self.training or self.rate == 0:
            return x.relu_()
        if x.device.type != "cpu" or x.numel() > POOL_SIZE:
            return nn.functional.dropout(x.relu_(), self.rate)
        batch, channels, *space = x.shape
        window = self.masks.window(x.numel(), self.rate, x.dtype)
        mask = window.view(batch, *space, channels).permute(0, 4, 1, 2, 3)  # channels last, as x lies in memory
        return MaskedRelu.apply(x, mask, 1 / (1 - self.rate))


class MaskedRelu(torch.autograd.Function):
    """relu(x) mask, in place; mask holds 0 and `scale`. Backwards the result says which values passed both."""

    @staticmethod
    def forward(ctx, x, mask, scale: float):
        ctx.mark_dirty(x)
        y = x.relu_().mul_(mask)
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx, d_y):
        (y,) = ctx.saved_tensors
        d_y = d_y.contiguous(memory_format=torch.channels_last_3d)  # another layout than y's is 30 times slower
        return torch.ops.aten.threshold_backward(d_y, y, 0).mul_(ctx.scale), None, None


class MaskPool:
    """Scaled Bernoulli draws of one rate; a window of them is one dropout mask."""

    def __init__(self):
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start the draws anew from `seed`."""
        self.generator = torch.Generator().manual_seed(seed)
        self.pool = None

    def window(self, size: int, rate: float, dtype: torch.dtype) -> torch.Tensor:
        """Return `size` successive draws from a random place in the pool, shape (size,)."""
        if self.pool is None or self.pool.dtype != dtype or self.rate != rate:
            self.rate = rate
            self.pool = draw(rate, torch.Generator().manual_seed(self.generator.initial_seed()), dtype)
        start = int(torch.randint(POOL_SIZE - size + 1, (), generator=self.generator))
        return self.pool[start : start + size]


@torch.inference_mode(False)
@torch.no_grad()
def draw(rate: float, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    """Return POOL_SIZE draws: 0 with probability `rate`, else 1 / (1 - rate)."""
    keep = torch.rand(POOL_SIZE, generator=generator) >= rate
    return keep.to(dtype) / (1 - rate)
