"""Normalisation: clipped, centred, scaled, and undone again."""

import numpy as np
import pytest

from ssl_hip.normalization import Normalization

HU = np.random.default_rng(0).normal(100, 600, 4000).astype(np.float32)


def test_the_patches_it_was_fitted_to_have_mean_0_and_deviation_1():
    scaled = Normalization.fit([HU], [-200, 600]).apply(HU)
    assert abs(scaled.mean()) < 1e-5 and abs(scaled.std() - 1) < 1e-5


def test_patches_one_by_one_are_as_all_at_once():
    parts, whole = Normalization.fit(np.split(HU, 4), [-200, 600]), np.clip(HU, -200, 600).astype(np.float64)
    assert (parts.mean_hu, parts.sd_hu) == pytest.approx((whole.mean(), whole.std()), rel=1e-12)


def test_back_to_hu_gives_what_lies_in_the_window():
    normalization = Normalization.fit([HU], [-200, 600])
    np.testing.assert_allclose(normalization.to_hu(normalization.apply(HU)), np.clip(HU, -200, 600), atol=1e-3)


def test_air_and_metal_move_nothing():
    normalization = Normalization.fit([np.clip(HU, -200, 600)], [-200, 600])
    beyond = np.where(HU <= -200, -3000, np.where(HU >= 600, 30000, HU))
    assert Normalization.fit([beyond], [-200, 600]) == normalization
    assert normalization.apply(-1024.0) == normalization.apply(-200.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_is_kept(dtype):
    assert Normalization.fit([HU], [-200, 600]).apply(HU.astype(dtype)).dtype == dtype


def test_a_dict_holds_all_of_it():
    normalization = Normalization.fit([HU], [-200, 600])
    assert Normalization(**normalization.to_dict()) == normalization
