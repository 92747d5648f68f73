"""What every source of scans shares: rows of the manifest, splits, files, and how problems are reported."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ssl_hip.config import UserError

SPLITS = ("train", "validation", "test")
SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
Row = dict[str, Any]


def counts(cohort: SimpleNamespace) -> dict[str, int]:
    """Subjects asked for, a split each."""
    return {split: int(getattr(cohort.subjects, split)) for split in SPLITS}


def row(subject: str, split: str, image: str, label: str, spacing: tuple, metal: int, tags: str) -> Row:
    """First columns of a subject's row; spacing (x, y, z) of the file's axes."""
    sizes = {f"spacing_{axis}_mm": round(float(s), 4) for axis, s in zip("xyz", spacing, strict=True)}
    return dict(subject=subject, split=split, image=image, label=label) | sizes | dict(metal=metal, tags=tags)


def stem(path: Path) -> str:
    """File name without the suffix of a volume."""
    return next((path.name[: -len(s)] for s in SUFFIXES if path.name.endswith(s)), path.stem)


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


def report(problems: list[str]) -> None:
    """Raise one UserError that lists all problems, if any."""
    if problems:
        raise UserError(f"{len(problems)} problem(s) in the cohort's input:\n" + "\n".join(f"- {p}" for p in problems))
