"""The patches of a split, to be sorted by what makes them interesting."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ssl_hip import metrics
from ssl_hip.explorer.maps import Run, Source

LISTED = 200  # training patches at most: those of the labelled subset come first
ORDERS = {  # title: column, and whether the largest come first
    "patch number": ("patch", False),
    "HD95": ("hd95_mm", True),
    "surface deviation": ("deviation_mm", True),
    "uncertain share": ("uncertain_share", True),
    "metal": ("metal_voxels", True),
}
SURVEYED = ("hd95_mm", "uncertain_share")  # columns that `survey` finds


def patches(source: Source, run: Run, split: str) -> pd.DataFrame:
    """Return the patches of a split that a run's draw uses: row (of the arrays) and columns of patches.csv."""
    rows = source.store.rows(split, run.draw)
    if split == "train":
        labelled = source.store.labelled(run.labelled_patches, run.draw)
        rows = np.concatenate([labelled, np.setdiff1d(rows, labelled)])[:LISTED]
    table = source.store.table(split).set_index("row").loc[rows].reset_index()
    return table[["row", "patch", "subject", "deviation_mm", "group", "metal_voxels"]]


def survey(source: Source, run: Run, network: str, split: str, limit: float, rows: list[int]) -> Iterator[dict]:
    """Yield for each patch: row, hd95_mm of the network's prediction, and uncertain_share, H >= limit (nats)."""
    for row in rows:
        maps = source.fresh_maps(run, network, split, row)  # what is looked at stays in the cache
        known = not (maps.truth == 255).any()
        hd95 = metrics.hd95(maps.prediction, maps.truth == 1, source.store.spacing_mm) if known else float("nan")
        yield {"row": row, "hd95_mm": hd95, "uncertain_share": float((maps.entropy >= limit).mean())}


def ordered(table: pd.DataFrame, order: str) -> pd.DataFrame:
    """Sort patches by one of ORDERS; those of which it is not known come last."""
    column, largest_first = ORDERS[order]
    return table.sort_values(column, ascending=not largest_first, kind="stable", ignore_index=True)


def title(patch: pd.Series) -> str:
    """Return a patch in one line: number, scan, and what is known of ORDERS."""
    known = {
        "HD95 {:.1f} mm": patch.get("hd95_mm"),
        "group {:.0f}": patch.get("group"),
        "deviation {:.1f} mm": patch.get("deviation_mm"),
        "uncertain {:.1%}": patch.get("uncertain_share"),
        "metal {:.0f} voxels": patch.get("metal_voxels") or None,
    }
    told = [form.format(value) for form, value in known.items() if value is not None and not pd.isna(value)]
    return " · ".join([f"patch {patch.patch}", str(patch.subject), *told])
