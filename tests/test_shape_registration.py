import numpy as np
import pytest
from test_shape_model import blob, mean_distance, points

from ssl_hip.shape import shape_fit, shape_model, shape_registration
from ssl_hip.shape.distance_field import Field
from ssl_hip.shape.shape_fit import Similarity


def here(field: Field) -> Similarity:
    return Similarity(np.eye(3), 1.0, np.zeros(3), np.zeros(3))


def corresponding(template: Field, bone: Field) -> np.ndarray:
    grid = shape_model.displacement_grid(template, 4.0)
    u = shape_registration.register(template, bone, here(bone), grid)
    at = bone.points()
    moved = template.at(at + Field(u, grid.origin, 4.0).at(at))[:, 0]
    return moved.reshape(bone.values.shape)


def test_a_bone_corresponds_to_itself_without_displacement() -> None:
    template = shape_model.template_of(blob())
    u = shape_registration.register(template, blob(), here(blob()), shape_model.displacement_grid(template, 4.0))
    assert np.abs(u).max() < 1.0  # half a voxel: the template is smoothed, the bone is not


@pytest.mark.parametrize("shape", [(0, 8, 0), (0, -8, 3)])
def test_displacements_carry_a_bone_onto_the_template(shape) -> None:
    template, bone = shape_model.template_of(blob()), blob(*shape)
    before = mean_distance(bone.values, template.values[..., 0])
    assert mean_distance(bone.values, corresponding(template, bone)) < min(0.6, 0.7 * before)


def test_what_lies_outside_the_scan_pulls_nowhere() -> None:
    template, whole = shape_model.template_of(blob()), blob(0, 8, 0)
    cut = Field(whole.values[14:], whole.origin + [0, 0, 28.0], 2.0)
    grid = shape_model.displacement_grid(template, 4.0)
    u = shape_registration.register(template, cut, here(cut), grid)
    lowest = u[grid.points()[:, 2].reshape(u.shape[:3]) < whole.origin[2] + 12]
    assert np.abs(lowest).max() < 4  # it follows its surroundings smoothly; an absent bone is no reason to shrink


def test_the_pose_of_a_turned_and_scaled_bone_is_found() -> None:
    turn = np.deg2rad(10)
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    bone = blob(4, 6, 2)
    moved = blob(4, 6, 2, at=(points() - [2, -3, 2]) @ rotation / 1.1)
    start = Similarity(np.eye(3), 1.0, np.array([2.0, -3, 2]), np.zeros(3))
    pose = shape_fit.fit_pose(shape_model.template_of(bone), moved, start)
    assert pose.scale == pytest.approx(1 / 1.1, rel=0.02)
    angle = np.rad2deg(np.arccos((np.trace(pose.rotation @ rotation) - 1) / 2))
    assert min(angle, np.rad2deg(np.arccos((np.trace(pose.rotation @ rotation.T) - 1) / 2))) < 2
