"""bfloat16 is used where it pays: decided by what the device is, the same each time."""

import pytest
import torch

from ssl_hip import precision

AMX = {"amx_bf16": True, "amx_tile": True}
AVX512 = {"avx2": True, "avx512_f": True, "avx512_bf16": True}
AMD, INTEL = {"cpu_name": "AMD EPYC"}, {"cpu_name": "Intel Xeon"}
PROCESSORS = [  # what torch says of it, its maker in /proc/cpuinfo; what auto and bfloat16 give
    (AVX512 | AMD, "AuthenticAMD", "bfloat16", "bfloat16"),
    (AVX512 | {"cpu_name": "QEMU Virtual CPU"}, "AuthenticAMD", "bfloat16", "bfloat16"),
    (AVX512 | AMD, "", "bfloat16", "bfloat16"),
    (AVX512 | INTEL, "GenuineIntel", "float32", "bfloat16"),
    (AVX512 | INTEL | AMX, "GenuineIntel", "bfloat16", "bfloat16"),
    (AVX512 | INTEL | {"amx_bf16": False, "amx_tile": False}, "GenuineIntel", "float32", "bfloat16"),
    (AVX512 | INTEL | {"amx_bf16": True, "amx_tile": False}, "GenuineIntel", "float32", "bfloat16"),
    (AVX512 | {"cpu_name": "QEMU Virtual CPU"}, "", "float32", "bfloat16"),
    (AVX512, "", "float32", "bfloat16"),
    ({"avx2": True, "avx512_f": True} | AMD, "AuthenticAMD", "float32", "float32"),
    ({"avx512_bf16": False} | INTEL, "GenuineIntel", "float32", "float32"),
    ({"architecture": "aarch64", "bf16": True}, "", "float32", "bfloat16"),
    ({"architecture": "aarch64"}, "", "float32", "float32"),
    ({}, "", "float32", "float32"),
]


def pretend(monkeypatch, tmp_path, capabilities: dict, maker: str, processor: str = "") -> None:
    """Let this machine be another one."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(precision.platform, "processor", lambda: processor)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    if maker:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {maker}\nflags\t\t: fpu avx512_bf16\n")


def product(asked: str) -> torch.Tensor:
    with precision.autocast(asked, "cpu"):
        return torch.ones(2, 2) @ torch.ones(2, 2)


@pytest.mark.parametrize(("capabilities", "maker", "auto", "wherever"), PROCESSORS)
def test_a_processor_calculates_as_the_rule_says(monkeypatch, tmp_path, capabilities, maker, auto, wherever):
    pretend(monkeypatch, tmp_path, capabilities, maker)
    for asked, expected in (("auto", auto), ("bfloat16", wherever), ("float32", "float32")):
        used, why = precision.decide(asked, "cpu")
        assert precision.effective(asked, "cpu") == used == expected and why
        assert product(asked).dtype == getattr(torch, expected)


def test_windows_names_the_maker_elsewhere(monkeypatch, tmp_path):
    for maker, expected in (("AuthenticAMD", "bfloat16"), ("GenuineIntel", "float32")):
        pretend(monkeypatch, tmp_path, AVX512, "", f"AMD64 Family 25 Model 97 Stepping 2, {maker}")
        assert precision.effective("auto", "cpu") == expected


@pytest.mark.parametrize("asked", ["auto", "bfloat16"])
def test_a_gpu_is_asked_for_instructions_not_for_emulation(monkeypatch, asked):
    for native in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=native: has)
        assert precision.effective(asked, "cuda") == ("bfloat16" if native else "float32")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert precision.effective(asked, "cuda") == "float32"


def test_the_decision_is_the_same_each_time():
    assert len({precision.decide("auto", "cpu") for _ in range(20)}) == 1


def test_torch_tells_what_this_processor_can_do():
    assert {"avx2", "architecture"} & set(torch.cpu.get_capabilities())
