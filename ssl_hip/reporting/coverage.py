"""How much of the bone's surface the certain pseudo-labels leave out, and whether matching fills it rightly."""

import numpy as np
import pandas as pd

from ssl_hip import metrics
from ssl_hip.reporting.tables import ROW, RUN, Runs

LOGGED = ["near_surface_uncertain_share", "near_surface_accuracy_matched", "near_surface_accuracy_pseudo"]


def coverage(runs: Runs, names: list[str]) -> pd.DataFrame:
    """Return what the named runs logged near the surface of unlabelled patches, a row a third of the training.

    names: embedding matching and variants of it. Columns: method, labelled_patches, third (1, 2, 3), draws, and mean
    and sd over draws of the LOGGED columns of history.csv: share of near-surface voxels on which the teacher is
    uncertain, and how often the matched label and the teacher's argmax are right on these. Empty where the truth is
    unknown or nothing is uncertain.
    """
    logged = runs.history[runs.history.method.isin(names)].merge(runs.info[[*RUN, "iterations"]], on=RUN)
    logged = logged.reindex(columns=[*RUN, "iteration", "iterations", *LOGGED])
    third = np.ceil(3 * logged.iteration.astype(float) / logged.iterations.astype(float)).astype(int)
    draws = logged.assign(third=third).groupby([*RUN, "third"], sort=False)[LOGGED].mean()
    parts = draws.groupby([*ROW, "third"], sort=False)
    table = parts.size().to_frame("draws")
    for name in LOGGED:
        table[[f"{name}_mean", f"{name}_sd"]] = parts[name].agg(["mean", "std"])
    return table.reset_index()


def describe(row: pd.Series) -> str:
    """Say in one line what a row of `coverage` means."""
    share, matched, pseudo = (getattr(row, f"{name}_mean") for name in LOGGED)
    if np.isnan(share):
        return metrics.NOT_AVAILABLE
    left_out = f"L_UA leaves out {share:.1%} of the surface"
    if np.isnan(matched):
        return f"{left_out}: nothing to fill"
    verdict = "more rightly" if matched > pseudo else "no more rightly"
    return f"{left_out}; matching fills it {verdict} ({matched:.1%}) than the teacher's argmax would ({pseudo:.1%})"
