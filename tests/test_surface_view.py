"""A surface from the front: what is in front hides what is behind, normals point outwards, the head is up."""

import numpy as np
import pytest

from ssl_hip.reporting import surface_view

CENTRE, RADIUS, MM = (30, 40, 35), 20, 1.0


def ball(centre=CENTRE, radius=RADIUS, shape=(64, 80, 72)):
    distance = np.linalg.norm(np.indices(shape) - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    return distance <= radius


@pytest.fixture(scope="module")
def view():
    return surface_view.front(ball(), MM)


def test_a_ray_stops_at_the_first_voxel_of_the_mask(view):
    mask = ball()
    z, y, x = (each[view.met] for each in view.voxels)
    assert mask[z, y, x].all() and not mask[z, y - 1, x].any()
    assert view.met.sum() == pytest.approx(np.pi * RADIUS**2, rel=0.02)
    behind = mask | ball((30, 65, 35), 10)
    assert np.array_equal(surface_view.front(behind, MM).voxels, view.voxels)


def test_normals_of_a_ball_point_away_from_its_centre(view):
    voxels = tuple(each[view.met][None] for each in view.voxels)
    outwards = np.stack(voxels) - np.reshape(CENTRE, (3, 1, 1))
    found = surface_view.normals(ball(), voxels, MM)
    cosine = (found * outwards).sum(0) / np.linalg.norm(outwards, axis=0)
    assert np.linalg.norm(found, axis=0) == pytest.approx(1, abs=1e-5) and cosine.min() > np.cos(np.radians(10))


def test_light_comes_from_above_and_the_left_and_fades_with_the_depth(view):
    row, column = np.argwhere(view.met).mean(axis=0).round().astype(int)
    shade = view.shade[row - 12 : row + 13, column - 12 : column + 13]
    assert shade[0, 0] > shade[0, -1] > shade[-1, -1] and shade[0, 0] > shade[-1, 0]
    assert view.shade[view.met].min() > 0 and view.shade[view.met].max() <= 1
    depth = np.array([[3, 7], [5, 0]])
    faded = surface_view.fading(depth, depth > 0)
    assert faded[0].tolist() == [1, surface_view.FAR] and faded[1, 0] == pytest.approx((1 + surface_view.FAR) / 2)


def test_high_z_is_at_the_top_and_low_x_on_the_left():
    mask = np.zeros((20, 20, 20), bool)
    mask[15:18, 9:12, 2:5] = True
    assert np.argwhere(surface_view.front(mask, MM).met).mean(axis=0).tolist() == [3, 3]


def test_of_an_empty_mask_nothing_is_met():
    nothing = surface_view.front(np.zeros((5, 6, 7), bool), MM)
    assert nothing.met.shape == (5, 7) and not nothing.met.any() and np.isfinite(nothing.shade).all()
