"""Training cubes lie where enough is bright, by intensity alone; a scan without such places gives its brightest."""

from types import SimpleNamespace

import numpy as np
import pytest

from ssl_hip.images.isotropic import Scan
from ssl_hip.preparation import cutting, training_places

EDGE = 6


def volume(seed: int = 0) -> np.ndarray:
    """HU (z, y, x) of noise in which one corner is brighter than the rest."""
    hu = np.random.default_rng(seed).normal(0, 100, (20, 24, 28)).astype(np.float32)
    hu[:8, :9, :10] += 150
    return hu


def places(hu: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.array(hu.shape) - EDGE + 1, (n, 3))


def counted(hu: np.ndarray, corners: np.ndarray, above_hu: float) -> np.ndarray:
    """The same one by one."""
    return np.array([(hu[cutting.cube(corner, EDGE)] > above_hu).mean() for corner in corners])


def settings(share: float, above_hu: float = 120) -> SimpleNamespace:
    return SimpleNamespace(edge=EDGE, body_hu=-300, spacing_mm=3.0, above_hu=above_hu, share=share)


@pytest.mark.parametrize("above_hu", [-1000, -50, 120, 1000])
def test_the_table_counts_what_each_cube_holds(above_hu):
    hu = volume()
    corners = np.vstack([places(hu, 40), [[0, 0, 0], np.array(hu.shape) - EDGE]])  # both ends of the volume
    assert np.array_equal(training_places.bright_shares(hu, corners, EDGE, above_hu), counted(hu, corners, above_hu))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.5])
def test_the_places_kept_are_those_that_hold_enough(share):
    hu = volume()
    corners = places(hu, 600)
    kept = training_places.keep(hu, corners, EDGE, settings(share))
    expected = corners[counted(hu, corners, 120) >= share]
    assert len(expected) > 0 and np.array_equal(kept, expected)
    assert (share == 0) == (len(kept) == len(corners))


@pytest.mark.parametrize("share", [0.8, 0.99])
def test_without_enough_places_the_brightest_are_kept(share):
    hu = volume()
    corners = places(hu, 2560)
    held = counted(hu, corners, 120)
    assert (held >= share).mean() < training_places.ENOUGH
    kept = counted(hu, training_places.keep(hu, corners, EDGE, settings(share)), 120)
    assert len(kept) >= 10 and kept.min() >= np.sort(held)[-12]


@pytest.mark.parametrize("hu", [0.0, 500.0])
def test_a_scan_all_alike_gives_places_as_well(hu):
    alike = np.full((20, 24, 28), hu, np.float32)
    assert len(training_places.keep(alike, places(alike, 300), EDGE, settings(0.03))) == 300


def test_cubes_are_cut_where_enough_is_bright_and_anywhere_with_a_share_of_0():
    hu, body = volume(), settings(0.0)
    anywhere, none, bright = (
        cutting.positions(Scan(hu, None), 12, body, 0, np.random.default_rng(0), "s", asked)
        for asked in (settings(0.0), None, settings(0.3))
    )
    assert np.array_equal(anywhere, none) and (counted(hu, anywhere, 120) < 0.3).any()
    assert (counted(hu, bright, 120) >= 0.3).all() and len(np.unique(bright, axis=0)) == 12
