"""What every source of scans shares: rows of the manifest, splits and files."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from ssl_hip.config import UserError

SPLITS = ("train", "validation", "test")
SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".dcm")
Row = dict[str, Any]


def counts(cohort: SimpleNamespace) -> dict[str, int]:
    """Subjects asked for, a split each."""
    return {split: int(getattr(cohort.subjects, split)) for split in SPLITS}


def from_root(path: Path | str, root: Path) -> str:
    """Return a path as cohort.csv and messages name it: from root where it lies below or beside it, else absolute."""
    near = os.path.relpath(path, root)
    return os.path.abspath(path) if near.startswith(os.path.join("..", "..")) else near


def row(
    subject: str, split: str, image: str, label: str, spacing: tuple, metal: int, tags: str, held_out: str = ""
) -> Row:
    """First columns of a subject's row; spacing (x, y, z) of the file's axes; held_out: the draw that leaves it out."""
    sizes = {f"spacing_{axis}_mm": round(float(s), 4) for axis, s in zip("xyz", spacing, strict=True)}
    first = dict(subject=subject, split=split, image=image, label=label)
    return first | sizes | dict(metal=metal, tags=tags, held_out=held_out)


def read(cohort_csv: Path) -> pd.DataFrame:
    """Read data/cohort.csv back: texts that are empty are "", an empty held_out is NaN."""
    texts = {"dtype": {"subject": str}, "keep_default_na": False}
    return pd.read_csv(cohort_csv, **texts, na_values={"held_out": ""})


def stem(path: Path | str) -> str:
    """File name without the suffix of a volume; a DICOM folder's name without the series after #."""
    name = Path(str(path).split("#")[0]).name
    return next((name[: -len(s)] for s in SUFFIXES if name.endswith(s)), name)


def volume_files(folder: Path) -> list[Path]:
    """Volumes in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and not path.name.startswith("."))


def enough(cohort: SimpleNamespace, found: int, what: str) -> None:
    """Raise UserError where more subjects are asked for than there are."""
    wanted = counts(cohort)
    if sum(wanted.values()) > found:
        asked = " + ".join(f"{count} {split}" for split, count in wanted.items())
        raise UserError(
            f"params.yaml: cohort.subjects asks for {asked} = {sum(wanted.values())} subjects, but "
            f"{cohort.path} holds {found} {what}; lower cohort.subjects or add files"
        )
