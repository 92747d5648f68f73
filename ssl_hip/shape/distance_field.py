"""Signed distances and displacements as fields on a grid in millimetres, read at any point.

Points are (n, 3), x, y, z in mm; values (z, y, x) or (z, y, x, components).
"""

from typing import NamedTuple

import numpy as np

from ssl_hip import metrics


class Field(NamedTuple):
    """Values on an isotropic grid whose first voxel's centre lies at `origin` (x, y, z)."""

    values: np.ndarray
    origin: np.ndarray
    spacing_mm: float

    def points(self) -> np.ndarray:
        """Return the voxels' centres, (n, 3) float32, in the order of values.ravel()."""
        lines = [o + self.spacing_mm * np.arange(n) for o, n in zip(self.origin, self.values.shape[2::-1], strict=True)]
        z, y, x = np.meshgrid(*lines[::-1], indexing="ij")
        return np.stack([x.ravel(), y.ravel(), z.ravel()], -1).astype(np.float32)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Interpolate linearly, edge values repeated outside: (n,) or (n, components), float32."""
        nodes, weights = self.neighbours(points)
        flat = self.values.reshape(np.prod(self.values.shape[:3]), -1)
        total = sum(w[:, None] * np.take(flat, node, axis=0) for node, w in zip(nodes, weights, strict=True))
        return total.reshape(len(points), *self.values.shape[3:])

    def neighbours(self, points: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the flat places of the eight voxels around each point, and their weights."""
        size = np.array(self.values.shape[2::-1])
        steps = np.array([1, size[0], size[0] * size[1]])
        place = (points - np.asarray(self.origin, np.float32)) * np.float32(1 / self.spacing_mm)
        place = np.clip(place, 0, (size - 1.001).astype(np.float32))
        low = place.astype(np.int32)
        share, first = place - low, low @ steps
        nodes, weights = [], []
        for corner in np.ndindex(2, 2, 2):
            nodes.append(first + int(np.dot(corner, steps)))
            weights.append(np.prod([share[:, i] if c else 1 - share[:, i] for i, c in enumerate(corner)], axis=0))
        return nodes, weights

    def mirrored(self) -> "Field":
        """Return the field of values under x -> -x: a left hip becomes a right one."""
        last = self.origin[0] + (self.values.shape[2] - 1) * self.spacing_mm
        return self._replace(
            values=np.ascontiguousarray(self.values[:, :, ::-1]), origin=self.origin * [0, 1, 1] - [last, 0, 0]
        )


def signed_distance(mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """As metrics.signed_distance; raises ValueError for a mask without surface."""
    distance = metrics.signed_distance(mask, spacing_mm)
    if np.isnan(distance.flat[0]):
        raise ValueError("a mask without surface has no distances")
    return distance
