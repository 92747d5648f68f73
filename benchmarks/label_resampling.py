"""How to bring a label to an isotropic grid: nearest neighbour, linear, low-pass and linear, against its own grid.

    python -m benchmarks.label_resampling FOLDER --spacing 1.0 3.0

Every result is a binary mask, and so is the label it is held against: all have the staircases of their own grid, none
is favoured. Surfaces are marching cubes of the masks, distances those from a mesh's corners to the other mesh, exact.
"""

import argparse
from pathlib import Path

import igl
import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage
from skimage.measure import marching_cubes
from tqdm import tqdm

from ssl_hip.images import resampling, volumes

FOREGROUND = [1, 2, 3, 4]


def nearest(mask: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Nearest neighbour."""
    grid = resampling.resample(mask, spacing_mm)
    return sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor)


def linear(mask: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Linear interpolation, half or more is bone: what the patches have."""
    return resampling.resample(mask, spacing_mm, label=True)


def low_pass_linear(mask: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The images' low-pass, linear interpolation, half or more is bone."""
    return resampling.resample(mask, spacing_mm) >= 0.5


WAYS = {"nearest": nearest, "linear": linear, "low-pass + linear": low_pass_linear}


def mesh(mask: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return corners (N, 3) in mm, (z, y, x) of the canonical scan, and triangles (M, 3)."""
    voxels = np.pad(volumes.to_array(mask).astype(np.float32), 1)
    spacing, origin = np.array(mask.GetSpacing())[::-1], np.array(mask.GetOrigin())[::-1]
    corners, triangles, _, _ = marching_cubes(voxels, 0.5, spacing=tuple(spacing))
    return corners.astype(np.float64) + origin - spacing, triangles.astype(np.int64)


def surface_errors(truth: tuple, found: tuple, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Return the symmetric mean distance and the larger of the directed 95th percentiles, in mm.

    Only corners between low and high count: bone that the scan's end cuts has no surface there.
    """
    distances = []
    for (corners, _), (others, triangles) in ((truth, found), (found, truth)):
        inside = corners[((corners > low) & (corners < high)).all(1)]
        distances.append(np.sqrt(igl.point_mesh_squared_distance(inside, others, triangles)[0]))
    return {
        "surface_mm": float(np.mean([d.mean() for d in distances])),
        "hd95_mm": float(max(np.percentile(d, 95) for d in distances)),
    }


def thin_bone(mask: sitk.Image, thickness_mm: float) -> np.ndarray:
    """Return the voxels of bone that no ball of this diameter within the bone reaches."""
    bone, spacing = volumes.to_array(mask) > 0, mask.GetSpacing()[::-1]
    deep = ndimage.distance_transform_edt(bone, sampling=spacing) > thickness_mm / 2
    return bone & (ndimage.distance_transform_edt(~deep, sampling=spacing) > thickness_mm / 2)


def compare(path: Path, spacings: list[float]) -> list[dict]:
    """Return a row for each spacing and way."""
    label = volumes.canonical(volumes.read_image(path))
    mask = volumes.like(np.isin(volumes.to_array(label), FOREGROUND).astype(np.uint8), label)
    truth, native = mesh(mask), volumes.to_array(mask)
    step, size, origin = (np.array(get())[::-1] for get in (mask.GetSpacing, mask.GetSize, mask.GetOrigin))
    rows = []
    for spacing_mm in spacings:
        low, high, thin = origin + spacing_mm, origin + (size - 1) * step - spacing_mm, thin_bone(mask, 2 * spacing_mm)
        for name, way in WAYS.items():
            coarse = way(mask, spacing_mm)
            back = volumes.to_array(sitk.Resample(coarse, mask, sitk.Transform(), sitk.sitkNearestNeighbor))
            volume = volumes.to_array(coarse).sum() * spacing_mm**3 / (native.sum() * step.prod())
            row = {"subject": path.name, "spacing_mm": spacing_mm, "way": name}
            row |= surface_errors(truth, mesh(coarse), low, high)
            rows.append(row | {"thin_lost": 1 - back[thin].mean(), "volume_change": volume - 1})
    return rows


def main() -> None:
    """Print mean and standard deviation over the anatomies."""
    parser = argparse.ArgumentParser(description="Compare ways to resample labels.")
    parser.add_argument("folder", type=Path, help="label maps *.nii.gz, foreground 1-4")
    parser.add_argument("--spacing", type=float, nargs="+", default=[1.0, 3.0], help="target grids in mm")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.nii.gz"))
    table = pd.DataFrame(row for path in tqdm(files, unit="anatomy") for row in compare(path, options.spacing))
    measures = table.groupby(["spacing_mm", "way"], sort=False)[["surface_mm", "hd95_mm", "thin_lost", "volume_change"]]
    print(measures.agg(["mean", "std"]).round(4).to_string())
    print(f"{len(files)} anatomies")


if __name__ == "__main__":
    main()
