"""Patches: isotropic cubes of the cohort's scans, normalised and stored once, and the labelled subsets."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tqdm import tqdm

from ssl_hip import cutting, dicom, labels, manifest, parallel, subsets
from ssl_hip.config import UserError
from ssl_hip.cutting import Cubes, write_cubes
from ssl_hip.manifest import SPLITS
from ssl_hip.normalization import Normalization

UNKNOWN = 255
Part = Callable[[], Cubes]
COLUMNS = ["patch", "split", "row", "subject", "z", "y", "x", "spacing_mm", "foreground", "overlap"]
COLUMNS += ["metal", "tags", "held_out"]


def build(params: SimpleNamespace, cohort_csv: Path, folder: Path, workers: int | None = None) -> None:
    """Cut, normalise and write all patches (see `write`); raise UserError where the parameters do not fit the cohort.

    params: sections patches and cohort (foreground) of params.yaml. An interrupted build goes on where it stopped:
    what is cut waits in .unfinished beside `folder`, under a name that parameters, cohort and scans decide.
    """
    cohort, root, settings = manifest.read(cohort_csv), cohort_csv.parent.parent, [params, cohort_csv.read_text()]
    unfinished = folder.parent / ".unfinished" / f"patches-{parallel.fingerprint(settings, scan_files(cohort, root))}"
    jobs = plan_jobs(params, cohort, root, unfinished)
    rows = parallel.run(cutting.cut, jobs, "cutting", workers, max(map(cutting.memory_mb, jobs)), unfinished)
    parts = {
        split: [partial(cutting.read_cubes, job, split) for job in jobs if split in job.counts] for split in SPLITS
    }
    write(unfinished / folder.name, table_of(jobs, rows), parts, params.patches)
    shutil.rmtree(folder, ignore_errors=True)
    (unfinished / folder.name).rename(folder)
    for left in unfinished.parent.glob("patches-*"):
        shutil.rmtree(left)


def scan_files(cohort: pd.DataFrame, root: Path) -> list[Path]:
    """Return the files of all images and labels; of a DICOM image its folder."""
    files = [dicom.split_path(root / name)[0] for name in cohort.image]
    files += [path for name in cohort.label if name for path in labels.paths(name, root)]
    return [path for path in files if path.exists()]


def plan_jobs(params: SimpleNamespace, cohort: pd.DataFrame, root: Path, folder: Path) -> list[cutting.Job]:
    """Return what to cut from which scan; raise UserError where the parameters do not fit the cohort."""
    plan = patches_per_scan(cohort, params.patches.count)
    check_labels(cohort, plan)
    subsets.check(params.patches, cohort, plan.train.tolist())
    rows = zip(cohort.to_dict("records"), plan.to_dict("records"), strict=True)
    wanted = [(subject, {split: n for split, n in counts.items() if n}) for subject, counts in rows]
    jobs = [
        cutting.Job(number, subject, counts, params, root, folder) for number, (subject, counts) in enumerate(wanted)
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


def table_of(jobs: list[cutting.Job], rows: list[list[dict]]) -> pd.DataFrame:
    """Return the patches of all scans, with what cohort.csv says of their scan."""
    kept = ("subject", "metal", "tags", "held_out")
    patches = [
        {name: job.subject.get(name, "") for name in kept} | patch
        for job, found in zip(jobs, rows, strict=True)
        for patch in found
    ]
    return pd.DataFrame(patches).astype({"foreground": float})


def write(folder: Path, table: pd.DataFrame, parts: dict[str, list[Part]], settings: SimpleNamespace) -> None:
    """Write the patches' folder, one scan at a time.

    table: a row a patch; parts: a function for each scan of a split that opens its Cubes, in the table's order.

    patches.csv   patch, split, row (in the split's arrays), subject, z, y, x (first voxel in the scan's canonical LPS
                  volume at spacing_mm), spacing_mm, foreground (share; empty when unlabelled), overlap (largest share
                  that another patch of this scan and split covers too), metal, tags, held_out (draw in which the scan
                  is held out of training; else empty)
    subsets.csv   draw, labelled_patches, patch, subject
    {split}_image.npy    (N, s, s, s) float16, (HU - mean) / sd of the training patches, clipped to clip_hu before
    {split}_label.npy    (N, s, s, s) uint8, 0, 1, or 255 where unknown
    train_distance.npy   (N, s, s, s) float16, signed distance to the surface in mm, NaN without one
    normalization.json   clip_hu, mean_hu, sd_hu

    N may be 0 in validation and test.
    """
    folder.mkdir(parents=True, exist_ok=True)
    normalization = Normalization.fit(voxels(parts["train"], "image"), settings.clip_hu)
    cube = [settings.size] * 3
    for split, cubes in parts.items():
        n = int((table.split == split).sum())
        bar = tqdm(voxels(cubes, "image"), f"storing {split}", n, unit="patch", mininterval=0.5)
        write_cubes(folder / f"{split}_image.npy", map(normalization.apply, bar), (n, *cube), np.float16)
        write_cubes(folder / f"{split}_label.npy", voxels(cubes, "label", UNKNOWN), (n, *cube), np.uint8)
        if split == "train":
            write_cubes(folder / "train_distance.npy", voxels(cubes, "distance", np.nan), (n, *cube), np.float16)
    (folder / "normalization.json").write_text(json.dumps(normalization.to_dict(), indent=2) + "\n")
    table = table.assign(patch=range(len(table)), row=table.groupby("split").cumcount(), spacing_mm=settings.spacing_mm)
    table[COLUMNS].to_csv(folder / "patches.csv", index=False, float_format="%.6g")
    subsets.draw(table[table.split == "train"], settings).to_csv(folder / "subsets.csv", index=False)


def voxels(parts: list[Part], kind: str, absent: float = np.nan) -> Iterator[np.ndarray | float]:
    """Yield the parts' patches one by one, one kind of array of Cubes; `absent` where a part lacks it."""
    for opened in (part() for part in parts):
        cubes = getattr(opened, kind)
        yield from [absent] * len(opened.image) if cubes is None else cubes
