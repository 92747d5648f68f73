"""PNG files for readers without a notebook: `python -m ssl_hip.reporting.static_figures` writes results/figures/."""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ssl_hip import config, metrics
from ssl_hip.patch_store import PatchStore
from ssl_hip.reporting import cases, tables
from ssl_hip.reporting.figures import COLOURS


def label_efficiency(table: pd.DataFrame, path: Path) -> None:
    """Write IoU and HD95 against labelled patches, a line a method, error bars over draws, the ceiling dashed."""
    drawing = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
    axes = drawing.subplots(1, 2)
    for axis, mean, sd, title in zip(
        axes, ("iou_mean", "hd95_mean_mm"), ("iou_sd", "hd95_sd_mm"), ("test IoU", "test HD95 (mm)"), strict=True
    ):
        for method, rows in table[table.method != "ceiling"].groupby("method", sort=False):
            x, error = rows.labelled_patches.astype(str), rows[sd].fillna(0)
            axis.errorbar(x, rows[mean], error, label=method, color=COLOURS.get(method), marker="o", capsize=3)
        for value in table[table.method == "ceiling"][mean]:
            axis.axhline(value, linestyle="--", color=COLOURS["ceiling"], label="all labels")
        axis.set(xlabel="labelled patches", title=title)
    axes[0].legend(fontsize=8)
    save(drawing, path)


def case_table(rows: dict, columns: list[str], captions: dict, path: Path) -> None:
    """Write the table of pictures that `cases.pictures` returns."""
    drawing = Figure(figsize=(1.9 * len(columns), 2.1 * len(rows)), dpi=100, layout="constrained")
    axes = drawing.subplots(len(rows), len(columns))
    for r, (name, pictures) in enumerate(rows.items()):
        for c, picture in enumerate(pictures):
            axes[r, c].imshow(picture)
            axes[r, c].set(xticks=[], yticks=[], xlabel=captions[name][c])
            if r == 0:
                axes[r, c].set_title(columns[c], fontsize=8)
        axes[r, 0].set_ylabel(name)
    save(drawing, path)


def save(drawing: Figure, path: Path) -> None:
    """Write a PNG without a date or version in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, format="png", metadata={"Software": None})
    print(path)


def main() -> None:
    """Read the finished runs of params.yaml and write all pictures."""
    params = config.load("train", "figures")
    runs = tables.read_runs(config.ROOT / "runs", tables.grid(params.train))
    store, target = PatchStore(config.ROOT / "data" / "patches"), config.ROOT / "results" / "figures"
    label_efficiency(tables.table1(runs, store.subsets), target / "label_efficiency.png")
    names = [f"{m}-{min(params.train.labelled_patches)}-{params.train.draws[0]}" for m in params.train.methods]
    student = runs.scores[runs.scores.network == "student"]
    shown = cases.pictures(config.ROOT / "runs", store, student, names, params.figures.window_hu)
    if shown is None:
        raise config.UserError(f"pictures of cases: {metrics.NOT_AVAILABLE}")
    case_table(*shown, target / "cases.png")


if __name__ == "__main__":
    try:
        main()
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
