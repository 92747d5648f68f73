"""The user's own scans: a manifest CSV or a folder with images/ and labels/, checked and referenced in place."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from tqdm import tqdm

from ssl_hip import checks, manifest
from ssl_hip.config import UserError


def rows(cohort: SimpleNamespace, root: Path) -> list[manifest.Row]:
    """Return the manifest's rows of the scans at cohort.path (from `root`), after a check of every one of them.

    Columns of a manifest: subject, image, label (empty when unlabelled, in train only) and, if wanted, split, metal,
    tags. Without splits they are drawn by cohort.seed in the numbers of cohort.subjects. Raises UserError that lists
    the problems of all scans.
    """
    source = root / cohort.path
    if not cohort.path or not source.exists():
        raise UserError(
            f"params.yaml: cohort.path '{cohort.path}' does not exist; name a manifest CSV "
            "(subject,image,label[,split]) or a folder with images/ and labels/"
        )
    table = _folder_manifest(source) if source.is_dir() else _read_manifest(source)
    if table.empty:
        raise UserError(f"{cohort.path}: holds no scans (files ending in {', '.join(manifest.SUFFIXES)})")
    problems = _manifest_problems(table, cohort.path)
    for row in tqdm(table.itertuples(), total=len(table), desc="check", unit="scan"):
        problems += checks.check_pair(row.image, row.label or None, list(cohort.foreground))
    manifest.report(problems)
    if not table["split"].any():
        table = _split(table, cohort)
    return [_scan_row(row, root) for row in table.itertuples()]


def _folder_manifest(source: Path) -> pd.DataFrame:
    """Pair images/ and labels/ by file name; an image without a label of its name is unlabelled."""
    if not (source / "images").is_dir():
        raise UserError(f"{source}: has no folder images/; put scans in images/ and labels of equal names in labels/")
    images, folder = manifest.volume_files(source / "images"), source / "labels"
    labels = {manifest.stem(path): path for path in manifest.volume_files(folder)} if folder.is_dir() else {}
    table = pd.DataFrame({"subject": [manifest.stem(path) for path in images], "image": [str(path) for path in images]})
    table["label"] = [str(labels.get(subject, "")) for subject in table["subject"]]
    lonely = sorted(set(labels) - set(table["subject"]))
    manifest.report([f"{labels[name]}: images/ has no file of this name; add it or drop the label" for name in lonely])
    return table.assign(split="", metal="0", tags="")


def _read_manifest(source: Path) -> pd.DataFrame:
    """Read a manifest CSV; relative paths are meant from the manifest's own folder."""
    table = pd.read_csv(source, dtype=str, keep_default_na=False, skipinitialspace=True)
    missing = [name for name in ("subject", "image", "label") if name not in table.columns]
    if missing:
        raise UserError(f"{source}: column(s) {', '.join(missing)} missing; the header is subject,image,label[,split]")
    for column, default in (("split", ""), ("metal", "0"), ("tags", "")):
        table[column] = table[column] if column in table.columns else default
    for column in ("image", "label"):
        table[column] = [str(source.parent / path) if path else "" for path in table[column]]
    return table


def _manifest_problems(table: pd.DataFrame, name: str) -> list[str]:
    doubled = table["subject"][table["subject"].duplicated()].unique()
    problems = [f"{name}: subject '{s}' occurs more than once; give every scan a name of its own" for s in doubled]
    with_split = table["split"].astype(bool)
    for row in table[with_split].itertuples():
        if row.split not in manifest.SPLITS:
            choice = ", ".join(manifest.SPLITS)
            problems.append(f"{name}: subject '{row.subject}' has split '{row.split}'; write one of {choice}")
        elif row.split != "train" and not row.label:
            problems.append(f"{name}: subject '{row.subject}' is in {row.split} without label; move it to train")
    if with_split.any() and not with_split.all():
        problems.append(f"{name}: column split is filled for some subjects only; fill it for all or for none")
    absent = [split for split in manifest.SPLITS if split not in set(table["split"])] if with_split.all() else []
    return problems + [f"{name}: no subject has split '{split}'; every split needs one" for split in absent]


def _split(table: pd.DataFrame, cohort: SimpleNamespace) -> pd.DataFrame:
    """Shuffle by seed: validation and test take labelled scans, train takes from all that are left."""
    manifest.enough(cohort, len(table), "scans")
    wanted = manifest.counts(cohort)
    shuffled = table.sample(frac=1, random_state=np.random.default_rng([cohort.seed, 2])).reset_index(drop=True)
    held = wanted["validation"] + wanted["test"]
    labelled = shuffled.index[shuffled["label"].astype(bool)]
    if held > len(labelled):
        raise UserError(
            f"params.yaml: cohort.subjects asks for {held} validation and test scans, but only "
            f"{len(labelled)} of {cohort.path} have a label; lower the counts or label more"
        )
    shuffled.loc[labelled[: wanted["validation"]], "split"] = "validation"
    shuffled.loc[labelled[wanted["validation"] : held], "split"] = "test"
    shuffled.loc[shuffled.index.difference(labelled[:held])[: wanted["train"]], "split"] = "train"
    order = shuffled["split"].map({split: i for i, split in enumerate(manifest.SPLITS)})
    return shuffled[order.notna()].assign(order=order).sort_values(["order", "subject"])


def _scan_row(row: Any, root: Path) -> manifest.Row:
    header = sitk.ImageFileReader()
    header.SetFileName(row.image)
    header.ReadImageInformation()
    image, label = (os.path.relpath(path, root) if path else "" for path in (row.image, row.label))
    metal = int(row.metal.strip().lower() in ("1", "true", "yes"))
    return manifest.row(row.subject, row.split, image, label, header.GetSpacing(), metal, row.tags)
