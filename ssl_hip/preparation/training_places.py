"""Where training cubes may lie: places with enough that is bright, by intensity alone; no label is looked at."""

from types import SimpleNamespace

import numpy as np

ENOUGH = 1 / 256  # share of the places drawn that must hold enough; below it the brightest ones are kept


def keep(hu: np.ndarray, corners: np.ndarray, edge: int, settings: SimpleNamespace) -> np.ndarray:
    """Return the places (n, 3) at which a share of the cube is bright, in their order.

    hu: (z, y, x). corners: first voxels (N, 3) of cubes within it. settings: `training_places` of params.yaml, above_hu
    and share; bone is bright, but so are contrast, metal and a table. Where fewer than ENOUGH of the places hold that
    share, the ENOUGH brightest ones are returned: column `bright` of patches.csv tells.
    """
    found = bright_shares(hu, corners, edge, settings.above_hu)
    bound = np.quantile(found, 1 - ENOUGH, method="lower")
    return corners[found >= min(settings.share, bound)]


def bright_shares(hu: np.ndarray, corners: np.ndarray, edge: int, above_hu: float) -> np.ndarray:
    """Return the share (N,) of each cube's voxels that lies above so many HU, by a summed-area table (Crow 1984)."""
    table = np.zeros(np.add(hu.shape, 1), np.int32)
    table[1:, 1:, 1:] = hu > above_hu
    for axis in range(3):
        np.cumsum(table, axis, out=table)
    counts = np.zeros(len(corners), np.int64)
    for end in np.ndindex(2, 2, 2):  # inclusion and exclusion over the cube's eight corners
        counts += (-1) ** (1 + sum(end)) * table[tuple((corners + edge * np.array(end)).T)]
    return counts / edge**3
