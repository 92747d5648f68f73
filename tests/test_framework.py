"""The schematic: arrows join boxes that are there, and nothing overlaps or leaves the picture."""

from itertools import combinations

from ssl_hip.reporting import framework
from ssl_hip.reporting.framework import ARROWS, BOXES, HEIGHT, WIDTH


def test_arrows_join_boxes_and_every_box_has_one():
    named = {name for start, end, _ in ARROWS for name in (start, end)}
    assert named == set(BOXES)
    assert all(BOXES[start].x <= BOXES[end].x for start, end, _ in ARROWS)


def test_boxes_neither_overlap_nor_leave_the_picture():
    for a, b in combinations(BOXES.values(), 2):
        assert abs(a.x - b.x) >= WIDTH or abs(a.y - b.y) >= HEIGHT
    assert all(WIDTH / 2 <= box.x <= 100 - WIDTH / 2 for box in BOXES.values())
    assert all(HEIGHT / 2 <= box.y <= 100 - HEIGHT / 2 for box in BOXES.values())


def test_the_figure_has_a_box_and_an_arrow_each():
    figure = framework.framework()
    assert len(figure.layout.shapes) == len(BOXES)
    assert sum(bool(each.showarrow) for each in figure.layout.annotations) == len(ARROWS)
