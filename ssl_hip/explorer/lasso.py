"""Which points lie in the lassos and boxes of a figure.

They are read from the figure's layout, which keeps them. The event of a selection is not enough: plotly's widget
sends the last event only, and while the kernel is busy that is the hover of the mouse as it moves on.
"""

import numpy as np
from matplotlib.path import Path
from plotly.graph_objects import Figure


def inside(figure: Figure, axis: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which points x, y (N,) lie in a lasso or box of the plane with this x axis (x, x2, ...): (N,) bool."""
    found, points = np.zeros(len(x), bool), np.column_stack((x, y))
    drawn = figure.layout.to_plotly_json().get("selections", ())  # the attribute is behind what the browser says
    for each in drawn:
        if each["xref"] == axis:
            found |= Path(corners(each)).contains_points(points)
    return found


def corners(drawn: dict) -> np.ndarray:
    """Return the corners x, y (n, 2) of a selection; plotly tells a lasso as 'M0,0L1,0L1,1Z'."""
    if drawn["type"] == "path":
        return np.array([pair.split(",") for pair in drawn["path"].strip("MZ").split("L")], float)
    (left, right), (low, high) = ((drawn[f"{name}0"], drawn[f"{name}1"]) for name in "xy")
    return np.array([(left, low), (right, low), (right, high), (left, high)], float)
