"""One way of preparing patches, in a process of its own: python -m benchmarks.contenders NAME FOLDER prints JSON.

Each reads the scan and its label, turns them to a canonical orientation, brings them to 1 mm (the image low-passed
before unless the name says otherwise) and cuts 24 cubes of 96 voxels. Imports count for memory, not for time.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

NUMBER, SIZE, SPACING_MM = 24, 96, 1.0
Prepare = Callable[[], int]  # returns how many patches it made


def ours(folder: Path) -> Prepare:
    """This repository's cutting: body mask, least overlap and metal too, cubes are written; no distance maps."""
    from ssl_hip.preparation import cutting

    patches = SimpleNamespace(edge=SIZE, spacing_mm=SPACING_MM, seed=0, body_hu=-300, min_foreground=0.0)
    patches.metal_hu, patches.metal_mm = 2000, 9.0
    patches.training_places = SimpleNamespace(above_hu=120, share=0.0)
    cohort, shape_model = SimpleNamespace(foreground=[1, 2, 3, 4]), SimpleNamespace(parts={})
    params = SimpleNamespace(patches=patches, cohort=cohort, shape_model=shape_model)
    subject = {"subject": "synthetic", "image": "image.nii.gz", "label": "label.nii.gz"}
    (folder / "cubes").mkdir(exist_ok=True)
    job = cutting.Job(0, subject, {"test": NUMBER}, params, folder, folder / "cubes", folder / "no_shape_model")
    return lambda: len(cutting.cut(job))


def torchio(folder: Path, antialias: bool = True) -> Prepare:
    """TorchIO: uniform places."""
    import torch
    import torchio as tio

    transform = tio.Compose([tio.ToCanonical(), tio.Resample(SPACING_MM, antialias=antialias)])

    def prepare() -> int:
        image, label = tio.ScalarImage(folder / "image.nii.gz"), tio.LabelMap(folder / "label.nii.gz")
        subject = transform(tio.Subject(image=image, label=label))
        cubes = list(tio.UniformSampler(SIZE)(subject, NUMBER))
        return len(torch.stack([cube.image.data for cube in cubes]) + torch.stack([cube.label.data for cube in cubes]))

    return prepare


def monai(folder: Path, antialias: bool = True) -> Prepare:
    """MONAI: uniform places; the low-pass is its Gaussian smoothing with the same sigma."""
    from monai import transforms as t

    from ssl_hip.images.resampling import low_pass_sigma

    both = ["image", "label"]
    sigma = [float(low_pass_sigma(s, SPACING_MM)) / s for s in (0.7, 0.7, 1.0)]
    steps = [t.LoadImaged(both), t.EnsureChannelFirstd(both), t.Orientationd(both, "LPS", labels=None)]
    steps += [t.GaussianSmoothd("image", sigma)] if antialias else []
    steps += [t.Spacingd(both, SPACING_MM, mode=("bilinear", "nearest"))]
    steps += [t.RandSpatialCropSamplesd(both, [SIZE] * 3, NUMBER, random_size=False)]
    transform = t.Compose(steps)
    return lambda: len(transform({name: folder / f"{name}.nii.gz" for name in both}))


CONTENDERS = {
    "ours": ours,
    "torchio": torchio,
    "torchio, no low-pass": lambda folder: torchio(folder, antialias=False),
    "monai": monai,
    "monai, no low-pass": lambda folder: monai(folder, antialias=False),
}


def main(name: str, folder: str) -> None:
    """Print seconds and peak memory of one preparation, or null where the package is missing."""
    try:
        prepare = CONTENDERS[name](Path(folder))
    except ImportError:
        print("null")
        return
    start = time.perf_counter()
    assert prepare() == NUMBER
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
