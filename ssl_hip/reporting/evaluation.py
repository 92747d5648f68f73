"""Compare a whole-scan mask with a true label, in both halves of the patient or in one."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ssl_hip import metrics
from ssl_hip.config import UserError
from ssl_hip.images import labels, volumes
from ssl_hip.images.faults import FaultError
from ssl_hip.reporting import pictures

SIDES = ("both", "right", "left")


def read_truth(paths: list[Path], reference: sitk.Image, foreground: list[int]) -> sitk.Image:
    """Return the union of one or more label files (one file a bone) as a uint8 0/1 image.

    foreground: values that count in each file. Raises UserError where a file is unreadable or lies elsewhere than the
    reference; on another grid of the same place it is resampled.
    """
    union, faults = np.zeros(reference.GetSize()[::-1], bool), []
    for path in paths:
        try:
            union |= np.isin(volumes.to_array(labels.read(str(path), Path(), onto=reference)), foreground)
        except FaultError as error:
            faults += error.faults
    if faults:
        raise FaultError(faults)
    return volumes.like(union.astype(np.uint8), reference)


def half(image: sitk.Image, side: str) -> np.ndarray:
    """Return the voxels (z, y, x) in LPS order of the patient's right or left half, or of both.

    The cut is the mid-sagittal plane of the volume; with an odd number of voxels the middle ones belong to no half.
    """
    voxels = volumes.to_array(volumes.canonical(image))
    middle = voxels.shape[2] // 2
    return {"both": voxels, "right": voxels[:, :, :middle], "left": voxels[:, :, -middle:]}[side]


def score(mask: sitk.Image, truth: sitk.Image, side: str = "both") -> dict[str, float | int]:
    """Return metrics.score of a half; all false positives in it count, nothing is cropped."""
    spacing = volumes.canonical(mask).GetSpacing()[::-1]
    return metrics.score(half(mask, side), half(truth, side), spacing)


def main(arguments: list[str] | None = None) -> int:
    """Command line: score a mask, print JSON, draw a picture; 1 after a user's mistake."""
    parser = argparse.ArgumentParser(description="Score a predicted mask against one or more label files.")
    parser.add_argument("--mask", required=True, help="predicted mask")
    parser.add_argument("--truth", required=True, nargs="+", help="label files, their union is the truth")
    parser.add_argument("--foreground", type=int, nargs="+", default=[1, 2, 3, 4], help="label values that count")
    parser.add_argument("--side", choices=SIDES, default="both", help="the patient's half")
    parser.add_argument("--picture", help="PNG to draw; needs --image and --uncertainty")
    parser.add_argument("--image", help="CT")
    parser.add_argument("--uncertainty", help="uncertainty map")
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(_run(options)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> dict[str, float | int]:
    mask = volumes.read_image(options.mask)
    truth = read_truth(options.truth, mask, options.foreground)
    if options.picture:
        if not (options.image and options.uncertainty):
            raise UserError("--picture: name --image and --uncertainty too")
        image, uncertainty = map(volumes.read_image, (options.image, options.uncertainty))
        pictures.save(pictures.view(image, mask, uncertainty, truth), options.picture)
    return score(mask, truth, options.side)


if __name__ == "__main__":
    sys.exit(main())
