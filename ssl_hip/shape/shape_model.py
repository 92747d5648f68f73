"""Statistical deformation model of a bone: a template, its mean displacement and the main modes of displacement.

After Rueckert et al. 2003 (Automatic construction of 3-D statistical deformation models of the brain): thin plates,
which vanish in averages of distance maps, stay whole, because the template is only moved.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip.shape import shape_fit, shape_modes, shape_registration
from ssl_hip.shape.distance_field import Field
from ssl_hip.shape.shape_fit import Similarity

EXTENSION_MM = 60.0  # a template that the scan cuts goes on straight as far as this
TOP_MM = 90.0  # bones are first laid on each other by the centroid of their uppermost part: shafts end anywhere
FAR_MM = 20.0
BAND_MM, STEP_MM, CLIP_MM = 6.0, 4.5, 8.0  # points of a fit: within, apart; largest difference that counts


class Fit(NamedTuple):
    """A bone's best fit: pose, coefficients in standard deviations, mean difference near the surface in mm."""

    side: str
    pose: Similarity
    coefficients: np.ndarray
    residual_mm: float


class ShapeModel(NamedTuple):
    """A template's signed distance with its gradient, (z, y, x, 4), and displacements (z, y, x, 3, 1 + modes)."""

    template: Field
    displacement: Field

    @property
    def modes(self) -> int:
        """How many modes the model has."""
        return self.displacement.values.shape[-1] - 1

    def first(self, number: int) -> "ShapeModel":
        """Return the model of the first modes only."""
        kept = np.ascontiguousarray(self.displacement.values[..., : number + 1])
        return self._replace(displacement=self.displacement._replace(values=kept))

    def fit(self, distance: Field, side: str = "right") -> Fit:
        """Return the best fit to a bone, given as shape_parts.bones gives it (left ones mirrored)."""
        pose = align(self.template, distance)
        points, wanted = shape_fit.band_points(distance, BAND_MM, STEP_MM)
        found = shape_fit.fit(self.template, self.displacement, pose, points, wanted, CLIP_MM, rounds=15)
        return Fit(side, *found)

    def save(self, path: Path) -> None:
        """Write a .npz without pickle; `load` gives the same model."""
        (shape, origin, spacing), (moves, start, step) = self.template, self.displacement
        with open(path, "wb") as file:
            np.savez(
                file, distance=shape[..., 0].astype(np.float16), origin=origin, spacing_mm=spacing,
                displacement=moves.astype(np.float16), displacement_origin=start, displacement_spacing_mm=step,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "ShapeModel":
        """Read what `save` wrote."""
        with np.load(path) as file:
            template = Field(file["distance"].astype(np.float32), file["origin"], float(file["spacing_mm"]))
            moves = (
                file["displacement"].astype(np.float32),
                file["displacement_origin"],
                float(file["displacement_spacing_mm"]),
            )
        return cls(with_gradient(template), Field(*moves))

    def render(self, fit: Fit, grid: sitk.Image) -> sitk.Image:
        """Return the fit's signed distance in mm (float32, at most FAR_MM) on an image's grid, which lies in LPS."""
        values, origin, spacing = self.displacement
        moved = values @ np.r_[1.0, fit.coefficients].astype(np.float32)
        field = sitk.GetImageFromArray(moved.astype(np.float64), isVector=True)
        field.SetOrigin([float(v) for v in origin])
        field.SetSpacing([spacing] * 3)
        mirror = np.diag([-1.0 if fit.side == "left" else 1.0, 1, 1])
        matrix = fit.pose.scale * fit.pose.rotation
        affine = sitk.AffineTransform(3)
        affine.SetMatrix((matrix @ mirror).ravel().tolist())
        affine.SetTranslation((fit.pose.target - matrix @ fit.pose.centre).tolist())
        whole = sitk.CompositeTransform([sitk.DisplacementFieldTransform(field), affine])  # the last is applied first
        template = sitk.GetImageFromArray(self.template.values[..., 0] / np.float32(fit.pose.scale))
        template.SetOrigin([float(v) for v in self.template.origin])
        template.SetSpacing([self.template.spacing_mm] * 3)
        return sitk.Resample(template, grid, whole, sitk.sitkLinear, FAR_MM)


def template_of(distance: Field) -> Field:
    """Make a template of a bone: (z, y, x, 4), smoothed signed distance and its gradient, longer where it is cut."""
    faces = [[distance.values.take(end, axis).min() < 0 for end in (0, -1)] for axis in range(3)]
    length = round(EXTENSION_MM / distance.spacing_mm)
    widths = [[length * bool(cut) for cut in face] for face in faces]
    values = np.pad(ndimage.gaussian_filter(distance.values, 0.7), widths, mode="edge")
    origin = distance.origin - distance.spacing_mm * np.array([w[0] for w in widths[::-1]])
    return with_gradient(Field(values.astype(np.float16), origin, distance.spacing_mm))  # float16: as a file keeps it


def with_gradient(distance: Field) -> Field:
    """Return the signed distance and its gradient, (z, y, x, 4) float32: value, d/dx, d/dy, d/dz."""
    values = distance.values.astype(np.float32)
    z, y, x = np.gradient(values, distance.spacing_mm)
    return distance._replace(values=np.stack([values, x, y, z], -1))


def align(template: Field, distance: Field) -> Similarity:
    """Return the similarity that lays a bone on the template."""
    start = Similarity(
        np.eye(3), 1.0, upper_centroid(distance), upper_centroid(template._replace(values=template.values[..., 0]))
    )
    return shape_fit.fit_pose(template, distance, start)


def upper_centroid(distance: Field) -> np.ndarray:
    """Return the centroid (x, y, z) of a bone's uppermost TOP_MM."""
    inside = np.argwhere(distance.values < 0)
    upper = inside[inside[:, 0] > inside[:, 0].max() - TOP_MM / distance.spacing_mm]
    return distance.origin + distance.spacing_mm * upper.mean(0)[::-1]


def displacement_grid(template: Field, grid_mm: float) -> Field:
    """Return an empty grid of displacements that covers the template."""
    shape = [int(np.ceil((n - 1) * template.spacing_mm / grid_mm)) + 1 for n in template.values.shape[:3]]
    return Field(np.zeros(shape, np.float32), template.origin, grid_mm)


def correspond(template: Field, distance: Field, grid_mm: float) -> np.ndarray:
    """Return the displacements (z, y, x, 3) float32 that carry a bone onto the template."""
    pose = align(template, distance)
    return shape_registration.register(template, distance, pose, displacement_grid(template, grid_mm))


def train(template: Field, displacements: np.ndarray, groups: np.ndarray, settings: SimpleNamespace) -> ShapeModel:
    """Return the model of displacements (n, z, y, x, 3) that `correspond` gave; groups (n,): whose they are.

    settings: grid_mm, modes and explained_variance of params.yaml's section shape_model.
    """
    grid = displacement_grid(template, settings.grid_mm)
    rows = displacements.reshape(len(displacements), -1).astype(np.float32)
    weights = near_surface(template, grid, rows.mean(0))
    mean, modes, variances = shape_modes.principal(rows, weights)
    number = shape_modes.how_many(settings, variances, rows, weights, groups)
    stacked = np.concatenate([mean[None], modes[:number]]).astype(np.float16).astype(np.float32)
    values = np.ascontiguousarray(stacked.T).reshape(*displacements.shape[1:], -1)
    return ShapeModel(template, Field(values, grid.origin, grid.spacing_mm))


def near_surface(template: Field, grid: Field, mean: np.ndarray) -> np.ndarray:
    """Return the weight of each coordinate of a displacement, (3 voxels,): 1 at the mean surface, .37 at 8 mm."""
    distance = template.at(grid.points() + mean.reshape(-1, 3))[:, 0]
    return np.repeat(np.exp(-np.square(distance / 8)), 3).astype(np.float32)
