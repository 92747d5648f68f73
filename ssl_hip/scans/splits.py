"""Who is for training, validation and test: as the manifest says, or drawn by the seed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from ssl_hip.config import UserError
from ssl_hip.images.faults import Fault
from ssl_hip.scans import manifest


def assign(table: pd.DataFrame, cohort: SimpleNamespace) -> pd.DataFrame:
    """Return the scans with the columns split and held_out filled.

    table: columns subject, label, split. A filled column split is kept. Else cohort.split decides: `counts` draws
    cohort.subjects scans a split, validation and test from the labelled ones; with `all` and `auto` every scan is for
    training, and with `auto` held_out (text) numbers the labelled ones in random order: the draw that leaves it out.
    Raises UserError where there are too few scans or labels.
    """
    table = table.assign(held_out="")
    if not table["label"].astype(bool).any():
        raise UserError(f"{cohort.path}: no scan has a label; label one at least")
    if table["split"].any():
        return _with_train(table, cohort)
    if cohort.split == "counts":
        return _by_counts(table, cohort)
    table["split"] = "train"
    return _take_turns(table, cohort) if cohort.split == "auto" else table


def faults(table: pd.DataFrame, name: str) -> list[tuple[str, Fault]]:
    """Return what is wrong with the column split, with the subject; name: what the table is called."""
    choice, filled = ", ".join(manifest.SPLITS), table["split"].astype(bool)
    found = [
        (row.subject, Fault(name, f"subject '{row.subject}' has split '{row.split}'", f"write one of {choice}"))
        for row in table[filled & ~table["split"].isin(manifest.SPLITS)].itertuples()
    ]
    if filled.any() and not filled.all():
        said = "column split is filled for some subjects only"
        found.append((table["subject"][~filled].iloc[0], Fault(name, said, "fill it for all or for none")))
    return found


def lacks_label(row) -> bool:
    """Tell whether a scan that scores are computed on has no label."""
    return row.split in ("validation", "test") and not row.label


def _with_train(table: pd.DataFrame, cohort: SimpleNamespace) -> pd.DataFrame:
    if not (table["split"] == "train").any():
        raise UserError(f"{cohort.path}: no subject has split 'train'; name one at least")
    return table


def _by_counts(table: pd.DataFrame, cohort: SimpleNamespace) -> pd.DataFrame:
    """Shuffle by seed: validation and test take labelled scans, train takes from all that are left."""
    manifest.enough(cohort, len(table), "scans")
    wanted, shuffled = manifest.counts(cohort), _shuffled(table, cohort)
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
    chosen = shuffled[order.notna()].assign(order=order).sort_values(["order", "subject"])
    return chosen.drop(columns="order")


def _take_turns(table: pd.DataFrame, cohort: SimpleNamespace) -> pd.DataFrame:
    labelled = _shuffled(table[table["label"].astype(bool)], cohort)["subject"].tolist()
    if len(labelled) < 2:
        raise UserError(
            f"params.yaml: cohort.split: auto holds out one labelled scan in turn, but only {len(labelled)} of "
            f"{cohort.path} has a label; set cohort.split: all and optimization.select: last, or label more"
        )
    turns = {subject: str(turn) for turn, subject in enumerate(labelled)}
    return table.assign(held_out=[turns.get(subject, "") for subject in table["subject"]])


def _shuffled(table: pd.DataFrame, cohort: SimpleNamespace) -> pd.DataFrame:
    return table.sample(frac=1, random_state=np.random.default_rng([cohort.seed, 2])).reset_index(drop=True)
