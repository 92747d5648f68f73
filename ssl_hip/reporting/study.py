"""Tables of the study: what each trial gives, and how far it differs from another on the same draws."""

import math

import numpy as np
import pandas as pd
from scipy import stats

METRICS = ["iou", "hd95_mm"]
SETTING = ["name", "labelled_patches"]
CONFIDENCE = 0.95


def over_draws(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a setting and labelled subset, in the order of the rows.

    runs: columns of results/study/trials.csv or runs.csv, scores on validation patches. Columns: question, name,
    labelled_patches, draws, collapsed (number), then mean and sd over draws of iou and hd95_mm at the weights kept and
    at the last iteration; sd is empty for one draw.
    """
    grouped = runs.groupby(["question", *SETTING], sort=False)
    table = grouped.agg(draws=("draw", "size"), collapsed=("status", lambda status: int((status == "collapsed").sum())))
    for column in (*METRICS, *(f"last_{metric}" for metric in METRICS)):
        table[f"{column}_mean"], table[f"{column}_sd"] = grouped[column].mean(), grouped[column].std()
    return table.reset_index()


def differences(runs: pd.DataFrame, base: str, columns: list[str] = METRICS) -> pd.DataFrame:
    """Compare every setting with the one called `base`, draw by draw, at the same labelled subset.

    Columns: name, labelled_patches, metric, draws (that both have), difference (mean of setting - base), low, high
    (95 % confidence interval of that mean, t distribution over draws; empty for one draw), better (draws in which the
    setting is better: higher iou, lower hd95).
    """
    ours, rows = runs[runs.name == base].set_index(["labelled_patches", "draw"]), []
    for (name, subset), theirs in runs[runs.name != base].groupby(SETTING, sort=False):
        for metric in columns:
            pairs = theirs.set_index(["labelled_patches", "draw"])[metric] - ours[metric]
            found = pairs.dropna().to_numpy()
            if len(found):
                wins = int((found > 0).sum() if metric.endswith("iou") else (found < 0).sum())
                rows.append((name, subset, metric, len(found), found.mean(), *interval(found), wins))
    return pd.DataFrame(rows, columns=[*SETTING, "metric", "draws", "difference", "low", "high", "better"])


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the confidence interval of a mean by Student's t; NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return values.mean() - half, values.mean() + half


def thirds(curves: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return what was logged in each third of the training, mean over draws: name, labelled_patches, third, columns."""
    last = curves.groupby([*SETTING, "draw"]).iteration.transform("max")
    third = np.ceil(3 * curves.iteration / last).astype(int).clip(1, 3)
    draws = curves.assign(third=third).groupby([*SETTING, "draw", "third"], sort=False)[columns].mean()
    return draws.groupby([*SETTING, "third"], sort=False).mean().reset_index()
