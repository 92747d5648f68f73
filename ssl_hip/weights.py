"""Weights of networks in files, each with the hash that it is read by; no code is ever read from them."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ssl_hip import checksums
from ssl_hip.config import UserError


def write(folder: Path, networks: dict[str, dict[str, torch.Tensor]]) -> dict[str, str]:
    """Write NAME.safetensors for each network's weights; return the files' SHA-256 by name."""
    hashes = {}
    for name, weights in networks.items():
        content = save({key: value.cpu().contiguous() for key, value in weights.items()})
        (folder / f"{name}.safetensors").write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    return hashes


def read(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Return a file's weights; raise UserError where it is not the file that was written."""
    content = path.read_bytes()
    try:
        if hashlib.sha256(content).hexdigest() == sha256:
            return load(content)
    except SafetensorError:
        pass
    raise UserError(f"{path}: damaged, or not the weights that run.json tells of; {checksums.remedy(path.parent)}")
