"""Coverage: thirds of a training, and words that follow from the numbers."""

import made_runs
import numpy as np
import pytest
from made_runs import ABLATIONS

from ssl_hip.reporting import ablations, coverage

NAMES = [ablations.BASE, *ABLATIONS.variants]
SHARE, MATCHED, PSEUDO = (f"{name}_mean" for name in coverage.LOGGED)


@pytest.fixture
def runs(tmp_path):
    return made_runs.read(tmp_path)


def test_thirds_are_means_of_the_rows_that_end_in_them(runs):
    table = coverage.coverage(runs, NAMES).set_index("method").loc[ablations.BASE]
    assert table.third.tolist() == [1, 2, 3] and set(table.draws) == {2}
    assert np.allclose(table[SHARE], [0.05, 0.25, 0.45])
    assert np.allclose(table[MATCHED], [0.52, 0.55, 0.59])  # the first row had nothing uncertain and does not count
    assert np.allclose(table.near_surface_uncertain_share_sd, 0)


def test_every_named_run_has_its_rows_and_no_other(runs):
    assert coverage.coverage(runs, NAMES).method.unique().tolist() == NAMES
    assert coverage.coverage(runs, []).empty
    unlogged = coverage.coverage(runs, ["supervised"])
    assert len(unlogged) == 3 and unlogged[[SHARE, MATCHED, PSEUDO]].isna().all(axis=None)


def test_words_follow_from_the_numbers(runs):
    words = [coverage.describe(row) for row in coverage.coverage(runs, [ablations.BASE]).itertuples()]
    assert "no more rightly (52.0%) than" in words[0] and "fills it more rightly (59.0%) than" in words[2]
    row = coverage.coverage(runs, [ablations.BASE]).iloc[0]
    row[[MATCHED, PSEUDO]] = np.nan
    assert "nothing to fill" in coverage.describe(row)
    row[SHARE] = np.nan
    assert "not available" in coverage.describe(row)
