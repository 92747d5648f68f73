from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ssl_hip.simulation import bones, phantom, shapes
from ssl_hip.simulation.anatomy import Anatomy, draw_anatomy
from ssl_hip.simulation.landmarks import depths, landmarks

SPACING = (3.0, 3.0, 3.0)
FINE = (2.0, 2.0, 2.0)


def still(seed: int = 0, **hip: float) -> Anatomy:
    """A subject without deformation, pose or disease, both sides with these parameters."""
    anatomy = draw_anatomy(np.random.default_rng(seed))
    body = replace(anatomy.body, deformation_mm=0.0, tilt_deg=0.0, yaw_deg=0.0, roll_deg=0.0, scale=1.0)
    body = replace(body, bottom_mm=-100.0, top_mm=135.0)
    side = replace(anatomy.right, **(dict(adduction_deg=0.0, flexion_deg=0.0, rotation_deg=0.0) | hip))
    return Anatomy(body, side, side)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return phantom.label_map(draw_anatomy(np.random.default_rng(1), diseased=True), SPACING)


def test_same_seed_same_subject_another_seed_another(labels: np.ndarray) -> None:
    again = phantom.label_map(draw_anatomy(np.random.default_rng(1), diseased=True), SPACING)
    other = phantom.label_map(draw_anatomy(np.random.default_rng(2), diseased=True), SPACING)
    assert np.array_equal(labels, again) and not np.array_equal(labels, other)


def test_a_row_of_the_table_is_the_whole_subject(labels: np.ndarray) -> None:
    row = draw_anatomy(np.random.default_rng(1), diseased=True).row()
    assert np.array_equal(labels, phantom.label_map(Anatomy.from_row(row | {"subject": "p000"}), SPACING))


def test_every_bone_is_there_right_is_right(labels: np.ndarray) -> None:
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5}
    centre = ndimage.center_of_mass(labels > 0, labels, range(1, 6))
    x = [c[2] for c in centre]
    assert x[0] < x[2] < x[4] < x[3] < x[1]  # femur, hip, sacrum, hip, femur from the right to the left


@pytest.mark.parametrize(("bottom", "top"), [(-75, 300), (-229, 122), (-102, 201)])
def test_another_cut_shows_the_same_bones(bottom: float, top: float) -> None:
    anatomy = draw_anatomy(np.random.default_rng(5), diseased=True)
    low, high = phantom.LOW_MM[2] + 1, phantom.HIGH_MM[2]
    whole, part = (
        phantom.label_map(replace(anatomy, body=replace(anatomy.body, bottom_mm=float(a), top_mm=float(b))), SPACING)
        for a, b in ((low, high), (bottom + (low - bottom) % SPACING[2], top))
    )
    first = len(whole) - len(part) - round((high - top) / SPACING[2])
    assert np.array_equal(part, whole[first : first + len(part)])


def test_a_scan_is_as_long_as_its_cut() -> None:
    anatomy = still()
    low, high = phantom.extent(anatomy)
    shape = phantom.shape_of(anatomy, FINE)
    assert (low[2], high[2]) == (-100, 135) and phantom.label_map(anatomy, FINE).shape == shape
    assert np.array(shape[::-1]) * FINE == pytest.approx(high - low, abs=1)


def test_the_tallest_scan_shows_spine_ribs_and_long_bowed_shafts() -> None:
    anatomy = still(bow_radius_mm=1000.0)
    anatomy = replace(anatomy, body=replace(anatomy.body, bottom_mm=-230.0, top_mm=300.0))
    labels = phantom.label_map(anatomy, FINE)
    spine = labels == phantom.SPINE
    assert (spine.any((1, 2)).sum() - 4) * FINE[2] > 290  # from the coccyx to the upper end
    middle = labels.shape[2] // 2
    assert (spine[-40:, :, : middle - 40].any((1, 2))).mean() > 0.5  # ribs, 80 mm and more to the side
    femur = labels == phantom.FEMUR_RIGHT
    y = [np.argwhere(femur[z])[:, 0].mean() * FINE[1] for z in (1, 35, 70)]
    assert y[1] < (y[0] + y[2]) / 2 - 1.5  # its middle lies in front of the chord


def test_the_femora_stay_where_they_are_when_the_pelvis_tilts() -> None:
    y = []
    for tilt in (-15.0, 15.0):
        anatomy = still(flexion_deg=10.0)
        anatomy = replace(anatomy, body=replace(anatomy.body, tilt_deg=tilt, bottom_mm=-200.0))
        labels = phantom.label_map(anatomy, FINE)
        y.append([np.argwhere(labels[z] == value)[:, 0].mean() for z, value in ((10, 1), (137, 5))])
    assert abs(y[0][0] - y[1][0]) < 3 and abs(y[0][1] - y[1][1]) > 10  # voxels


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_an_old_fracture_changes_the_bone_that_broke(kind: int) -> None:
    sound, healed = (phantom.label_map(still(fracture=number), SPACING) for number in (0, kind))
    changed = {value for value in (1, 3) if np.count_nonzero((sound == value) != (healed == value)) > 50}
    assert changed >= ({3} if kind == 3 else {1})


def test_a_cam_bulges_in_front_and_above() -> None:
    sound, cam = (phantom.label_map(still(cam_mm=size), FINE) == phantom.FEMUR_RIGHT for size in (0.0, 6.0))
    u, v, w = (np.argwhere(cam & ~sound).mean(0)[::-1] * FINE - head_centre(still(), 0)) * [-1, 1, 1]
    neck = bones.femur_frame(still().right)[1]
    assert (cam & ~sound).sum() > 30 and v < 0 < w - ([u, v, w] @ neck) * neck[2]


def test_a_protruding_socket_lies_to_the_inside() -> None:
    heads = []
    for protrusion in (0.0, 8.0):
        labels = phantom.label_map(still(protrusion_mm=protrusion), FINE)
        heads.append(landmarks(depths(labels, FINE), FINE).head[0][0])
    assert heads[1] - heads[0] == pytest.approx(8, abs=3)


def head_centre(anatomy: Anatomy, side: int) -> np.ndarray:
    """True centre (x, y, z) of a head from the first voxel's corner, in mm, but for the random deformation."""
    body, sign = anatomy.body, (-1, 1)[side]
    hip = (anatomy.right, anatomy.left)[side]
    head = (bones.femur_frame(hip)[0] + [body.hip_distance_mm / 2, 0, 0]) * [sign, 1, 1]
    turn = Rotation.from_euler("xyz", [body.tilt_deg, body.roll_deg, body.yaw_deg], degrees=True).as_matrix()
    shift = [body.shift_x_mm, body.shift_y_mm, body.shift_z_mm]
    return head @ turn * body.scale + shift - phantom.extent(anatomy)[0]


@pytest.mark.parametrize("seed", range(12))
def test_landmarks_find_the_heads_of_any_subject(seed: int) -> None:
    anatomy = draw_anatomy(np.random.default_rng([seed, 7]), diseased=True)
    sides = (replace(side, defect_mm=0.0) for side in (anatomy.right, anatomy.left))  # a head may be gone
    anatomy = Anatomy(replace(anatomy.body, deformation_mm=0.0), *sides)
    marks = landmarks(depths(phantom.label_map(anatomy, SPACING), SPACING), SPACING)
    for side in (0, 1):
        found = marks.head[side] + np.array(SPACING) / 2
        assert np.linalg.norm(found - head_centre(anatomy, side)) < 12


@pytest.mark.parametrize("seed", range(4))
def test_bones_are_whole(seed: int) -> None:
    anatomy = draw_anatomy(np.random.default_rng(seed), diseased=bool(seed % 2))
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
    anatomy = draw_anatomy(np.random.default_rng(seed), diseased=True)
    for table in (anatomy.body, anatomy.right, anatomy.left):
        for f in (f for f in fields(table) if f.metadata["kind"] == "uniform"):
            bounds = f.metadata["healthy"] + (f.metadata["diseased"] or ())
            assert min(bounds) <= getattr(table, f.name) <= max(bounds), f.name
    assert 0.6 <= anatomy.right.joint_space_mm <= 4


def measured_neck_shaft_deg(anatomy: Anatomy) -> float:
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
        labels = phantom.label_map(still(joint_space_mm=space), FINE)[:, :, : 200 // 2]
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
    anatomy = draw_anatomy(np.random.default_rng([0, 1, subject]), diseased=True)
    sides = (replace(side, defect_mm=0.0) for side in (anatomy.right, anatomy.left))
    labels = phantom.label_map(Anatomy(anatomy.body, *sides), (2.0, 2.0, 2.0))
    for value in (1, 2, 3, 4):
        pieces, number = ndimage.label(labels == value)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.99 * sizes.sum(), f"label {value} has {number} pieces of {sizes}"


def test_bones_never_overlap_and_the_joint_stays_open() -> None:
    anatomy = still(joint_space_mm=3.0)
    axis = np.arange(-60, 60, 1.5, dtype=np.float32)
    p = (axis[None, None, :], axis[None, :, None], axis[:, None, None])
    p = tuple(np.broadcast_to(q, (len(axis),) * 3) for q in p)
    femur = bones.femur(p, anatomy.right)
    hip = bones.hip_bone(p, anatomy.right, 88.0, femur)
    assert (femur[hip < 0] >= 3.0 - 1e-3).all()


def test_signed_distances_of_simple_shapes() -> None:
    x = np.array([-3.0, 0.0, 2.0, 5.0], np.float32)
    p = (x, np.zeros_like(x), np.zeros_like(x))
    assert shapes.ball(p, np.zeros(3), 2.0) == pytest.approx([1, -2, 0, 3])
    assert shapes.capsule(p, (0, 0, 0), (4, 0, 0), 1.0) == pytest.approx([2, -1, -1, 0])
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    assert shapes.polygon(x, np.zeros_like(x), square) == pytest.approx([2, -1, 1, 4])
    assert (shapes.smooth_min(x, x[::-1], 1.0) <= np.minimum(x, x[::-1])).all()
