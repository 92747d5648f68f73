"""The figures that Xie et al. 2024 print in their Tables 1 to 4, beside ours of the same row.

`paper.csv` holds all of them, one a line; rows are named as ours are, `ceiling` is their supervised network with all
labels. Theirs are of private data at 1 mm. Where they do not print a row, the columns stay empty.
"""

from pathlib import Path

import pandas as pd

PRINTED = Path(__file__).with_name("paper.csv")  # table, row, labelled_patches, measure, value
MISPRINT = "the paper's standard deviation of 1.28 mm looks like a misprint"


def printed(table: int) -> pd.DataFrame:
    """Return a table of the paper: index row and labelled_patches (text, empty in Table 4), columns paper_MEASURE."""
    figures = pd.read_csv(PRINTED, dtype={"labelled_patches": str}, keep_default_na=False).query("table == @table")
    rows = figures.set_index(["row", "labelled_patches", "measure"]).value.unstack()
    return rows[figures.measure.unique()].add_prefix("paper_")


def beside(ours: pd.DataFrame, table: int, keys: list[str]) -> pd.DataFrame:
    """Add the columns of `printed` to a table of ours; keys: the columns that together name the paper's row."""
    rows = [" ".join(map(str, row)) for row in ours[keys].itertuples(index=False)]
    labels = ours.get("labelled_patches", pd.Series("", ours.index))
    wanted = pd.DataFrame({"row": rows, "labelled_patches": labels}, index=ours.index, dtype=str)
    theirs = printed(table).rename_axis(columns=None)
    return ours.join(wanted.join(theirs, on=["row", "labelled_patches"])[theirs.columns])


def beside_table4(ours: pd.DataFrame) -> pd.DataFrame:
    """Add the paper's groups to deviation_score.table4, the share of their training patches, and a remark."""
    made = beside(ours, 4, ["group"])
    remark = made.group.map({1: MISPRINT}).fillna("")
    return made.assign(paper_train_share=made.paper_train / made.paper_train.sum(), remark=remark)
