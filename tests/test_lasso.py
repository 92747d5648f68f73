"""Points in lassos and boxes: by hand, for shapes whose inside is known."""

import numpy as np
import plotly.graph_objects as go

from ssl_hip.explorer import lasso

TRIANGLE = {"type": "path", "path": "M0,0L4,0L0,-4Z", "xref": "x2", "yref": "y2"}
BOX = {"type": "rect", "x0": 9, "x1": 7, "y0": 1, "y1": 3, "xref": "x2", "yref": "y2"}
X, Y = np.array([1, 3, 8, 8, 1]), np.array([-1, -3, 2, 4, 1])


def test_a_point_is_in_a_triangle_or_a_box_or_in_neither():
    figure = go.Figure(layout={"selections": [TRIANGLE, BOX]})
    assert lasso.inside(figure, "x2", X, Y).tolist() == [True, False, True, False, False]


def test_another_plane_and_a_figure_without_lassos_have_none():
    assert not lasso.inside(go.Figure(layout={"selections": [TRIANGLE]}), "x", X, Y).any()
    assert not lasso.inside(go.Figure(), "x2", X, Y).any()
    assert lasso.inside(go.Figure(layout={"selections": [BOX]}), "x2", np.empty(0), np.empty(0)).shape == (0,)
