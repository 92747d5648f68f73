"""Which checkpoints go when a training is finished."""

import pytest

from pipeline import finished

STAGES = {
    "train@uamt-50-0": "uamt-50-0",
    "ablation@ua_nn-50-1": "ua_nn-50-1",
    "ceiling@2": "ceiling-all-2",
    "../dvc.yaml:train@uamt-50-0": "uamt-50-0",  # as DVC calls it from another folder
}


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Return a function that lists the runs that still have a checkpoint; at first that of each stage, and one more."""
    monkeypatch.chdir(tmp_path)
    finished.CHECKPOINTS.mkdir(parents=True)
    for run in {*STAGES.values(), "uamt-50-01"}:
        (finished.CHECKPOINTS / f"{run}-0123abcd.pt").touch()
    return lambda: {path.stem.removesuffix("-0123abcd") for path in finished.CHECKPOINTS.iterdir()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_own_checkpoint_goes(stage, left):
    before = left()
    finished.remove(stage)
    assert left() == before - {STAGES[stage]}


def test_what_is_up_to_date_needs_none(left):
    for run in ("uamt-50-0", "ua_nn-50-1"):
        (finished.RUNS / run).mkdir(parents=True)
    finished.tidy(["train@uamt-50-0"])
    assert left() == {"uamt-50-0", "uamt-50-01", "ceiling-all-2"}  # to be done, and those that have no run
