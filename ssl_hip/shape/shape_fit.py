"""Lay a deformable template over a bone: similarity and mode coefficients by Gauss-Newton on signed distances."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from ssl_hip.shape.distance_field import Field

SCALES = (0.7, 1.4)  # of adults; a bone shrunk to a point would fit any surface
READ_MODES_EVERY = 3  # rounds: modes are smooth, points hardly move any more
PRIOR = 0.001  # weight of a mode's prior against 1 mm^2 of squared distance a point: modes well below .03 mm stay idle


class Similarity(NamedTuple):
    """y = scale * rotation @ (x - centre) + target: from a bone's frame to the template's."""

    rotation: np.ndarray
    scale: float
    centre: np.ndarray
    target: np.ndarray

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """Move points (n, 3) of the bone's frame into the template's."""
        return ((points - self.centre) @ (self.scale * self.rotation.T) + self.target).astype(np.float32)

    def to_bone(self, points: np.ndarray) -> np.ndarray:
        """Move points (n, 3) of the template's frame into the bone's."""
        return ((points - self.target) @ self.rotation / self.scale + self.centre).astype(np.float32)

    def moved(self, step: np.ndarray) -> "Similarity":
        """Turn about `target` by step[:3] (rad), scale by exp(step[3]), shift by step[4:7] (mm)."""
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        scale = float(np.clip(self.scale * np.exp(step[3]), *SCALES))
        return self._replace(rotation=turn @ self.rotation, scale=scale, target=self.target + step[4:7])


def band_points(distance: Field, band_mm: float, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, 3) about step_mm apart within band_mm of the surface, and their signed distances (n,)."""
    every = max(1, round(step_mm / distance.spacing_mm))
    thin = Field(distance.values[::every, ::every, ::every], distance.origin, distance.spacing_mm * every)
    near = np.abs(thin.values.ravel()) < band_mm
    return thin.points()[near], thin.values.ravel()[near]


def fit_pose(template: Field, distance: Field, start: Similarity, band_mm: float = 24.0) -> Similarity:
    """Align a bone's signed distance with the template's: first a wide band of few points, then the surface's."""
    pose = start
    for band, step, rounds in ((band_mm, 6.0, 12), (8.0, 4.0, 8)):
        pose, _, _ = fit(template, None, pose, *band_points(distance, band, step), band, rounds)
    return pose


def fit(
    template, modes, pose, points, wanted, clip_mm: float, rounds: int = 10
) -> tuple[Similarity, np.ndarray, float]:
    """Return pose and coefficients that bring the deformed template's distances to the wanted ones, and what is left.

    template: Field (z, y, x, 4), signed distance and its gradient. modes: Field (z, y, x, 3, 1 + m), mean displacement
    and modes of one standard deviation each, or None. points (n, 3) and wanted (n,): in the bone's frame.
    Coefficients are kept within +-3 standard deviations. What is left: mean absolute difference in mm.
    """
    number = 0 if modes is None else modes.values.shape[-1] - 1
    coefficients = np.zeros(number)
    prior = np.diag(np.r_[np.full(7, 1e-9), np.full(number, PRIOR)]) * len(points)
    basis = None
    for turn in range(rounds):
        y = pose.to_template(points)
        if modes is not None and turn % READ_MODES_EVERY == 0:
            basis = modes.at(y)
        z = y if basis is None else y + basis @ np.r_[1.0, coefficients].astype(np.float32)
        value = template.at(z)
        residual = np.clip(value[:, 0], -clip_mm, clip_mm) - np.clip(pose.scale * wanted, -clip_mm, clip_mm)
        gradient = value[:, 1:] * (np.abs(value[:, :1]) < clip_mm)
        arm = y - pose.target
        columns = [np.cross(arm, gradient), np.sum(arm * gradient, -1, keepdims=True), gradient]
        if number:
            columns.append(np.einsum("nc,ncm->nm", gradient, basis[:, :, 1:]))
        jacobian = np.concatenate(columns, 1)
        slope = jacobian.T @ residual + prior @ np.r_[np.zeros(7), coefficients]
        step = -np.linalg.solve(jacobian.T @ jacobian + prior, slope)
        pose, coefficients = pose.moved(step[:7]), np.clip(coefficients + step[7:], -3, 3)
        if np.abs(step[4:7]).max() < 0.02 and np.abs(step[:4]).max() < 2e-4 and np.abs(step[7:]).max(initial=0) < 0.02:
            break
    return pose, coefficients, float(np.abs(residual).mean() / pose.scale)
