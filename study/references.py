"""How good are matched labels, by the setting of the matching? `python -m study.references NAME ...`.

Networks of finished trials of these names (build/study/) see batches as in their training, and nothing is trained: for
each of SETTINGS the labels of the most uncertain unlabelled voxels are compared with the truth, beside the teacher's
own. results/study/references.csv: a row a training, setting and share of voxels.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from scipy.stats import mannwhitneyu
from tqdm import tqdm

from ssl_hip import prediction
from ssl_hip.matching import nearest_label
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import Trainer
from ssl_hip.uncertainty import uncertain_voxels
from study import command, data, plan, records

BATCHES = 100
SHARES = (0.02, 0.1)  # of a batch's voxels: those of the teacher's highest entropy
SETTINGS = {  # what differs from embedding matching as printed
    "as printed": {},
    "centred": {"center": True},
    "before ReLU": {"embeddings": "before_relu"},
    "before ReLU, centred": {"embeddings": "before_relu", "center": True},
    "maximum": {"reduce": "max"},
    "maximum, centred": {"reduce": "max", "center": True},
    "euclidean": {"kernel": "euclidean"},
    "euclidean, maximum": {"kernel": "euclidean", "reduce": "max"},
    "band 6 mm": {"band_mm": 6.0},
    "band 6 mm, centred": {"band_mm": 6.0, "center": True},
    "k 4, l 1": {"references": 4, "runs": 1},
    "k 64": {"references": 64},
}


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Return how often an object voxel scores above a background voxel; NaN without both. .5: it tells nothing."""
    there = np.bincount(truth, minlength=2)
    if not there.all():
        return float("nan")
    return float(mannwhitneyu(score[truth == 1], score[truth == 0]).statistic / there.prod())


def compare(score: torch.Tensor, label: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """Return accuracy, object (share called object) and auc of a score (B, D, H, W) and its labels in a mask."""
    score, label, truth = (each[mask].numpy() for each in (score, label, truth))
    right = {"accuracy": np.mean(label == truth), "object": np.mean(label)}
    return {name: float(value) for name, value in right.items()} | {"auc": auc(score, truth)}


@torch.no_grad()
def measure(trainer: Trainer, settings: dict[str, dict], batches: int) -> pd.DataFrame:
    """Return means over batches: columns share, setting (teacher: its own labels; truth), accuracy, object, auc.

    trainer: of embedding matching, its networks trained. settings: what differs from the trainer's own, by name.
    """
    networks, base, methods = trainer.networks, vars(trainer.learner.method.settings), {}
    for name, changes in settings.items():
        generator = torch.Generator(trainer.device).manual_seed(0)
        options = SimpleNamespace(**base | changes)
        methods[name] = type(trainer.learner.method)(networks, options, generator)
    networks.student.eval()
    rows = []
    for _ in range(batches):
        batch = trainer.batch()
        teacher = next(iter(methods.values())).teacher(batch.unlabelled)
        truth, known = batch.truth.long().cpu(), batch.truth.cpu() != 255
        masks = {share: known & uncertain_voxels(teacher.mean_entropy, 0.0, [share, share]).cpu() for share in SHARES}
        found = {"teacher": (teacher.probability[:, 1], teacher.probability[:, 1] > teacher.probability[:, 0])}
        for name, method in methods.items():
            for network in (networks.student, networks.teacher):
                network.decoder.embeddings = method.settings.embeddings
            with networks.autocast():
                _, queries = networks.student(batch.unlabelled)
            matched = method.match(queries, batch)
            found[name] = matched.object_similarity - matched.background_similarity, nearest_label(matched)
        found["truth"] = truth.float(), truth
        rows += [
            {"share": share, "setting": name} | compare(score.float().cpu(), label.long().cpu(), truth, mask)
            for share, mask in masks.items()
            for name, (score, label) in found.items()
        ]
    return pd.DataFrame(rows).groupby(["share", "setting"], sort=False).mean().reset_index()


def trained(run: plan.Run, folder: Path, store: PatchStore) -> Trainer:
    """Return a trainer of embedding matching whose networks are those that a finished training left in folder."""
    trainer = Trainer(store, "embedding_matching", run.labelled_patches, run.draw, run.params)
    for name in ("student", "teacher"):
        getattr(trainer.networks, name).load_state_dict(prediction.load_network(folder, name).state_dict())
    return trainer


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and work; raise UserError where the networks of a name are missing."""
    runs = [(run, folder) for run, folder in command.trained(__doc__, arguments) if run.labelled_patches != "all"]
    store = data.patches()
    trainers = [(run, trained(run, folder, store)) for run, folder in runs]
    for run, trainer in tqdm(trainers, unit="training"):
        named = {"name": run.name, "labelled_patches": run.labelled_patches, "draw": run.draw}
        records.add("references", measure(trainer, SETTINGS, BATCHES), named, records.FOLDER)


if __name__ == "__main__":
    command.command(main)
