"""Display: grey follows the window, and colours mean what the legend says."""

import numpy as np
import pytest

from ssl_hip import display

GREY = np.full((1, 4), 100, np.uint8)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_window_maps_to_grey(dtype):
    hu = np.array([-32768, -300, -200, 300, 800, 900, 32767], dtype)
    assert display.to_grey(hu, [-200, 800]).tolist() == [0, 0, 0, 127, 255, 255, 255]


def test_tint_blends_from_grey_to_the_colour():
    picture = display.tint(GREY, np.array([[-1, 0, 0.5, 2]]), (0, 200, 100))
    assert picture.dtype == np.uint8
    assert picture[0].tolist() == [[100, 100, 100], [100, 100, 100], [50, 150, 100], [0, 200, 100]]


def test_overlay_colours_hits_false_positives_and_misses():
    truth, mask = np.array([[1, 0, 1, 0]], bool), np.array([[1, 1, 0, 0]], bool)
    hit, false_positive, miss, nothing = display.overlay(GREY, truth, mask)[0].astype(int)
    assert hit.argmax() == 1 and false_positive.argmax() == 0 and miss.argmax() == 2
    assert nothing.tolist() == [100, 100, 100]
    assert (display.overlay(GREY, truth) == display.overlay(GREY, truth, truth)).all()


def test_outline_colours_the_edge_alone():
    mask = np.zeros((7, 7), bool)
    mask[1:6, 1:6] = True
    coloured = (display.outline(np.full((7, 7), 100, np.uint8), mask) == display.ORANGE).all(-1)
    inside = np.zeros_like(mask)
    inside[2:5, 2:5] = True
    assert (coloured == (mask & ~inside)).all()
