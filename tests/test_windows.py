import numpy as np
import pytest
import torch

from ssl_hip import windows
from ssl_hip.config import UserError

SIZE = 16


def identity(x):
    return x


def noise(shape, seed=0):
    return np.random.default_rng([seed, 3]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 33, 16), (5, 40, 17), (7, 8, 9)])
def test_identity_map_comes_back(shape):
    volume = noise(shape)
    assert np.allclose(windows.sliding_window(identity, volume, SIZE)[0], volume, atol=1e-5)


def test_windows_cover_every_voxel_and_overlap_by_half():
    shape, seen = (50, 16, 33), np.zeros((50, 16, 33), int)
    for corner in windows.corners(shape, SIZE, 0.5):
        assert seen[windows.box(corner, SIZE)].shape == (SIZE,) * 3
        seen[windows.box(corner, SIZE)] += 1
    assert seen.min() >= 1
    assert {corner[0] for corner in windows.corners(shape, SIZE, 0.5)} == {0, 8, 16, 24, 32, 34}


@pytest.mark.parametrize("batch", [2, 3, 50])
def test_batching_changes_nothing(batch):
    one, more = (windows.sliding_window(torch.sin, noise((40, 33, 16)), SIZE, batch=b) for b in (1, batch))
    assert np.array_equal(one, more)


def test_padding_is_air():
    seen = []
    windows.sliding_window(lambda x: seen.append(x) or x, noise((4, 20, 20)), SIZE, air=-7.0)
    assert (torch.cat(seen)[:, :, 4:] == -7).all()


def test_windows_of_air_are_not_computed():
    volume, seen = np.full((16, 16, 48), -3.0, np.float32), []
    volume[:, :, :8] = 1.0
    found = windows.sliding_window(lambda x: seen.append(len(x)) or x + 10, volume, SIZE, body=-1.0)
    assert sum(seen) == 1
    assert (found[0][:, :, 16:] == 0).all() and (found[0][:, :, :8] > 5).all()


def test_only_air_is_a_users_mistake():
    with pytest.raises(UserError, match="but air"):
        windows.sliding_window(identity, np.full((9, 9, 9), -3.0), SIZE, air=-3.0, body=-1.0)


def test_weights_are_largest_in_the_middle():
    weight = windows.gaussian(SIZE)
    assert weight.max() == weight[8, 8, 8] == 1 and weight.min() == weight[0, 0, 0] >= 1e-3
    assert np.array_equal(weight, weight[::-1]) and np.array_equal(weight, weight.transpose(2, 0, 1))
