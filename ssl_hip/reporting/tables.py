"""Finished runs, exactly those that params.yaml lists, and Table 1 of them; the other tables start from here."""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ssl_hip.config import UserError
from ssl_hip.reporting import paper

RUN = ["method", "labelled_patches", "draw"]
ROW = ["method", "labelled_patches"]


class Runs(NamedTuple):
    """Finished runs."""

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


def only(runs: Runs, chosen: list[tuple[str, str, int]]) -> Runs:
    """Return those of the runs whose (method, labelled_patches, draw) is among the chosen ones."""
    names = {"-".join(map(str, run)) for run in chosen}
    return Runs(*(table[run_name(table).isin(names)].reset_index(drop=True) for table in runs))


def run_name(table: pd.DataFrame) -> pd.Series:
    """Return the name of the run that each row belongs to, e.g. uamt-50-0."""
    return table.method.astype(str) + "-" + table.labelled_patches.astype(str) + "-" + table.draw.astype(str)


def reported(runs: Runs) -> pd.DataFrame:
    """Return the scores that tables show: those of the network in run.json, and the EMA of `supervised` as a method.

    supervised_ema is the baseline's averaged weights at the student's best checkpoint.
    """
    scores = runs.scores.merge(runs.info[[*RUN, "network"]], on=RUN, suffixes=("", "_reported"))
    baseline = scores.method == "supervised"
    shown = scores[(scores.network == scores.network_reported) & ~baseline | baseline & (scores.network == "student")]
    ema = scores[baseline & (scores.network == "teacher")].assign(method="supervised_ema")
    return in_order(pd.concat([shown, ema]).drop(columns="network_reported"), runs)


def listed(runs: Runs) -> pd.DataFrame:
    """Return a row a run, scored or not; `supervised` also as supervised_ema.

    Columns: those of RUN, iterations (done), collapsed (bool).
    """
    status = runs.info[[*RUN, "iterations"]].assign(collapsed=runs.info.status == "collapsed")
    return in_order(pd.concat([status, status[status.method == "supervised"].assign(method="supervised_ema")]), runs)


def in_order(table: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Sort rows by labelled patches, then by method as in params.yaml, supervised_ema after supervised."""
    places = {name: float(place) for place, name in enumerate(runs.info.method.unique())}
    places["supervised_ema"] = places.get("supervised", 0) + 0.5
    number = table.labelled_patches.astype(str).replace("all", "inf").astype(float)
    keys = pd.DataFrame({"number": number.to_numpy(), "method": table.method.map(places).to_numpy()})
    return table.iloc[keys.sort_values(["number", "method"], kind="stable").index].reset_index(drop=True)


def per_draw(scores: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return counts and means over patches for each value of the keys, its index; `draw` is one of the keys."""
    return scores.groupby(keys, sort=False).agg(
        patches=("patch", "size"), iou=("iou", "mean"), hd95=("hd95_mm", "mean"), median=("hd95_mm", "median"),
        pooled=("hd95_pooled_mm", "mean"), missed=("missed", "sum"), false_alarm=("false_alarm", "sum"),
    )  # fmt: skip


def by_run(runs: Runs, base_seed: int) -> pd.DataFrame:
    """Return a row a run, what the spreads of the other tables are made of.

    Columns: method, labelled_patches, draw, seed, iterations, collapsed, patches, those of metrics.SCORES: means over
    patches, empty where no patch has a label. base_seed: of section train of params.yaml.
    """
    scores = per_draw(reported(runs), RUN).drop(columns="median")
    scores = scores.rename(columns={"hd95": "hd95_mm", "pooled": "hd95_pooled_mm"})
    table = listed(runs).join(scores, on=RUN)
    table.insert(3, "seed", base_seed + table.draw)
    return table.assign(patches=whole(table.patches))


def over_draws(draws: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return means and spread over draws of what `per_draw` gave, a row for each value of the keys.

    Columns: the keys, draws (number), patches (of a draw), iou_mean, iou_sd, hd95_mean_mm, hd95_median_mm, hd95_sd_mm,
    hd95_pooled_mean_mm, missed, false_alarm (patches, mean over draws). Means are over draws of the mean over patches;
    sd is over the draws' means, empty for one draw; the median is the mean over draws of the median.
    """
    table = draws.groupby(keys, sort=False).agg(
        draws=("iou", "size"), patches=("patches", "mean"), iou_mean=("iou", "mean"), iou_sd=("iou", "std"),
        hd95_mean_mm=("hd95", "mean"), hd95_median_mm=("median", "mean"), hd95_sd_mm=("hd95", "std"),
        hd95_pooled_mean_mm=("pooled", "mean"), missed=("missed", "mean"), false_alarm=("false_alarm", "mean"),
    )  # fmt: skip
    return table.assign(patches=whole(table.patches)).reset_index()


def whole(numbers: pd.Series) -> pd.Series:
    """Return counts, averaged over draws, as whole numbers that may be empty."""
    return numbers.astype(float).round().astype("Int64")


def summary(runs: Runs) -> pd.DataFrame:
    """Return a row a method and labelled subset: columns as of `over_draws`, iterations (most), and collapsed (draws).

    Scores are empty where no test or validation patch has a label.
    """
    draws = listed(runs).set_index(RUN).join(per_draw(reported(runs), RUN))
    course = draws.groupby(ROW, sort=False).agg(iterations=("iterations", "max"), collapsed=("collapsed", "sum"))
    return over_draws(draws, ROW).join(course, on=ROW)


def mark_best(table: pd.DataFrame) -> pd.DataFrame:
    """Add best_iou and best_hd95: "*" at the best mean of a labelled subset, the ceiling not counted."""
    rivals = table[table.method != "ceiling"].groupby("labelled_patches")
    best_iou = table.iou_mean.eq(rivals.iou_mean.transform("max"))
    best_hd95 = table.hd95_mean_mm.eq(rivals.hd95_mean_mm.transform("min"))
    star = {True: "*", False: ""}
    return table.assign(best_iou=best_iou.map(star), best_hd95=best_hd95.map(star))


def labelled_scans(subsets: pd.DataFrame) -> dict[int, int]:
    """Return how many scans each labelled subset comes from; subsets: the table subsets.csv of the patches."""
    return subsets.groupby(["labelled_patches", "draw"]).subject.nunique().groupby("labelled_patches").max().to_dict()


def table1(runs: Runs, scans: dict[int, int]) -> pd.DataFrame:
    """Return Table 1, a row a method and labelled subset.

    Columns: those of `summary`, labelled_scans, best_iou, best_hd95 ("*"), paper_iou, paper_hd95_mm (empty where the
    paper has no such row). scans: as of `labelled_scans`.
    """
    table = mark_best(summary(runs))
    table.insert(2, "labelled_scans", [scans.get(int(n), "") if n != "all" else "all" for n in table.labelled_patches])
    return paper.beside(table, 1, ["method"])


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
    curves = runs.validation[["iteration", "iou", "hd95_mm"]].assign(run=run_name(runs.validation))
    for file, table in (made | {"curves": curves}).items():
        table.to_csv(folder / f"{file}.csv", index=False, float_format="%.4g")
    (folder / "metrics.json").write_text(json.dumps(metrics(made["table1"]), indent=2) + "\n")
