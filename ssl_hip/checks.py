"""What is wrong with a scan or its label, before any work begins."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip.config import UserError
from ssl_hip.volumes import AIR_HU, read_image, to_array


def check_pair(image_path: Path | str, label_path: Path | str | None, foreground: list[int]) -> list[str]:
    """Return every problem of a CT and its label, one line each with file and remedy; empty when fit for use.

    label_path: None or "" for a scan without label. foreground: label values that count as foreground.
    """
    problems: list[str] = []
    image = _read_or_note(image_path, problems)
    if image is not None:
        problems += _intensity_problems(image_path, to_array(image))
    label = _read_or_note(label_path, problems) if label_path else None
    if label is not None:
        problems += _label_problems(label_path, to_array(label), foreground)
    if image is not None and label is not None:
        problems += place_problems(image_path, image, label_path, label)
    return problems


def _read_or_note(path: Path | str, problems: list[str]) -> sitk.Image | None:
    try:
        return read_image(path)
    except UserError as error:
        problems.append(str(error))
        return None


def _intensity_problems(path: Path | str, voxels: np.ndarray) -> list[str]:
    bad = int(np.count_nonzero(~np.isfinite(voxels)))
    if bad:
        return [f"{path}: {bad} voxels are NaN or infinite; replace them, e.g. by {AIR_HU:.0f} (air)"]
    low, high = float(voxels.min()), float(voxels.max())
    if low <= -200 and high >= 200:
        return []
    if low >= 0 and high <= 255:
        remedy = "looks like a label or an 8-bit picture; name the CT in Hounsfield units"
    elif low >= 0 and high > 1000:
        remedy = "looks like raw scanner values; apply rescale slope and intercept (often: subtract 1024)"
    else:
        remedy = "a CT holds air (below -200) and bone (above 200); export it again uncropped, in Hounsfield units"
    return [f"{path}: intensities from {low:g} to {high:g} are not those of a CT; {remedy}"]


def _label_problems(path: Path | str, voxels: np.ndarray, foreground: list[int]) -> list[str]:
    values = np.unique(voxels)
    if not np.array_equal(values, np.round(values)):
        return [f"{path}: label values must be whole numbers; export the label map, not a probability"]
    if np.isin(values, foreground).any():
        return []
    found, wanted = ", ".join(f"{v:g}" for v in values[:10]), ", ".join(map(str, foreground))
    return [f"{path}: no voxel has a foreground value ({wanted}), only {found}; mend the label or cohort.foreground"]


def place_problems(image_path: Path | str, image: sitk.Image, label_path: Path | str, label: sitk.Image) -> list[str]:
    """Return how a label's grid differs from its image's (size, origin, spacing, direction); at most one line."""
    remedy = f"of {image_path}; resample the label onto the image's grid"
    if image.GetSize() != label.GetSize():
        return [f"{label_path}: size {label.GetSize()} instead of {image.GetSize()} {remedy}"]
    step = min(image.GetSpacing())
    differ = [
        f"{name} {_short(theirs)} instead of {_short(ours)}"
        for name, theirs, ours, tolerance in (
            ("origin", label.GetOrigin(), image.GetOrigin(), 0.05 * step),
            ("spacing", label.GetSpacing(), image.GetSpacing(), 1e-3 * step),
            ("direction", label.GetDirection(), image.GetDirection(), 1e-3),
        )
        if not np.allclose(theirs, ours, rtol=0, atol=tolerance)
    ]
    return [f"{label_path}: {' and '.join(differ)} {remedy}"] if differ else []


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
