"""Random changes of training patches, the same for every method; off as printed in the paper."""

import numpy as np


class Augmentation:
    """Mirrors patches and changes their intensities, from a random generator of its own."""

    def __init__(self, settings, seed: int):
        """settings: `optimization` of params.yaml, its keys mirror and intensity."""
        self.settings, self.rng = settings, np.random.default_rng(seed)

    def __call__(self, image: np.ndarray, *maps: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return image and maps of the same voxels (B, D, H, W), each patch changed in its own way.

        mirror: left and right change places in half of the cases, along the last axis; nobody lies on the head, so
        other axes would only teach the network to forget where up and front are. intensity: standard deviation of a
        factor about 1 and of a shift of the normalised image.
        """
        if self.settings.mirror:
            mirrored = self.rng.random(len(image)) < 0.5
            image, *maps = (
                np.stack([patch[..., ::-1] if turned else patch for patch, turned in zip(each, mirrored, strict=True)])
                for each in (image, *maps)
            )
        if self.settings.intensity:
            factor, shift = self.rng.normal([[1.0], [0.0]], self.settings.intensity, (2, len(image)))
            image = (image * factor[:, None, None, None] + shift[:, None, None, None]).astype(np.float32)
        return image, *maps
