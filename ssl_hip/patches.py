"""Patches: isotropic cubes cut from the cohort's scans, normalised and stored once, and the labelled subsets."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from ssl_hip import labels, metrics, parallel, resampling, subsets, volumes
from ssl_hip.config import UserError
from ssl_hip.normalization import Normalization
from ssl_hip.patch_store import SPLITS

CANDIDATES = 24  # positions compared for each patch; the one that overlaps least with those before is taken
UNKNOWN = 255


class Scan(NamedTuple):
    """A scan on the patches' grid."""

    hu: np.ndarray  # (z, y, x) float32
    label: np.ndarray | None  # (z, y, x) uint8, 1 = foreground; None when the scan is unlabelled


def build(params, cohort_csv: Path, folder: Path, workers: int = 2) -> None:
    """Cut, normalise and write all patches (see `write`); raise UserError where the parameters do not fit the cohort.

    params: sections patches and cohort (foreground) of params.yaml.
    """
    cohort = pd.read_csv(cohort_csv, keep_default_na=False)
    cohort["held_out"] = pd.to_numeric(cohort.get("held_out", np.nan))
    check_labels(cohort)
    plan = patches_per_scan(cohort, params.patches.count)
    subsets.check(params.patches, cohort, plan)
    root, tasks = cohort_csv.parent.parent, list(zip(cohort.index, plan, strict=True))
    arguments = [(cohort.loc[i].to_dict(), n, params, root, i) for i, n in tasks]
    parts = parallel.run(cut_scan, arguments, "cutting", workers)
    write(folder, pd.concat([table for table, _, _ in parts], ignore_index=True), parts, params.patches)


def check_labels(cohort: pd.DataFrame) -> None:
    """Raise UserError, naming every scan, where one that scores are computed on has no label."""
    lacking = cohort[(cohort.split != "train") & (cohort.label == "")]
    if len(lacking):
        said = (f"{row.subject}: a scan of the split '{row.split}' needs a label" for row in lacking.itertuples())
        raise UserError("data/cohort.csv: " + "; ".join(said) + "; add it or move the scan to train")


def patches_per_scan(cohort: pd.DataFrame, count) -> list[int]:
    """Return how many patches to cut from each scan: the split's count, shared out as equally as it goes."""
    plan = pd.Series(0, index=cohort.index)
    for split in SPLITS:
        rows = cohort.index[cohort.split == split]
        if len(rows) == 0:
            raise UserError(
                f"data/cohort.csv: no scan in the split '{split}'; raise cohort.subjects.{split} in params.yaml"
            )
        share, rest = divmod(getattr(count, split), len(rows))
        if share == 0:
            raise UserError(
                f"params.yaml: patches.count.{split} = {rest} gives nothing to some of the {len(rows)} scans; "
                f"raise it to {len(rows)} at least or lower cohort.subjects.{split}"
            )
        plan[rows] = [share + (i < rest) for i in range(len(rows))]
    return plan.tolist()


def cut_scan(task) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Cut one scan's patches: table rows, HU (n, s, s, s) float32 and labels (n, s, s, s) uint8 (255 unknown)."""
    subject, n, params, root, index = task
    settings, split = params.patches, subject["split"]
    scan = read_scan(subject, root, settings.spacing_mm, params.cohort.foreground)
    scan = Scan(
        *(None if a is None else pad(a, settings.size, fill) for a, fill in zip(scan, (volumes.AIR_HU, 0), strict=True))
    )
    rng = np.random.default_rng([settings.seed, index])
    needs = 0.0 if split == "train" else settings.min_foreground
    corners = positions(scan, n, settings, needs, rng, subject["subject"])
    cubes = [tuple(slice(c, c + settings.size) for c in corner) for corner in corners]
    hu = np.stack([scan.hu[cube] for cube in cubes])
    label = (
        np.full(hu.shape, UNKNOWN, np.uint8) if scan.label is None else np.stack([scan.label[cube] for cube in cubes])
    )
    table = pd.DataFrame(corners, columns=["z", "y", "x"])
    table["foreground"] = [np.nan if scan.label is None else float(mask.mean()) for mask in label]
    table["overlap"] = overlaps(corners, settings.size)
    for name in ("subject", "split", "held_out", "metal", "tags"):
        table[name] = subject.get(name, "")
    return table, hu, label


def read_scan(subject: dict, root: Path, spacing_mm: float, foreground: list[int] | list[str]) -> Scan:
    """Read a scan in canonical orientation at an isotropic spacing.

    The label is low-passed like the image: a voxel is foreground where bone fills half of its point spread or more.
    """
    ct = volumes.read_image(root / subject["image"])
    hu = volumes.to_array(resampling.resample(volumes.canonical(ct), spacing_mm)).astype(np.float32)
    if not subject["label"]:
        return Scan(hu, None)
    label, values = volumes.canonical(labels.read(subject["label"], root, ct)), labels.foreground_values(foreground)
    mask = volumes.like(np.isin(volumes.to_array(label), values).astype(np.float32), label)
    return Scan(hu, (volumes.to_array(resampling.resample(mask, spacing_mm)) >= 0.5).astype(np.uint8))


def pad(volume: np.ndarray, size: int, fill: float) -> np.ndarray:
    """Pad a volume at its far faces to at least size voxels an axis."""
    missing = [(0, max(0, size - n)) for n in volume.shape]
    return np.pad(volume, missing, constant_values=fill) if any(m for _, m in missing) else volume


def body_mask(hu: np.ndarray, body_hu: float) -> np.ndarray:
    """Return the largest connected region above body_hu, without what is thinner than the table (two voxels)."""
    dense = ndimage.binary_opening(hu > body_hu, iterations=2)
    regions, number = ndimage.label(dense)
    if number == 0:
        return hu > body_hu
    return regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])


def positions(scan: Scan, n: int, settings, min_foreground: float, rng, subject: str) -> np.ndarray:
    """Return n first voxels (n, 3) of cubes centred on the body that overlap as little as possible.

    For each, CANDIDATES centres are drawn uniformly within the body; the least overlap with the cubes before wins.
    Labels decide only where min_foreground > 0, which is never so in training.
    """
    centres, chosen = np.argwhere(body_mask(scan.hu, settings.body_hu)), np.empty((0, 3), int)
    limit = np.array(scan.hu.shape) - settings.size
    if len(centres) == 0:
        raise UserError(
            f"{subject}: no voxel above patches.body_hu = {settings.body_hu}; is the scan in Hounsfield units?"
        )
    for _ in range(n):
        corners = draw_corners(centres, limit, settings.size, rng)
        if min_foreground > 0:
            corners = with_foreground(corners, scan.label, centres, limit, settings.size, min_foreground, rng, subject)
        total = overlap(corners[:, None], chosen[None], settings.size).sum(1)
        chosen = np.vstack([chosen, corners[np.argmin(total)]])
    return chosen


def draw_corners(centres: np.ndarray, limit: np.ndarray, size: int, rng) -> np.ndarray:
    """Return CANDIDATES cube corners whose centres are drawn from `centres`, moved inside the volume."""
    return np.clip(centres[rng.integers(len(centres), size=CANDIDATES)] - size // 2, 0, limit)


def with_foreground(corners, label, centres, limit, size: int, minimum: float, rng, subject: str) -> np.ndarray:
    """Return the corners whose cube holds enough foreground, drawing again until there is one."""
    for _ in range(200):
        cubes = (label[tuple(slice(c, c + size) for c in corner)] for corner in corners)
        enough = np.array([cube.mean() >= minimum for cube in cubes])
        if enough.any():
            return corners[enough]
        corners = draw_corners(centres, limit, size, rng)
    raise UserError(
        f"{subject}: no patch with {minimum:.0%} foreground found; check its label or lower patches.min_foreground"
    )


def overlap(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """Return the common volume of cubes with corners a and b (..., 3), as a share of a cube."""
    return np.prod(np.clip(size - np.abs(a - b), 0, None) / size, axis=-1)


def overlaps(corners: np.ndarray, size: int) -> np.ndarray:
    """Return for each cube the largest share of it that another cube of the scan covers too."""
    shares = overlap(corners[:, None], corners[None], size)
    np.fill_diagonal(shares, 0)
    return shares.max(1, initial=0)


def write(folder: Path, table: pd.DataFrame, parts, settings) -> None:
    """Write the patches' folder.

    patches.csv   patch, split, row (in the split's arrays), subject, z, y, x (first voxel in the scan's canonical LPS
                  volume at spacing_mm), spacing_mm, foreground (share; empty when unlabelled), overlap, metal, tags
    subsets.csv   draw, labelled_patches, patch, subject
    {split}_image.npy    (N, s, s, s) float16, (HU - mean) / sd of the training patches, clipped to clip_hu before
    {split}_label.npy    (N, s, s, s) uint8, 0, 1, or 255 where unknown
    train_distance.npy   (N, s, s, s) float16, signed distance to the surface in mm, NaN without one
    normalization.json   clip_hu, mean_hu, sd_hu
    """
    folder.mkdir(parents=True, exist_ok=True)
    hu, label = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    train = hu[(table.split == "train").to_numpy()]
    normalization = Normalization.fit(train, settings.clip_hu)
    table.insert(0, "patch", range(len(table)))
    table["row"] = table.groupby("split").cumcount()
    table["spacing_mm"] = settings.spacing_mm
    for split in SPLITS:
        rows = (table.split == split).to_numpy()
        np.save(folder / f"{split}_image.npy", normalization.apply(hu[rows]).astype(np.float16))
        np.save(folder / f"{split}_label.npy", label[rows])
        if split == "train":
            np.save(folder / "train_distance.npy", distances(label[rows], settings.spacing_mm))
    columns = [
        "patch",
        "split",
        "row",
        "subject",
        "held_out",
        "z",
        "y",
        "x",
        "spacing_mm",
        "foreground",
        "overlap",
        "metal",
        "tags",
    ]
    table[columns].to_csv(folder / "patches.csv", index=False, float_format="%.6g")
    subsets.draw(table[table.split == "train"], settings).to_csv(folder / "subsets.csv", index=False)
    (folder / "normalization.json").write_text(json.dumps(normalization.to_dict(), indent=2) + "\n")


def distances(label: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return signed distances (N, s, s, s) in mm, float16; NaN in patches without surface or label."""
    result = np.full(label.shape, np.nan, np.float16)
    for row, mask in enumerate(tqdm(label, desc="distances", unit="patch")):
        if mask[0, 0, 0] != UNKNOWN:
            result[row] = metrics.signed_distance(mask == 1, (spacing_mm,) * 3)
    return result
