from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from ssl_hip.images import resampling
from ssl_hip.simulation import ct_simulation, phantom, reality
from ssl_hip.simulation.anatomy import draw_anatomy

SPACING = (2.0, 2.0, 2.5)
MEASURES = pd.read_csv(reality.REAL, index_col="scan")


def cube(bone_hu: float, noise_hu: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A cube of bone in soft tissue of 40 HU."""
    bone = np.zeros((30, 30, 30), bool)
    bone[10:20, 10:20, 10:20] = True
    noise = np.random.default_rng(0).normal(0, noise_hu, bone.shape) if noise_hu else 0.0
    return (np.where(bone, bone_hu, 40.0) + noise).astype(np.float32), bone


def test_measures_of_a_cube_are_known() -> None:
    found = reality.measures(*cube(500.0))
    assert (found["median"], found["shell"], found["core"], found["around"]) == (500, 500, 500, 40)
    assert (found["below_100"], found["threshold_local"], found["noise"]) == (0, 1, 0)
    assert found["edge_mm"] == pytest.approx(6.0)  # one step over two voxels of 3 mm


def test_noise_is_measured_and_faint_bone_counts_as_dark() -> None:
    found = reality.measures(*cube(80.0, noise_hu=10.0))
    assert found["noise"] == pytest.approx(10, rel=0.1)
    assert found["below_100"] > 0.9


def test_faint_bone_hardly_stands_out() -> None:
    scans = pd.DataFrame({"median": [360.0, 80.0], "around": [40.0, 40.0]})
    assert reality.hardly_standing_out(scans) == 0.5


def test_comparison_names_the_medians_outside_of_the_real_range() -> None:
    same = reality.compare(MEASURES)
    assert reality.medians_outside(same) == []
    assert same.columns.tolist() == ["measure"] + [
        f"{a}_{b}" for a in ("real", "phantom") for b in ("low", "median", "high")
    ]
    faint = reality.compare(MEASURES.assign(median=20.0))
    assert reality.medians_outside(faint) == ["median"]


def phantom_measures(number: int) -> dict[str, float]:
    rng = np.random.default_rng([11, number])
    anatomy, tissue = (
        draw_anatomy(rng, diseased=bool(number % 5)),
        ct_simulation.draw_tissue(rng, number % 5 > 0),
    )
    labels = phantom.label_map(anatomy, SPACING)
    hu = ct_simulation.simulate(labels, SPACING, tissue)
    bone = ((labels > 0) & (labels < 5)).astype(np.uint8)
    grids = (resampling.isotropic(hu, SPACING[::-1], 3.0), resampling.isotropic_label(bone, SPACING[::-1], 3.0))
    return reality.measures(grids[0], grids[1] > 0)


@pytest.fixture(scope="module")
def phantoms() -> pd.DataFrame:
    return pd.DataFrame([phantom_measures(number) for number in range(30)])


def test_every_median_of_the_phantoms_lies_within_the_real_range(phantoms: pd.DataFrame) -> None:
    assert reality.medians_outside(reality.compare(phantoms)) == []


def test_phantoms_spread_as_wide_as_real_scans_and_few_have_faint_bone(phantoms: pd.DataFrame) -> None:
    assert phantoms.below_100.min() < 0.015 and 0.25 < phantoms.below_100.max() < 0.5
    assert phantoms["median"].min() < 250 and phantoms["median"].max() > 450
    assert reality.hardly_standing_out(phantoms) <= 0.05


@pytest.mark.realdata
def test_the_measures_of_real_hips_are_those_in_the_repository(real_data: Path) -> None:
    name = "sts014"
    image, mask = (sitk.ReadImage(real_data / "real_hips" / kind / f"{name}.nii.gz") for kind in ("images", "labels"))
    hu = sitk.GetArrayFromImage(resampling.resample(image, reality.GRID_MM))
    bone = sitk.GetArrayFromImage(resampling.resample(sitk.Cast(mask > 0, sitk.sitkUInt8), reality.GRID_MM, label=True))
    found = reality.measures(hu, bone > 0)
    assert found == pytest.approx(MEASURES.loc[name].to_dict(), rel=2e-3)
