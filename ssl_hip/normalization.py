"""Hounsfield units to what the network sees, and back."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Normalization:
    """Clip to a window, subtract the training patches' mean, divide by their standard deviation.

    Without the clip, air (-1000 HU) rules the standard deviation and muscle and spongy bone, 50 to 200 HU, look alike.
    """

    clip_hu: tuple[float, float]
    mean_hu: float
    sd_hu: float

    @classmethod
    def fit(cls, patches: Iterable[np.ndarray], clip_hu: list[float]) -> "Normalization":
        """Take mean and standard deviation, in double precision, of all patches' clipped intensities, one by one."""
        number, total, squares, middle = 0, 0.0, 0.0, float(np.mean(clip_hu))
        for hu in patches:
            centred = np.clip(hu, *clip_hu).astype(np.float64) - middle
            number, total, squares = number + centred.size, total + centred.sum(), squares + np.square(centred).sum()
        mean = float(total / number)
        return cls(tuple(clip_hu), middle + mean, float(np.sqrt(squares / number - mean**2)))

    def apply(self, hu):
        """Return normalised intensities of HU, an array or a number."""
        return (np.clip(hu, *self.clip_hu) - self.mean_hu) / self.sd_hu

    def to_hu(self, normalised):
        """Return HU, clipped ones, of normalised intensities."""
        return normalised * self.sd_hu + self.mean_hu

    def to_dict(self) -> dict:
        """Return what a JSON file holds; Normalization(**dict) reads it back."""
        return asdict(self)
