"""What a finished run makes of one patch: prediction, stochastic passes, entropy and embeddings."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ssl_hip import losses
from ssl_hip.config import UserError
from ssl_hip.patch_store import PatchStore
from ssl_hip.prediction import load_network
from ssl_hip.reporting.embeddings import autocast
from ssl_hip.uncertainty import stochastic_passes
from ssl_hip.unet import UNet3d

PATCHES = 16  # whose maps are kept, the least recently used go: some 3 MB each at 32^3
RUNS = 4  # whose networks are kept


class Maps(NamedTuple):
    """Maps (D, H, W) of a patch."""

    hu: np.ndarray  # float32
    truth: np.ndarray  # uint8: 0, 1 or 255 (unknown)
    probability: np.ndarray  # float32, foreground by the network shown, without dropout
    passes: np.ndarray  # (M, D, H, W) float32, foreground by the teacher's stochastic passes
    entropy: np.ndarray  # float32, nats: mean over the passes (Eq. 2)
    embeddings: torch.Tensor  # (1, C, D, H, W) of the network shown, without dropout

    @property
    def prediction(self) -> np.ndarray:
        """What the network shown says, bool."""
        return self.probability > 0.5

    @property
    def teacher_label(self) -> np.ndarray:
        """The pseudo-label: what the mean of the teacher's passes says, bool."""
        return self.passes.mean(0) > 0.5


@dataclass(frozen=True)
class Run:
    """A finished run: its folder's name says what it is."""

    name: str  # METHOD-PATCHES-DRAW

    @property
    def method(self) -> str:
        """Method or variant."""
        return self.name.rsplit("-", 2)[0]

    @property
    def labelled_patches(self) -> str:
        """Labelled subset: a number or `all`."""
        return self.name.rsplit("-", 2)[1]

    @property
    def draw(self) -> int:
        """Draw of labelled subset and seed."""
        return int(self.name.rsplit("-", 2)[2])


def finished(folder: Path) -> list[Run]:
    """Return the finished runs below folder, by name; raise UserError where there is none."""
    names = sorted(path.parent.name for path in folder.glob("*-*-*/run.json"))
    if not names:
        raise UserError(
            f"{folder}: no finished run yet; 'make repro' trains all, 'dvc repro train@supervised-50-0' one"
        )
    return [Run(name) for name in names]


class Source:
    """Patches and networks of a repository; remembers a bounded number of each."""

    def __init__(self, root: Path, passes: int):
        """root: holds runs/ and data/patches; passes: M of the method."""
        self.folder, self.store, self.passes = root / "runs", PatchStore(root / "data/patches"), passes
        self.network = lru_cache(2 * RUNS)(self._network)
        self.maps = lru_cache(PATCHES)(self.fresh_maps)
        self.labelled = lru_cache(RUNS)(self._labelled)

    def _network(self, run: Run, name: str) -> UNet3d:
        return load_network(self.folder / run.name, name)

    @torch.no_grad()
    def fresh_maps(self, run: Run, network: str, split: str, row: int) -> Maps:
        """Return the maps of a patch, past the cache of `maps`; network: student or teacher."""
        shown, teacher = self.network(run, network), self.network(run, "teacher")
        image = self.store.images(split, np.array([row]), next(shown.parameters()).device)
        teacher.masks.seed(0)  # the same patch looks the same whenever it is opened
        with torch.random.fork_rng(), autocast(self.folder / run.name):
            torch.manual_seed(0)
            logits, embeddings = shown(image)
            log_probability = torch.cat(list(stochastic_passes(teacher, image, self.passes)))
        return Maps(
            self.store.normalization.to_hu(self.store.image[split][row].astype(np.float32)),
            np.array(self.store.label[split][row]),
            logits.float().softmax(1)[0, 1].cpu().numpy(),
            log_probability[:, 1].exp().cpu().numpy(),
            losses.entropy(log_probability).mean(0).cpu().numpy(),
            embeddings.float().cpu(),
        )

    @torch.no_grad()
    def _labelled(self, run: Run, rows: tuple[int, ...]):
        """Return label, distance (mm) and the teacher's embeddings of labelled training patches, batch first."""
        teacher = self.network(run, "teacher")
        device = next(teacher.parameters()).device
        image, label, distance = self.store.training(np.array(rows), device)
        with autocast(self.folder / run.name):
            _, embeddings = teacher(image)
        return label.cpu(), distance.cpu(), embeddings.float().cpu()
