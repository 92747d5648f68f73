"""Signed distances in mm, negative inside. A point p is (x, y, z), three arrays that broadcast to (z, y, x).

Primitives and smooth union after I. Quilez, "Distance functions" (iquilezles.org).
"""

import numpy as np

ANGLES = 720  # at which a ring's thickness is known
Point = tuple[np.ndarray, np.ndarray, np.ndarray]


def smooth_min(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Union of two signed distances with a fillet of about `radius` mm."""
    overlap = np.maximum(np.float32(radius) - np.abs(a - b), 0)
    return np.minimum(a, b) - overlap * overlap * np.float32(0.25 / radius)


def smooth_max(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Intersection of two signed distances with an edge rounded by about `radius` mm."""
    return -smooth_min(-a, -b, radius)


def ball(p: Point, centre: np.ndarray, radius: float) -> np.ndarray:
    """Exact distance to a sphere."""
    return ellipsoid(p, centre, (radius, radius, radius))


def ellipsoid(p: Point, centre: np.ndarray, radii: tuple[float, float, float]) -> np.ndarray:
    """Distance to an ellipsoid along the axes, exact for a sphere, a bound otherwise."""
    x, y, z = (np.square((q - np.float32(c)) * np.float32(1 / r)) for q, c, r in zip(p, centre, radii, strict=True))
    return (np.sqrt(x + y + z) - 1) * np.float32(min(radii))


def capsule(p: Point, start: np.ndarray, end: np.ndarray, radius: float, radius_end: float | None = None) -> np.ndarray:
    """Distance to a rod with round ends whose radius runs linearly from `radius` to `radius_end`."""
    a, d = np.asarray(start, np.float32), np.subtract(end, start).astype(np.float32)
    x, y, z = (q - c for q, c in zip(p, a, strict=True))
    along = np.clip((x * d[0] + y * d[1] + z * d[2]) / np.float32(d @ d), 0, 1)
    width = np.float32(radius) + np.float32((radius if radius_end is None else radius_end) - radius) * along
    return np.sqrt(np.square(x - along * d[0]) + np.square(y - along * d[1]) + np.square(z - along * d[2])) - width


def chain(p: Point, joints: list[tuple[float, float, float]], radii: list[float], fillet: float) -> np.ndarray:
    """Smooth union of rods through consecutive joints."""
    rods = [capsule(p, *pair) for pair in zip(joints, joints[1:], radii, radii[1:], strict=False)]
    whole = rods[0]
    for rod in rods[1:]:
        whole = smooth_min(whole, rod, fillet)
    return whole


def lumpy_ring(p: Point, centre: np.ndarray, axis: np.ndarray, ring: float, lumps: np.ndarray) -> np.ndarray:
    """Distance to a ring of radius `ring` whose thickness varies with the angle (osteophytes along a rim).

    lumps: (n, 2), sine and cosine amplitudes in mm of the angular frequencies 1..n; thickness below 0 is absent.
    """
    first = np.cross(axis, [0.3, 1.0, 0.2])
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    q = [a - np.float32(c) for a, c in zip(p, centre, strict=True)]
    height, u, v = (sum(a * np.float32(w) for a, w in zip(q, frame, strict=True)) for frame in (axis, first, second))
    orders = np.arange(1, len(lumps) + 1)[:, None] * np.linspace(-np.pi, np.pi, ANGLES + 1)
    table = (lumps[:, :1] * np.sin(orders) + lumps[:, 1:] * np.cos(orders)).sum(0).astype(np.float32)
    turn = np.arctan2(v, u) * np.float32(ANGLES / (2 * np.pi)) + np.float32(ANGLES / 2 + 0.5)
    radial = np.sqrt(u * u + v * v) - np.float32(ring)
    return np.sqrt(radial * radial + height * height) - table[turn.astype(np.int32)]


def polygon(a: np.ndarray, b: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Exact distance in the plane (a, b) to a closed polygon, corners (n, 2)."""
    nearest, inside = np.full(np.broadcast(a, b).shape, np.inf, np.float32), np.zeros(np.broadcast(a, b).shape, bool)
    for (a0, b0), (a1, b1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        da, db = a1 - a0, b1 - b0
        along = np.clip(((a - a0) * da + (b - b0) * db) / (da * da + db * db), 0, 1)
        nearest = np.minimum(nearest, np.hypot(a - a0 - along * da, b - b0 - along * db))
        crosses = (b0 > b) != (b1 > b)
        inside ^= crosses & (a < a0 + (b - b0) * da / (db if db else 1))
    return np.where(inside, -nearest, nearest)


def grid_of(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> Point:
    """Coordinates in mm of the voxels of a (z, y, x) array, from the first one; spacing (x, y, z)."""
    z, y, x = (np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(shape, spacing[::-1], strict=True))
    return x[None, None, :], y[None, :, None], z[:, None, None]


def cut(grid: Point, low: np.ndarray, high: np.ndarray) -> tuple[tuple[slice, ...], Point]:
    """Voxels (z, y, x) between two points, and their part of the grid."""
    bounds = [np.searchsorted(axis.ravel(), [a, b]) for axis, a, b in zip(grid, low, high, strict=True)]
    x, y, z = (slice(int(a), int(b)) for a, b in bounds)
    return (z, y, x), (grid[0][:, :, x], grid[1][:, y], grid[2][z])


def rod(shape: tuple[int, ...], grid: Point, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Mask (z, y, x) of a rod with round ends; only its own box is computed."""
    mask = np.zeros(shape, bool)
    box, part = cut(grid, np.minimum(start, end) - radius, np.maximum(start, end) + radius)
    mask[box] = capsule(part, start, end, radius) < 0
    return mask


def blob(grid: Point, centre: np.ndarray, radii: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
    """Box of an ellipsoid in a grid, and which of the box's voxels lie inside."""
    box, part = cut(grid, centre - radii, centre + radii)
    return box, ellipsoid(part, centre, radii) < 0
