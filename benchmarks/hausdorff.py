"""Time of HD95 on bone-like masks, and its difference from ours: scipy, medpy, MONAI, SimpleITK, surface-distance.

The peers are optional (benchmarks/peers.txt). Each gets the whole array, as its documentation shows, and has its
own notion of a surface and of a percentile, so the values differ; "our definition" must agree to 1e-6 mm.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from benchmarks.measuring import Row
from benchmarks.synthetic import SPACING, fitted
from ssl_hip import metrics
from ssl_hip.simulation import phantom
from ssl_hip.simulation.anatomy import draw_anatomy

FOREGROUND = [1, 2, 3, 4]
PATCHES = 20  # pairs of masks for each size
LIMIT_S = 5.0  # on one case: a contender that has used it up is not repeated
Spacing = tuple[float, float, float]  # (z, y, x) in mm
Pair = tuple[np.ndarray, np.ndarray, Spacing]  # prediction, truth: bool (z, y, x)


def cases() -> dict[str, list[Pair]]:
    """Return pairs of masks of one synthetic subject, patches at 1 mm and a whole scan (takes half a minute)."""
    rng = np.random.default_rng(0)
    anatomy = draw_anatomy(rng, diseased=True)
    bones = np.isin(phantom.label_map(anatomy, (1.0, 1.0, 1.0)), FOREGROUND)
    scan = np.isin(fitted(phantom.label_map(anatomy, SPACING), 0), FOREGROUND)
    return {
        "patch 32": [(predicted(truth, rng), truth, (1.0, 1.0, 1.0)) for truth in patches(bones, 32, rng)],
        "patch 48": [(predicted(truth, rng), truth, (1.0, 1.0, 1.0)) for truth in patches(bones, 48, rng)],
        "whole scan": [(predicted(scan, rng), scan, SPACING[::-1])],
    }


def patches(mask: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return cubes of this many voxels about random surface voxels."""
    centres = rng.choice(np.argwhere(metrics.surface(mask)), PATCHES, replace=False)
    corners = np.clip(centres - size // 2, 0, np.array(mask.shape) - size)
    return [mask[tuple(slice(start, start + size) for start in corner)].copy() for corner in corners]


def predicted(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the truth as a network finds it: a voxel beside its place, with a rough surface and a few false blobs."""
    noise = ndimage.gaussian_filter(rng.standard_normal(truth.shape, np.float32), 2)
    soft = ndimage.gaussian_filter(truth.astype(np.float32), 2)
    return ndimage.shift(soft, (1, 0, 1), order=0, mode="nearest") + 0.12 * noise / noise.std() > 0.5


def euclidean_transform(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """scipy's distance transform of the surfaces' bounding box, by our definition: what we had before."""
    cross = ndimage.generate_binary_structure(3, 1)
    surfaces = [mask & ~ndimage.binary_erosion(mask, cross, border_value=1) for mask in (pred, truth)]
    box = ndimage.find_objects((surfaces[0] | surfaces[1]).astype(np.uint8))[0]
    ours, theirs = (surface[box] for surface in surfaces)
    ways = (ours, theirs), (theirs, ours)
    distances = [ndimage.distance_transform_edt(~goal, sampling=spacing_mm)[start] for start, goal in ways]
    return float(max(np.percentile(each, 95) for each in distances))


def medpy(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """medpy: one percentile of both directions' distances together; the array's faces are surface."""
    from medpy.metric.binary import hd95

    return float(hd95(pred, truth, spacing_mm))


def monai(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """MONAI: the array's faces are surface, else our definition in float32."""
    import torch
    from monai.metrics import compute_hausdorff_distance

    torch.set_num_threads(1)  # its fastest way: several threads wait up to 0.2 s a patch where a core is busy
    both = [torch.from_numpy(mask)[None, None] for mask in (pred, truth)]
    options = {"include_background": True, "percentile": 95, "spacing": list(spacing_mm)}
    return compute_hausdorff_distance(*both, **options).item()


def monai_our_definition(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """MONAI's distances between our surfaces."""
    from monai.metrics.utils import get_surface_distance

    surfaces = [metrics.surface(mask) for mask in (pred, truth)]
    ways = surfaces, surfaces[::-1]
    return float(max(np.percentile(get_surface_distance(*way, spacing=spacing_mm), 95) for way in ways))


def simpleitk(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """SimpleITK: our definition, up to its distance maps' float32 (1e-6 mm in a whole scan)."""
    import SimpleITK as sitk

    contours, distances = [], []
    for mask in (pred, truth):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing_mm[::-1])
        contour = sitk.LabelContour(image)
        distance = sitk.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
        contours.append(sitk.GetArrayFromImage(contour) > 0)
        distances.append(np.abs(sitk.GetArrayFromImage(distance)))
    ways = zip(contours, distances[::-1], strict=True)
    return float(max(np.percentile(goal[start], 95) for start, goal in ways))


def surface_distance(pred: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> float:
    """DeepMind's surface-distance: corners between voxels, weighted by the surface's area."""
    from surface_distance import compute_robust_hausdorff, compute_surface_distances

    return float(compute_robust_hausdorff(compute_surface_distances(truth, pred, spacing_mm), 95))


CONTENDERS: dict[str, Callable[[np.ndarray, np.ndarray, Spacing], float]] = {
    "ours": metrics.hd95,
    "scipy distance transform": euclidean_transform,
    "medpy": medpy,
    "MONAI": monai,
    "MONAI, our definition": monai_our_definition,
    "SimpleITK": simpleitk,
    "surface-distance": surface_distance,
}

PEERS = ("medpy", "MONAI", "SimpleITK", "surface-distance")  # as their documentation shows them
EQUAL = "MONAI, our definition"


def measure(repetitions: int) -> dict[str, dict[str, dict[str, float] | None]]:
    """Return, for each case and contender, ms (of a pair, median) and difference_mm (mean absolute, from ours).

    None where its package is not installed.
    """
    return {name: compare(pairs, repetitions) for name, pairs in tqdm(cases().items(), unit="case")}


def compare(pairs: list[Pair], repetitions: int) -> dict[str, dict[str, float] | None]:
    """Return what `measure` does for one case; contenders take turns."""
    installed = [name for name in CONTENDERS if warm_up(name)]
    values, seconds = {}, {name: [] for name in installed}
    for name in installed * repetitions:
        if sum(seconds[name]) < LIMIT_S:
            start = time.perf_counter()
            values[name] = np.array([CONTENDERS[name](*pair) for pair in pairs])
            seconds[name].append(time.perf_counter() - start)
    found = dict.fromkeys(CONTENDERS)
    for name in installed:
        difference = float(np.abs(values[name] - values["ours"]).mean())
        found[name] = {"ms": 1000 * statistics.median(seconds[name]) / len(pairs), "difference_mm": difference}
    return found


def rows(repetitions: int = 5) -> list[Row]:
    """Return our time, each peer's, the fastest peer against ours, and the agreement by our definition."""
    found = []
    for case, measured in measure(repetitions).items():
        there = {name: each for name, each in measured.items() if each}
        peers = {name: each["ms"] for name, each in there.items() if name in PEERS}
        for name, each in there.items():
            apart = "" if name == "ours" else f" (mean difference {each['difference_mm']:.1g} mm)"
            found.append(Row(f"HD95, {case}: {name}{apart}", each["ms"], "ms"))
        if peers:
            fastest = min(peers, key=peers.get)
            factor = peers[fastest] / there["ours"]["ms"]
            found.append(Row(f"HD95, {case}: fastest library ({fastest}) / ours", factor, "times", "at least 1"))
        if same := there.get(EQUAL):
            found.append(Row(f"HD95, {case}: {EQUAL}", same["difference_mm"], "mm", "at most 1e-6"))
    return found


def warm_up(name: str) -> bool:
    """Return whether the contender's package is installed, after a first call, which imports it."""
    mask = np.pad(np.ones((4, 4, 4), bool), 4)
    try:
        CONTENDERS[name](mask, np.roll(mask, 1, 0), (1.0, 1.0, 1.0))
    except ImportError:
        return False
    return True
