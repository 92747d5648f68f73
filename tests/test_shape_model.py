from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip import metrics
from ssl_hip.shape import shape_cohort, shape_model, shape_modes, shape_parts
from ssl_hip.shape.distance_field import Field, signed_distance
from ssl_hip.shape.shape_model import ShapeModel
from ssl_hip.simulation import phantom
from ssl_hip.simulation.anatomy import draw_anatomy

GRID_MM = 2.0
SIZE = (44, 36, 40)  # voxels (z, y, x)


def settings(**changes) -> SimpleNamespace:
    return SimpleNamespace(**(dict(grid_mm=4.0, modes=3, explained_variance=0.95) | changes))


def points() -> np.ndarray:
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * GRID_MM for n in SIZE], indexing="ij")
    return np.stack([x, y, z], -1)


def blob(bump: float = 0.0, length: float = 0.0, waist: float = 0.0, at=None) -> Field:
    """An ellipsoid of 22, 17 and 28 mm with a bump in front, grown at its top, narrowed at its waist."""
    p = points() if at is None else at
    x, y, z = np.moveaxis(p, -1, 0)
    z = z - np.where(z > 0, length * z / 28, 0)
    wide = 1 - waist / 20 * np.exp(-np.square(z / 10))
    body = np.sqrt((x / 22 / wide) ** 2 + (y / 17 / wide) ** 2 + (z / 28) ** 2) < 1
    knob = np.linalg.norm(p - [0, -14 - bump, 0], axis=-1) < 8
    origin = -(np.array(SIZE[::-1]) - 1) / 2 * GRID_MM
    return Field(signed_distance(body | knob, GRID_MM), origin, GRID_MM)


@pytest.fixture(scope="module")
def family() -> list[Field]:
    rng = np.random.default_rng(0)
    return [blob(*rng.uniform([0, -9, -2], [5, 9, 4])) for _ in range(14)]


@pytest.fixture(scope="module")
def trained(family) -> tuple[Field, np.ndarray]:
    template = shape_model.template_of(family[0])
    return template, np.stack([shape_model.correspond(template, bone, 4.0) for bone in family])


@pytest.fixture(scope="module")
def model(trained) -> ShapeModel:
    return shape_model.train(*trained, np.arange(14), settings())


def image_of(field: Field) -> sitk.Image:
    image = sitk.GetImageFromArray(field.values)
    image.SetOrigin(field.origin.tolist())
    image.SetSpacing([field.spacing_mm] * 3)
    return image


def rendered(model: ShapeModel, fit: shape_model.Fit, like: Field) -> np.ndarray:
    return sitk.GetArrayFromImage(model.render(fit, image_of(like)))


def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance in mm of the zero level of a to that of b, both signed distances, near it."""
    near = np.abs(a) < 1.5
    return float(np.abs(a[near] - b[near]).mean())


def error(model: ShapeModel, bone: Field) -> float:
    return mean_distance(bone.values, rendered(model, model.fit(bone), bone))


def test_the_mean_shape_is_fitted_by_itself(model, family) -> None:
    identity = shape_model.Fit("right", shape_model.align(model.template, family[0]), np.zeros(3), 0.0)
    mean = family[0]._replace(values=rendered(model, identity, family[0]))
    fit = model.fit(mean)
    assert np.abs(fit.coefficients).max() < 0.25
    assert mean_distance(mean.values, rendered(model, fit, mean)) < 0.2


@pytest.mark.parametrize("drawn", [(2, 0, 0), (0, -2, 1), (-1.5, 1, 2)])
def test_a_shape_of_the_model_is_fitted(model, family, drawn) -> None:
    pose = shape_model.align(model.template, family[0])
    made = rendered(model, shape_model.Fit("right", pose, np.array(drawn, float), 0.0), family[0])
    bone = family[0]._replace(values=signed_distance(made < 0, GRID_MM))
    assert mean_distance(bone.values, rendered(model, model.fit(bone), bone)) < 0.5


def test_unseen_shapes_of_the_family_are_fitted(model) -> None:
    unseen = [blob(4, 7, 1), blob(1, -7, 3)]
    worst = [mean_distance(b.values, rendered(model.first(0), model.first(0).fit(b), b)) for b in unseen]
    assert max(error(model, bone) for bone in unseen) < 0.6
    assert np.mean([error(model, bone) for bone in unseen]) < 0.7 * np.mean(worst)


def test_more_modes_never_raise_the_training_error(trained, family) -> None:
    full = shape_model.train(*trained, np.arange(14), settings(modes=13))
    residuals = [np.mean([full.first(n).fit(b).residual_mm for b in family]) for n in (0, 1, 3, 13)]
    assert all(later < earlier + 0.02 for earlier, later in zip(residuals, residuals[1:], strict=False))
    assert residuals[-1] < 0.6 * residuals[0]


def test_a_moved_bone_takes_its_fit_along(model, family) -> None:
    turn = np.deg2rad(8)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    moved = blob(3, 2, 1, at=(points() - [3, -2, 1]) @ rotation / 1.1)  # moved = 1.1 * rotated + shift
    still, there = model.fit(blob(3, 2, 1)), model.fit(moved)
    assert there.coefficients == pytest.approx(still.coefficients, abs=0.5)
    assert there.pose.scale == pytest.approx(still.pose.scale / 1.1, rel=0.02)
    assert error(model, moved) == pytest.approx(error(model, blob(3, 2, 1)), abs=0.15)


def test_a_cut_bone_is_fitted_where_it_is_seen(model) -> None:
    whole = blob(3, 2, 1)
    cut = Field(whole.values[12:], whole.origin + [0, 0, 12 * GRID_MM], GRID_MM)
    guess = rendered(model, model.fit(cut), cut)
    assert mean_distance(cut.values, guess) < 0.7


def test_saved_and_loaded_is_the_same(model, family, tmp_path) -> None:
    for name in "ab":
        model.save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = ShapeModel.load(tmp_path / "a.npz")
    loaded.save(tmp_path / "c.npz")
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()
    first, second = model.fit(family[3]), loaded.fit(family[3])
    assert np.array_equal(first.coefficients, second.coefficients) and first.residual_mm == second.residual_mm


def test_principal_modes_rebuild_their_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    mean, modes, variances = shape_modes.principal(rows, np.ones(40, np.float32))
    weights = (rows - mean) @ modes.T / np.square(modes).sum(1)
    assert mean + weights @ modes == pytest.approx(rows, abs=1e-4)
    assert np.square(modes).sum(1) == pytest.approx(variances, rel=1e-4)
    assert weights.std(0, ddof=1) == pytest.approx(np.ones(5), rel=1e-3)


@pytest.mark.parametrize(("share", "number"), [(0.5, 1), (0.6, 2), (0.9, 3), (1.0, 4)])
def test_explained_variance_counts_modes(share, number) -> None:
    assert shape_modes.by_explained_variance(np.array([5.0, 3.0, 1.0, 1.0]), share) == number


def test_leave_one_out_finds_the_number_of_modes() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 200)) * 3 + rng.normal(size=(30, 200)) * 0.05
    weights, groups = np.ones(200), np.arange(30) // 2
    errors = shape_modes.leave_one_out_error(rows, weights, groups)
    direct = []
    for group in range(15):
        mean, modes, _ = shape_modes.principal(rows[groups != group].astype(np.float32), weights)
        left, unit = rows[groups == group] - mean, modes[:2] / np.linalg.norm(modes[:2], axis=1)[:, None]
        direct.append(np.square(left - left @ unit.T @ unit).sum(1).mean())
    assert errors[2] == pytest.approx(np.mean(direct) / 200, rel=1e-3)
    assert shape_modes.by_leave_one_out(errors) == 3


def test_mirrored_left_equals_right() -> None:
    labels = phantom.label_map(draw_anatomy(np.random.default_rng(0)), (3.0, 3.0, 3.0))
    parts = {"femur": {"right": 1, "left": 2}}
    straight, flipped = sitk.GetImageFromArray(labels), sitk.GetImageFromArray(labels[:, :, ::-1])
    for image in (straight, flipped):
        image.SetSpacing((3.0, 3.0, 3.0))
    right = next(b for b in shape_parts.bones(straight, parts, 2.0) if b.side == "right")
    left = next(b for b in shape_parts.bones(flipped, {"femur": {"left": 1}}, 2.0))
    assert right.distance.values.shape == left.distance.values.shape
    at = left.distance.points()
    width = (labels.shape[2] - 1) * 3.0  # mirrored about x = 0, not about the scan's middle
    there = right.distance.at(at + [width, 0, 0])
    assert np.abs(there - left.distance.values.ravel()).max() < 2.1  # voxel grids begin at opposite ends


def test_rendered_left_lies_on_the_left() -> None:
    labels = phantom.label_map(draw_anatomy(np.random.default_rng(0)), (3.0, 3.0, 3.0))
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((3.0, 3.0, 3.0))
    image = sitk.Flip(image, (True, True, False))  # another orientation in the file
    own = shape_parts.own_frame(image)
    bones = {b.side: b for b in shape_parts.bones(image, {"femur": {"right": 1, "left": 2}}, 2.0)}
    template = shape_model.template_of(bones["right"].distance)
    model = ShapeModel(template, Field(np.zeros((2, 2, 2, 3, 1), np.float32), template.origin, 1.0))
    for side, value in (("right", 1), ("left", 2)):
        fit = sitk.GetArrayFromImage(model.render(model.fit(bones[side].distance, side), own)) < 0
        assert metrics.iou(fit, sitk.GetArrayFromImage(own) == value) > (0.9 if side == "right" else 0.7)


def test_small_pieces_are_left_out() -> None:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[5:25, 5:25, 5:15] = 1
    whole = next(shape_parts.bones(sitk.GetImageFromArray(labels), {"a": {"right": 1}}, 1.0)).distance.values
    labels[5:8, 5:8, 22:25] = 1
    with_crumb = next(shape_parts.bones(sitk.GetImageFromArray(labels), {"a": {"right": 1}}, 1.0)).distance
    assert (with_crumb.values < 0).sum() == (whole < 0).sum() == 4000


def test_signed_distance_counts_from_the_boundary() -> None:
    distance = signed_distance(np.arange(8)[:, None, None] * np.ones((1, 4, 4)) < 4, 2.0)
    assert distance[:, 0, 0].tolist() == [-7, -5, -3, -1, 1, 3, 5, 7]
    with pytest.raises(ValueError, match="without surface"):
        signed_distance(np.zeros((4, 4, 4), bool), 1.0)


def test_a_field_is_read_linearly_and_repeats_its_edge() -> None:
    z, y, x = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    field = Field((x + 10 * y + 100 * z).astype(np.float32), np.array([1.0, 2.0, 3.0]), 2.0)
    there = np.array([[4.0, 5.0, 6.0], [-9, 2, 3], [99, 2, 3]])
    assert field.at(there) == pytest.approx([1.5 + 15 + 150, 0, 5], abs=0.01)
    assert field.points()[1].tolist() == [3, 2, 3]
    together = Field(np.stack([field.values, -field.values], -1), field.origin, 2.0).at(there)
    assert together[:, 0] == pytest.approx(-together[:, 1])
    smooth = Field(ndimage.gaussian_filter(field.values, 1), field.origin, 2.0)
    assert smooth.at(smooth.points()) == pytest.approx(smooth.values.ravel(), abs=0.2)


def test_folds_are_equal_seeded_and_templates_of_two_folds() -> None:
    names = [f"s{i}" for i in range(12)]
    fold_of = shape_cohort.folds(names, 5, 0)
    assert fold_of == shape_cohort.folds(names, 5, 0) != shape_cohort.folds(names, 5, 1)
    assert sorted(np.bincount(list(fold_of.values()))) == [2, 2, 2, 3, 3]
    found = [dict(subject=n, side="right", cuts=i % 2, height=i) for i, n in enumerate(names)]
    chosen = shape_cohort.templates(found, fold_of)
    assert fold_of[chosen[0]] != fold_of[chosen[1]]
    assert all(int(name[1:]) % 2 == 0 for name in chosen)  # the scan cuts none of them


@pytest.mark.parametrize(
    ("modes", "number"), [("explained_variance", 2), ("leave_one_out", 3), (1, 1), (7, 7), (99, 13)]
)
def test_how_many_modes_is_a_parameter(modes, number) -> None:
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(50, 3)))[0].T
    rows = rng.normal(size=(14, 3)) * [9, 5, 2] @ directions + 1e-3 * rng.normal(size=(14, 50))
    weights = np.ones(50, np.float32)
    variances = shape_modes.principal(rows.astype(np.float32), weights)[2]
    chosen = settings(modes=modes, explained_variance=0.9)
    assert shape_modes.how_many(chosen, variances, rows, weights, np.arange(14)) == number
    alone = shape_modes.how_many(settings(modes="leave_one_out"), variances[:1], rows[:2], weights, np.zeros(2))
    assert alone == 1
