"""Where HD95's tail comes from, and what keeping large components changes: `python -m study.components NAME ...`.

Masks of finished trainings of these names (of final runs one network is in git), of trials on validation, of final runs
on test patches. results/study/components.csv: a row a training and rule; worst.csv: its ten patches of largest HD95.
"""

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from ssl_hip import metrics, prediction
from study import command, data, plan, records

RULES = {"all": 0.0, "a tenth": 0.1, "a third": 0.33, "largest": 1.0}  # size of a kept component: of the largest's
WORST = 10


def keep_components(mask: np.ndarray, share: float) -> np.ndarray:
    """Return mask (D, H, W) bool without the components (6-neighbours) smaller than this share of the largest."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes >= share * sizes.max())[labels] & mask


def score(masks: np.ndarray, truth: np.ndarray, spacing_mm: float) -> pd.DataFrame:
    """Return a row a patch (N, D, H, W) and rule: rule, index, scores, and both directed HD95."""
    rows = []
    for index, (mask, true) in enumerate(zip(masks, truth, strict=True)):
        for rule, share in RULES.items():
            kept = keep_components(mask, share)
            too_much, too_little = metrics.directed_hd95(kept, true, spacing_mm)
            row = {"rule": rule, "index": index, "components": ndimage.label(kept)[1]}
            row |= metrics.score(kept, true, spacing_mm)
            rows.append(row | {"too_much_mm": too_much, "too_little_mm": too_little})
    return pd.DataFrame(rows)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row a rule: means, median and 90th percentile of HD95, and the share of patches with too much."""
    larger = scores.assign(too_much=scores.too_much_mm > scores.too_little_mm)
    return larger.groupby("rule", sort=False).agg(
        iou=("iou", "mean"), hd95_mm=("hd95_mm", "mean"), hd95_median_mm=("hd95_mm", "median"),
        hd95_p90_mm=("hd95_mm", lambda column: column.quantile(0.9)), missed=("missed", "sum"),
        components=("components", "mean"), too_much=("too_much", "mean"),
    ).reset_index()  # fmt: skip


def worst(scores: pd.DataFrame, patches: pd.DataFrame) -> pd.DataFrame:
    """Return the patches of the largest HD95, each with its HD95 by the other rules."""
    by_rule = scores.pivot(index="index", columns="rule", values="hd95_mm").drop(columns="all").add_prefix("hd95 ")
    columns = ["index", "iou", "hd95_mm", "too_much_mm", "too_little_mm", "components"]
    table = scores[scores.rule == "all"].nlargest(WORST, "hd95_mm")[columns].join(by_rule, on="index")
    known = patches[["patch", "subject", "foreground", "deviation_mm", "gap_voxels", "metal_voxels"]]
    return table.join(known, on="index").rename(columns={"subject": "scan"}).drop(columns="index")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and work; raise UserError where the networks of a name are missing."""
    runs, store = command.trained(__doc__, arguments), data.patches()
    for run, folder in tqdm(runs, unit="training"):
        split = "test" if run.part == plan.GRID else "validation"
        rows = store.rows(split, run.draw)
        network = prediction.load_network(folder)
        masks = prediction.predict_patches(network, store.image[split][rows]) > 0.5
        scores = score(masks, store.label[split][rows] == 1, store.spacing_mm)
        named = {"part": run.part, "name": run.name, "labelled_patches": run.labelled_patches, "draw": run.draw}
        records.add("components", summary(scores), named, records.FOLDER)
        patches = store.table(split).set_index("row").loc[rows].reset_index()
        records.add("worst", worst(scores, patches), named, records.FOLDER)


if __name__ == "__main__":
    command.command(main)
