"""Checkpoints: a training that was interrupted goes on where it stood, and ends with the same bytes."""

import hashlib
import io
import json
import os
import sys
import time
from pathlib import Path

import torch

from ssl_hip import checksums

SECONDS = 50  # between two checkpoints: what an interruption costs at most, and a little for writing it
DIGEST = 32  # bytes of the SHA-256 that a file begins with


class Checkpoint:
    """The state of one training in a file RUN-KEY.pt, replaced whole; a damaged file is not used."""

    def __init__(self, folder: Path, run: str, key: str):
        """folder: of all checkpoints; run: name of the run; key: as `key` returns it."""
        self.folder, self.run = folder, run
        self.path, self.last = folder / f"{run}-{key}.pt", time.monotonic()

    def load(self) -> dict | None:
        """Return the state that was saved last, None where there is none; remove those of other keys of the run."""
        for other in self.folder.glob(f"{self.run}-*"):
            if other != self.path:
                other.unlink(missing_ok=True)
        if not self.path.is_file():
            return None
        content = self.path.read_bytes()
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            print(f"{self.path}: damaged, not used; {self.run} starts anew", file=sys.stderr)
            return None
        return torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True)

    def due(self) -> bool:
        """Say whether the last checkpoint, or the start, is SECONDS ago."""
        return time.monotonic() - self.last >= SECONDS

    def save(self, state: dict) -> None:
        """Replace the file by this state: tensors, numbers, text, and lists and dicts of them."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".partial")
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not outlive a power cut without the bytes
        os.replace(temporary, self.path)
        self.last = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the training is finished."""
        self.path.unlink(missing_ok=True)


def key(data: Path, settings: dict) -> str:
    """Return the hash that a training's checkpoint goes by: of data, settings, this module's sources and torch.

    data: folder of the patches, whose hashes stand for it; settings: all that the training depends on besides, as JSON
    or namespaces of it.
    """
    digest = hashlib.sha256(json.dumps(settings, default=vars, sort_keys=True).encode())
    digest.update(torch.__version__.encode())
    sources = sorted([*Path(__file__).parent.glob("*.py"), *Path(__file__).parent.glob("methods/*.py")])
    for path in [*sources, data / checksums.NAME]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
