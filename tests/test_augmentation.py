"""Augmentation: off it is identity, on it changes image and maps alike, patch by patch, and repeats itself."""

from types import SimpleNamespace

import numpy as np
import pytest

from ssl_hip.augmentation import Augmentation

SHAPE = (64, 4, 4, 4)


def augmentation(mirror=False, intensity=0.0, seed=0) -> Augmentation:
    return Augmentation(SimpleNamespace(mirror=mirror, intensity=intensity), seed)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def test_off_it_is_identity(image):
    found = augmentation()(image, image > 0, image * 2)
    for a, b in zip(found, (image, image > 0, image * 2), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def test_maps_are_mirrored_with_their_image(image):
    mirrored, label, distance = augmentation(mirror=True)(image, image > 0, image * 2)
    assert np.array_equal(label, mirrored > 0) and np.array_equal(distance, mirrored * 2)
    ways = {tuple(same(image[b], mirrored[b])) for b in range(len(image))}
    assert ways == {(True, False), (False, True)}  # as it was, or left and right exchanged; both occur


def same(before: np.ndarray, after: np.ndarray) -> list[bool]:
    """Say whether a patch is as it was, and whether it is with left and right exchanged."""
    return [np.array_equal(before, after), np.array_equal(before[:, :, ::-1], after)]


def test_intensities_are_changed_by_factor_and_shift_of_their_own(image):
    changed, label = augmentation(intensity=0.1)(image, image > 0)
    assert np.array_equal(label, image > 0) and changed.dtype == np.float32
    lines = np.array([np.polyfit(a.ravel(), b.ravel(), 1) for a, b in zip(image, changed, strict=True)])
    np.testing.assert_allclose(lines.mean(0), [1, 0], atol=0.04)
    np.testing.assert_allclose(lines.std(0), 0.1, atol=0.025)
    fitted = np.stack([np.polyval(line, patch) for line, patch in zip(lines, image, strict=True)])
    np.testing.assert_allclose(fitted, changed, atol=1e-4)


def test_draws_belong_to_the_seed(image):
    a, b, c = (augmentation(True, 0.1, seed)(image)[0] for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
