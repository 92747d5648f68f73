"""Fixtures: parameters of the smallest possible training, and patches of noisy balls to train on."""

import copy
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ssl_hip import config, metrics
from ssl_hip.patch_store import PatchStore
from ssl_hip.preparation import patches
from ssl_hip.preparation.cutting import Cubes
from ssl_hip.region_bits import JOINT_GAP, METAL

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real anatomies and one real CT, which are not in the repository; skips where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("realdata: the real scans are not in the repository and ../shared/data is not there")
    return REAL_DATA


@pytest.fixture
def params() -> SimpleNamespace:
    """The default parameters, made small: 16^3 patches, width 8, two levels, 8 iterations."""
    return made_small()


@pytest.fixture(scope="module")
def small_params() -> SimpleNamespace:
    """The same, for fixtures that a whole file shares and no test may change."""
    return made_small()


def made_small() -> SimpleNamespace:
    """Return the parameters of the smallest possible training."""
    tree = copy.deepcopy(config.load("cohort", "shape_model", "patches", "model", "optimization", "train", "methods"))
    tree.patches.count, tree.patches.test_candidates = SimpleNamespace(train=8, validation=2, test=2), 1
    tree.patches.edge, tree.patches.subsets, tree.patches.draws = 16, {2: 1, 4: 2}, 2
    tree.patches.min_foreground = 0.01
    tree.model.levels = 2
    tree.optimization.epochs, tree.optimization.batch_size, tree.optimization.validate_every = 2, 2, 4
    tree.optimization.select = "best"
    tree.optimization.precision = "float32"
    return tree


def ball_patches(n: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return HU (n, s, s, s) float32 and labels uint8 of bright noisy balls in the dark."""
    grid = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"))
    centres = rng.uniform(size * 0.35, size * 0.65, (n, 3, 1, 1, 1))
    label = (np.linalg.norm(grid[None] - centres, axis=1) < size * 0.3).astype(np.uint8)
    return (label * 300.0 + rng.normal(0, 60, label.shape)).astype(np.float32), label


def halves(label: np.ndarray) -> np.ndarray:
    """Return regions (n, s, s, s) uint8: joint gap is the upper half's background, around metal the front half."""
    region, middle = np.zeros_like(label), label.shape[1] // 2
    region[:, middle:] += JOINT_GAP * (label[:, middle:] == 0).astype(np.uint8)
    region[:, :, :middle] += METAL
    return region


def write_balls(folder: Path, params, in_turn: bool = False, unlabelled: int = 0) -> Path:
    """Write a patches folder of balls: 4 labelled training scans, 1 validation, 1 test.

    in_turn: no validation and test scan; the labelled ones take turns. unlabelled: training scans without label more.
    """
    rng, size = np.random.default_rng(0), params.patches.edge
    tables, parts, count = [], {"train": [], "validation": [], "test": []}, params.patches.count
    scans = [(f"s{i}", "train", count.train // 4, i if in_turn else np.nan) for i in range(4)]
    scans += [(f"u{i}", "train", count.train // 4, np.nan) for i in range(unlabelled)]
    held = [(f"s{i}", "validation", 1, i) for i in range(4)]
    scans += held if in_turn else [("v", "validation", 2, np.nan), ("t", "test", 2, np.nan)]
    for subject, split, n, held_out in scans:
        hu, label = ball_patches(n, size, rng)
        known = not subject.startswith("u")
        share = label.mean((1, 2, 3)) if known else np.nan
        table = pd.DataFrame({"z": 0, "y": 0, "x": np.arange(n), "foreground": share, "bright": 0.3, "overlap": 0.0})
        table = table.assign(deviation_mm=np.nan, group=np.nan)
        region = None if split == "train" else halves(label)
        for name, bit in (("gap_voxels", JOINT_GAP), ("metal_voxels", METAL)):
            table[name] = np.nan if region is None else np.count_nonzero(region & bit, axis=(1, 2, 3))
        table["gap_mm"] = np.nan if region is None else 3.0
        tables.append(table.assign(subject=subject, split=split, metal=0, tags="", held_out=held_out))
        distance = np.stack([metrics.signed_distance(mask, params.patches.spacing_mm) for mask in label])
        parts[split].append(partial(Cubes, hu, label if known else None, distance if known else None, region))
    patches.write(folder, pd.concat(tables, ignore_index=True), parts, params.patches)
    return folder


@pytest.fixture
def store(tmp_path, params) -> PatchStore:
    """Patches of balls."""
    return PatchStore(write_balls(tmp_path / "patches", params))


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let writing fail where a file would get more than so many bytes, as it does in the middle of it on a full disk.

    `make torture` fills a real one.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; fail where it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
