"""A label map becomes a CT in Hounsfield units: the same model for phantoms and for real label maps.

Arrays are (z, y, x), x to the left, y to the back, z upwards; points and spacing are (x, y, z) in mm, origin at the
first voxel. Bone is built from the labels by distance transforms, everything else from landmarks found in them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ssl_hip.simulation import metal, shapes
from ssl_hip.simulation.draws import chance, draw, integer, ranged, smooth_field
from ssl_hip.simulation.landmarks import FEMORA, SACRUM, Landmarks, depths, landmarks

AIR_HU, METAL_HU = -1000.0, 6000.0
Grid = shapes.Point


@dataclass(frozen=True)
class Tissue:
    """Densities in HU, thicknesses in mm; osteoporosis 0 (dense) to 1 thins the cortex and empties the trabeculae."""

    osteoporosis: float = ranged(0.0, 1.0)
    cortical_hu: float = ranged(750, 1150)
    cortical_mm: float = ranged(0.8, 1.5)
    trabecular_hu: float = ranged(120, 250)
    porotic_hu: float = ranged(-20, 50)
    marrow_hu: float = ranged(-70, 20)
    texture: float = ranged(0.2, 0.4)
    sclerosis_mm: float = ranged(0.0, 0.4, diseased=(0.5, 3.0))
    cysts: int = integer(0, 0, diseased=(0, 4))
    ossifications: int = integer(0, 1, diseased=(0, 5))
    muscle_hu: float = ranged(42, 64)
    fat_hu: float = ranged(-115, -92)
    muscle_share: float = ranged(-0.1, 0.7)
    subcutaneous_mm: float = ranged(10, 34)
    vessel_contrast: int = chance(0.35)
    bladder_contrast: int = chance(0.2)
    bowel_contrast: int = chance(0.25)
    contrast_hu: float = ranged(160, 420)
    plaques: float = ranged(0.0, 1.0)
    bowel_loops: int = integer(5, 11)
    blur_mm: float = ranged(0.7, 1.1)
    noise_hu: float = ranged(8, 22)
    implant: int = integer(0, 0)
    implant_side: int = integer(0, 1)
    tissue_seed: int = integer(0, 2**31 - 1)


def draw_tissue(rng: np.random.Generator, diseased: bool = False, with_metal: bool = False) -> Tissue:
    """Draw the tissue parameters of a subject; with_metal: one of the kinds of implant."""
    tissue = draw(Tissue, rng, diseased)
    kind = int(rng.integers(1, len(metal.KINDS)))
    return Tissue(**(tissue.__dict__ | {"implant": kind if with_metal else 0}))


def _soft_tissue(
    labels: np.ndarray, grid: Grid, marks: Landmarks, tissue: Tissue, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Fat and muscle (denser near bone, parted by planes of fat), and the distance to the skin in mm (HU, distance)."""
    shape = labels.shape
    step = tuple(max(n // 40, 1) for n in shape)
    coarse = ndimage.gaussian_filter((labels[:: step[0], :: step[1], :: step[2]] > 0).astype(np.float32), 2.5)
    near = coarse[np.ix_(*(np.arange(n) // s for n, s in zip(shape, step, strict=True)))]
    muscle = smooth_field(shape, (12, 14, 18), rng) * np.float32(0.5) + np.minimum(near * 5, 1.4) - np.float32(0.6)
    planes = np.abs(smooth_field(shape, (9, 12, 16), rng)) > 0.1
    is_muscle = (muscle > -tissue.muscle_share) & planes
    shade = smooth_field(shape, (16, 20, 24), rng) * np.float32(7)
    hu = shade + np.where(is_muscle, np.float32(tissue.muscle_hu), np.float32(tissue.fat_hu))
    skin = skin_distance(grid, marks, tissue.subcutaneous_mm) + smooth_field(shape, (4, 7, 7), rng) * np.float32(4)
    hu[skin > -tissue.subcutaneous_mm * 0.7] = tissue.fat_hu
    return hu, skin


def skin_distance(grid: Grid, marks: Landmarks, subcutaneous_mm: float) -> np.ndarray:
    """Return the distance in mm to the skin, negative inside: a superellipse around all bone, alike in all slices."""
    half_x = marks.half_size[0] + subcutaneous_mm * 0.6
    half_y = max(0.58 * half_x, marks.half_size[1] + subcutaneous_mm)
    x, y = (grid[0] - marks.centre[0]) / half_x, (grid[1] - marks.centre[1]) / half_y
    ratio = (np.abs(x) ** 2.6 + np.abs(y) ** 2.6) ** (1 / 2.6) - 1
    return (ratio * np.float32(half_y)).astype(np.float32)


def _vessels(hu: np.ndarray, grid: Grid, marks: Landmarks, tissue: Tissue, rng: np.random.Generator) -> None:
    """Iliac and femoral artery and vein of both sides, with contrast or without, some plaques on the artery."""
    bright = tissue.contrast_hu if tissue.vessel_contrast else tissue.muscle_hu + 5
    course = np.array([(-62, -8, 120), (-44, -38, 62), (-16, -46, 10), (2, -42, -100)], np.float64)
    for side, head in marks.head.items():
        mirror = np.array([1 if side else -1, 1, 1])
        for shift, value, radius in ((0, bright, rng.uniform(3.8, 5.5)), (9, 0.75 * bright, rng.uniform(5, 6.5))):
            path = head + (course + [-shift, 0.7 * shift, 0]) * mirror
            for start, end in zip(path[:-1], path[1:], strict=True):
                hu[shapes.rod(hu.shape, grid, start, end, radius)] = value
        artery = head + course * mirror
        for place in rng.uniform(0, 3, int(tissue.plaques * 8)):
            leg, rest = int(place), place % 1
            centre = artery[leg] * (1 - rest) + artery[leg + 1] * rest + rng.normal(0, 3, 3)
            box, inside = shapes.blob(grid, centre, rng.uniform(1.5, 4, 3))
            hu[box][inside] = rng.uniform(400, 900)


def _organs(hu: np.ndarray, grid: Grid, marks: Landmarks, tissue: Tissue, rng: np.random.Generator) -> None:
    """Bladder, rectum and loops of bowel between the hips, filled with fluid, gas or contrast; stray ossifications."""
    heads = list(marks.head.values()) or [marks.centre]
    middle = np.mean(heads, axis=0) if len(heads) == 2 else marks.centre
    fluid, bright = 8.0, tissue.contrast_hu
    for _ in range(tissue.bowel_loops):
        centre = middle + [rng.uniform(-60, 60), rng.uniform(-65, 10), rng.uniform(40, 120)]
        filling = [bright, bright * 0.8, 30.0, -600.0] if tissue.bowel_contrast else [20.0, 45.0, 30.0, -600.0]
        box, inside = shapes.blob(grid, centre, rng.uniform(10, 22, 3))
        hu[box][inside] = filling[rng.integers(4)]
    box, inside = shapes.blob(grid, middle + [0, 42, rng.uniform(0, 20)], rng.uniform(12, 20, 3))
    hu[box][inside] = -500.0 if rng.random() < 0.4 else 40.0
    box, inside = shapes.blob(grid, middle + [0, -14, rng.uniform(5, 20)], rng.uniform(22, 38, 3))
    hu[box][inside] = bright if tissue.bladder_contrast else fluid
    for _ in range(tissue.ossifications):
        away = rng.standard_normal(3)
        centre = heads[rng.integers(len(heads))] + away / np.linalg.norm(away) * rng.uniform(36, 60)
        box, inside = shapes.blob(grid, centre, rng.uniform(2, 7, 3))
        hu[box][inside] = rng.uniform(250, 700)


def bone_hu(
    depth: np.ndarray, cortical_mm: np.ndarray | float, cortical_hu: float, core: np.ndarray | float, voxel: float
) -> np.ndarray:
    """HU of bone at a depth: a shell of cortical_mm over the core, mixed by the share of the voxel in the shell."""
    shell = np.clip((cortical_mm - depth) / np.float32(voxel) + np.float32(0.5), 0, 1)
    return shell * np.float32(cortical_hu) + (1 - shell) * core


def _bones(
    hu: np.ndarray, bones: dict, grid: Grid, marks: Landmarks, tissue: Tissue, spacing: tuple, rng: np.random.Generator
) -> None:
    """Paint every bone: cortical shell of varying thickness, textured trabecular core, marrow in the shafts."""
    loss, voxel = tissue.osteoporosis, float(np.mean(spacing))
    core_hu = (1 - loss) * tissue.trabecular_hu + loss * tissue.porotic_hu
    for value, (box, depth) in sorted(bones.items()):
        x, y, z = (axis[(slice(None),) * i + (part,)] for axis, i, part in zip(grid, (2, 1, 0), box[::-1], strict=True))
        texture = smooth_field(depth.shape, (14, 14, 14), rng) * np.float32(0.5)
        grain = rng.standard_normal(depth.shape, dtype=np.float32)
        grain = ndimage.gaussian_filter(grain, 1.0 / np.array(spacing[::-1]))
        texture += grain / grain.std()
        core = core_hu + texture * np.float32(tissue.texture * max(core_hu, 60) + 10)
        uneven = np.exp(np.float32(0.3) * smooth_field(depth.shape, (9, 9, 9), rng))
        shell = (1 - 0.45 * loss) * tissue.cortical_mm * uneven
        side = (value - 1) % 2
        if value in FEMORA:
            below = np.clip((marks.head[side][2] - 30 - z) / 25, 0, 1)
            core = core * (1 - below) + np.float32(tissue.marrow_hu) * below
            shell = shell + np.float32(3.2 - 1.4 * loss) * below
        if value != SACRUM and side in marks.head:
            shell = shell + tissue.sclerosis_mm * _near_joint((x, y, z), marks, side)
        dense = 0.75 if value == SACRUM else 1.0
        painted = bone_hu(depth, shell, dense * tissue.cortical_hu * (1 - 0.3 * loss), core * dense, voxel)
        np.copyto(hu[box], painted, where=depth > 0)


def _near_joint(p: Grid, marks: Landmarks, side: int) -> np.ndarray:
    """Weight 0..1 of the loaded, upper part of the joint's surface."""
    away = np.sqrt(sum(np.square(q - np.float32(c)) for q, c in zip(p, marks.head[side], strict=True)))
    return np.exp(-np.square((away - np.float32(marks.radius[side] + 2)) / 6)) * (p[2] > marks.head[side][2])


def _joints(
    hu: np.ndarray, labels: np.ndarray, grid: Grid, marks: Landmarks, tissue: Tissue, rng: np.random.Generator
) -> None:
    """Cartilage and fluid around the heads; cysts beneath the surfaces."""
    for side, head in marks.head.items():
        box, inside = shapes.blob(grid, head, np.full(3, marks.radius[side] + 5.0))
        hu[box][inside & (labels[box] == 0)] = rng.uniform(60, 110)
        for _ in range(tissue.cysts):
            away = rng.standard_normal(3) * [1, 1, 0.5] + [0, 0, 1]
            centre = head + away / np.linalg.norm(away) * (marks.radius[side] + rng.choice([-7, 8]))
            box, inside = shapes.blob(grid, centre, rng.uniform(3, 6, 3))
            hu[box][inside & (labels[box] > 0)] = 35.0


def _couch(hu: np.ndarray, grid: Grid, skin: np.ndarray) -> None:
    """The scanner's table under the body: two thin shells."""
    edge = grid[1].ravel()[np.flatnonzero((skin < 0).any((0, 2)))].max()
    surface = grid[1] - np.float32(edge + 3) + np.square(grid[0] - grid[0].mean()) / np.float32(900)
    outside = skin > 1
    hu[outside & (np.abs(surface) < 2)] = 60.0
    hu[outside & (np.abs(surface - 14) < 1.5)] = -150.0


def simulate(labels: np.ndarray, spacing: tuple[float, float, float], tissue: Tissue) -> np.ndarray:
    """Turn a label map (uint8, 1/2 femora right/left, 3/4 hip bones, 5 sacrum) into CT: int16 HU, same shape.

    Every draw that is no field of `tissue` comes from its seed: the same arguments give the same bytes.
    Metal lies where it lies: inside a bone it keeps the bone's label.
    """
    rng = np.random.default_rng(tissue.tissue_seed)
    grid, bones = shapes.grid_of(labels.shape, spacing), depths(labels, spacing)
    marks = landmarks(bones, spacing)
    hu, skin = _soft_tissue(labels, grid, marks, tissue, rng)
    _vessels(hu, grid, marks, tissue, rng)
    _organs(hu, grid, marks, tissue, rng)
    hu[skin > -2] = 20.0
    hu[skin > 0] = AIR_HU
    _bones(hu, bones, grid, marks, tissue, spacing, rng)
    _joints(hu, labels, grid, marks, tissue, rng)
    _couch(hu, grid, skin)
    inserted = metal.implant(labels, grid, marks, metal.KINDS[tissue.implant], tissue.implant_side)
    hu[inserted] = METAL_HU
    hu = ndimage.gaussian_filter(hu, tissue.blur_mm / np.array(spacing[::-1]), truncate=3)
    if inserted.any():
        hu += metal.streaks(inserted, spacing, rng)
    noise = ndimage.gaussian_filter(rng.standard_normal(labels.shape, dtype=np.float32), 0.45, truncate=2)
    hu += noise * np.float32(tissue.noise_hu / noise.std())
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
