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


def goal(by_draw: pd.DataFrame, tests: pd.DataFrame, ours: list[str], base: str, ceiling: str) -> pd.DataFrame:
    """Return a row a setting of the method: how far each part of the study's goal is reached, on test patches.

    by_draw: a row a run, columns name, draw, hd95_mm; ceiling: the network that has all labels; tests: as of
    significance.wilcoxon, with a column method.
    Columns: name, hd95_mm (mean over draws), lowest (is it below the means of all that are neither ours nor the
    ceiling), best_other (the lowest of these), draws, better (draws in which it is below base), p (Wilcoxon over scans
    against base, two-sided, after Holm), gap_closed (share of the way from base to the ceiling), reached (lowest,
    better in every draw, p < .05, gap_closed at least .5).
    """
    mean, draws = by_draw.groupby("name").hd95_mm.mean(), by_draw.set_index(["name", "draw"]).hd95_mm
    others, rows = mean.drop([*ours, ceiling], errors="ignore"), []
    over_scans = tests[(tests.unit == "scan") & (tests.metric == "hd95_mm") & (tests.rival == base)]
    for name in ours:
        pairs = (draws[name] - draws[base]).dropna()
        p = over_scans[over_scans.method == name].p_holm.min()
        closed = (mean[base] - mean[name]) / (mean[base] - mean.get(ceiling, math.nan))
        lowest, better = mean[name] < others.min(), int((pairs < 0).sum())
        reached = bool(lowest and better == len(pairs) and better and p < 1 - CONFIDENCE and closed >= 0.5)
        rows.append((name, mean[name], lowest, others.idxmin(), len(pairs), better, p, closed, reached))
    columns = ["name", "hd95_mm", "lowest", "best_other", "draws", "better", "p", "gap_closed", "reached"]
    return pd.DataFrame(rows, columns=columns)


def thirds(curves: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return what was logged in each third of the training, mean over draws: name, labelled_patches, third, columns."""
    last = curves.groupby([*SETTING, "draw"]).iteration.transform("max")
    third = np.ceil(3 * curves.iteration / last).astype(int).clip(1, 3)
    draws = curves.assign(third=third).groupby([*SETTING, "draw", "third"], sort=False)[columns].mean()
    return draws.groupby([*SETTING, "third"], sort=False).mean().reset_index()
