from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import ndimage

from ssl_hip.simulation import phantom, shapes
from ssl_hip.simulation.landmarks import depths, landmarks

SPACING = (3.0, 3.0, 3.5)
FINE = (2.0, 2.0, 2.0)


def still(seed: int = 0, **hip: float) -> phantom.Anatomy:
    """A subject without deformation, pose or disease, both sides with these parameters."""
    anatomy = phantom.draw_anatomy(np.random.default_rng(seed))
    body = replace(anatomy.body, deformation_mm=0.0, tilt_deg=0.0, yaw_deg=0.0, roll_deg=0.0, scale=1.0)
    side = replace(anatomy.right, adduction_deg=0.0, flexion_deg=0.0, **hip)
    return phantom.Anatomy(body, side, side)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return phantom.label_map(phantom.draw_anatomy(np.random.default_rng(1), diseased=True), SPACING)


def test_same_seed_same_subject_another_seed_another(labels: np.ndarray) -> None:
    again = phantom.label_map(phantom.draw_anatomy(np.random.default_rng(1), diseased=True), SPACING)
    other = phantom.label_map(phantom.draw_anatomy(np.random.default_rng(2), diseased=True), SPACING)
    assert np.array_equal(labels, again)
    assert (labels != other).mean() > 0.01


def test_a_row_of_the_table_is_the_whole_subject(labels: np.ndarray) -> None:
    row = phantom.draw_anatomy(np.random.default_rng(1), diseased=True).row()
    assert np.array_equal(labels, phantom.label_map(phantom.Anatomy.from_row(row | {"subject": "p000"}), SPACING))


def test_every_bone_is_there_right_is_right(labels: np.ndarray) -> None:
    assert labels.dtype == np.uint8 and labels.shape == phantom.shape_of(SPACING)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5}
    centre = ndimage.center_of_mass(labels > 0, labels, range(1, 6))
    x = [c[2] for c in centre]
    assert x[0] < x[2] < x[4] < x[3] < x[1]  # femur, hip, sacrum, hip, femur from the right to the left


@pytest.mark.parametrize("seed", range(4))
def test_bones_are_whole(seed: int) -> None:
    anatomy = phantom.draw_anatomy(np.random.default_rng(seed), diseased=bool(seed % 2))
    labels = phantom.label_map(anatomy, FINE)
    for value in (1, 2, 3, 4):
        parts, count = ndimage.label(labels == value, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        assert sizes.max() / sizes.sum() > 0.97, (value, count)


def test_each_hip_bone_has_an_obturator_foramen() -> None:
    labels = phantom.label_map(still(), FINE)
    seen_from_front = (labels == phantom.HIP_RIGHT).any(axis=1)
    holes = ndimage.binary_fill_holes(seen_from_front) & ~seen_from_front
    assert holes.sum() * FINE[0] * FINE[2] > 150  # mm^2


@pytest.mark.parametrize("seed", range(6))
def test_draws_stay_in_their_ranges(seed: int) -> None:
    anatomy = phantom.draw_anatomy(np.random.default_rng(seed), diseased=True)
    for table in (anatomy.body, anatomy.right, anatomy.left):
        for f in (f for f in fields(table) if f.metadata["kind"] == "uniform"):
            bounds = f.metadata["healthy"] + (f.metadata["diseased"] or ())
            assert min(bounds) <= getattr(table, f.name) <= max(bounds), f.name
    assert 0.6 <= anatomy.right.joint_space_mm <= 4


def measured_neck_shaft_deg(anatomy: phantom.Anatomy) -> float:
    """Angle from the offset of the head's centre, found in the labels, to the axis of the vertical shaft."""
    labels = phantom.label_map(anatomy, FINE)
    marks = landmarks(depths(labels, FINE), FINE)
    offset = np.hypot(*(marks.low[0] - marks.head[0])[:2])
    return 180 - np.rad2deg(np.arcsin(min(offset / anatomy.right.neck_length_mm, 1)))


@pytest.mark.parametrize("angle", [118, 126, 136, 144])
def test_neck_shaft_angle_is_the_one_asked_for(angle: float) -> None:
    assert measured_neck_shaft_deg(still(neck_shaft_deg=angle, head_flattening=0.0)) == pytest.approx(angle, abs=6)


def test_a_larger_joint_space_is_a_larger_gap() -> None:
    gaps = []
    for space in (1.0, 2.5, 4.0):
        labels = phantom.label_map(still(joint_space_mm=space), FINE)[:, :, : 182 // 2]
        away = ndimage.distance_transform_edt(labels != phantom.HIP_RIGHT, sampling=FINE)
        gaps.append(away[labels == phantom.FEMUR_RIGHT].min())
    assert gaps[0] < gaps[1] < gaps[2]


def test_a_smaller_centre_edge_angle_covers_less_of_the_head() -> None:
    sizes = [(phantom.label_map(still(centre_edge_deg=angle), SPACING) == phantom.HIP_RIGHT).sum() for angle in (8, 40)]
    assert sizes[0] < sizes[1]


def test_osteophytes_add_bone() -> None:
    volumes = [phantom.label_map(still(head_osteophyte_mm=size), FINE) == phantom.FEMUR_RIGHT for size in (0.0, 5.0)]
    assert volumes[1].sum() > volumes[0].sum()


@pytest.mark.parametrize("value", [phantom.FEMUR_RIGHT, phantom.HIP_RIGHT])
def test_a_defect_takes_bone_away_and_an_ossification_adds_some(value: int) -> None:
    sound = phantom.label_map(still(), SPACING) == value
    defect = phantom.label_map(still(defect_mm=20.0), SPACING) == value
    lump = phantom.label_map(still(ossification_mm=20.0), SPACING) == value
    assert (sound & ~defect).sum() > 50 and (lump & ~sound).sum() > 50
    assert (defect & ~sound).sum() < 5 and (sound & ~lump).mean() < 1e-3


@pytest.mark.parametrize("subject", [16, 35])
def test_ossifications_grow_on_the_bone(subject: int) -> None:
    """One that floats beside it would be no part of it: so it was in these two subjects of the default cohort."""
    anatomy = phantom.draw_anatomy(np.random.default_rng([0, 1, subject]), diseased=True)
    sides = (replace(side, defect_mm=0.0) for side in (anatomy.right, anatomy.left))
    labels = phantom.label_map(phantom.Anatomy(anatomy.body, *sides), (2.0, 2.0, 2.0))
    for value in (1, 2, 3, 4):
        pieces, number = ndimage.label(labels == value)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.99 * sizes.sum(), f"label {value} has {number} pieces of {sizes}"


def test_bones_never_overlap_and_the_joint_stays_open() -> None:
    anatomy = still(joint_space_mm=3.0)
    axis = np.arange(-60, 60, 1.5, dtype=np.float32)
    p = (axis[None, None, :], axis[None, :, None], axis[:, None, None])
    p = tuple(np.broadcast_to(q, (len(axis),) * 3) for q in p)
    femur = phantom.femur(p, anatomy.right)
    hip = phantom.hip_bone(p, anatomy.right, 88.0, femur)
    assert (femur[hip < 0] >= 3.0 - 1e-3).all()


def test_signed_distances_of_simple_shapes() -> None:
    x = np.array([-3.0, 0.0, 2.0, 5.0], np.float32)
    p = (x, np.zeros_like(x), np.zeros_like(x))
    assert shapes.ball(p, np.zeros(3), 2.0) == pytest.approx([1, -2, 0, 3])
    assert shapes.capsule(p, (0, 0, 0), (4, 0, 0), 1.0) == pytest.approx([2, -1, -1, 0])
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    assert shapes.polygon(x, np.zeros_like(x), square) == pytest.approx([2, -1, 1, 4])
    assert (shapes.smooth_min(x, x[::-1], 1.0) <= np.minimum(x, x[::-1])).all()
