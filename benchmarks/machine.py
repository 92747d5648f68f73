"""What the processor can do: the peaks that other rows are compared with."""

from collections.abc import Callable
from functools import partial

import torch


def waiting(device: torch.device):
    """Return a function that waits for the device."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def repeat(times: int, work: Callable, *arguments) -> None:
    """Call work(*arguments) so many times."""
    for _ in range(times):
        work(*arguments)


class Machine:
    """Matrix products and copies that take turns with what they are compared with: a processor's speed varies."""

    def __init__(self, device: torch.device):
        self.work: dict[str, tuple[Callable, float]] = {}  # name -> contender, its GFLOP or GB
        for dtype in (torch.float32, torch.bfloat16):
            for n in (1024, 2048, 4096):
                a, b, out = (torch.randn(n, n, device=device).to(dtype) for _ in range(3))
                product = partial(torch.mm, a, b, out=out)
                self.work[f"{str(dtype).removeprefix('torch.')} {n}"] = product, 2 * n**3 / 1e9
        for megabytes, times in ((8, 32), (512, 1)):  # a feature map, which stays in the cache; what does not
            source = torch.zeros(megabytes << 18, device=device)
            work = partial(repeat, times, torch.empty_like(source).copy_, source)
            self.work[f"copy {megabytes}"] = work, times * 2 * source.nbytes / 1e9

    def contenders(self) -> dict[str, Callable]:
        """Return what to measure."""
        return {name: work for name, (work, _) in self.work.items()}

    def peaks(self, seconds: dict[str, float]) -> dict[str, float]:
        """Return the best GFLOP/s of `float32` and `bfloat16`, and the best GB/s of `copy`, from measured seconds."""
        speed = {name: amount / seconds[name] for name, (_, amount) in self.work.items()}
        return {
            kind: max(value for name, value in speed.items() if name.startswith(kind))
            for kind in ("float32", "bfloat16", "copy")
        } | {"copy from memory": speed["copy 512"]}
