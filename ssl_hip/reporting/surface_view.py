"""A mask's surface as a picture: parallel rays from the front, in plain numpy, the same pixels each time."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

SMOOTH_MM = 2.0  # standard deviation: the surface's normals are those of the mask blurred by so much
LIGHT = np.array([0.45, -0.80, -0.40])  # (z, y, x): from above, the front and low x
AMBIENT, FAR = 0.30, 0.55  # brightness in the shade; at the far end, of that at the near one
Voxels = tuple[np.ndarray, np.ndarray, np.ndarray]


class View(NamedTuple):
    """What the rays meet: pictures (h, w) with high z at the top and low x on the left."""

    voxels: Voxels  # (z, y, x) of the first foreground voxel of each ray
    met: np.ndarray  # bool: does the ray meet one
    shade: np.ndarray  # 0 .. 1


def front(mask: np.ndarray, spacing_mm: float) -> View:
    """Look at a mask (z, y, x), bool, from low y (of LPS axes: at the patient's front); a pixel a voxel of z and x.

    Shade: the cosine of the angle between LIGHT and the surface's normal; it falls with the depth.
    """
    met, depth = mask.any(axis=1)[::-1], mask.argmax(axis=1)[::-1]
    z, x = np.indices(met.shape)
    voxels = (z[::-1], depth, x)
    cosine = np.tensordot(LIGHT / np.linalg.norm(LIGHT), normals(mask, voxels, spacing_mm), 1)
    return View(voxels, met, (AMBIENT + (1 - AMBIENT) * np.clip(cosine, 0, 1)) * fading(depth, met))


def normals(mask: np.ndarray, voxels: Voxels, spacing_mm: float) -> np.ndarray:
    """Return the unit vectors (3, h, w) that point out of the blurred mask at some voxels; 0 where it is flat."""
    smooth = np.pad(ndimage.gaussian_filter(mask.astype(np.float32), SMOOTH_MM / spacing_mm), 1, "edge")
    steps = np.eye(3, dtype=int)[:, :, None, None]
    here = np.stack(voxels) + 1
    slope = np.stack([smooth[tuple(here - step)] - smooth[tuple(here + step)] for step in steps])
    return slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-6)


def fading(depth: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Return 1 at the least depth that is met, FAR at the largest, linear between."""
    near, far = (depth[met].min(), depth[met].max()) if met.any() else (0, 0)
    return 1 - (1 - FAR) * (depth - near) / max(far - near, 1)
