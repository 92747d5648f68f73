import json
import shutil
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from ssl_hip import prediction, weights
from ssl_hip.images import volumes
from ssl_hip.normalization import Normalization
from ssl_hip.unet import UNet3d
from ssl_hip.windows import sliding_window

torch.set_num_threads(1)
SIZE = 16
MODEL = {"width": 8, "levels": 2, "norm": "group", "dropout": 0.15}


def noise(shape, seed=0):
    return np.random.default_rng([seed, 3]).normal(size=shape).astype(np.float32)


@pytest.fixture
def scan(tmp_path):
    """A CT with anisotropic spacing and flipped axes: soft tissue with a bright ball, air around."""
    place = np.indices((20, 36, 30)).T.reshape(30, 36, 20, 3).transpose(2, 1, 0, 3)
    distance = np.linalg.norm((place - [10, 18, 15]) * [3.0, 1.5, 1.5], axis=-1)
    hu = np.where(distance < 12, 800, np.where(distance < 24, 40, -1000)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((1.5, 1.5, 3.0))
    image.SetOrigin((12.3, -45.6, 78.9))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    volumes.write(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs/supervised-8-0"
    folder.mkdir(parents=True)
    info = {
        "sha256": weights.write(folder, {"student": UNet3d(**MODEL).state_dict()}),
        "network": "student",
        "model": MODEL,
        "spacing_mm": 2.0,
        "patch_size": SIZE,
        "precision": "bfloat16",
        "normalization": {"clip_hu": [-1024, 3071], "mean_hu": -100.0, "sd_hu": 400.0},
    }
    (folder / "run.json").write_text(json.dumps(info))
    return folder


class BrightIsBone(torch.nn.Module):
    """Stand-in network: foreground where the CT is above 400 HU."""

    def __init__(self):
        super().__init__()
        self.masks = UNet3d(**MODEL).masks
        self.sharpness = torch.nn.Parameter(torch.tensor(50.0))

    def forward(self, x):
        bright = self.sharpness * (x - (400 + 100) / 400)
        return torch.cat([-bright, bright], 1), x


def stand_in():
    return prediction.Run(BrightIsBone(), 2.0, SIZE, Normalization((-1024, 3071), -100.0, 400.0))


@pytest.mark.parametrize(("batch", "precision"), [(3, "float32"), (7, "bfloat16")])
def test_batching_changes_nothing_but_rounding(batch, precision):
    """The up-convolutions of a larger batch take the same form; dropout masks stay, so the entropy does too."""
    network, found = UNet3d(**MODEL).eval(), []
    for size in (1, batch):
        network.masks.seed(0)
        maps = partial(prediction.probability_and_entropy, network, precision=precision)
        with torch.no_grad():
            found.append(sliding_window(maps, noise((24, 20, 16)), SIZE, size))
    (probability, entropy), (again, entropy_again) = found
    assert np.allclose(probability, again, rtol=1e-5, atol=1e-6) and np.ptp(probability) > 0.1
    assert np.array_equal(entropy, entropy_again) and entropy.max() > 0


@pytest.mark.parametrize("code", ["LPS", "RAI", "SPR"])
def test_mask_lies_where_the_bone_is(scan, code):
    image = sitk.DICOMOrient(volumes.read_image(scan), code)
    result = prediction.segment(image, stand_in())
    mask, truth = volumes.to_array(result.mask) > 0, volumes.to_array(image) > 400
    assert np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth) > 0.85
    for made in (result.mask, result.uncertainty):
        assert made.GetSize() == image.GetSize() and made.GetDirection() == image.GetDirection()
        assert made.GetOrigin() == image.GetOrigin() and made.GetSpacing() == image.GetSpacing()


def test_files_have_the_geometry_of_the_scan(scan, run, tmp_path):
    mask, uncertainty = map(volumes.read_image, prediction.predict(scan, tmp_path / "out", run))
    image = volumes.read_image(scan)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["scan_mask.nii.gz", "scan_uncertainty.nii.gz"]
    for made in (mask, uncertainty):
        assert made.GetSize() == image.GetSize()
        for name in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert getattr(made, name)() == getattr(image, name)()
    assert set(np.unique(volumes.to_array(mask))) <= {0, 1} and mask.GetPixelID() == sitk.sitkUInt8
    nats = volumes.to_array(uncertainty)
    assert nats.dtype == np.float32 and nats.min() >= 0 and 0 < nats.max() <= np.log(2) + 1e-6


def test_two_predictions_are_the_same_bytes(scan, run, tmp_path):
    first, second = (prediction.predict(scan, tmp_path / name, run) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_patches_agree_with_the_network(run):
    network, patches = prediction.load_network(run), noise((9, SIZE, SIZE, SIZE))
    found = prediction.predict_patches(network, patches.astype(np.float16))
    with torch.no_grad():
        logits, _ = network(torch.from_numpy(patches.astype(np.float16).astype(np.float32))[:, None])
    assert np.allclose(found, logits.softmax(1)[:, 1].numpy(), atol=1e-5)


def command(scan, run, out):
    return prediction.main(["--image", str(scan), "--out", str(out), "--run", str(run)])


def test_command_line(scan, run, tmp_path, capsys):
    assert command(scan, run, tmp_path / "out") == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"out/scan_{k}.nii.gz") for k in ("mask", "uncertainty")]


def mistakes(scan, run, tmp_path):
    """(what the message says, image, run, out)"""
    picture, empty = tmp_path / "picture.nii.gz", tmp_path / "runs/uamt-8-1"
    volumes.write(volumes.read_image(scan) > 400, picture)
    empty.mkdir()
    info = json.loads((run / "run.json").read_text())
    (empty / "run.json").write_text(json.dumps(info | {"network": "teacher"}))
    older, torn, swapped = (tmp_path / f"runs/dtc-8-{draw}" for draw in (1, 2, 3))
    for folder in (older, torn, swapped):
        shutil.copytree(run, folder)
    (older / "run.json").write_text(json.dumps({key: info[key] for key in info if key != "sha256"}))
    (torn / "run.json").write_text(json.dumps(info)[:40])
    content = bytearray((swapped / "student.safetensors").read_bytes())
    content[-1] ^= 1
    (swapped / "student.safetensors").write_bytes(content)
    return {
        "missing scan": ("no such file", tmp_path / "no.nii.gz", run, tmp_path / "out"),
        "no CT": ("8-bit", picture, run, tmp_path / "out"),
        "unknown run": ("dvc repro train@dtc-8-0'", scan, tmp_path / "runs/dtc-8-0", tmp_path / "out"),
        "unknown ceiling": ("ceiling@3'", scan, tmp_path / "runs/ceiling-all-3", tmp_path / "out"),
        "run without weights": ("teacher.safetensors is missing", scan, empty, tmp_path / "out"),
        "run of an older version": ("lacks sha256); train it again: dvc repro --force", scan, older, tmp_path / "out"),
        "run.json cut off": ("run.json: damaged; remove the folder", scan, torn, tmp_path / "out"),
        "weights with a bit flipped": ("safetensors: damaged, or not the weights", scan, swapped, tmp_path / "out"),
        "output is a file": ("is a folder", scan, run, tmp_path / "mask.nii.gz"),
        "output below a file": ("not below a file", scan, run, scan / "out"),
    }


MISTAKES = ["missing scan", "no CT", "unknown run", "unknown ceiling", "run without weights"]
MISTAKES += ["run of an older version", "run.json cut off", "weights with a bit flipped"]


@pytest.mark.parametrize("name", [*MISTAKES, "output is a file", "output below a file"])
def test_mistakes_are_one_line(scan, run, tmp_path, capsys, name):
    words, image, folder, out = mistakes(scan, run, tmp_path)[name]
    assert command(image, folder, out) == 1
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1 and "Traceback" not in message
    assert not out.exists()
