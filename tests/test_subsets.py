"""Labelled subsets: nested, spread over scans, repeatable, and without the scan that a draw holds out."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ssl_hip.config import UserError
from ssl_hip.preparation import subsets


def table_of(scans: int, each: int) -> pd.DataFrame:
    rows = [(f"s{i:02d}", 0.1) for i in range(scans) for _ in range(each)]
    return pd.DataFrame(rows, columns=["subject", "foreground"]).assign(patch=range(scans * each), held_out=np.nan)


@pytest.mark.parametrize("sizes", [{8: 1, 48: 3}, {50: 4, 150: 10, 300: 21}, {5: 1, 7: 1, 8: 8}, {16: 1, 17: 2, 30: 2}])
def test_subsets_nest_and_spread_equally(sizes):
    settings = SimpleNamespace(draws=3, seed=0, subsets=sizes)
    drawn = subsets.draw(table_of(25, 20), settings)
    for _, draw in drawn.groupby("draw"):
        before = pd.Series(dtype=int)
        for size, scans in sorted(sizes.items()):
            subset = draw[draw.labelled_patches == size]
            share, earlier = subset.subject.value_counts(), before.value_counts()
            assert len(subset) == subset.patch.nunique() == size and set(before.index) <= set(subset.patch)
            assert share.nunique() == 1 or share.max() - share.min() <= 1 or share.max() == earlier.max()
            assert subset.subject.nunique() == min(scans, size - len(before) + before.nunique())
            before = subset.set_index("patch").subject


def test_draws_of_subsets_differ_and_repeat():
    settings = SimpleNamespace(draws=2, seed=0, subsets={8: 2})
    drawn = subsets.draw(table_of(9, 10), settings)
    first, second = (set(rows.patch) for _, rows in drawn.groupby("draw"))
    assert first != second and drawn.equals(subsets.draw(table_of(9, 10), settings))


def test_more_draws_leave_the_earlier_ones_alone():
    few, many = (subsets.draw(table_of(9, 10), SimpleNamespace(draws=n, seed=0, subsets={8: 2})) for n in (1, 3))
    assert few.equals(many[many.draw == 0])


def test_a_draw_leaves_its_held_out_scan_alone():
    table = table_of(4, 10)
    table["held_out"] = table.subject.map({"s00": 2, "s01": 0, "s02": 1, "s03": 3})
    drawn = subsets.draw(table, SimpleNamespace(draws=5, seed=0, subsets={6: 2, 30: 3}))
    for number, draw in drawn.groupby("draw"):
        out = table.subject[table.held_out == number % 4].iloc[0]
        assert set(draw.subject[draw.labelled_patches == 30]) == set(table.subject) - {out}


def cohort_of(labelled: int, held_out: bool) -> pd.DataFrame:
    label = ["a.nii.gz"] * labelled + [""] * 10
    out = [*range(labelled), *[np.nan] * 10] if held_out else np.nan
    return pd.DataFrame({"split": "train", "label": label, "held_out": out})


@pytest.mark.parametrize(("scans", "held_out", "fits"), [(4, False, True), (4, True, False), (3, True, True)])
def test_the_scan_held_out_cannot_be_asked_for(scans, held_out, fits):
    settings, plan = SimpleNamespace(subsets={30: scans}), [10] * 14
    if fits:
        subsets.check(settings, cohort_of(4, held_out), plan)
        return
    with pytest.raises(UserError, match="30 patches of 4 scans, only 3 training scans have a label"):
        subsets.check(settings, cohort_of(4, held_out), plan)
