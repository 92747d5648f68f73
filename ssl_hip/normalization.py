"""Hounsfield units to what the network sees, and back."""

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
    def fit(cls, hu: np.ndarray, clip_hu: list[float]) -> "Normalization":
        """Take mean and standard deviation, in double precision, of the clipped intensities."""
        clipped = np.clip(hu, *clip_hu)
        return cls(tuple(clip_hu), float(clipped.mean(dtype=np.float64)), float(clipped.std(dtype=np.float64)))

    def apply(self, hu):
        """Return normalised intensities of HU, an array or a number."""
        return (np.clip(hu, *self.clip_hu) - self.mean_hu) / self.sd_hu

    def to_hu(self, normalised):
        """Return HU, clipped ones, of normalised intensities."""
        return normalised * self.sd_hu + self.mean_hu

    def to_dict(self) -> dict:
        """Return what a JSON file holds; Normalization(**dict) reads it back."""
        return asdict(self)
