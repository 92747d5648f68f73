from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from ssl_hip.images import volumes
from ssl_hip.shape import morphometry
from ssl_hip.simulation import phantom
from ssl_hip.simulation.anatomy import Anatomy, draw_anatomy

PARTS = {"femur": {"right": 1, "left": 2}, "hip_bone": {"right": 3, "left": 4}}
SPACING = (2.0, 2.0, 2.0)


def still(seed: int = 0, **hip: float) -> Anatomy:
    """A subject without deformation, pose or disease, both sides with these parameters."""
    anatomy = draw_anatomy(np.random.default_rng(seed))
    body = replace(anatomy.body, deformation_mm=0.0, tilt_deg=0.0, yaw_deg=0.0, roll_deg=0.0, scale=1.0)
    body = replace(body, bottom_mm=-140.0, top_mm=135.0)
    side = replace(
        anatomy.right,
        adduction_deg=0.0,
        flexion_deg=0.0,
        rotation_deg=0.0,
        cam_mm=0.0,
        head_flattening=0.0,
        head_osteophyte_mm=0.0,
        **hip,
    )
    return Anatomy(body, side, side)


def image_of(anatomy: Anatomy) -> sitk.Image:
    image = sitk.GetImageFromArray(phantom.label_map(anatomy, SPACING))
    image.SetSpacing(SPACING)
    return image


@pytest.mark.parametrize(("seed", "angle"), [(0, 118), (1, 127), (2, 132)])
def test_neck_shaft_angle_and_radius_are_those_drawn(seed, angle) -> None:
    anatomy = still(seed, neck_shaft_deg=angle)
    right, left = morphometry.measure(image_of(anatomy), PARTS)
    for side in (right, left):
        assert side["neck_shaft_deg"] == pytest.approx(angle, abs=4)
        assert side["head_radius_mm"] == pytest.approx(anatomy.right.head_radius_mm, abs=0.7)
        assert side["shaft_radius_mm"] == pytest.approx(anatomy.right.shaft_radius_mm, abs=2)
    assert right["neck_shaft_deg"] == pytest.approx(left["neck_shaft_deg"], abs=1.5)


def test_joint_space_is_the_one_drawn() -> None:
    gaps = [
        morphometry.measure(image_of(still(joint_space_mm=s)), PARTS)[0]["joint_space_median_mm"] for s in (1.5, 3.5)
    ]
    assert gaps == pytest.approx([1.5, 3.5], abs=1.0) and gaps[1] - gaps[0] == pytest.approx(2, abs=0.8)


def test_a_thicker_wing_is_measured_thicker() -> None:
    wings = [morphometry.measure(image_of(still(wing_mm=w)), PARTS)[0]["wing_mm"] for w in (6.0, 12.0)]
    assert wings[1] - wings[0] == pytest.approx(6, abs=1.5) and wings[0] == pytest.approx(6, abs=2)


def test_a_flattened_head_deviates_from_its_sphere() -> None:
    round_head, flat = (still(), still())
    flat = replace(flat, right=replace(flat.right, head_flattening=0.3))
    deviations = [morphometry.measure(image_of(a), PARTS)[0]["head_deviation_mm"] for a in (round_head, flat)]
    assert deviations[0] < 0.6 < deviations[1]


def test_without_a_shaft_there_is_no_angle() -> None:
    image = image_of(still())
    top = image[:, :, 30:]
    measured = morphometry.measure(top, PARTS)[0]
    assert np.isnan(measured["neck_shaft_deg"]) and np.isfinite(measured["head_radius_mm"])


def test_a_side_that_lacks_a_bone_is_left_out() -> None:
    image = image_of(still())
    image = sitk.ChangeLabel(image, {phantom.FEMUR_LEFT: 0})
    assert [row["side"] for row in morphometry.measure(image, PARTS)] == ["right"]


@pytest.mark.realdata
def test_measures_of_a_real_pelvis_are_those_of_adults(real_data) -> None:
    rows = morphometry.measure(volumes.read_image(real_data / "hip_labelmaps" / "a70.nii.gz"), PARTS)
    assert [row["side"] for row in rows] == ["right", "left"]
    for row in rows:
        assert 110 < row["neck_shaft_deg"] < 145 and 18 < row["head_radius_mm"] < 28
        assert 0.5 < row["joint_space_min_mm"] <= row["joint_space_median_mm"] < 5 and 4 < row["wing_mm"] < 20
    assert rows[0]["head_radius_mm"] == pytest.approx(rows[1]["head_radius_mm"], abs=1)
