"""bfloat16 where a device calculates in it; elsewhere it would be emulated, 3 to 50 times slower than float32."""

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of processors, as torch calls them


def calculates_bfloat16(device: str) -> bool:
    """Say whether a type of device, cpu or cuda, has instructions for bfloat16."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in INSTRUCTIONS)


def effective(precision: str, device: str) -> str:
    """Return the precision in which networks run on a type of device: float32, or the bfloat16 asked for."""
    return precision if calculates_bfloat16(device) else "float32"


def autocast(precision: str, device: str) -> torch.autocast:
    """Return the context in which networks run with the precision asked for, as `effective` says."""
    return torch.autocast(device, torch.bfloat16, enabled=effective(precision, device) == "bfloat16")
