"""Random changes of training patches, the same for every method; off as printed in the paper."""

import numpy as np


class Augmentation:
    """Mirrors patches and changes their intensities, from a random generator of its own."""

    def __init__(self, settings, seed: int):
        """settings: `optimization` of params.yaml, its keys mirror and intensity."""
        self.settings, self.rng = settings, np.random.default_rng(seed)

    def __call__(self, image: np.ndarray, *maps: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return image and maps of the same voxels (B, D, H, W), each patch changed in its own way.

        mirror: along each axis in half of the cases; right hips become left ones. intensity: standard deviation of a
        factor about 1 and of a shift of the normalised image.
        """
        if self.settings.mirror:
            axes = [np.flatnonzero(self.rng.random(3) < 0.5) for _ in image]
            image, *maps = (
                np.stack([np.flip(patch, along) for patch, along in zip(each, axes, strict=True)])
                for each in (image, *maps)
            )
        if self.settings.intensity:
            factor, shift = self.rng.normal([[1.0], [0.0]], self.settings.intensity, (2, len(image)))
            image = (image * factor[:, None, None, None] + shift[:, None, None, None]).astype(np.float32)
        return image, *maps
