"""The table of problems: data/problems.csv, and its text on the terminal."""

import sys
from pathlib import Path

import pandas as pd

from ssl_hip.config import UserError
from ssl_hip.images.faults import Fault
from ssl_hip.scans import names

COLUMNS = ["subject", "file", "problem", "remedy", "skipped"]
SHOWN = 10  # problems of one kind that the terminal shows
NAME = "data/problems.csv"


def table(found: list[tuple[str, Fault]], skipped: bool = False) -> pd.DataFrame:
    """Return subject, file, problem, remedy and skipped (1: the scan is left out), a row for each problem."""
    rows = [(names.quoted(subject), *fault, int(skipped)) for subject, fault in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def read(root: Path) -> pd.DataFrame:
    """Read data/problems.csv back."""
    return pd.read_csv(Path(root) / NAME, dtype={"subject": str}, keep_default_na=False)


def write(problems: pd.DataFrame, root: Path) -> None:
    """Write data/problems.csv; only its header where there are none."""
    path = Path(root) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    problems.to_csv(path, index=False)


def settle(
    found: list[tuple[str, Fault]], scans: int, on_error: str, root: Path, faulty_table: bool = False
) -> set[str]:
    """Write all problems; return the subjects to leave out, after a warning on the terminal.

    scans: how many were checked. on_error: stop | skip. faulty_table: the list of scans itself is at fault, so that
    nothing can be left out. Raises UserError that tells all problems where it has to stop.
    """
    skip = on_error == "skip" and not faulty_table
    problems = table(found, skipped=skip)
    write(problems, root)
    if problems.empty:
        return set()
    faulty = set(problems["subject"])
    head = f"{len(problems)} problem(s) in {len(faulty)} of {scans} scan(s); all of them: {NAME}"
    if not skip:
        raise UserError(f"{head}\n{_by_remedy(problems)}")
    print(f"{head}\n{_by_remedy(problems)}\nThese scans are left out (cohort.on_error: skip).", file=sys.stderr)
    return faulty


def _by_remedy(problems: pd.DataFrame) -> str:
    """Group what has the same remedy."""
    lines = []
    for remedy, group in problems.groupby("remedy", sort=False):
        lines += [f"- {remedy}:"] + [f"    {row.file}: {row.problem}" for row in group.head(SHOWN).itertuples()]
        lines += [f"    ... and {len(group) - SHOWN} more"] * (len(group) > SHOWN)
    return "\n".join(lines)
