"""Figure 1 of the paper, drawn by code: how embedding matching learns from labelled and unlabelled patches."""

from typing import NamedTuple

import plotly.graph_objects as go

from ssl_hip.reporting.figures import finish

DATA, NETWORK, LABEL, LOSS = "#DDE8F3", "#F6E3C5", "#E3E3E3", "#F3D3C3"  # fills by kind of box
WIDTH, HEIGHT = 17.0, 10.0  # of a box, in hundredths of the picture's width and height
HEIGHT_PX = 560


class Box(NamedTuple):
    """A box of the picture; its middle in hundredths of width and height, from the lower left corner."""

    x: float
    y: float
    text: str
    fill: str


BOXES = {
    "labelled": Box(10, 92, "<b>labelled patches</b><br>image, label", DATA),
    "unlabelled": Box(10, 50, "<b>unlabelled patches</b><br>image", DATA),
    "student": Box(36, 71, "<b>student</b><br>3D U-Net, by gradient", NETWORK),
    "teacher": Box(36, 29, "<b>teacher</b><br>3D U-Net, EMA of it", NETWORK),
    "prediction": Box(62, 92, "prediction<br>of labelled patches", LABEL),
    "embeddings": Box(62, 71, "prediction, embeddings<br>of unlabelled patches", LABEL),
    "similarity": Box(62, 50, "similarity K+, K\u2212<br>to the two classes", LABEL),
    "references": Box(62, 29, "near-surface embeddings<br>of labelled patches", LABEL),
    "uncertainty": Box(62, 8, "mean softmax, entropy H<br>of M dropout passes", LABEL),
    "L_S": Box(89, 92, "<b>L<sub>S</sub></b><br>cross-entropy + Dice", LOSS),
    "L_EN": Box(89, 71, "<b>L<sub>EN</sub></b><br>entropy of softmax(K)", LOSS),
    "L_NN": Box(89, 50, "<b>L<sub>NN</sub></b>, where H \u2265 \u03bb<sub>T</sub><br>the nearer class's label", LOSS),
    "L_UA": Box(89, 8, "<b>L<sub>UA</sub></b>, where H < \u03bb<sub>T</sub><br>the teacher's label", LOSS),
}
ARROWS = [  # from, to, in words
    ("labelled", "student", ""),
    ("unlabelled", "student", ""),
    ("unlabelled", "teacher", ""),
    ("labelled", "teacher", ""),
    ("student", "teacher", "average of weights"),
    ("student", "prediction", ""),
    ("student", "embeddings", ""),
    ("teacher", "references", ""),
    ("teacher", "uncertainty", ""),
    ("prediction", "L_S", ""),
    ("embeddings", "similarity", ""),
    ("references", "similarity", ""),
    ("similarity", "L_EN", ""),
    ("similarity", "L_NN", ""),
    ("uncertainty", "L_NN", ""),
    ("uncertainty", "L_UA", ""),
]


def framework() -> go.Figure:
    """Return the schematic: data, networks, what they say, and the four terms of the loss."""
    figure = go.Figure()
    for box in BOXES.values():
        corners = {"x0": box.x - WIDTH / 2, "x1": box.x + WIDTH / 2, "y0": box.y - HEIGHT / 2, "y1": box.y + HEIGHT / 2}
        figure.add_shape(type="rect", fillcolor=box.fill, line={"color": "#444444", "width": 1}, **corners)
        figure.add_annotation(x=box.x, y=box.y, text=box.text, showarrow=False, font_size=12)
    for start, end, words in ARROWS:
        (x0, y0), (x1, y1) = ends(BOXES[start], BOXES[end])
        figure.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, axref="x", ayref="y", text="", showarrow=True, arrowhead=2, arrowwidth=1.2
        )
        figure.add_annotation(x=(x0 + x1) / 2 + 1, y=(y0 + y1) / 2, text=words, showarrow=False, xanchor="left")
    axis = {"range": [0, 100], "visible": False, "fixedrange": True}
    return finish(figure, HEIGHT_PX, xaxis=axis, yaxis=axis, margin=dict.fromkeys("tblr", 5))


def ends(start: Box, end: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where an arrow leaves and enters: left and right sides between columns, else top and bottom."""
    if start.x != end.x:
        return (start.x + WIDTH / 2, start.y), (end.x - WIDTH / 2, end.y)
    up = 1 if end.y > start.y else -1
    return (start.x, start.y + up * HEIGHT / 2), (end.x, end.y - up * HEIGHT / 2)
