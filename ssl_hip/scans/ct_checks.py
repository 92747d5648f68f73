"""Are a volume's voxels Hounsfield units, and is its size that of a part of a patient?"""

import numpy as np
import SimpleITK as sitk

from ssl_hip.images.faults import Finding
from ssl_hip.images.volumes import AIR_HU

EXTENT_MM = (40.0, 2500.0)  # plausible, along each axis
SPACING_MM = (0.1, 10.0)
LOWEST_HU, HIGHEST_HU = -4000.0, 32000.0  # padding outside the field of view reaches -3024; metal on long scales 30710
SOFT_HU = (-200, 300)  # fat to muscle and contrast agent
NO_AIR_HU = -1500.0  # below lie padding and streaks of metal only
FEWEST_SOFT, MOST_BELOW = 0.02, 0.01  # shares of a scan's voxels
UNITS = "the header's units look like metres or voxels; mend its spacing in mm"


def size_fault(image: sitk.Image) -> Finding | None:
    """Return what is implausible about spacing and extent."""
    spacing = np.array(image.GetSpacing())
    extent = spacing * image.GetSize()
    if spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        return f"implausible voxel size {_short(spacing)} mm", UNITS
    if extent.min() < EXTENT_MM[0] or extent.max() > EXTENT_MM[1]:
        return f"implausible physical size {_short(extent)} mm", f"{UNITS}, or leave out so thin a part of a scan"
    return None


def intensity_fault(voxels: np.ndarray) -> Finding | None:
    """Return why the voxels are not those of a CT in Hounsfield units."""
    if bad := np.count_nonzero(~np.isfinite(voxels)) if voxels.dtype.kind == "f" else 0:
        return f"{bad} voxel(s) are NaN or infinite", f"replace them, e.g. by {AIR_HU:.0f} (air)"
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        return f"every voxel is {low:g}", "the export went wrong; export the scan again"
    fault = (_shift_fault(voxels, low) if LOWEST_HU < low < NO_AIR_HU else None) or _range_fault(low, high)
    return (f"intensities from {low:g} to {high:g}: {fault[0]}", fault[1]) if fault else None


def _range_fault(low: float, high: float) -> Finding | None:
    if low >= 0 and high <= 255:
        return "looks like a label or an 8-bit picture", "name the CT in Hounsfield units"
    if low >= 0 and high > 1000:
        return "looks like raw scanner values", "apply rescale slope and intercept (often: subtract 1024)"
    if low > -200 or high < 200:
        return "holds no air (below -200) or no bone (above 200)", "export it again uncropped, in Hounsfield units"
    if high > HIGHEST_HU:
        return "the rescale slope looks wrong", "export it again in Hounsfield units"
    if low < LOWEST_HU:
        return "a wrong rescale slope, or extreme padding", f"export it again, or set padding to {AIR_HU:.0f} (air)"
    return None


def _shift_fault(voxels: np.ndarray, low: float) -> Finding | None:
    """Padding of one value below is usual; air that varies there, or hardly any soft tissue, is not."""
    soft = np.count_nonzero((voxels > SOFT_HU[0]) & (voxels < SOFT_HU[1])) / voxels.size
    varying = np.count_nonzero((voxels > low) & (voxels < NO_AIR_HU)) / voxels.size
    if soft >= FEWEST_SOFT and varying <= MOST_BELOW:
        return None
    return "the intercept looks applied twice: air or soft tissue lie too low", "add 1024, or export it again"


def _short(values: np.ndarray) -> str:
    return " x ".join(f"{v:.3g}" for v in values)
