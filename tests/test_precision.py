"""bfloat16 is used where the device has it, and nowhere else."""

import pytest
import torch

from ssl_hip import precision


def product(asked: str) -> torch.Tensor:
    with precision.autocast(asked, "cpu"):
        return torch.ones(2, 2) @ torch.ones(2, 2)


@pytest.mark.parametrize("instruction", precision.INSTRUCTIONS)
def test_a_processor_with_bfloat16_uses_it(monkeypatch, instruction):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, instruction: True})
    assert product("bfloat16").dtype == torch.bfloat16 and product("float32").dtype == torch.float32


@pytest.mark.parametrize("found", [{}, {"avx512_f": True, "avx512_bf16": False}])
def test_a_processor_without_it_calculates_in_float32(monkeypatch, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert product("bfloat16").dtype == product("float32").dtype == torch.float32
    assert precision.effective("bfloat16", "cpu") == "float32"


def test_a_gpu_is_asked_for_instructions_not_for_emulation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert precision.effective("bfloat16", "cuda") == "float32"


def test_torch_tells_what_this_processor_can_do():
    assert {"avx2", "architecture"} & set(torch.cpu.get_capabilities())
