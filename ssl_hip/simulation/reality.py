"""How bright bone is in a CT: the measures by which phantoms are held against real scans.

`real_hips.csv` has them of ten real hips (CT of PET/CT, Vallieres 2015, doi 10.7937/K9/TCIA.2015.7GO2GSKS) and of the
right half of one abdominal CT (an osteoporotic patient, TotalSegmentator); made by
python -m ssl_hip.simulation.reality IMAGE MASK [IMAGE MASK ...]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip.images import isotropic, resampling

GRID_MM = 3.0  # of the default profile's patches
THRESHOLDS_HU = (50, 75, 100, 125, 150, 175, 200, 250)
HARDLY_HU = 50.0  # bone whose median is as near to its surroundings hardly stands out
REAL = Path(__file__).with_name("real_hips.csv")


def measures(hu: np.ndarray, bone: np.ndarray) -> dict[str, float]:
    """Return the measures of a CT (z, y, x) in HU with its bone mask, bool, both on a grid of 3 mm.

    below_100, below_0: share of bone voxels below so many HU; p10, median, p90: of bone voxels, HU; shell, core: median
    of bone voxels that touch no-bone, and of those more than two voxels inside; around: of the three voxels beyond the
    first one outside; threshold_local: best IoU of one threshold within 15 mm of bone; edge_mm: width of the bone's
    edge, (90th percentile of the shell - around) / 90th percentile of the gradient at the face; noise: robust standard
    deviation of neighbouring soft tissue voxels' differences over sqrt(2), HU.
    """
    shell, core = bone & ~ndimage.binary_erosion(bone), ndimage.binary_erosion(bone, iterations=2)
    first = ndimage.binary_dilation(bone)
    around, local = ndimage.binary_dilation(bone, iterations=4) & ~first, ndimage.binary_dilation(bone, iterations=5)
    gradient = np.sqrt(sum(np.square(slope) for slope in np.gradient(hu, GRID_MM)))[shell | (first & ~bone)]
    outside, inside = float(np.median(hu[around])), hu[bone]
    return {
        "below_100": float((inside < 100).mean()),
        "below_0": float((inside < 0).mean()),
        **dict(zip(("p10", "median", "p90"), np.percentile(inside, (10, 50, 90)).tolist(), strict=True)),
        "shell": float(np.median(hu[shell])),
        "core": float(np.median(hu[core])) if core.any() else np.nan,
        "around": outside,
        "threshold_local": max(_iou(hu[local] > level, bone[local]) for level in THRESHOLDS_HU),
        "edge_mm": float((np.percentile(hu[shell], 90) - outside) / np.percentile(gradient, 90)),
        "noise": _noise(hu, local),
    }


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def _noise(hu: np.ndarray, near_bone: np.ndarray) -> float:
    soft = (hu > -20) & (hu < 120) & ~near_bone
    step = np.diff(hu, axis=2)[soft[:, :, 1:] & soft[:, :, :-1]]
    if not len(step):
        return np.nan
    return float(1.4826 * np.median(np.abs(step - np.median(step))) / np.sqrt(2))


def of_cohort(scans: pd.DataFrame, root: Path, foreground: list, number: int = 30) -> pd.DataFrame:
    """Return a row of measures for each of the first scans of a manifest that have a label; foreground: of params."""
    rows = []
    for row in scans[scans.label != ""].head(number).to_dict("records"):
        scan, _ = isotropic.read(row, root, GRID_MM, foreground)
        rows.append({"scan": row["subject"], **measures(scan.hu, scan.label == 1)})
    return pd.DataFrame(rows).set_index("scan")


def compare(phantoms: pd.DataFrame) -> pd.DataFrame:
    """Return a row a measure: real_low, real_median, real_high, phantom_low, phantom_median, phantom_high.

    phantoms: a row a scan, of `measures`.
    """
    ranges = {"low": "min", "median": "median", "high": "max"}
    tables = {"real": pd.read_csv(REAL, index_col="scan"), "phantom": phantoms}
    columns = {f"{kind}_{name}": table.agg(how) for kind, table in tables.items() for name, how in ranges.items()}
    return pd.DataFrame(columns).rename_axis("measure").reset_index()


def medians_outside(comparison: pd.DataFrame) -> list[str]:
    """Return the measures whose median over phantoms lies outside of the real range; comparison: of `compare`."""
    inside = comparison.phantom_median.between(comparison.real_low, comparison.real_high)
    return comparison.measure[~inside].tolist()


def hardly_standing_out(scans: pd.DataFrame) -> float:
    """Return the share of scans (a row each, of `measures`) whose bone is nearly as dark as what is around it."""
    return float((scans["median"] - scans["around"] < HARDLY_HU).mean())


def main() -> None:
    """Print the measures of scans as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="an image and a mask, by turns")
    files = parser.parse_args().files
    if len(files) % 2:
        parser.error("give an image and a mask, by turns")
    rows = []
    for image, mask in zip(files[::2], files[1::2], strict=True):
        truth = sitk.Cast(sitk.ReadImage(mask) > 0, sitk.sitkUInt8)
        hu = sitk.GetArrayFromImage(resampling.resample(sitk.ReadImage(image), GRID_MM))
        bone = sitk.GetArrayFromImage(resampling.resample(truth, GRID_MM, label=True)) > 0
        rows.append({"scan": Path(image).name.split(".")[0], **measures(hu, bone)})
    print(pd.DataFrame(rows).to_csv(index=False, float_format="%.4g"), end="")


if __name__ == "__main__":
    main()
