"""Segment patches and whole scans with a finished run; a scan's result lies on the scan's own grid."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from ssl_hip import checksums, weights
from ssl_hip.config import UserError
from ssl_hip.images import resampling, volumes
from ssl_hip.images.faults import FaultError
from ssl_hip.normalization import Normalization
from ssl_hip.precision import autocast
from ssl_hip.scans import checks, manifest
from ssl_hip.uncertainty import mc_dropout
from ssl_hip.unet import UNet3d
from ssl_hip.windows import sliding_window

BODY_HU = -300.0  # below fat: a window without a voxel above holds air only, hence no bone
NEEDED = ("network", "model", "sha256", "spacing_mm", "patch_size", "normalization", "precision")  # of run.json
PASSES = 5  # stochastic passes of the uncertainty map


@dataclass(frozen=True)
class Run:
    """What a finished run needs to segment a scan."""

    network: UNet3d
    spacing_mm: float
    patch_size: int
    normalization: Normalization
    precision: str = "float32"  # float32 | bfloat16: the one the network was trained and chosen in


@dataclass(frozen=True)
class Segmentation:
    """Result on the scan's own grid."""

    mask: sitk.Image  # uint8, 1 = bone
    uncertainty: sitk.Image  # float32, nats: mean over the passes of the entropy, 0 .. ln 2


def load_run(folder: Path | str) -> Run:
    """Read run.json and the weights of the network it names; raise UserError where the run is not finished."""
    info = _read_info(Path(folder))
    network, precision = load_network(folder), info["precision"]
    return Run(network, info["spacing_mm"], info["patch_size"], Normalization(**info["normalization"]), precision)


def load_network(folder: Path | str, name: str | None = None) -> UNet3d:
    """Return a run's network in eval mode, on the GPU where there is one; raise UserError without weights.

    name: student or teacher; None for the one that run.json names.
    """
    info = _read_info(Path(folder))
    name = name or info["network"]
    path = Path(folder) / f"{name}.safetensors"
    if not path.is_file():
        raise UserError(_no_weights(Path(folder), path.name))
    network = UNet3d(**info["model"])
    network.load_state_dict(weights.read(path, info["sha256"][name]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return network.to(device, memory_format=torch.channels_last_3d).eval()


@torch.no_grad()
def predict_patches(network: UNet3d, images: np.ndarray) -> np.ndarray:
    """Return foreground probabilities (N, s, s, s) of normalised patches (N, s, s, s); float32, no dropout."""
    batches = torch.from_numpy(np.asarray(images, np.float32))[:, None].split(8)
    return torch.cat([_foreground(network, _to_device(network, batch)).cpu() for batch in batches]).numpy()


def _foreground(network: UNet3d, x: torch.Tensor) -> torch.Tensor:
    return network(x)[0].float().softmax(1)[:, 1]


def _to_device(network: UNet3d, x: torch.Tensor) -> torch.Tensor:
    return x.to(next(network.parameters()).device, memory_format=torch.channels_last_3d)


def _read_info(folder: Path) -> dict:
    if not (folder / "run.json").is_file():
        raise UserError(_no_weights(folder, "run.json"))
    try:
        info = json.loads((folder / "run.json").read_text())
        missing = [key for key in NEEDED if key not in info]
    except ValueError:
        raise UserError(f"{folder / 'run.json'}: damaged; {checksums.remedy(folder)}") from None
    if missing:
        raise UserError(
            f"{folder}: from another version of this code (run.json lacks {', '.join(missing)}); train it again: "
            f"dvc repro --force --single-item {_stage(folder)}"
        )
    return info


def _stage(folder: Path) -> str:
    """Return the DVC stage that makes a run."""
    return f"ceiling@{folder.name.split('-')[-1]}" if folder.name.startswith("ceiling") else f"train@{folder.name}"


def _no_weights(folder: Path, missing: str) -> str:
    finished = ", ".join(sorted(path.parent.name for path in folder.parent.glob("*/run.json"))) or "none"
    return (
        f"{folder}: no finished run ({missing} is missing); 'make repro' trains all, 'dvc repro {_stage(folder)}' this "
        f"one if params.yaml lists it; finished in {folder.parent}: {finished}"
    )


def segment(image: sitk.Image, run: Run, batch: int = 4) -> Segmentation:
    """Segment a CT of any orientation and spacing; the result has the geometry of `image`.

    Foreground is a probability above .5 (one pass without dropout), taken after the resampling onto the scan's grid.
    """
    run.network.masks.seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        probability, entropy = whole_scan(probability_and_entropy, image, run, batch)
    return Segmentation(_bone(probability), entropy)


def mask_alone(image: sitk.Image, run: Run, batch: int = 4) -> sitk.Image:
    """Return `segment`'s mask without its uncertainty, whose passes take most of the time."""
    (probability,) = whole_scan(foreground_probability, image, run, batch)
    return _bone(probability)


def _bone(probability: sitk.Image) -> sitk.Image:
    return sitk.Cast(probability > 0.5, sitk.sitkUInt8)


@torch.no_grad()
def whole_scan(maps_of: Callable[..., torch.Tensor], image: sitk.Image, run: Run, batch: int) -> list[sitk.Image]:
    """Return a network's maps of a CT, float32, on the scan's own grid.

    maps_of: (network, x, precision), x (B, 1, s, s, s) -> (B, K, s, s, s), e.g. foreground_probability.
    """
    coarse = resampling.resample(volumes.canonical(image), run.spacing_mm)
    ct, air, body = (run.normalization.apply(hu) for hu in (volumes.to_array(coarse), volumes.AIR_HU, BODY_HU))
    maps = sliding_window(partial(maps_of, run.network, precision=run.precision), ct, run.patch_size, batch, air, body)
    return [resampling.resample_onto(volumes.like(m, coarse), image) for m in maps]


def foreground_probability(network: UNet3d, x: torch.Tensor, precision: str = "float32") -> torch.Tensor:
    """Return (B, 1, D, H, W): foreground probability without dropout; x: (B, 1, D, H, W)."""
    x = _to_device(network, x)
    with autocast(precision, x.device.type):
        return _foreground(network, x)[:, None]


def probability_and_entropy(network: UNet3d, x: torch.Tensor, precision: str = "float32") -> torch.Tensor:
    """Return (B, 2, D, H, W): foreground probability without dropout, and MC dropout's mean entropy in nats.

    x: (B, 1, D, H, W), window by window for the entropy, so that dropout masks do not depend on x's batch size.
    """
    x = _to_device(network, x)
    probability = foreground_probability(network, x, precision)
    with autocast(precision, x.device.type):
        entropy = torch.cat([mc_dropout(network, window, PASSES).mean_entropy for window in x.split(1)])
    return torch.cat([probability, entropy[:, None]], 1)


def predict(image_path: Path | str, out: Path | str, run: Path | str) -> tuple[Path, Path]:
    """Segment a scan; return the paths of OUT/NAME_mask.nii.gz (uint8) and OUT/NAME_uncertainty.nii.gz (float32).

    image_path: a file, a DICOM folder, or folder#SERIES_INSTANCE_UID; its headers' texts do not reach the results.
    Raises UserError where the scan is not a CT, the run has no weights, or OUT is no folder.
    """
    image_path, out = Path(image_path), Path(out)
    if faults := checks.check_image(image_path):
        raise FaultError(faults)
    if out.name.endswith(manifest.SUFFIXES) or any(folder.is_file() for folder in (out, *out.parents)):
        raise UserError(f"{out}: the output is a folder; name one, not below a file")
    result = segment(volumes.read_image(image_path), load_run(run))
    mask, uncertainty = (out / f"{manifest.stem(image_path)}_{kind}.nii.gz" for kind in ("mask", "uncertainty"))
    volumes.write(result.uncertainty, uncertainty)
    volumes.write(result.mask, mask)
    return mask, uncertainty


def main(arguments: list[str] | None = None) -> int:
    """Command line: python -m ssl_hip.prediction --image IN --out OUT --run RUN; 1 after a user's mistake."""
    parser = argparse.ArgumentParser(description="Segment the hip bones of a CT scan with a finished run.")
    parser.add_argument(
        "--image", required=True, help="CT in Hounsfield units: NIfTI, NRRD, MHA, DICOM folder or folder#SERIES_UID"
    )
    parser.add_argument("--out", required=True, help="folder for the mask and the uncertainty map")
    parser.add_argument("--run", required=True, help="folder of a finished run, e.g. runs/embedding_matching-50-0")
    options = parser.parse_args(arguments)
    try:
        for path in predict(options.image, options.out, options.run):
            print(path)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
