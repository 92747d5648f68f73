"""A label map becomes a CT in Hounsfield units: the same model for phantoms and for real label maps.

Arrays are (z, y, x), x to the left, y to the back, z upwards; points and spacing are (x, y, z) in mm, origin at the
first voxel. Bone is built from the labels by distance transforms, everything else from landmarks found in them.
`reality.py` holds the result against real CTs.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ssl_hip.simulation import metal, shapes, soft_tissue
from ssl_hip.simulation.draws import chance, draw, integer, ranged, smooth_field
from ssl_hip.simulation.landmarks import FEMORA, SPINE, Landmarks, depths, landmarks

AIR_HU, METAL_HU = -1000.0, 6000.0
FWHM = 2.355  # of a Gaussian, over its standard deviation
RIM_MM = 1.5  # labels reach as far beyond the middle of the bone's edge: people and rules outline what looks bright
Grid = shapes.Point


@dataclass(frozen=True)
class Tissue:
    """Densities in HU, thicknesses in mm; osteoporosis 0 (dense) to 1 thins the cortex and empties the trabeculae.

    Sources. Cortex of the pelvis .4 to 4.0, mean 1.4 mm: Anderson 2005; of the femoral shaft 4 to 8 mm, thinner in
    osteoporosis: the ten real hips of notebook 01. Trabeculae of an L1 vertebra 226, standard deviation 44 HU below 30
    years, 89 and 38 from 90 years on: Jang 2019; hips hold more. Trabeculae of people scanned at 100,
    120 and 140 kV have 148, 141 and 131 HU (AAPM 2026, abstract on attenuation across kVp values), pure mineral differs
    by more. Muscle 49 HU in lean, 34 to 39 in obese people: Goodpaster 2000. Noise, blur: the real
    hips. The rest is judgement.
    """

    osteoporosis: float = ranged(0.0, 1.0)
    cortical_hu: float = ranged(1250, 1650)
    cortical_mm: float = ranged(0.45, 1.0)
    shaft_mm: float = ranged(5.4, 8.4)
    trabecular_hu: float = ranged(190, 370)
    porotic_hu: float = ranged(15, 80)
    marrow_hu: float = ranged(-90, 10)
    tube: float = ranged(0.92, 1.2)
    texture: float = ranged(0.2, 0.4)
    sclerosis_mm: float = ranged(0.0, 0.5, diseased=(0.5, 5.0))
    cysts: int = integer(0, 0, diseased=(0, 7))
    ossifications: int = integer(0, 1, diseased=(0, 5))
    muscle_hu: float = ranged(34, 62)
    fat_hu: float = ranged(-115, -92)
    fat_share: float = ranged(0.0, 1.0)
    visceral_fat: float = ranged(0.0, 1.0)
    subcutaneous_mm: float = ranged(8, 55)
    vessel_contrast: int = chance(0.35)
    bladder_contrast: int = chance(0.2)
    bowel_contrast: int = chance(0.25)
    contrast_hu: float = ranged(150, 450)
    plaques: float = ranged(0.0, 1.0)
    bowel_loops: int = integer(8, 20)
    blur_mm: float = ranged(0.3, 0.7)
    slice_mm: float = ranged(1.0, 3.5)
    sharpness: float = ranged(0.0, 0.8)
    noise_hu: float = ranged(5, 20)
    implant: int = integer(0, 0)
    implant_side: int = integer(0, 1)
    tissue_seed: int = integer(0, 2**31 - 1)


def draw_tissue(rng: np.random.Generator, diseased: bool = False, with_metal: bool = False) -> Tissue:
    """Draw the tissue parameters of a subject; with_metal: one of the kinds of implant."""
    tissue = draw(Tissue, rng, diseased)
    kind = int(rng.integers(1, len(metal.KINDS)))
    return Tissue(**(tissue.__dict__ | {"implant": kind if with_metal else 0}))


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
    loss, voxel = tissue.osteoporosis**1.5, float(np.mean(spacing))  # the porotic third of a population is the smallest
    core_hu = (1 - loss) * tissue.trabecular_hu + loss * tissue.porotic_hu
    for value, (box, depth) in sorted(bones.items()):
        p = tuple(axis[(slice(None),) * i + (part,)] for axis, i, part in zip(grid, (2, 1, 0), box[::-1], strict=True))
        texture = smooth_field(depth.shape, (14, 14, 14), rng) * np.float32(0.5)
        grain = rng.standard_normal(depth.shape, dtype=np.float32)
        grain = ndimage.gaussian_filter(grain, 1.0 / np.array(spacing[::-1]))
        texture += grain / grain.std()
        core = core_hu + texture * np.float32(tissue.texture * max(core_hu, 60) + 10)
        uneven = np.exp(np.float32(0.25) * smooth_field(depth.shape, (9, 9, 9), rng))
        shell = (1 - 0.4 * loss) * tissue.cortical_mm * uneven
        side, dense = (value - 1) % 2, 0.75 if value == SPINE else 1.0
        if value in FEMORA:
            shaft = np.clip((marks.head[side][2] - 30 - p[2]) / 55, 0, 1)
            core = core * (1 - shaft) + np.float32(tissue.marrow_hu) * shaft
            shell = shell + np.float32((1 - 0.45 * loss) * tissue.shaft_mm) * shaft
        if value != SPINE and side in marks.head:
            near = _near_joint(p, marks, side)
            core, shell = core * (1 + np.float32(0.25) * near), shell + tissue.sclerosis_mm * near
        cortex = dense * tissue.cortical_hu * (1 - 0.2 * loss)
        painted = bone_hu(depth - np.float32(RIM_MM), shell, cortex, core * np.float32(dense), voxel) * np.float32(
            tissue.tube
        )
        bone = np.clip((depth - np.float32(RIM_MM)) / np.float32(voxel) + np.float32(0.5), 0, 1)
        np.copyto(hu[box], bone * painted + (1 - bone) * hu[box], where=depth > 0)


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
        hu[box][inside & (labels[box] == 0)] = rng.uniform(50, 100)
        for _ in range(tissue.cysts):
            away = rng.standard_normal(3) * [1, 1, 0.5] + [0, 0, 1]
            centre = head + away / np.linalg.norm(away) * (marks.radius[side] + rng.choice([-7, 8]))
            box, inside = shapes.blob(grid, centre, rng.uniform(3, 8, 3))
            hu[box][inside & (labels[box] > 0)] = 35.0


def _scanned(hu: np.ndarray, skin: np.ndarray, spacing: tuple, tissue: Tissue, rng: np.random.Generator) -> np.ndarray:
    """Blur by the slices' thickness and the kernel, which a sharp one takes back in part; noise, more in the middle."""
    sigma = np.array([tissue.slice_mm / FWHM, tissue.blur_mm, tissue.blur_mm]) / spacing[::-1]
    hu = ndimage.gaussian_filter(hu, sigma, truncate=3)
    flat = ndimage.gaussian_filter(hu, [0, *[1.2 / s for s in spacing[1::-1]]], truncate=2)
    hu += np.float32(tissue.sharpness) * (hu - flat)
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, (0.35, 0.55, 0.55), truncate=2)
    deep = np.clip(-skin / 120, 0, 1) + np.float32(0.5)
    return hu + noise * deep * np.float32(tissue.noise_hu * (1 + tissue.sharpness) / noise.std())


def simulate(labels: np.ndarray, spacing: tuple[float, float, float], tissue: Tissue) -> np.ndarray:
    """Turn a label map (uint8, 1/2 femora right/left, 3/4 hip bones, 5 other bone) into CT: int16 HU, same shape.

    Every draw that is no field of `tissue` comes from its seed: the same arguments give the same bytes.
    Metal lies where it lies: inside a bone it keeps the bone's label.
    """
    rng = np.random.default_rng(tissue.tissue_seed)
    grid, bones = shapes.grid_of(labels.shape, spacing), depths(labels, spacing)
    marks = landmarks(bones, spacing)
    hu, skin = soft_tissue.fill(labels, grid, marks, tissue, rng)
    soft_tissue.vessels(hu, grid, marks, tissue, rng)
    soft_tissue.organs(hu, grid, marks, tissue, rng)
    hu[skin > -2] = 20.0
    hu[skin > 0] = AIR_HU
    _bones(hu, bones, grid, marks, tissue, spacing, rng)
    _joints(hu, labels, grid, marks, tissue, rng)
    soft_tissue.couch(hu, grid, skin)
    inserted = metal.implant(labels, grid, marks, metal.KINDS[tissue.implant], tissue.implant_side)
    hu[inserted] = METAL_HU
    hu = _scanned(hu, skin, spacing, tissue, rng)
    if inserted.any():
        hu += metal.streaks(inserted, spacing, rng)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
