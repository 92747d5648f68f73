"""Do the slices of a DICOM series make a regular volume? Positions and spacings in mm."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_hip.images.faults import Finding

TOLERANCE = 0.01  # share of the slice distance by which positions may differ, 0.05 mm at least
TOLERANCE_MM = 0.05
STRAY_SLICES = 5  # fewer than so many slices of another orientation are a localizer, passed over


class Slice(NamedTuple):
    """What a file's header says."""

    file: str
    series: str
    modality: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    position: tuple[float, ...] | None  # of the first voxel; None where the header has none
    direction: np.ndarray  # (3, 3), columns: along a row, along a column, normal
    rescale: tuple[str, str]  # slope, intercept

    @property
    def depth(self) -> int:
        """Frames of the file."""
        return self.size[2] if len(self.size) > 2 else 1


def ordered(slices: list[Slice]) -> list[Slice]:
    """Return the slices of the commonest orientation, sorted by position along their normal."""
    main, _ = _orientations(slices)
    return sorted(main, key=_height) if len(main) > 1 else main


def faults(slices: list[Slice]) -> list[Finding]:
    """Return everything that keeps the slices from making a volume, each with its remedy."""
    if len(slices) == 1:
        return []
    main, others = _orientations(slices)
    if any(len(other) >= STRAY_SLICES for other in others):
        counts = " and ".join(str(len(group)) for group in (main, *others))
        return [(f"slices of several orientations in one series ({counts})", "export one orientation a series")]
    if len({(part.size, part.spacing) for part in main}) > 1:
        sizes = sorted({" x ".join(map(str, part.size[:2])) for part in main})
        return [(f"slices of different sizes in one series ({', '.join(sizes)})", "export one size a series")]
    if lacking := [Path(part.file).name for part in main if part.position is None]:
        return [(f"{len(lacking)} slice(s) without position, the first: {lacking[0]}", "export the series again")]
    places = np.array([part.position for part in ordered(slices)])
    return _distance_faults(places @ main[0].direction[:, 2]) + _tilt_faults(places, main[0].direction[:, 2])


def _orientations(slices: list[Slice]) -> tuple[list[Slice], list[list[Slice]]]:
    """Return the slices of the commonest orientation, and the others, a list an orientation."""
    groups: list[list[Slice]] = []
    for part in slices:
        for group in groups:
            if np.allclose(group[0].direction, part.direction, atol=1e-3):
                group.append(part)
                break
        else:
            groups.append([part])
    groups.sort(key=len, reverse=True)
    return groups[0], groups[1:]


def _height(part: Slice) -> float:
    return float(np.dot(part.position, part.direction[:, 2]))


def _distance_faults(heights: np.ndarray) -> list[Finding]:
    steps = np.diff(heights)
    doubled = np.count_nonzero(steps < TOLERANCE_MM)
    steps = steps[steps >= TOLERANCE_MM]
    usual = float(np.median(steps)) if len(steps) else 0.0
    found = []
    if doubled:
        found.append((f"{doubled} slice(s) doubled (at the place of another)", "export one volume a series"))
    if len(steps) == 0:
        return found
    odd = steps[np.abs(steps - usual) > max(TOLERANCE * usual, TOLERANCE_MM)]
    multiples = np.round(odd / usual)
    gaps = (multiples >= 2) & (np.abs(odd / usual - multiples) < 0.1)
    if gaps.any():
        lost = int((multiples[gaps] - 1).sum())
        found.append((f"{lost} slice(s) missing (usual distance {usual:.4g} mm)", "export the series again, complete"))
    if not gaps.all():
        between = f"{steps.min():.4g} to {steps.max():.4g} mm"
        found.append((f"slices are unevenly spaced ({between})", "export a series with one slice distance"))
    return found


def _tilt_faults(places: np.ndarray, normal: np.ndarray) -> list[Finding]:
    """A gantry's tilt moves each slice within its plane against the one before."""
    way = places[-1] - places[0]
    along = float(way @ normal)
    aside = float(np.linalg.norm(way - along * normal))
    if aside <= TOLERANCE * max(abs(along), 1.0):
        return []
    degrees = np.degrees(np.arctan2(aside, abs(along)))
    remedy = "have it reconstructed without tilt, or correct the tilt (e.g. dcm2niix) and name the NIfTI file"
    return [(f"the gantry is tilted by {degrees:.1f} degrees: slices are sheared", remedy)]
