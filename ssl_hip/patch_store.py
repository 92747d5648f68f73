"""Reading of the patches that patches.py wrote: memory-mapped, so that memory does not grow with the cohort."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ssl_hip import checksums
from ssl_hip.normalization import Normalization
from ssl_hip.region_bits import JOINT_GAP, METAL

SPLITS = ("train", "validation", "test")
SCORED = SPLITS[1:]
NUMBERS = ("foreground", "deviation_mm", "group", "gap_voxels", "gap_mm", "metal_voxels", "held_out")  # may be empty
REGION_ERRORS = [  # of a patch, in voxels
    "gap_voxels",
    "gap_false",  # of them predicted as bone
    "metal_voxels",  # around metal
    "metal_wrong",  # of them unlike the label
]


class PatchStore:
    """The folder data/patches, whose contents `patches.write` describes."""

    def __init__(self, folder: Path):
        """Raise UserError where a file is not as it was written; that reads all of them once."""
        checksums.verify(folder)
        self.folder = folder
        numbers = dict.fromkeys(NUMBERS, "")  # empty: not available
        self.patches = pd.read_csv(
            folder / "patches.csv", keep_default_na=False, na_values=numbers, dtype={"subject": str}
        )
        self.subsets = pd.read_csv(folder / "subsets.csv", dtype={"subject": str})
        self.normalization = Normalization(**json.loads((folder / "normalization.json").read_text()))
        self.image = {split: np.load(folder / f"{split}_image.npy", mmap_mode="r") for split in SPLITS}
        self.label = {split: np.load(folder / f"{split}_label.npy", mmap_mode="r") for split in SPLITS}
        self.region = {split: np.load(folder / f"{split}_region.npy", mmap_mode="r") for split in SCORED}
        self.distance = np.load(folder / "train_distance.npy", mmap_mode="r")
        self.spacing_mm = float(self.patches.spacing_mm.iloc[0])
        self.size = self.image["train"].shape[1]
        self.gap_known = {split: self.table(split).gap_voxels.notna().to_numpy() for split in SCORED}

    def table(self, split: str) -> pd.DataFrame:
        """Return the rows of patches.csv of one split, in the order of its arrays."""
        return self.patches[self.patches.split == split].sort_values("row", ignore_index=True)

    def rows(self, split: str, draw: int) -> np.ndarray:
        """Return the rows of a split's arrays that a draw uses.

        Where labelled scans take turns (`cohort.split: auto`), training does without the draw's held-out scan, labels
        and voxels, and validation has that scan alone.
        """
        table = self.table(split)
        turns = table.held_out.nunique()
        if not turns:
            return table.row.to_numpy()
        out = table.held_out == draw % turns
        return table.row[~out if split == "train" else out].to_numpy()

    def scored(self, draw: int) -> tuple[str, np.ndarray]:
        """Return the split whose patches a draw's runs are scored by, and its rows: test, or without it validation."""
        rows = self.rows("test", draw)
        return ("test", rows) if len(rows) else ("validation", self.rows("validation", draw))

    def labelled(self, labelled_patches: str, draw: int) -> np.ndarray:
        """Return the rows of the training arrays whose labels this run may see; "all": of every labelled scan."""
        table = self.table("train")
        if labelled_patches == "all":
            return np.intersect1d(table.row[table.foreground.notna()], self.rows("train", draw))
        chosen = self.subsets[(self.subsets.labelled_patches == int(labelled_patches)) & (self.subsets.draw == draw)]
        return table[table.patch.isin(chosen.patch)].row.to_numpy()

    def region_errors(self, split: str, rows: np.ndarray, masks: np.ndarray) -> list[dict[str, float]]:
        """Return for each patch how much of its joint gap is predicted as bone, and how much is wrong around metal.

        split: validation or test. masks: predictions (N, D, H, W) bool, of rows of its arrays. Keys: REGION_ERRORS;
        the gap's two are NaN where it is not available.
        """
        region, wrong = self.region[split][rows], masks != (self.label[split][rows] == 1)
        gap, metal = (region & bit > 0 for bit in (JOINT_GAP, METAL))
        counts = [voxels.sum((1, 2, 3)).tolist() for voxels in (gap, gap & masks, metal, metal & wrong)]
        errors = [dict(zip(REGION_ERRORS, patch, strict=True)) for patch in zip(*counts, strict=True)]
        no_gap = dict.fromkeys(("gap_voxels", "gap_false"), np.nan)
        return [
            each if known else each | no_gap for each, known in zip(errors, self.gap_known[split][rows], strict=True)
        ]

    def images(self, split: str, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """Return images (B, 1, D, H, W), float32, normalised."""
        return channels_last(to_device(self.image[split][rows], device))

    def training(self, rows: np.ndarray, device: torch.device, augment: Callable = lambda *maps: maps):
        """Return image (B, 1, D, H, W), label (B, D, H, W) uint8 and distance (B, D, H, W) mm of training patches.

        augment: takes and returns these three as arrays (B, D, H, W).
        """
        maps = augment(self.image["train"][rows], self.label["train"][rows], self.distance[rows])
        image, label, distance = (to_device(each, device) for each in maps)
        return channels_last(image), label, distance.float()


def channels_last(image: torch.Tensor) -> torch.Tensor:
    """Return images (B, D, H, W) as network input (B, 1, D, H, W), float32."""
    return image.float()[:, None].contiguous(memory_format=torch.channels_last_3d)


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy an array to the device; to a GPU without waiting for it, which needs page-locked memory."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
