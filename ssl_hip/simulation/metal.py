"""Metal implants in a femur or hip bone, and the streaks they leave in a CT."""

import numpy as np
from scipy import ndimage, sparse

from ssl_hip.simulation import shapes
from ssl_hip.simulation.landmarks import Landmarks

STEM_MM, CUP_MM = 130.0, 4.0  # length; thickness
KINDS = ("none", "nail", "screws", "stem", "pelvic_screws")


def _bone_x(labels: np.ndarray, grid: shapes.Point, value: int, y: float, z: float) -> float | None:
    """Where a line along x at (y, z) meets a bone, in the middle of it."""
    row, column = (int(np.abs(axis - q).argmin()) for axis, q in ((grid[2], z), (grid[1], y)))
    hit = np.flatnonzero(labels[row, column] == value)
    return float(grid[0].ravel()[hit].mean()) if len(hit) else None


def _pelvic_screws(labels: np.ndarray, grid: shapes.Point, marks: Landmarks, side: int) -> np.ndarray:
    """Three screws that climb from the socket's roof into the iliac wing."""
    head, metal = marks.head[side], np.zeros(labels.shape, bool)
    for y in head[1] + np.array([-10.0, 0.0, 12.0]):
        heights = head[2] + marks.radius[side] + np.array([7.0, 32.0])
        ends = [(_bone_x(labels, grid, 3 + side, y, z), y, z) for z in heights]
        if all(x is not None for x, _, _ in ends):
            metal |= shapes.rod(labels.shape, grid, np.array(ends[0]), np.array(ends[1]), 2.6)
    return metal


def _cup(shape: tuple[int, ...], grid: shapes.Point, head: np.ndarray, radius: float, outward: float) -> np.ndarray:
    """The shell of an artificial socket, open downwards and outwards."""
    metal = np.zeros(shape, bool)
    box, part = shapes.cut(grid, head - radius, head + radius)
    depth = -shapes.ball(part, head, radius)
    opening = (part[0] - head[0]) * outward * 0.6 - (part[2] - head[2]) * 0.8
    metal[box] = (depth > 0) & (depth < CUP_MM) & (opening < 0)
    return metal


def implant(labels: np.ndarray, grid: shapes.Point, marks: Landmarks, kind: str, side: int) -> np.ndarray:
    """Voxels of metal: nail with lag screw, three screws, hip stem with head and cup, or screws above the socket."""
    shape = labels.shape
    metal = np.zeros(shape, bool)
    if kind == "none" or not marks.head:
        return metal
    side = side if side in marks.head else next(iter(marks.head))
    head, middle, low = marks.head[side], marks.middle[side], marks.low[side]
    outward = np.array([1.0 if side else -1.0, 0, 0])
    base = head + 0.9 * (middle - head) + 12 * outward
    if kind == "nail":
        lag = shapes.rod(shape, grid, head, base + 0.35 * (base - head), 4.5)
        return lag | shapes.rod(shape, grid, base + [0, 0, 30], low, 5.5)
    if kind == "stem":
        ball = shapes.rod(shape, grid, head, head + 0.01, 0.68 * marks.radius[side])
        neck = shapes.rod(shape, grid, head, base, 5.5)
        along = low - base
        tip = base + along * min(0.8, STEM_MM / np.linalg.norm(along))
        cup = _cup(shape, grid, head, marks.radius[side] + CUP_MM, outward[0])
        return ball | neck | cup | shapes.rod(shape, grid, base + [0, 0, 8], tip, 6.5)
    if kind == "pelvic_screws":
        return _pelvic_screws(labels, grid, marks, side)
    for shift in ((0, 0, 8.0), (0, 6.0, -4), (0, -6.0, -4)):
        metal |= shapes.rod(shape, grid, head + shift, base + 0.2 * (base - head) + shift, 3.2)
    return metal


def streaks(
    metal: np.ndarray,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
    views: int = 45,
    voxel_mm: float = 3.0,
) -> np.ndarray:
    """Error that metal leaves in a filtered back-projection, HU, float32: beam hardening along long paths through it
    (a quadratic loss of the projected thickness) and a random error of each ray that it starves of photons.

    Parallel beams in the axial plane, computed on a coarse square grid in the slices that hold metal.
    """
    error = np.zeros(metal.shape, np.float32)
    slices = np.flatnonzero(metal.any((1, 2)))
    if not len(slices):
        return error
    first, last = slices[0], slices[-1] + 1
    scale = (spacing[1] / voxel_mm, spacing[0] / voxel_mm)
    coarse = ndimage.zoom(metal[first:last].astype(np.float32), (1, *scale), order=1)
    rays = _rays(coarse.shape[1:], views)
    path = (rays @ coarse.reshape(len(coarse), -1).T * np.float32(voxel_mm / 10)).reshape(views, -1, len(coarse))
    lost = -0.08 * path**2 + 0.10 * path * rng.standard_normal(path.shape, dtype=np.float32)
    ramp = np.abs(np.fft.rfftfreq(path.shape[1])).astype(np.float32)[:, None]
    filtered = np.fft.irfft(np.fft.rfft(lost, axis=1) * ramp, path.shape[1], axis=1).astype(np.float32)
    total = (rays.T @ filtered.reshape(-1, len(coarse))).T.reshape(coarse.shape)
    zoom = [wanted / n for wanted, n in zip(metal.shape[1:], coarse.shape[1:], strict=True)]
    to_hu = np.float32(1000 / 0.2 * np.pi / views * 10 / voxel_mm)  # attenuation of water 0.2 / cm
    error[first:last] = ndimage.zoom(total, (1, *zoom), order=1) * to_hu
    return error


def _rays(shape: tuple[int, ...], views: int) -> sparse.csr_array:
    """Matrix (views * detector, pixels) of parallel projections of an image (y, x); transposed it projects back."""
    y, x = (q.ravel() - (n - 1) / 2 for q, n in zip(np.indices(shape), shape, strict=True))
    detector = int(np.ceil(np.hypot(*shape))) + 3
    angles = np.arange(views)[:, None] * np.pi / views
    place = x * np.cos(angles) + y * np.sin(angles) + detector / 2 - 0.5
    left = np.floor(place).astype(np.int64)
    share = (place - left).astype(np.float32)
    rows = left + np.arange(views)[:, None] * detector
    columns = np.broadcast_to(np.arange(x.size), rows.shape)
    ends = (np.concatenate([rows.ravel(), rows.ravel() + 1]), np.concatenate([columns.ravel()] * 2))
    weights = np.concatenate([(1 - share).ravel(), share.ravel()])
    return sparse.csr_array((weights, ends), shape=(views * detector, x.size))
