"""HU and masks become colour pictures: uint8 grey in a display window, colours blended over it."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

WINDOW_HU = (-200, 800)
Colour = tuple[int, int, int]
# Okabe-Ito: fit for colour-blind people
ORANGE, SKY_BLUE, GREEN = (230, 159, 0), (86, 180, 233), (0, 158, 115)
YELLOW, BLUE, VERMILION = (240, 228, 66), (0, 114, 178), (213, 94, 0)


def to_grey(hu: np.ndarray, window_hu: Sequence[float] = WINDOW_HU) -> np.ndarray:
    """Return HU of any shape as grey values 0 .. 255, uint8, of a display window (low, high)."""
    low, high = map(float, window_hu)  # floats: int16 HU minus an int would wrap around near the type's end
    return (np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def tint(grey: np.ndarray, weight: np.ndarray, colour: Colour | np.ndarray) -> np.ndarray:
    """Blend a colour, or one a pixel (h, w, 3), over grey (h, w) with weights 0 .. 1 (h, w); (h, w, 3) uint8."""
    weight = np.clip(np.asarray(weight, float), 0, 1)[..., None]
    return (grey[..., None] * (1 - weight) + np.asarray(colour) * weight).astype(np.uint8)


def overlay(grey: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return (h, w, 3) uint8 of grey and masks (h, w): truth or hits green, false positives orange, misses blue."""
    mask = truth if mask is None else mask
    colour = np.zeros((*grey.shape, 3))
    colour[truth & mask], colour[mask & ~truth], colour[truth & ~mask] = GREEN, VERMILION, BLUE
    return tint(grey, 0.45 * (truth | mask), colour)


def outline(grey: np.ndarray, mask: np.ndarray, colour: Colour = ORANGE) -> np.ndarray:
    """Return (h, w, 3) uint8 of grey (h, w) with the outermost pixels of a mask (h, w) in a colour."""
    return tint(grey, mask & ~ndimage.binary_erosion(mask), colour)
