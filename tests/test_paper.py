"""The paper's figures: as printed, where the paper repeats itself; beside ours of the same row, else nowhere."""

import pandas as pd
import pytest

from ssl_hip.reporting import paper

KEYS = {1: ["method"], 2: ["terms"], 3: ["kernel", "reduce"]}


def test_totals_are_those_that_the_paper_prints():
    groups = paper.printed(4)
    assert groups[["paper_train", "paper_validation", "paper_test"]].sum().tolist() == [6266, 1174, 1200]
    assert len(groups) == 6 and groups.paper_hd95_mean_mm.is_monotonic_increasing


def test_the_text_and_the_tables_agree():
    """Abstract and section 3.2; Tables 2 and 3 repeat the row of the proposed method at 50 patches."""
    table1 = paper.printed(1)
    said = {("supervised", "50"): (0.894, 9.45), ("dtc", "50"): (0.927, 4.07), ("ceiling", "all"): (0.948, 1.92)}
    said |= {("embedding_matching", "50"): (0.929, 3.30)}
    assert all(tuple(table1.loc[row]) == figures for row, figures in said.items())
    for table, row in ((2, "L_UA + L_NN + L_EN"), (3, "cosine mean")):
        assert tuple(paper.printed(table).loc[row, "50"]) == said["embedding_matching", "50"]


def test_no_cell_is_empty_and_none_is_there_twice():
    sizes = {1: (7 * 5 + 1, 2), 2: (4, 2), 3: (4, 2), 4: (6, 5)}
    assert {table: paper.printed(table).shape for table in sizes} == sizes
    assert all(paper.printed(table).notna().all(axis=None) for table in sizes)


@pytest.mark.parametrize(("table", "keys"), KEYS.items())
def test_every_row_of_the_paper_finds_itself_and_no_other_row_anything(table, keys):
    theirs = paper.printed(table).reset_index()
    ours = theirs[["labelled_patches"]].copy()
    ours[keys] = [row.split(" ", len(keys) - 1) for row in theirs.row]
    shuffled = ours.sample(frac=1, random_state=0)
    made = paper.beside(shuffled, table, keys)
    assert made[ours.columns].equals(shuffled) and made.paper_hd95_mm.sort_index().equals(theirs.paper_hd95_mm)
    for other in (ours.assign(labelled_patches="51"), ours.assign(**{keys[0]: "supervised_ema"})):
        assert paper.beside(other, table, keys)[["paper_iou", "paper_hd95_mm"]].isna().all(axis=None)
    assert list(paper.beside(ours[:0], table, keys)) == list(made)


def test_table_4_has_shares_and_names_the_misprint():
    made = paper.beside_table4(pd.DataFrame({"group": range(6), "train": 7}))
    assert made.paper_train_share.sum() == pytest.approx(1) and made.train.eq(7).all()
    assert [bool(text) for text in made.remark] == [False, True, False, False, False, False]
