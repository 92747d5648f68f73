"""The user's own scans: listed by their layout, checked, split, and referenced where they lie."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from ssl_hip.config import UserError
from ssl_hip.images.faults import Fault
from ssl_hip.scans import checks, layouts, manifest, names, problems, splits


def rows(cohort: SimpleNamespace, root: Path, workers: int | None = None) -> list[manifest.Row]:
    """Return the cohort's rows of the scans at cohort.path (from `root`), after a check of every one of them.

    cohort: path, layout, foreground, background, split, subjects, seed, on_error of params.yaml. Writes
    data/problems.csv. Raises UserError that tells the problems of all scans; with on_error: skip scans with problems
    are left out instead, unless the list of scans itself is at fault.
    """
    table = _listed(cohort, root)
    found = checks.examine(table, checks.Values.of(cohort), root, workers)
    in_table = _table_faults(table, cohort.path)
    in_scans = [
        (row.subject, fault) for row, each in zip(table.itertuples(), found, strict=True) for fault in each.faults
    ]
    unlabelled = [(row.subject, _lacks_label(row)) for row in table.itertuples() if splits.lacks_label(row)]
    left_out = problems.settle(in_table + in_scans + unlabelled, len(table), cohort.on_error, root, bool(in_table))
    learned = dict(spacing=[each.spacing for each in found], content=[each.content for each in found])
    table = table.assign(**learned)[~table["subject"].isin(left_out)]
    if table.empty:
        raise UserError(f"{cohort.path}: every scan has a problem; all of them: {problems.NAME}")
    return [_row(row) for row in splits.assign(table, cohort).itertuples()]


def _listed(cohort: SimpleNamespace, root: Path) -> pd.DataFrame:
    """List the scans, paths as manifest.from_root gives them."""
    source = root / cohort.path
    if not cohort.path or not source.exists():
        raise UserError(
            f"params.yaml: cohort.path '{cohort.path}' does not exist; name what cohort.layout: {cohort.layout} expects"
        )
    table = layouts.table(cohort.layout, source, cohort.foreground)
    if table.empty:
        raise UserError(f"{cohort.path}: lists no scans; add some")
    for column in ("image", "label"):
        paths = table[column].str.split(";")
        table[column] = [";".join(manifest.from_root(path, root) for path in each if path) for each in paths]
    return table


def _table_faults(table: pd.DataFrame, name: str) -> list[tuple[str, Fault]]:
    doubled = table["subject"][table["subject"].duplicated()].unique()
    remedy = "give every scan a name of its own"
    found = [(s, Fault(name, f"subject '{s}' occurs more than once", remedy)) for s in doubled if s]
    if not table["subject"].all():
        found.append(("", Fault(name, "a scan has no subject", remedy)))
    for row in table[(table["image"] == "") & (table["label"] == "")].itertuples():
        found.append((row.subject, Fault(name, f"subject '{row.subject}' has no image", "name it or drop the row")))
    for what, column in (("subject", "subject"), ("tag", "tags")):
        found += names.faults(table[column].unique().tolist(), what, name)
    return found + splits.faults(table, name)


def _lacks_label(row) -> Fault:
    return Fault(row.image, f"'{row.subject}' is in {row.split} without label", "label it or move it to train")


def _row(row) -> manifest.Row:
    metal = int(row.metal.strip().lower() in ("1", "true", "yes"))
    first = manifest.row(row.subject, row.split, row.image, row.label, row.spacing, metal, row.tags, row.held_out)
    return first | {"content": row.content}
