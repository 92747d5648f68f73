"""Is a difference between two sets of scores more than chance? Wilcoxon's signed-rank test, corrected after Holm."""

import math

import numpy as np
import pandas as pd
from scipy import stats

METRICS = ["iou", "hd95_mm"]
FAMILY = ["labelled_patches", "unit", "metric"]


def p_value(difference: pd.Series) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; NaN where all differences are zero or there are none."""
    return stats.wilcoxon(difference).pvalue if difference.abs().max() > 0 else math.nan


def holm(p: pd.Series) -> pd.Series:
    """Return a family's p values after Holm's step-down correction; NaN stays NaN and does not count."""
    ranked = p.dropna().sort_values()
    not_smaller = np.arange(len(ranked), 0, -1)
    return (ranked * not_smaller).cummax().clip(upper=1).reindex(p.index)


def compare(scores: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Compare two sets of scores on the patches that both have, a row a metric and unit.

    scores, others: columns patch, subject, iou, hd95_mm; several rows of a patch (draws) are averaged first.
    Columns: metric, unit (patch as in the paper; scan = mean of its patches, since patches of a scan are correlated),
    n (of the unit), difference (mean of scores - others), p (two-sided; empty where all differences are zero).
    """
    first, second = (table.groupby(["subject", "patch"])[METRICS].mean() for table in (scores, others))
    patches = (first - second).astype(float).dropna()
    units = {"patch": patches, "scan": patches.groupby("subject").mean()}
    rows = [
        (metric, unit, len(table), table[metric].mean(), p_value(table[metric]))
        for unit, table in units.items()
        for metric in METRICS
    ]
    return pd.DataFrame(rows, columns=["metric", "unit", "n", "difference", "p"])


def wilcoxon(scores: pd.DataFrame, method: str) -> pd.DataFrame:
    """Compare a method with each other one at each of its labelled subsets, on the draws that both have.

    scores: as of tables.reported. Columns: labelled_patches, rival, those of `compare` (difference: method - rival),
    p_holm (p corrected for the number of rivals, within a labelled subset, unit and metric).
    """
    rows = []
    for subset, ours in scores[scores.method == method].groupby("labelled_patches", sort=False):
        rivals = scores[(scores.labelled_patches == subset) & (scores.method != method)]
        for rival, theirs in rivals.groupby("method", sort=False):
            pair = ours[ours.draw.isin(theirs.draw)], theirs[theirs.draw.isin(ours.draw)]
            rows += [(subset, rival, *row) for row in compare(*pair).itertuples(index=False)]
    table = pd.DataFrame(rows, columns=["labelled_patches", "rival", "metric", "unit", "n", "difference", "p"])
    table = table.sort_values(FAMILY, key=lambda column: pd.factorize(column)[0], ignore_index=True)
    return table.assign(p_holm=table.astype({"p": float}).groupby(FAMILY).p.transform(holm))


def against_threshold(scores: pd.DataFrame, bar: pd.DataFrame) -> pd.DataFrame:
    """Return how far each row of Table 1 is above a global threshold on the same test patches.

    scores: as of tables.reported. bar: columns patch, subject, iou, hd95_mm (threshold.csv of the patches). Columns:
    method, labelled_patches, iou_difference, iou_p, hd95_difference_mm, hd95_p; differences are row - threshold, means
    over patches; p over scans.
    """
    rows = []
    for key, ours in scores.groupby(["method", "labelled_patches"], sort=False):
        tests = compare(ours, bar).set_index(["unit", "metric"])
        iou, hd95 = ((tests.difference["patch", metric], tests.p["scan", metric]) for metric in METRICS)
        rows.append((*key, *iou, *hd95))
    columns = ["method", "labelled_patches", "iou_difference", "iou_p", "hd95_difference_mm", "hd95_p"]
    return pd.DataFrame(rows, columns=columns)
