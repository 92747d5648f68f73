"""What makes a patch hard: unusual anatomy, metal, a narrow joint gap."""

import pandas as pd

from ssl_hip.reporting import tables
from ssl_hip.reporting.tables import ROW, RUN, Runs


def difficulties(patches: pd.DataFrame) -> pd.DataFrame:
    """Return patch and difficulty, a row for each difficulty of a patch: "group 0" .. "group 5", "metal", "no metal".

    patches: columns patch, group (0 usual anatomy .. 5 far from the shape model) and metal_voxels, empty where unknown.
    """
    grouped, searched = patches.dropna(subset="group"), patches.dropna(subset="metal_voxels")
    group = "group " + grouped.group.astype(int).astype(str)
    metal = searched.metal_voxels.gt(0).map({True: "metal", False: "no metal"})
    return pd.concat([grouped.assign(difficulty=group), searched.assign(difficulty=metal)])[["patch", "difficulty"]]


def by_difficulty(runs: Runs, patches: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of Table 1 split by what patches are like, a row a method, labelled subset and difficulty.

    patches: as of `difficulties`. Columns: method, labelled_patches, difficulty, patches, draws, iou_mean, iou_sd,
    hd95_mean_mm, hd95_sd_mm, missed; as of tables.over_draws.
    """
    scores = tables.reported(runs)[[*RUN, "patch", "iou", "hd95_mm", "hd95_pooled_mm", "missed", "false_alarm"]]
    draws = tables.per_draw(scores.merge(difficulties(patches), on="patch"), [*RUN, "difficulty"])
    table = tables.over_draws(draws, [*ROW, "difficulty"]).sort_values("difficulty", kind="stable", ignore_index=True)
    scores_shown = ["iou_mean", "iou_sd", "hd95_mean_mm", "hd95_sd_mm", "missed"]
    return table[[*ROW, "difficulty", "patches", "draws", *scores_shown]]


def regions(runs: Runs) -> pd.DataFrame:
    """Return how often two hard regions are wrong: bone in the joint gap, anything around metal.

    Columns: method, labelled_patches, draws, gap_voxels, gap_false_mean, gap_false_sd (share of the joint gap's voxels
    predicted bone), metal_voxels, metal_wrong_mean, metal_wrong_sd (share of the voxels around metal predicted
    wrongly). Voxels are of all test patches of a draw, a share is of their sum; mean and sd over draws. Empty where no
    patch has such a region or no label says so.
    """
    counts = ["gap_voxels", "gap_false", "metal_voxels", "metal_wrong"]
    sums = tables.reported(runs).groupby(RUN, sort=False)[counts].sum(min_count=1).astype(float)
    draws = tables.listed(runs).set_index(RUN)[[]].join(sums)
    draws["gap_share"] = draws.gap_false / draws.gap_voxels
    draws["metal_share"] = draws.metal_wrong / draws.metal_voxels
    table = draws.groupby(ROW, sort=False).agg(
        draws=("gap_voxels", "size"),
        gap_voxels=("gap_voxels", "mean"), gap_false_mean=("gap_share", "mean"), gap_false_sd=("gap_share", "std"),
        metal_voxels=("metal_voxels", "mean"), metal_wrong_mean=("metal_share", "mean"),
        metal_wrong_sd=("metal_share", "std"),
    )  # fmt: skip
    voxels = {name: tables.whole(table[name]) for name in ("gap_voxels", "metal_voxels")}
    return table.assign(**voxels).reset_index()
