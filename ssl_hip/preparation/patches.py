"""Patches: isotropic cubes of the cohort's scans, normalised and stored once, and the labelled subsets."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tqdm import tqdm

from ssl_hip import checksums, parallel
from ssl_hip.config import UserError
from ssl_hip.images import labels, volumes
from ssl_hip.normalization import Normalization
from ssl_hip.preparation import cutting, subsets
from ssl_hip.preparation.cutting import Cubes, write_cubes
from ssl_hip.scans import manifest
from ssl_hip.scans.manifest import SPLITS
from ssl_hip.shape import deviation_score

UNKNOWN = 255
Part = Callable[[], Cubes]
COLUMNS = ["patch", "split", "row", "subject", "z", "y", "x", "spacing_mm", "foreground", "bright", "overlap"]
COLUMNS += ["deviation_mm", "group", "gap_voxels", "gap_mm", "metal_voxels", "metal", "tags", "held_out"]


def build(params: SimpleNamespace, cohort_csv: Path, folder: Path, workers: int | None = None) -> None:
    """Cut, normalise and write all patches (see `write`); raise UserError where the parameters do not fit the cohort.

    params: sections patches, cohort (foreground) and shape_model (groups_mm, min_surface_cm2, parts) of params.yaml. An
    interrupted build goes on where it stopped: what is cut waits in .unfinished beside `folder`, under a name that
    parameters, cohort and scans decide.
    """
    cohort, data = manifest.read(cohort_csv), cohort_csv.parent
    inputs = [params, cohort_csv.read_text()], scan_files(cohort, data)
    name = parallel.fingerprint(*inputs)
    unfinished = folder.parent / ".unfinished" / f"patches-{name}"
    jobs = plan_jobs(params, cohort, data, unfinished)
    rows = parallel.run(cutting.cut, jobs, "cutting", workers, max(map(cutting.memory_mb, jobs)), unfinished)
    if parallel.fingerprint(*inputs) != name:
        raise UserError(f"{cohort_csv}: a scan, label or fit was replaced while patches were cut; start again")
    table = choose_test(table_of(jobs, rows, params.shape_model.groups_mm), params)
    write(unfinished / folder.name, table, cubes_of(jobs, table), params.patches)
    shutil.rmtree(folder, ignore_errors=True)
    (unfinished / folder.name).rename(folder)
    parallel.discard(unfinished.parent, "patches-*")


def scan_files(cohort: pd.DataFrame, data: Path) -> list[Path]:
    """Return the files of all images, labels and shape model's fits."""
    root, files = data.parent, sorted((data / "shape_model" / "fits").glob("*"))
    files += [file for name in cohort.image for file in volumes.files(root / name)]
    return files + [file for name in cohort.label for file in labels.files(name, root)]


def plan_jobs(params: SimpleNamespace, cohort: pd.DataFrame, data: Path, folder: Path) -> list[cutting.Job]:
    """Return what to cut from which scan; raise UserError where the parameters do not fit the cohort."""
    settings, shapes = params.patches, data / "shape_model"
    candidates = SimpleNamespace(**vars(settings.count) | {"test": settings.count.test * settings.test_candidates})
    plan = patches_per_scan(cohort, candidates)
    check_labels(cohort, plan)
    subsets.check(params.patches, cohort, plan.train.tolist())
    rows = zip(cohort.to_dict("records"), plan.to_dict("records"), strict=True)
    wanted = [(subject, {split: n for split, n in counts.items() if n}) for subject, counts in rows]
    jobs = [
        cutting.Job(number, subject, counts, params, data.parent, folder, shapes)
        for number, (subject, counts) in enumerate(wanted)
    ]
    return [job for job in jobs if job.counts]


def patches_per_scan(cohort: pd.DataFrame, count: SimpleNamespace) -> pd.DataFrame:
    """Return how many patches each scan gives to each split: the split's count, shared out as equally as it goes.

    Scans that are held out in a draw (held_out) give validation patches beside their training patches. Only train
    needs scans and a count: without them, validation or test stay empty. Raises UserError.
    """
    plan, problems = pd.DataFrame(0, cohort.index, list(SPLITS)), []
    for split in SPLITS:
        giving = (cohort.split == split) | ((split == "validation") & cohort.held_out.notna())
        scans, n = int(giving.sum()), getattr(count, split)
        share, rest = divmod(n, max(scans, 1))
        if share == 0 and scans and (n or split == "train"):
            problems.append(
                f"params.yaml: patches.count.{split} = {n} gives nothing to some of the {scans} scans; raise it to "
                f"{scans} at least or lower cohort.subjects.{split}"
            )
        plan.loc[giving, split] = share + (np.arange(scans) < rest)
    if not (cohort.split == "train").any():
        problems.append("data/cohort.csv: no scan in the split 'train'; raise cohort.subjects.train in params.yaml")
    if problems:
        raise UserError("\n".join(problems))
    return plan


def check_labels(cohort: pd.DataFrame, plan: pd.DataFrame) -> None:
    """Raise UserError, naming every scan, where one that scores are computed on has no label."""
    lacking = cohort[(plan.validation + plan.test > 0) & (cohort.label == "")]
    if len(lacking):
        said = (
            f"{row.subject}: a scan that gives validation or test patches needs a label" for row in lacking.itertuples()
        )
        raise UserError("data/cohort.csv: " + "; ".join(said) + "; add it or move the scan to train")


def table_of(jobs: list[cutting.Job], rows: list[list[dict]], groups_mm: list[float]) -> pd.DataFrame:
    """Return what was cut of all scans, with what cohort.csv says of the scan and the group of the deviation.

    Columns job and place say where a patch's cubes lie: in the files of jobs[job], place counts in its split.
    """
    kept = ("subject", "metal", "tags", "held_out")
    patches = [
        {"job": number} | {name: job.subject.get(name, "") for name in kept} | patch
        for number, (job, found) in enumerate(zip(jobs, rows, strict=True))
        for patch in found
    ]
    table = pd.DataFrame(patches).astype({"foreground": float})
    place = table.groupby(["job", "split"]).cumcount()
    return table.assign(place=place, group=deviation_score.group(table.deviation_mm, groups_mm).to_numpy())


def choose_test(table: pd.DataFrame, params: SimpleNamespace) -> pd.DataFrame:
    """Keep of the test candidates equally many a group of deviation, together patches.count.test or a few more.

    Fewer where a group has fewer; without any deviation the first ones of each scan.
    """
    count, test = params.patches.count.test, table[table.split == "test"]
    if test.group.notna().any():
        each = math.ceil(count / (len(params.shape_model.groups_mm) + 1))
        kept = test.index[deviation_score.stratified(test.group, each, params.patches.seed)]
    else:
        kept = test.sort_values("place", kind="stable").index[:count]
    return table.drop(test.index.difference(kept)).reset_index(drop=True)


def cubes_of(jobs: list[cutting.Job], table: pd.DataFrame) -> dict[str, list[Part]]:
    """Return for each split the functions that open the cubes of the table's patches, a scan each, in its order."""
    parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
    for (split, number), patches in table.groupby(["split", "job"]):
        parts[split].append(partial(cutting.read_cubes, jobs[number], split, patches.place.tolist()))
    return parts


def write(folder: Path, table: pd.DataFrame, parts: dict[str, list[Part]], settings: SimpleNamespace) -> None:
    """Write the patches' folder, one scan at a time.

    table: a row a patch; parts: a function for each scan of a split that opens its Cubes, in the table's order.

    patches.csv   patch, split, row (in the split's arrays), subject, z, y, x (first voxel in the scan's canonical LPS
                  volume at spacing_mm), spacing_mm, foreground (share; empty when unlabelled), bright (share above
                  training_places.above_hu; in training below training_places.share only where a scan has too few
                  such places: its brightest ones instead), overlap (largest share that another patch of this scan
                  and split covers too), deviation_mm and group (surface deviation
                  score, see deviation_score; empty without), gap_voxels and metal_voxels (of the region's array),
                  gap_mm (median width of the joint gap within the patch; empty without), all three empty in training
                  and the gap's two where shape_model.parts names no two bones of one side, metal, tags, held_out (draw
                  in which the scan is held out of training; else empty)
    subsets.csv   draw, labelled_patches, patch, subject
    {split}_image.npy    (N, s, s, s) float16, (HU - mean) / sd of the training patches, clipped to clip_hu before
    {split}_label.npy    (N, s, s, s) uint8, 0, 1, or 255 where unknown
    train_distance.npy   (N, s, s, s) float16, signed distance to the surface in mm, NaN without one
    {split}_region.npy   (N, s, s, s) uint8, of validation and test: 1 in the joint gap (background between two bones of
                  one side that are at most joint_gap_mm apart) + 2 around metal (at most metal_mm from a voxel of
                  metal_hu or more), see regions
    normalization.json   clip_hu, mean_hu, sd_hu
    sha256.json   hashes of all these

    N may be 0 in validation and test.
    """
    folder.mkdir(parents=True, exist_ok=True)
    normalization = Normalization.fit(voxels(parts["train"], "image"), settings.clip_hu)
    cube = [settings.edge] * 3
    for split, cubes in parts.items():
        n = int((table.split == split).sum())
        bar = tqdm(voxels(cubes, "image"), f"storing {split}", n, unit="patch", mininterval=0.5)
        write_cubes(folder / f"{split}_image.npy", map(normalization.apply, bar), (n, *cube), np.float16)
        write_cubes(folder / f"{split}_label.npy", voxels(cubes, "label", UNKNOWN), (n, *cube), np.uint8)
        if split == "train":
            write_cubes(folder / "train_distance.npy", voxels(cubes, "distance", np.nan), (n, *cube), np.float16)
        else:
            write_cubes(folder / f"{split}_region.npy", voxels(cubes, "region"), (n, *cube), np.uint8)
    (folder / "normalization.json").write_text(json.dumps(normalization.to_dict(), indent=2) + "\n")
    table = table.assign(patch=range(len(table)), row=table.groupby("split").cumcount(), spacing_mm=settings.spacing_mm)
    table[COLUMNS].to_csv(folder / "patches.csv", index=False, float_format="%.6g")
    subsets.draw(table[table.split == "train"], settings).to_csv(folder / "subsets.csv", index=False)
    checksums.write(folder)


def voxels(parts: list[Part], kind: str, absent: float = np.nan) -> Iterator[np.ndarray | float]:
    """Yield the parts' patches one by one, one kind of array of Cubes; `absent` where a part lacks it."""
    for opened in (part() for part in parts):
        cubes = getattr(opened, kind)
        yield from [absent] * len(opened.image) if cubes is None else cubes
