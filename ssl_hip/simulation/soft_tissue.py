"""What lies around the bones of a simulated CT: skin, fat, muscle, abdomen, vessels, organs, the scanner's table.

Arrays are (z, y, x), x to the left, y to the back, z upwards; points (x, y, z) in mm from the first voxel.
"""

import numpy as np
from scipy import ndimage

from ssl_hip.simulation import shapes
from ssl_hip.simulation.draws import smooth_field, spline_weights, weighted
from ssl_hip.simulation.landmarks import Landmarks

CROTCH_MM = 62.0  # below the femoral heads: from there down the legs are apart
WALL_MM = 22.0  # muscle in front of the belly
LUMBAR_MM = 95.0  # above the heads: from there up the belly is as wide as the body
FIELD_MM = 212.0  # height of a scan for which the numbers of controls along z are given
MUSCLE_MM = 34.0  # beside the widest bone: gluteus medius, vastus lateralis


def skin_distance(grid: shapes.Point, marks: Landmarks, fat_mm: float) -> np.ndarray:
    """Return the distance in mm to the skin, about, negative inside: a trunk around all bone, two legs below it.

    fat_mm: thickness of the fat beneath the skin at the hips.
    """
    x, y, z = grid
    heads = list(marks.head.values())
    hips_z = float(np.mean([head[2] for head in heads])) if heads else float(marks.centre[2])
    wide, deep = (
        float(v) for v in (marks.half_size[0] + 0.5 * MUSCLE_MM + 0.6 * fat_mm, 0.5 * marks.half_size[0] + 20 + fat_mm)
    )
    centre = marks.centre.astype(np.float32)
    waist = np.clip((z - np.float32(hips_z + 60)) / 120, 0, 1)  # narrower, and deeper in front where there is much fat
    half_x = wide * (1 - (0.14 - 0.0016 * fat_mm) * waist)
    half_y = deep * (1 + 0.004 * (fat_mm - 20) * waist)
    away = (np.abs((x - centre[0]) / half_x) ** 2.5 + np.abs((y - centre[1]) / half_y) ** 2.5) ** np.float32(0.4) - 1
    skin = away * np.float32(deep)
    if not heads:
        return skin
    crotch = np.float32(hips_z - CROTCH_MM)
    skin = np.maximum(skin, (crotch - z).astype(np.float32))
    for side, head in marks.head.items():
        lower = slice(0, int(np.searchsorted(z.ravel(), head[2] + 70)))  # above it a leg changes nothing
        leg = _leg((x, y, z[lower]), head, marks.low[side], marks.centre[0], fat_mm)
        skin[lower] = shapes.smooth_min(skin[lower], leg, 18)
    return skin


def _leg(grid: shapes.Point, head: np.ndarray, low: np.ndarray, middle: float, fat_mm: float) -> np.ndarray:
    """Distance to the skin of a leg around the line from the hip to the shaft's end; wide as far as the midline."""
    x, y, z = grid
    down = np.clip((head[2] - z) / max(head[2] - low[2], 1.0), 0, 1.4).astype(np.float32)
    outward = np.sign(head[0] - middle)
    axis_x = (head[0] + (low[0] - head[0]) * down - outward * 8).astype(np.float32)
    axis_y = (head[1] + (low[1] - head[1]) * down + 14).astype(np.float32)
    inner = np.minimum(np.abs(axis_x - np.float32(middle)) - 3, 74 + fat_mm)
    radius = np.maximum(inner, 58 + 0.6 * fat_mm) * (1 - 0.1 * down)
    leg = np.sqrt(np.square(x - axis_x) + np.square((y - axis_y) * np.float32(0.97))) - radius
    return np.maximum(leg, (z - np.float32(head[2] + 10)) * np.float32(0.6))


def fill(
    labels: np.ndarray, grid: shapes.Point, marks: Landmarks, tissue, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Fat, muscle groups parted by planes of fat, the abdomen; and the distance to the skin in mm (HU, distance)."""
    tall = float(np.ptp(grid[2])) / FIELD_MM

    def field(z: int, y: int, x: int) -> np.ndarray:
        return smooth_field(labels.shape, (max(round(z * tall), 4), y, x), rng)

    skin = skin_distance(grid, marks, tissue.subcutaneous_mm) + field(4, 7, 7) * np.float32(4)
    near = _near_bone(labels)
    parts = field(12, 14, 18)
    gaps = np.abs(parts) + near * np.float32(0.1) < np.float32(0.02 + 0.12 * tissue.fat_share)
    wasted = field(18, 20, 24) - near > np.float32(1.4 - 2.0 * tissue.fat_share)
    grain = field(28, 32, 40)
    hu = np.float32(tissue.muscle_hu) + grain * np.float32(4)
    hu[wasted] -= 50 * tissue.fat_share * (1 + 0.5 * grain[wasted])
    hu[gaps] = tissue.fat_hu
    fascia = tissue.subcutaneous_mm * (0.75 + 0.35 * field(5, 6, 6))
    outer = (skin > -np.maximum(fascia, 4)) & (skin < 0)
    hu[outer] = tissue.fat_hu + 5 * grain[outer]
    _abdomen(hu, grid, marks, near, skin, tissue, rng)
    return hu, skin


def _near_bone(labels: np.ndarray) -> np.ndarray:
    """Weight 0 to 1 of the surroundings of bone: what lies within about 15 mm of it is muscle, not fat."""
    step = tuple(max(n // 48, 1) for n in labels.shape)
    coarse = ndimage.gaussian_filter((labels[:: step[0], :: step[1], :: step[2]] > 0).astype(np.float32), 1.5)
    places = (np.minimum(np.arange(n) / s, c - 1) for n, s, c in zip(labels.shape, step, coarse.shape, strict=True))
    weights = [spline_weights(c, place) for c, place in zip(coarse.shape, places, strict=True)]
    return np.clip(weighted(coarse, weights) * 6, 0, 1)


def _abdomen(
    hu: np.ndarray,
    grid: shapes.Point,
    marks: Landmarks,
    near: np.ndarray,
    skin: np.ndarray,
    tissue,
    rng: np.random.Generator,
) -> None:
    """The cavity between the hip bones and above: fat around soft organs, no muscle; the liver on the right."""
    middle = _middle(marks)
    box = np.s_[int(np.searchsorted(grid[2].ravel(), middle[2] - 10)) :]
    part = (grid[0], grid[1], grid[2][box])
    inside = shapes.ellipsoid(part, middle + [0, -14, 150], (92.0, 78.0, 155.0)) < 0
    belly = (skin[box] < -(tissue.subcutaneous_mm + WALL_MM)) & (part[1] < middle[1] + 40)
    inside |= belly & (part[2] > middle[2] + LUMBAR_MM)
    organ = smooth_field(hu[box].shape, (10, 9, 10), rng) > np.float32(0.9 * tissue.visceral_fat - 0.5)
    filling = np.where(organ, np.float32(40), np.float32(tissue.fat_hu))
    liver = shapes.ellipsoid(part, middle + [-75, -15, 300], (95.0, 85.0, 75.0)) < 0
    filling[liver] = 110 if tissue.vessel_contrast else 55
    np.copyto(hu[box], filling, where=inside & (near[box] < 0.4))


def _middle(marks: Landmarks) -> np.ndarray:
    heads = list(marks.head.values())
    return np.mean(heads, axis=0) if len(heads) == 2 else marks.centre


def vessels(hu: np.ndarray, grid: shapes.Point, marks: Landmarks, tissue, rng: np.random.Generator) -> None:
    """Aorta, vena cava, iliac and femoral vessels, with contrast agent or without; plaques on the arteries."""
    blood = tissue.muscle_hu - 10
    bright = tissue.contrast_hu if tissue.vessel_contrast else blood
    middle = _middle(marks)
    course = np.array([(-66, -4, 128), (-46, -34, 66), (-14, -44, 10), (4, -40, -60), (-8, -22, -160)], np.float64)
    for side, head in marks.head.items():
        mirror = np.array([1 if side else -1, 1, 1])
        for shift, value, radius in ((0, bright, rng.uniform(3.8, 5.5)), (9, 0.75 * bright, rng.uniform(5, 6.5))):
            path = head + (course + [-shift, 0.7 * shift, 0]) * mirror
            for start, end in zip(path[:-1], path[1:], strict=True):
                hu[shapes.rod(hu.shape, grid, start, end, radius)] = value
        artery = head + course * mirror
        for place in rng.uniform(0, 4, int(tissue.plaques * 10)):
            leg, rest = int(place), place % 1
            centre = artery[leg] * (1 - rest) + artery[leg + 1] * rest + rng.normal(0, 3, 3)
            _spot(hu, grid, centre, rng.uniform(1.5, 4.5, 3), rng.uniform(400, 1100))
    for shift, value, radius in ((-6, bright, 9.0), (16, 0.75 * bright, 10.0)):
        trunk = middle + [shift * -1.0, 4.0, 128]
        hu[shapes.rod(hu.shape, grid, trunk, trunk + [0, 4, 140], radius)] = value
    for _ in range(int(tissue.plaques * 8)):
        centre = middle + [6 + rng.normal(0, 7), 4 + rng.normal(0, 7), rng.uniform(128, 260)]
        _spot(hu, grid, centre, rng.uniform(1.5, 5, 3), rng.uniform(400, 1100))


def _spot(hu: np.ndarray, grid: shapes.Point, centre: np.ndarray, radii: np.ndarray, value: float) -> None:
    box, inside = shapes.blob(grid, centre, radii)
    hu[box][inside] = value


def organs(hu: np.ndarray, grid: shapes.Point, marks: Landmarks, tissue, rng: np.random.Generator) -> None:
    """Bowel, rectum, bladder, kidneys, filled with fluid, stool, gas or contrast agent; stray ossifications."""
    heads, middle, bright = list(marks.head.values()) or [marks.centre], _middle(marks), tissue.contrast_hu
    for _ in range(tissue.bowel_loops):
        centre = middle + [rng.uniform(-80, 80), rng.uniform(-75, 5), rng.uniform(40, 250)]
        filling = [bright, bright * 0.7, 30.0, -600.0] if tissue.bowel_contrast else [20.0, 45.0, -60.0, -600.0]
        _spot(hu, grid, centre, rng.uniform(10, 26, 3), filling[rng.integers(4)])
    for side in (-1, 1):
        radii = rng.uniform([24, 22, 48], [32, 30, 60])
        value = 140.0 if tissue.vessel_contrast else 32.0
        _spot(hu, grid, middle + [side * 62, 30, 255 + rng.normal(0, 12)], radii, value)
    _spot(
        hu, grid, middle + [0, 42, rng.uniform(0, 20)], rng.uniform(12, 22, 3), -500.0 if rng.random() < 0.4 else 40.0
    )
    bladder = bright if tissue.bladder_contrast else 8.0
    _spot(hu, grid, middle + [0, -14, rng.uniform(5, 20)], rng.uniform(22, 40, 3), bladder)
    for _ in range(tissue.ossifications):
        away = rng.standard_normal(3)
        centre = heads[rng.integers(len(heads))] + away / np.linalg.norm(away) * rng.uniform(36, 60)
        _spot(hu, grid, centre, rng.uniform(2, 9, 3), rng.uniform(250, 800))


def couch(hu: np.ndarray, grid: shapes.Point, skin: np.ndarray) -> None:
    """The scanner's table under the body: two thin shells."""
    edge = grid[1].ravel()[np.flatnonzero((skin < 0).any((0, 2)))].max()
    surface = grid[1] - np.float32(edge + 3) + np.square(grid[0] - grid[0].mean()) / np.float32(900)
    outside = skin > 1
    hu[outside & (np.abs(surface) < 2)] = 60.0
    hu[outside & (np.abs(surface - 14) < 1.5)] = -150.0
