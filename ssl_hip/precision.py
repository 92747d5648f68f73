"""Which precision networks run in: bfloat16 only where it pays, decided by what a device is, never by a timing.

So a training repeats byte for byte on a machine. `python -m benchmarks.precision_speed` measures whether the rule is
right on this one.
"""

import platform
from pathlib import Path

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of processors, as torch calls them
CPUINFO = Path("/proc/cpuinfo")


def calculates_bfloat16(device: str) -> bool:
    """Say whether a type of device, cpu or cuda, has instructions for bfloat16.

    Elsewhere it would be emulated, 3 to 50 times slower than float32.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in INSTRUCTIONS)


def made_by_amd() -> bool:
    """Say whether AMD made this processor, by its name or by what the system says of its maker."""
    name = torch.cpu.get_capabilities().get("cpu_name", "")
    maker = platform.processor() + (CPUINFO.read_text() if CPUINFO.is_file() else "")
    return name.startswith("AMD ") or "AuthenticAMD" in maker


def decide(asked: str, device: str) -> tuple[str, str]:
    """Return the precision in which networks run on a type of device, bfloat16 or float32, and why.

    asked: auto | bfloat16 (wherever it is not emulated) | float32. auto, as measured, one thread, against float32: an
    AMD EPYC with avx512_bf16 multiplies matrices 4 times as fast, an Intel Xeon with avx512_bf16 and without AMX takes
    1.2 to 1.6 times as long for a training step. ARM was not measured, so it calculates in float32.
    """
    if asked == "float32":
        return "float32", "as optimization.precision asks"
    if not calculates_bfloat16(device):
        return "float32", "this device would have to emulate bfloat16"
    if asked == "bfloat16":
        return "bfloat16", "as optimization.precision asks"
    if device == "cuda":
        return "bfloat16", "this GPU has instructions for it"
    there = torch.cpu.get_capabilities()
    if there.get("amx_bf16") and there.get("amx_tile"):
        return "bfloat16", "this processor has AMX"
    if there.get("avx512_bf16"):
        if made_by_amd():
            return "bfloat16", "this is an AMD processor with avx512_bf16"
        return "float32", "without AMX, avx512_bf16 of other makers than AMD is slower than float32"
    return "float32", "bfloat16 of this kind of processor was not measured"


def effective(asked: str, device: str) -> str:
    """Return the precision in which networks run on a type of device, as `decide` says."""
    return decide(asked, device)[0]


def autocast(asked: str, device: str) -> torch.autocast:
    """Return the context in which networks run with the precision asked for, as `decide` says."""
    return torch.autocast(device, torch.bfloat16, enabled=effective(asked, device) == "bfloat16")
