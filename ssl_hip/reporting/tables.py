"""The paper's tables from finished runs: exactly those that params.yaml lists, with spread and significance."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from scipy import stats

from ssl_hip.config import UserError

# Table 1 of Xie et al. 2024 as far as this repository cites it: 50 labelled patches of 4 scans, private data, 1 mm.
PAPER_TABLE_1 = pd.DataFrame(
    [
        ("supervised", 50, 4, 0.894, 9.45),
        ("mean_teacher", 50, 4, 0.918, 6.39),
        ("dtc", 50, 4, 0.927, 4.07),
        ("embedding_matching", 50, 4, 0.929, 3.30),
    ],
    columns=["method", "labelled_patches", "labelled_scans", "iou_mean", "hd95_mean_mm"],
)
RUN = ["method", "labelled_patches", "draw"]
ROW = ["method", "labelled_patches"]


class Runs(NamedTuple):
    """All finished runs of the grid."""

    scores: (
        pd.DataFrame
    )  # scores.csv of all runs, one below the other, both networks; no rows without labels to score by
    validation: pd.DataFrame  # RUN columns and those of validation.csv
    history: pd.DataFrame  # RUN columns and those of history.csv
    info: pd.DataFrame  # RUN columns, status, iterations, kept_iteration, network


def grid(train) -> list[tuple[str, str, int]]:
    """Return (method, labelled_patches, draw) of every run that section `train` of params.yaml asks for."""
    runs = [(m, str(n), d) for m in train.methods for n in train.labelled_patches for d in train.draws]
    return runs + [("ceiling", "all", d) for d in train.ceiling_draws]


def read_runs(folder: Path, runs: list[tuple[str, str, int]]) -> Runs:
    """Read the runs' files below `folder`; raise UserError that names every run that is missing."""
    folders = {run: folder / "-".join(map(str, run)) for run in runs}
    missing = [path.name for path in folders.values() if not (path / "run.json").is_file()]
    if missing:
        raise UserError(f"runs/: not trained yet: {', '.join(missing)}; type 'dvc repro'")

    def stack(file: str) -> pd.DataFrame:
        parts = []
        for run, path in folders.items():
            part = pd.read_csv(path / file, dtype={"subject": str}).assign(**dict(zip(RUN, run, strict=True)))
            parts.append(part[RUN + [name for name in part.columns if name not in RUN]])
        return pd.concat(parts, ignore_index=True)

    keys = ["status", "iterations", "kept_iteration", "network"]
    info = [dict(zip(RUN, run, strict=True)) | read_keys(path / "run.json", keys) for run, path in folders.items()]
    return Runs(stack("scores.csv"), stack("validation.csv"), stack("history.csv"), pd.DataFrame(info))


def read_keys(path: Path, keys: list[str]) -> dict:
    """Return some keys of a JSON file."""
    content = json.loads(path.read_text())
    return {key: content[key] for key in keys}


def reported(runs: Runs) -> pd.DataFrame:
    """Return the scores that tables show: those of the network in run.json, and the EMA of `supervised` as a method.

    supervised_ema is the baseline's averaged weights at the student's best checkpoint.
    """
    scores = runs.scores.merge(runs.info[[*RUN, "network"]], on=RUN, suffixes=("", "_reported"))
    baseline = scores.method == "supervised"
    shown = scores[(scores.network == scores.network_reported) & ~baseline | baseline & (scores.network == "student")]
    ema = scores[baseline & (scores.network == "teacher")].assign(method="supervised_ema")
    scores = pd.concat([shown, ema]).drop(columns="network_reported")
    return scores.sort_values("method", key=lambda names: names.map(order(runs)), kind="stable", ignore_index=True)


def order(runs: Runs) -> dict[str, float]:
    """Return the place of each method in tables: as in params.yaml, supervised_ema after supervised."""
    places = {name: float(place) for place, name in enumerate(runs.info.method.unique())}
    return places | {"supervised_ema": places.get("supervised", 0) + 0.5}


def table1(runs: Runs, subsets: pd.DataFrame) -> pd.DataFrame:
    """Return Table 1, a row a method and labelled subset.

    Columns: method, labelled_patches, labelled_scans, draws (number), iou_mean, iou_sd, hd95_mean_mm, hd95_median_mm,
    hd95_sd_mm, missed, false_alarm (patches, mean over draws), collapsed (draws). Means are over draws of the mean over
    test patches; sd is over the draws' means, empty for one draw; the median is the mean over draws of the median.
    Scores are empty where no test or validation patch has a label. subsets: the table subsets.csv of the patches.
    """
    scores = reported(runs)
    per_draw = scores.groupby(RUN, sort=False).agg(
        iou=("iou", "mean"),
        hd95=("hd95_mm", "mean"),
        median=("hd95_mm", "median"),
        missed=("missed", "sum"),
        false_alarm=("false_alarm", "sum"),
    )
    status = runs.info.assign(collapsed=runs.info.status == "collapsed")
    ema = status[status.method == "supervised"].assign(method="supervised_ema")
    rows = pd.concat([status, ema]).sort_values("method", key=lambda names: names.map(order(runs)), kind="stable")
    per_draw = rows.set_index(RUN)[["collapsed"]].join(per_draw)
    table = per_draw.groupby(ROW, sort=False).agg(
        draws=("collapsed", "size"), iou_mean=("iou", "mean"), iou_sd=("iou", "std"), hd95_mean_mm=("hd95", "mean"),
        hd95_median_mm=("median", "mean"), hd95_sd_mm=("hd95", "std"), missed=("missed", "mean"),
        false_alarm=("false_alarm", "mean"), collapsed=("collapsed", "sum"),
    ).reset_index()  # fmt: skip
    scans = subsets.groupby(["labelled_patches", "draw"]).subject.nunique().groupby("labelled_patches").max()
    table = table.sort_values("labelled_patches", key=lambda n: n.replace("all", "1e9").astype(float), kind="stable")
    table.insert(2, "labelled_scans", [scans.get(int(n), "") if n != "all" else "all" for n in table.labelled_patches])
    return table


def wilcoxon(runs: Runs, method: str = "embedding_matching") -> pd.DataFrame:
    """Return Wilcoxon signed-rank tests of a method against each other one, two-sided.

    Columns: labelled_patches, rival, metric, unit (patch as in the paper; scan = mean of its patches, since patches of
    a scan are correlated), n, difference (mean of method - rival), p (empty where all differences are zero).
    Values are first averaged over draws.
    """
    scores, rows = reported(runs), []
    for subset in scores.labelled_patches[scores.method == method].unique():
        here = scores[scores.labelled_patches == subset]
        for unit, keys in (("patch", ["subject", "patch"]), ("scan", ["subject"])):
            for metric in ("iou", "hd95_mm"):
                wide = here.pivot_table(index=keys, columns="method", values=metric, aggfunc="mean")
                for rival in (name for name in here.method.unique() if name != method):
                    difference = wide[method] - wide[rival]
                    rows.append((subset, rival, metric, unit, len(difference), difference.mean(), p_value(difference)))
    return pd.DataFrame(rows, columns=["labelled_patches", "rival", "metric", "unit", "n", "difference", "p"])


def by_group(runs: Runs, patches: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of Table 1 split by the patches' surface deviation, a row a method, labelled subset and group.

    patches: columns patch and group (0 usual anatomy .. 5 far from the shape model; patches without group are left
    out). Columns: method, labelled_patches, group, patches, iou_mean, iou_sd, hd95_mean_mm, hd95_sd_mm, missed; mean
    and sd over draws of the mean over the group's patches.
    """
    scores = reported(runs).merge(patches[["patch", "group"]].dropna(), on="patch").astype({"group": int})
    per_draw = scores.groupby([*RUN, "group"], sort=False).agg(
        patches=("iou", "size"), iou=("iou", "mean"), hd95=("hd95_mm", "mean"), missed=("missed", "sum")
    )
    table = per_draw.groupby([*ROW, "group"], sort=False).agg(
        patches=("patches", "mean"), iou_mean=("iou", "mean"), iou_sd=("iou", "std"), hd95_mean_mm=("hd95", "mean"),
        hd95_sd_mm=("hd95", "std"), missed=("missed", "mean"),
    )  # fmt: skip
    return table.sort_index(level="group", kind="stable", sort_remaining=False).reset_index()


def p_value(difference: pd.Series) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; NaN where all differences are zero."""
    return stats.wilcoxon(difference).pvalue if difference.abs().max() > 0 else math.nan


def against_threshold(runs: Runs, bar: pd.DataFrame) -> pd.DataFrame:
    """Return how far each row of Table 1 is above a global threshold on the same test patches.

    bar: columns patch, subject, iou, hd95_mm (threshold.csv of the patches). Columns: method, labelled_patches,
    iou_difference, iou_p, hd95_difference_mm, hd95_p; differences are row - threshold, p over scans as in `wilcoxon`.
    """
    rows, unit, values = [], ["subject", "patch"], ["iou", "hd95_mm"]
    for key, scores in reported(runs).groupby(ROW, sort=False):
        difference = scores.groupby(unit)[values].mean() - bar.set_index(unit)[values]
        scans = difference.groupby("subject").mean()
        cells = (cell for value in values for cell in (difference[value].mean(), p_value(scans[value])))
        rows.append((*key, *cells))
    return pd.DataFrame(rows, columns=[*ROW, "iou_difference", "iou_p", "hd95_difference_mm", "hd95_p"])


def metrics(table: pd.DataFrame) -> dict:
    """Return Table 1 as nested numbers for `dvc metrics`: method, labelled patches, then iou and hd95_mm."""
    nested: dict = {}
    for row in table.dropna(subset="iou_mean").itertuples():
        cell = {"iou": round(row.iou_mean, 4), "hd95_mm": round(row.hd95_mean_mm, 3)}
        nested.setdefault(row.method, {})[str(row.labelled_patches)] = cell
    return nested


def write(folder: Path, made: dict[str, pd.DataFrame], runs: Runs) -> None:
    """Write each table as NAME.csv, metrics.json from `table1`, and curves.csv, the validation scores of every run."""
    folder.mkdir(parents=True, exist_ok=True)
    name = runs.validation[RUN].astype(str).agg("-".join, axis=1)
    curves = runs.validation[["iteration", "iou", "hd95_mm"]].assign(run=name)
    for file, table in (made | {"curves": curves}).items():
        table.to_csv(folder / f"{file}.csv", index=False, float_format="%.4g")
    (folder / "metrics.json").write_text(json.dumps(metrics(made["table1"]), indent=2) + "\n")
