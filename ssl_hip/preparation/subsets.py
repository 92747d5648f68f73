"""Labelled subsets: which training patches a run may see the labels of."""

import numpy as np
import pandas as pd

from ssl_hip.config import UserError


def check(patches, cohort: pd.DataFrame, plan: list[int]) -> None:
    """Raise UserError, naming every problem, where a labelled subset cannot be drawn from the cohort."""
    labelled = np.array(plan)[(cohort.split == "train") & (cohort.label != "")]
    in_turn = bool(cohort.held_out.notna().any())
    there, problems = len(labelled) - in_turn, []
    for size, scans in patches.subsets.items():
        if scans > there:
            reason = " (one of them is held out in each draw)" if in_turn else ""
            problems.append(
                f"patches.subsets: {size} patches of {scans} scans, only {there} training scans have a label{reason}"
            )
        elif size > sum(sorted(labelled)[:scans]):
            problems.append(
                f"patches.subsets: {scans} scans have no {size} patches; raise the scans or patches.count.train"
            )
    if problems:
        raise UserError("params.yaml: " + "; ".join(problems))


def draw(table: pd.DataFrame, settings) -> pd.DataFrame:
    """Draw nested labelled subsets: draw, labelled_patches, patch, subject.

    table: training rows of patches.csv. In each draw, scans and patches are put in one random order; a subset of
    n patches from s scans takes the smaller subset and adds patches of the first s scans, spread equally over them.
    Where labelled scans take turns being held out, a draw's scan gives none.
    """
    rows, turns = [], max(table.held_out.nunique(), 1)
    for number in range(settings.draws):
        labelled = table[table.foreground.notna() & (table.held_out != number % turns)]
        rng = np.random.default_rng([settings.seed, 1 << 20, number])
        subjects = rng.permutation(labelled.subject.unique())
        shuffled = labelled.iloc[rng.permutation(len(labelled))]
        turn = shuffled.groupby("subject").cumcount()  # 0 for each scan's first patch, and so on
        chosen: list[int] = []
        for size, scans in sorted(settings.subsets.items()):
            pool = shuffled.assign(turn=turn)[shuffled.subject.isin(subjects[:scans])].sort_values(
                "turn", kind="stable"
            )
            chosen += [patch for patch in pool.patch if patch not in chosen][: size - len(chosen)]
            rows += [(number, size, patch) for patch in chosen]
    chosen_rows = pd.DataFrame(rows, columns=["draw", "labelled_patches", "patch"])
    return chosen_rows.merge(table[["patch", "subject"]], on="patch", how="left")
