"""What the results say, in sentences: tables of results/ in, words out.

A difference counts as shown where Wilcoxon's test over scans, corrected after Holm, is significant and the difference
exceeds the spread over draws (`apart`). Everything else is NO_DIFFERENCE, however the means stand.
"""

import numpy as np
import pandas as pd

from ssl_hip import metrics
from ssl_hip.reporting import significance
from ssl_hip.reporting.ablations import BASE
from ssl_hip.reporting.tables import ROW

NO_DIFFERENCE = "no difference that these draws could show"
MEAN = {"iou": "iou_mean", "hd95_mm": "hd95_mean_mm"}
SD = {"iou": "iou_sd", "hd95_mm": "hd95_sd_mm"}
NAME = {"iou": "IoU", "hd95_mm": "HD95 (mm)"}
DIGITS = {"iou": 3, "hd95_mm": 2}
BETTER = {"iou": 1, "hd95_mm": -1}  # sign of a difference that is an improvement


def spread(mean: float, sd: float, digits: int) -> str:
    """Return "mean ± sd", the mean alone where one draw has no spread, nothing where there is no score."""
    if np.isnan(mean):
        return ""
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")


def apart(first: float, first_sd: float, second: float, second_sd: float) -> bool:
    """Say whether two means differ by more than twice the larger spread over draws; never where no spread is known."""
    known = [sd for sd in (first_sd, second_sd) if not np.isnan(sd)]
    return bool(known) and abs(first - second) > 2 * max(known)


def judge(first, second, metric: str, p: float, alpha: float) -> str:
    """Return "better", "worse" or NO_DIFFERENCE for `first` against `second`, rows with the metric's mean and sd."""
    mean, sd = MEAN[metric], SD[metric]
    if not (p < alpha and apart(first[mean], first[sd], second[mean], second[sd])):
        return NO_DIFFERENCE
    return direction(first, second, metric)


def direction(first, second, metric: str) -> str:
    """Say which way the means of two rows stand."""
    return "better" if BETTER[metric] * (first[MEAN[metric]] - second[MEAN[metric]]) > 0 else "worse"


def judged(name: str, first, second, metric: str, p: float, alpha: float) -> dict[str, str]:
    """Return the verdict of `judge` by a name, which tells a difference that is significant but within the spread."""
    verdict = judge(first, second, metric, p, alpha)
    alone = f" ({direction(first, second, metric)} by the test alone)" if verdict == NO_DIFFERENCE and p < alpha else ""
    return {name + alone: verdict}


def listing(verdicts: dict[str, str]) -> str:
    """Return the names that share each verdict of `judge`: "better: a, b; worse: none; no difference ...: c"."""
    if not verdicts:
        return metrics.NOT_AVAILABLE
    kinds = ("better", "worse", NO_DIFFERENCE)
    named = {kind: ", ".join(name for name, each in verdicts.items() if each == kind) for kind in kinds}
    return "; ".join(f"{kind}: {names or 'none'}" for kind, names in named.items())


def against(verdicts: dict[str, str]) -> str:
    """Say what stands against each of the names: "better than a, b; no difference ... from c"."""
    links = {"better": "better than", "worse": "worse than", NO_DIFFERENCE: f"{NO_DIFFERENCE} from"}
    named = {link: [name for name, each in verdicts.items() if each == kind] for kind, link in links.items()}
    return "; ".join(f"{link} {', '.join(names)}" for link, names in named.items() if names) or metrics.NOT_AVAILABLE


def against_rivals(table1: pd.DataFrame, tests: pd.DataFrame, subset: str, metric: str, alpha: float) -> dict[str, str]:
    """Return the verdict of `judge` for embedding matching against each rival at a labelled subset.

    tests: as of significance.wilcoxon; those over scans count.
    """
    rows = table1[table1.labelled_patches == subset].set_index("method")
    chosen = tests[(tests.labelled_patches == subset) & (tests.unit == "scan") & (tests.metric == metric)]
    verdicts = {}
    for test in chosen.itertuples():
        verdicts |= judged(test.rival, rows.loc[BASE], rows.loc[test.rival], metric, test.p_holm, alpha)
    return verdicts


def leader(table1: pd.DataFrame, tests: pd.DataFrame, subset: str, alpha: float) -> str:
    """Say which method has the lowest mean HD95 at a labelled subset, by how much, and what the tests make of it."""
    rows = table1[table1.labelled_patches == subset].dropna(subset="hd95_mean_mm").sort_values("hd95_mean_mm")
    if rows.empty:
        return f"{subset} labelled patches: {metrics.NOT_AVAILABLE}."
    first = rows.iloc[0]
    text = f"{subset} labelled patches, {first.draws} draw(s): the lowest mean HD95 is that of {first.method}, "
    text += f"{spread(first.hd95_mean_mm, first.hd95_sd_mm, 2)} mm"
    if len(rows) > 1:
        text += f", {rows.iloc[1].hd95_mean_mm - first.hd95_mean_mm:.2f} mm below {rows.iloc[1].method}"
    if BASE not in set(rows.method):
        return f"{text}. Not tested: the tests are those of {BASE}."
    hd95, iou = (against(against_rivals(table1, tests, subset, metric, alpha)) for metric in ("hd95_mm", "iou"))
    ours = rows[rows.method == BASE].iloc[0]
    figure = f"{spread(ours.hd95_mean_mm, ours.hd95_sd_mm, 2)} mm"
    return f"{text}. {BASE} ({figure}) by HD95: {hd95}. By IoU: {iou}."


def trend(table1: pd.DataFrame, method: str, metric: str) -> str:
    """Say how a method's mean goes with the number of labels, `supervised` up to all of them, by the spread alone."""
    names = [method, "ceiling"] if method == "supervised" else [method]
    rows = table1[table1.method.isin(names)].dropna(subset=MEAN[metric]).to_dict("records")
    if not rows:
        return f"{method}, {NAME[metric]}: {metrics.NOT_AVAILABLE}."
    values = ", ".join(
        f"{spread(row[MEAN[metric]], row[SD[metric]], DIGITS[metric])} with {row['labelled_patches']}" for row in rows
    )
    steps = []
    for few, many in zip(rows, rows[1:], strict=False):
        verdict = judge(many, few, metric, 0, 1)  # different labelled subsets: the spread decides, no test is made
        verdict += "" if verdict == NO_DIFFERENCE else " by more than the draws spread"
        steps.append(f"from {few['labelled_patches']} to {many['labelled_patches']} {verdict}")
    lengths = sorted({int(row["iterations"]) for row in rows})
    longer = f"; not all trained as long: {lengths[0]:,} to {lengths[-1]:,} iterations" if len(lengths) > 1 else ""
    steps = ", ".join(steps) or "nothing to compare with"
    return f"{method}, {NAME[metric]}: {values} labelled patches; {steps}{longer}."


def above_threshold(table1: pd.DataFrame, threshold: pd.DataFrame, metric: str, alpha: float) -> str:
    """Say which rows of Table 1 are better or worse than the global threshold, p over scans corrected for all rows.

    threshold: as of significance.against_threshold.
    """
    difference, p = {"iou": ("iou_difference", "iou_p"), "hd95_mm": ("hd95_difference_mm", "hd95_p")}[metric]
    rows = threshold.assign(p_holm=significance.holm(threshold[p].astype(float))).merge(table1, on=ROW)
    verdicts = {}
    for row in rows.to_dict("records"):
        bar = {MEAN[metric]: row[MEAN[metric]] - row[difference], SD[metric]: np.nan}
        verdicts |= judged(f"{row['method']}-{row['labelled_patches']}", row, bar, metric, row["p_holm"], alpha)
    return f"{NAME[metric]} against the threshold, {listing(verdicts)}."


def variants(table: pd.DataFrame, alpha: float) -> list[str]:
    """Say for each labelled subset and metric which variants of Table 2 or 3 differ from embedding matching."""
    if set(table.variant) <= {BASE}:
        return ["No variant was trained."]
    if BASE not in set(table.variant):
        return [f"{BASE} itself was not trained: nothing to compare the variants with."]
    return [
        f"{subset} labelled patches, {NAME[metric]} of the variants: {described}."
        for subset, rows in table.groupby("labelled_patches", sort=False)
        for metric in ("hd95_mm", "iou")
        for described in [against_base(rows, metric, alpha)]
    ]


def against_base(rows: pd.DataFrame, metric: str, alpha: float) -> str:
    """Group a subset's variants by how they stand to embedding matching, each with its difference."""
    rows = rows.set_index("variant")
    base, verdicts = rows.loc[BASE], {}
    for name, row in rows.drop(BASE).dropna(subset=MEAN[metric]).iterrows():
        away = row[MEAN[metric]] - base[MEAN[metric]]
        p = row[f"{metric.removesuffix('_mm')}_p_scan"]
        verdicts |= judged(f"{name} ({away:+.{DIGITS[metric]}f})", row, base, metric, p, alpha)
    return listing(verdicts)


def filling(coverage: pd.DataFrame) -> list[str]:
    """Say for each labelled subset whether matching was right where L_UA had no label, in the last third."""
    share, matched, pseudo = ("near_surface_" + n for n in ("uncertain_share", "accuracy_matched", "accuracy_pseudo"))
    said = []
    for row in coverage[(coverage.method == BASE) & (coverage.third == 3)].to_dict("records"):
        m, m_sd, p, p_sd = (row[f"{name}_{kind}"] for name in (matched, pseudo) for kind in ("mean", "sd"))
        if np.isnan(m):
            said.append(f"{row['labelled_patches']} labelled patches: {metrics.NOT_AVAILABLE}.")
            continue
        verdict = NO_DIFFERENCE if not apart(m, m_sd, p, p_sd) else "more rightly" if m > p else "less rightly"
        said.append(
            f"{row['labelled_patches']} labelled patches, last third of the training: L_UA leaves out "
            f"{row[f'{share}_mean']:.1%} of the voxels near the surface; on these matching is right in {m:.1%}, "
            f"the teacher's argmax in {p:.1%}: {verdict}."
        )
    return said or [f"Matching: {metrics.NOT_AVAILABLE}."]


def ranking(table: pd.DataFrame, value: str, name: str, highest: bool) -> list[str]:
    """Say for each labelled subset which method has the best mean of a column, and whether the next one is apart.

    table: columns method, labelled_patches, draw and the value. No test is made: the spread over draws decides.
    """
    means = table.groupby(ROW, sort=False)[value].agg(["mean", "std"]).dropna(subset="mean").reset_index()
    said = []
    for subset, rows in means.groupby("labelled_patches", sort=False):
        rows = rows.sort_values("mean", ascending=not highest).reset_index(drop=True)
        text = f"{subset} labelled patches: the {'highest' if highest else 'lowest'} {name} is that of "
        text += f"{rows.method[0]}, {spread(rows['mean'][0], rows['std'][0], 3)}"
        if len(rows) > 1:
            away = apart(rows["mean"][0], rows["std"][0], rows["mean"][1], rows["std"][1])
            text += f"; {rows.method[1]} has {spread(rows['mean'][1], rows['std'][1], 3)}: "
            text += "apart by more than the draws spread" if away else NO_DIFFERENCE
        said.append(text + ".")
    return said or [f"{name}: {metrics.NOT_AVAILABLE}."]


def markdown_table(table: pd.DataFrame, text: int = 1) -> str:
    """Return a table in Markdown, NaN empty: the first `text` columns to the left, the others to the right."""
    cells = table.astype(object).where(table.notna(), "").astype(str)
    lines = [list(table.columns), [":--"] * text + ["--:"] * (table.shape[1] - text), *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
