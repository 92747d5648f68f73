import numpy as np
import pandas as pd
import pytest

from ssl_hip.shape import shape_pictures
from ssl_hip.shape.distance_field import Field
from ssl_hip.shape.shape_model import ShapeModel, with_gradient


def ball(radius: float, spacing_mm: float = 2.0) -> Field:
    lines = (np.arange(24) - 11.5) * spacing_mm
    z, y, x = np.meshgrid(lines, lines, lines, indexing="ij")
    origin = np.full(3, lines[0])
    return Field((np.sqrt(x**2 + y**2 + z**2) - radius).astype(np.float32), origin, spacing_mm)


def test_mesh_of_a_ball_is_closed_and_lies_on_it() -> None:
    vertices, faces = shape_pictures.mesh(ball(15.0))
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(np.full(len(vertices), 15.0), abs=0.4)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.05)  # positive: the triangles look outwards


def test_modes_show_how_far_the_surface_moves() -> None:
    template = with_gradient(ball(15.0))
    moves = np.zeros((6, 6, 6, 3, 2), np.float32)
    moves[..., 0, 1] = 2.0  # one mode: 2 mm along x
    figure = shape_pictures.modes(ShapeModel(template, Field(moves, template.origin, 9.0)), number=3)
    assert len(figure.data) == 3
    assert [np.abs(trace.intensity).max() for trace in figure.data] == pytest.approx([4, 0.1, 4], abs=0.6)


def test_figures_of_tables() -> None:
    rows = [dict(part=p, modes=m, mean_mm=1 / m, hd95_mm=2 / m) for p in ("femur", "hip_bone") for m in (1, 5) * 2]
    assert len(shape_pictures.generalisation(pd.DataFrame(rows)).data) == 4
    scores = pd.DataFrame(dict(split=["train", "test"] * 20, deviation_mm=np.linspace(0.5, 12, 40)))
    figure = shape_pictures.histogram(scores, [1.2, 1.725, 2.73, 4.66, 8.24])
    assert [len(trace.x) for trace in figure.data] == [20, 20] and len(figure.layout.shapes) == 12
