"""One scan becomes cubes: read once, put on the patches' grid, cut where the cubes overlap least."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip import metrics
from ssl_hip.config import UserError
from ssl_hip.images import dicom, isotropic, label_values, volumes
from ssl_hip.preparation import regions, training_places
from ssl_hip.preparation.regions import Regions
from ssl_hip.scans.manifest import SPLITS
from ssl_hip.shape.deviation_score import Subject, fit_file
from ssl_hip.shape.shape_parts import largest_piece

POOL = 4096  # places drawn for a scan's cubes
MORE = 16  # times as many are drawn in training, for those that hold too little that is bright
BODY_MM = 3.0  # grid on which the body is found
PROGRAM_MB, BYTES_READ, BYTES_KEPT = 250, 6, 6  # a process; a voxel of the file, up to float32; one of the new grid
BYTES_REGIONS, BYTES_TABLE = 4, 5  # one of the new grid more, where its regions, or bright places, are found


class Job(NamedTuple):
    """What a process needs to cut a scan."""

    number: int  # the scan's row in cohort.csv
    subject: dict[str, Any]  # that row
    counts: dict[str, int]  # patches to cut for each split
    params: SimpleNamespace  # sections patches, cohort (foreground) and shape_model (min_surface_cm2, parts)
    root: Path  # of the paths in cohort.csv
    folder: Path  # for the cubes
    shapes: Path  # data/shape_model


class Cubes(NamedTuple):
    """A scan's patches of one split."""

    image: np.ndarray  # (n, s, s, s) float32, HU
    label: np.ndarray | None  # (n, s, s, s) uint8, 1 = foreground; None when the scan is unlabelled
    distance: np.ndarray | None  # (n, s, s, s) float16, mm (metrics.signed_distance); None but in labelled training
    region: np.ndarray | None  # (n, s, s, s) uint8, bits of region_bits; None in training


def cut(job: Job) -> list[dict[str, Any]]:
    """Cut a scan's patches, write their cubes and return a row each (see `describe`)."""
    settings = job.params.patches
    scan, label = isotropic.read(job.subject, job.root, settings.spacing_mm, job.params.cohort.foreground)
    scan = isotropic.pad(scan, settings.edge)
    found = regions.find(scan, label, job.params) if scored(job) else None
    deviation = scorer(label, job)
    rows = []
    for split, n in job.counts.items():
        rng = np.random.default_rng([settings.seed, job.number, SPLITS.index(split)])
        minimum, bright = (0.0, settings.training_places) if split == "train" else (settings.min_foreground, None)
        corners = positions(scan, n, settings, minimum, rng, job.subject["subject"], bright)
        shown = None if split == "train" else found
        write(scan, shown, corners, job, split)
        rows += describe(scan, shown, corners, settings, split, deviation)
    return rows


def scored(job: Job) -> bool:
    """Return whether the scan gives patches that scores are computed on, validation's or test's."""
    return any(split != "train" for split in job.counts)


def scorer(label: sitk.Image | None, job: Job) -> Callable[[np.ndarray], float]:
    """Return the surface deviation in mm of a patch by its corner; always NaN for a scan without fit."""
    fit = fit_file(job.shapes, job.subject["subject"])
    if label is None or not fit.is_file():
        return lambda corner: np.nan
    settings, foreground = job.params.patches, label_values.foreground(job.params.cohort.foreground)
    subject, edge_mm = Subject(label, foreground, volumes.read_image(fit)), settings.edge * settings.spacing_mm
    least = job.params.shape_model.min_surface_cm2
    return lambda corner: subject.score(subject.corner_mm(corner, settings.spacing_mm), edge_mm, least)


def memory_mb(job: Job) -> float:
    """Return about how much memory `cut` takes, from the size of the image's files and its voxels' size."""
    path = job.root / job.subject["image"]
    series = dicom.is_series(path)
    voxels = sum(file.stat().st_size for file in volumes.files(path)) / 2 if series else _voxels(path)
    each = np.prod([job.subject[f"spacing_{axis}_mm"] for axis in "xyz"])
    kept = voxels * each / job.params.patches.spacing_mm**3
    bytes_kept = BYTES_KEPT + BYTES_REGIONS * scored(job) + BYTES_TABLE * ("train" in job.counts)
    return PROGRAM_MB + (BYTES_READ * voxels + bytes_kept * kept) / 2**20


def _voxels(path: Path) -> int:
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    try:
        header.ReadImageInformation()
    except RuntimeError:
        return 0  # `read` says what is wrong with the file
    return int(np.prod(header.GetSize()))


def positions(
    scan: isotropic.Scan,
    n: int,
    settings: SimpleNamespace,
    minimum: float,
    rng: np.random.Generator,
    subject: str,
    bright: SimpleNamespace | None = None,
) -> np.ndarray:
    """Return n first voxels (n, 3) of cubes centred on the body that overlap as little as possible.

    Farthest-point choice: of POOL places drawn uniformly in the body, the one whose largest overlap with a cube
    before it is least comes next. Labels decide only where the minimum of foreground is above 0, never in training.
    bright: `training_places` of params.yaml, for training; of more places drawn, the first POOL that hold so much.
    """
    if bright and bright.share > 0:
        drawn = draw_corners(scan.hu, settings, rng, subject, MORE * POOL)
        corners = training_places.keep(scan.hu, drawn, settings.edge, bright)[:POOL]
    else:
        corners = draw_corners(scan.hu, settings, rng, subject)
    worst, chosen = np.zeros(len(corners)), []
    while len(chosen) < n:
        best = np.argmin(worst)
        if worst[best] == np.inf:
            found = f"{subject}: no patch with {minimum:.0%} foreground found"
            raise UserError(f"{found}; check its label or lower patches.min_foreground")
        if minimum == 0 or scan.label[cube(corners[best], settings.edge)].mean() >= minimum:
            chosen.append(corners[best])
            worst = np.maximum(worst, overlap(corners, corners[best], settings.edge))
        else:
            worst[best] = np.inf
    return np.array(chosen)


def draw_corners(
    hu: np.ndarray, settings: SimpleNamespace, rng: np.random.Generator, subject: str, number: int = POOL
) -> np.ndarray:
    """Return the first voxels (number, 3) of cubes centred uniformly on the body, moved inside the volume."""
    step = max(1, round(BODY_MM / settings.spacing_mm))
    body = np.argwhere(body_mask(hu[::step, ::step, ::step], settings.body_hu))
    if len(body) == 0:
        raise UserError(
            f"{subject}: no voxel above patches.body_hu = {settings.body_hu}; is the scan in Hounsfield units?"
        )
    centres = body[rng.integers(len(body), size=number)] * step + rng.integers(step, size=(number, 3))
    return np.clip(centres - settings.edge // 2, 0, np.array(hu.shape) - settings.edge)


def body_mask(hu: np.ndarray, body_hu: float) -> np.ndarray:
    """Return the largest connected region above body_hu, without what is as thin as the table (four voxels)."""
    dense = ndimage.binary_opening(hu > body_hu, iterations=2)
    return largest_piece(dense) if dense.any() else hu > body_hu


def cube(corner: np.ndarray, size: int) -> tuple[slice, ...]:
    """Return the slices of a cube."""
    return tuple(slice(c, c + size) for c in corner)


def overlap(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """Return the common volume of cubes with corners a and b (..., 3), as a share of a cube."""
    return np.prod(np.clip(size - np.abs(a - b), 0, None) / size, axis=-1)


def overlaps(corners: np.ndarray, size: int) -> np.ndarray:
    """Return for each cube the largest share of it that another cube of the same scan and split covers too."""
    shares = overlap(corners[:, None], corners[None], size)
    np.fill_diagonal(shares, 0)
    return shares.max(1, initial=0)


def describe(
    scan: isotropic.Scan,
    found: Regions | None,
    corners: np.ndarray,
    settings: SimpleNamespace,
    split: str,
    deviation: Callable[[np.ndarray], float],
) -> list[dict[str, Any]]:
    """Return a row a patch: split, z, y, x, foreground (None when unlabelled), bright, overlap, deviation_mm (or NaN).

    And gap_voxels, gap_mm and metal_voxels, see Regions.describe; NaN without regions.
    """
    rows = []
    for corner, shared in zip(corners, overlaps(corners, settings.edge), strict=True):
        place = cube(corner, settings.edge)
        foreground = None if scan.label is None else float(scan.label[place].mean())
        row = {"split": split} | dict(zip("zyx", corner.tolist(), strict=True))
        bright = float((scan.hu[place] > settings.training_places.above_hu).mean())
        row |= {"foreground": foreground, "bright": bright, "overlap": float(shared), "deviation_mm": deviation(corner)}
        rows.append(row | (found.describe(place) if found else regions.UNKNOWN))
    return rows


def write(scan: isotropic.Scan, found: Regions | None, corners: np.ndarray, job: Job, split: str) -> None:
    """Write a scan's Cubes of a split; those that are None have no file."""
    settings, files = job.params.patches, cube_files(job, split)
    shape, places = (len(corners), *[settings.edge] * 3), [cube(corner, settings.edge) for corner in corners]
    write_cubes(files["image"], (scan.hu[place] for place in places), shape, np.float32)
    if scan.label is None:
        return
    write_cubes(files["label"], (scan.label[place] for place in places), shape, np.uint8)
    if split == "train":
        maps = (metrics.signed_distance(scan.label[place], settings.spacing_mm) for place in places)
        write_cubes(files["distance"], maps, shape, np.float16)
    if found:
        write_cubes(files["region"], (found.cube(place) for place in places), shape, np.uint8)


def cube_files(job: Job, split: str) -> dict[str, Path]:
    """Return where a scan's Cubes of a split lie."""
    return {kind: job.folder / f"{job.number:05d}-{split}-{kind}.npy" for kind in Cubes._fields}


def read_cubes(job: Job, split: str, places: list[int]) -> Cubes:
    """Return some of a scan's Cubes of a split."""
    files = cube_files(job, split)
    return Cubes(
        **{kind: np.load(path, mmap_mode="r")[places] if path.is_file() else None for kind, path in files.items()}
    )


def write_cubes(path: Path, cubes: Iterable[np.ndarray | float], shape: tuple[int, ...], kind: type) -> None:
    """Write cubes (or numbers that fill one) as an array, one by one, under a temporary name first.

    A file of this name is always complete.
    """
    unfinished = path.with_name(f".unfinished-{path.name}")
    header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
    with unfinished.open("wb") as file:  # not a memory map: its pages would count as this process's memory
        np.lib.format.write_array_header_1_0(file, header)
        for voxels in cubes:
            file.write(np.broadcast_to(np.asarray(voxels, kind), shape[1:]).tobytes())
    unfinished.replace(path)
