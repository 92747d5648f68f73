"""Dense correspondence of a template with a bone: displacements that carry the bone's surface onto the template's."""

import numpy as np
from scipy import ndimage

from ssl_hip.shape.distance_field import Field
from ssl_hip.shape.shape_fit import Similarity

BAND_MM = 8.0
SMOOTHING_MM = (20.0, 12.0, 7.0, 5.0)  # of the displacement's steps, from whole bones to their rims
ROUNDS = 10  # for each


def register(template: Field, distance: Field, pose: Similarity, grid: Field) -> np.ndarray:
    """Return u in mm on the grid, (z, y, x, 3) float32: template(y + u(y)) is the bone's distance at y.

    Thirion's demons (1998) on signed distances. SimpleITK's demons have no mask: here what lies outside the scan pulls
    nowhere, it follows its surroundings, since steps are spread by normalised convolution (Knutsson 1993).
    template: (z, y, x, 4), signed distance and gradient; grid: of the displacement, in the template's frame.
    """
    y = grid.points()
    x = pose.to_bone(y)
    known = _inside(distance, x)
    wanted = np.full(len(y), np.inf, np.float32)
    wanted[known] = pose.scale * distance.at(x[known])
    near = np.flatnonzero(np.abs(wanted) < BAND_MM)
    y, wanted = y[near], wanted[near]
    shape = grid.values.shape[:3]
    u = np.zeros((*shape, 3), np.float32)
    for smoothing in SMOOTHING_MM:
        sigma = smoothing / grid.spacing_mm
        share = _smooth(_scatter(np.ones((len(near), 1), np.float32), near, shape), sigma) + np.float32(1e-3)
        for _ in range(ROUNDS):
            force = _force(template.at(y + u.reshape(-1, 3)[near]), wanted)
            u += _smooth(_scatter(force, near, shape), sigma) / share
    return u


def _force(value: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the demons' steps (n, 3): down the template's gradient by the difference, half a band at most."""
    gap = np.clip(value[:, :1], -BAND_MM, BAND_MM) - wanted[:, None]
    slope = value[:, 1:]
    return -gap * slope / (np.sum(slope * slope, -1, keepdims=True) + np.square(gap / (BAND_MM / 2)) + np.float32(1e-3))


def _inside(field: Field, points: np.ndarray) -> np.ndarray:
    last = field.origin + field.spacing_mm * (np.array(field.values.shape[2::-1]) - 1)
    return ((points >= field.origin) & (points <= last)).all(1)


def _scatter(values: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros((int(np.prod(shape)), values.shape[1]), np.float32)
    whole[places] = values
    return whole.reshape(*shape, -1)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(values, (sigma, sigma, sigma, 0), truncate=2.5)
