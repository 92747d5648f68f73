"""Files of weights: read back bit by bit, and only what was written."""

import hashlib
import pickle

import pytest
import torch

from ssl_hip import weights
from ssl_hip.config import UserError

STATE = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.tensor([float("nan"), 1e-40])}


def test_what_is_written_is_read_back(tmp_path):
    hashes = weights.write(tmp_path, {"student": STATE, "teacher": {"a": STATE["a"] + 1}})
    assert set(hashes) == {"student", "teacher"} and hashes["student"] != hashes["teacher"]
    found = weights.read(tmp_path / "student.safetensors", hashes["student"])
    assert all(torch.equal(found[key], STATE[key]) or key == "b" for key in STATE)
    assert found["b"].numpy().tobytes() == STATE["b"].numpy().tobytes()


@pytest.mark.parametrize("place", [0, 8, -1])
def test_one_bit_is_noticed(tmp_path, place):
    hashes, path = weights.write(tmp_path, {"student": STATE}), tmp_path / "student.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="student.safetensors: damaged, or not the weights.*make repro"):
        weights.read(path, hashes["student"])


class Payload:
    def __reduce__(self):
        return pytest.fail, ("code of a weights file was run",)


@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_a_pickle_is_refused_even_where_its_hash_is_told(tmp_path, dump):
    path = tmp_path / "student.safetensors"
    with path.open("wb") as file:
        dump(Payload(), file)
    with pytest.raises(UserError, match="damaged, or not the weights"):
        weights.read(path, hashlib.sha256(path.read_bytes()).hexdigest())
