"""A whole test scan as a surgeon looks at it: axial, coronal and 3D, the truth beside what networks make of it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.spatial import KDTree

from ssl_hip import display, metrics
from ssl_hip.images import isotropic, resampling, volumes
from ssl_hip.prediction import BODY_HU, load_run, mask_alone
from ssl_hip.reporting import pictures, surface_view

GRID_MM = 1.0
COLUMN_IN, REST_IN, DPI = 2.8, 1.3, 100  # width of a column; height of titles and legends
ROWS = ("axial", "coronal", "from the front")
OUTLINES = {"truth": "#19d97a", "prediction": "#ff8c1a"}
DISTANCE = ScalarMappable(
    Normalize(0, 15, clip=True), LinearSegmentedColormap.from_list("", ["#f0e4cd", "#f6a13a", "#e0301e", "#a50f3c"])
)  # mm; bone-coloured where the surface is right


class Scan(NamedTuple):
    """A scan on a grid of GRID_MM in LPS order, (z, y, x): patient's right at low x, back at high y, head at high z."""

    hu: np.ndarray  # float32
    truth: np.ndarray  # bool
    masks: dict[str, np.ndarray]  # title -> prediction, bool


def choose(patches: pd.DataFrame, scores: pd.DataFrame) -> str | None:
    """Return the scan whose mean IoU over its patches is the median, the lower of two in the middle; None without any.

    patches: patches.csv; scans with metal are left out. scores: of one run, subject and iou.
    """
    usual = patches[patches.metal == 0].subject
    means = scores[scores.subject.isin(usual)].groupby("subject").iou.mean().sort_values(kind="stable")
    return means.index[(len(means) - 1) // 2] if len(means) else None


def read(subject: dict[str, Any], root: Path, foreground: list[int] | list[str], runs: dict[str, Path]) -> Scan:
    """Read a labelled scan, segment it whole with finished runs, and cut it to the body.

    subject: a row of cohort.csv, paths from root. foreground: cohort.foreground. runs: title -> folder.
    """
    scan, _ = isotropic.read(subject, root, GRID_MM, foreground)
    image = volumes.read_image(root / subject["image"])
    masks = {title: on_grid(mask_alone(image, load_run(folder))) for title, folder in runs.items()}
    box = body(scan.hu)
    return Scan(scan.hu[box], scan.label[box] == 1, {title: mask[box] for title, mask in masks.items()})


def body(hu: np.ndarray) -> tuple[slice, ...]:
    """Return the box that holds all voxels above BODY_HU."""
    filled = (np.flatnonzero((hu > BODY_HU).any(others)) for others in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(each[0], each[-1] + 1) for each in filled)


def on_grid(mask: sitk.Image) -> np.ndarray:
    """Return a mask of a scan's own grid on that of `Scan`."""
    return resampling.isotropic_label(*volumes.canonical_view(mask), GRID_MM) == 1


def save(scan: Scan | None, path: Path, window_hu: list[float]) -> None:
    """Write the picture as PNG, the same bytes each time; without a scan it says that none is available."""
    drawing = Figure((6, 1), DPI) if scan is None else draw(scan, window_hu)
    if scan is None:
        drawing.text(0.5, 0.5, metrics.NOT_AVAILABLE, ha="center", va="center")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, format="png", metadata={"Software": None})


def draw(scan: Scan, window_hu: list[float]) -> Figure:
    """Return the picture: a column for the truth and one a mask, a row for each of ROWS.

    The planes are those that hold most of the true bone.
    """
    masks, heights = {"truth": scan.truth} | scan.masks, [scan.hu.shape[axis] for axis in (1, 0, 0)]
    size = (COLUMN_IN * len(masks), COLUMN_IN * sum(heights) / scan.hu.shape[2] + REST_IN)
    drawing, planes = Figure(size, DPI, layout="compressed"), pictures.richest(scan.truth)
    axes = drawing.subplots(len(ROWS), len(masks), height_ratios=heights, squeeze=False)
    grey = pictures.planes(display.to_grey(scan.hu, window_hu), planes)
    for column, (title, mask) in zip(axes.T, masks.items(), strict=True):
        for axis, plane in zip(column, ("axial", "coronal"), strict=False):
            outlined = {"truth": scan.truth} | ({} if mask is scan.truth else {"prediction": mask})
            show_plane(
                axis, grey[plane], {name: pictures.planes(each, planes)[plane] for name, each in outlined.items()}
            )
        column[-1].imshow(surface(mask, scan.truth))
        column[0].set_title(title)
    finish(drawing, axes)
    return drawing


def show_plane(axis: Axes, grey: np.ndarray, outlined: dict[str, np.ndarray]) -> None:
    """Show a plane of the CT, grey (h, w), with the outlines of masks (h, w)."""
    axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
    for name, mask in outlined.items():
        if mask.any() and not mask.all():
            axis.contour(mask, [0.5], colors=OUTLINES[name], linewidths=1.0)


def surface(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the surface of a mask from the front, (h, w, 3) uint8, coloured by its distance from the truth's."""
    view = surface_view.front(mask, GRID_MM)
    picture = np.zeros((*view.met.shape, 3))
    seen = np.stack([each[view.met] for each in view.voxels], axis=1)
    if len(seen):
        distance_mm = KDTree(np.argwhere(metrics.surface(truth))).query(seen)[0] * GRID_MM
        picture[view.met] = DISTANCE.to_rgba(distance_mm)[:, :3] * view.shade[view.met][:, None]
    return (255 * picture).astype(np.uint8)


def finish(drawing: Figure, axes: np.ndarray) -> None:
    """Name rows and sides, and say what the colours mean."""
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        for x, side in ((0.02, "R"), (0.98, "L")):
            place = {"transform": axis.transAxes, "ha": "left" if side == "R" else "right", "va": "center"}
            axis.text(x, 0.5, side, color="white", **place)
    for axis, name in zip(axes[:, 0], ROWS, strict=True):
        axis.set_ylabel(name)
    bar = drawing.colorbar(DISTANCE, ax=axes, location="bottom", shrink=0.5, aspect=45, anchor=(1, 0.5), extend="max")
    bar.set_label("distance from the true surface, mm")
    lines = [Line2D([], [], color=colour, label=name) for name, colour in OUTLINES.items()]
    drawing.legend(handles=lines, loc="lower left", bbox_to_anchor=(0.03, 0.03), ncols=2, frameon=False)
