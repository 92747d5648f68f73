"""The benchmarks run: what they call changes more often than they are used."""

import numpy as np
import pandas as pd
import pytest
from samples import bone, ct, image

from benchmarks import anatomy_comparison, contenders, preparation
from ssl_hip import config
from ssl_hip.images import volumes


def test_our_way_of_preparing(tmp_path, monkeypatch):
    monkeypatch.setattr(contenders, "SIZE", 24)
    for name, voxels in (("image", ct()), ("label", bone())):
        volumes.write(image(voxels), tmp_path / f"{name}.nii.gz")
    assert contenders.ours(tmp_path)() == contenders.NUMBER
    assert len(list((tmp_path / "cubes").iterdir())) == 2


def test_a_contender_that_is_not_installed_is_told(monkeypatch):
    figures = {"seconds": 2.0, "peak_mb": 500.0}
    lines = preparation.table({"ours": figures, "torchio": {"seconds": 4.0, "peak_mb": 1000.0}, "monai": None})
    assert lines.splitlines()[2].split() == ["torchio", "4.00", "1000", "0.50", "0.50"]
    assert lines.splitlines()[3].split()[1:] == ["not", "installed"]


@pytest.mark.slow
def test_anatomies_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(anatomy_comparison, "MODES", (1, 2))
    settings = config.load("shape_model").shape_model
    cohort = anatomy_comparison.write_cohort(tmp_path, [], 4, 0.5, 2)
    tables = anatomy_comparison.report("phantom", tmp_path, cohort, settings, 2)
    assert len(tables) == 5 and all(isinstance(table, pd.DataFrame) for table in tables.values())
    errors = tables["generalisation phantom"]["mean_mm"]["mean"]
    assert errors["femur", 2] < errors["femur", 1] and errors.between(0.2, 6).all()
    angle = tables["morphometry phantom"].loc["neck_shaft_deg"]
    assert np.isclose(angle["mean"], 127, atol=15)
