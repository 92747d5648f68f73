"""Voxel-wise dropout whose masks come from a seeded generator and cost little on a CPU."""

import torch
from torch import nn

POOL_SIZE = 1 << 24  # mask values, 32 MB in bfloat16; some 60 times the default profile's largest feature map


class Dropout(nn.Module):
    """Set values to zero with probability `rate` and scale the rest by 1 / (1 - rate) (Srivastava 2014).

    Input and output (B, C, D, H, W). Drawing a fresh mask takes half of the inference time on a CPU, so there a mask is
    a window at a random offset into a pool of independent draws, shared by all layers of a network; inputs larger than
    the pool, and other devices, draw afresh. A window never repeats a value within one call.
    """

    def __init__(self, rate: float, masks: "MaskPool"):
        super().__init__()
        self.rate = rate
        self.masks = masks

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, C, D, H, W)
        if not self.training or self.rate == 0:
            return x
        if x.device.type != "cpu" or x.numel() > POOL_SIZE:
            return nn.functional.dropout(x, self.rate)
        batch, channels, *space = x.shape
        window = self.masks.window(x.numel(), self.rate, x.dtype)
        return x * window.view(batch, *space, channels).permute(0, 4, 1, 2, 3)  # channels last, as x lies in memory


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
