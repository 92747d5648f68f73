"""THE training loop: one for every method. Batches, student, teacher, optimiser, validation, files."""

import json
import math
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ssl_hip import metrics, precision, resume, weights
from ssl_hip.augmentation import Augmentation
from ssl_hip.collapse import CollapseWatch
from ssl_hip.config import UserError
from ssl_hip.cost import estimate, iterations
from ssl_hip.learner import Learner, seeds
from ssl_hip.patch_store import REGION_ERRORS, PatchStore
from ssl_hip.student_teacher import Batch


def train(run: Path, store: PatchStore, method: str, labelled_patches: str, draw: int, params) -> dict:
    """Train one run and write its folder; return what is in run.json.

    run: folder of the run, NAME-PATCHES-DRAW; NAME is the method's, or that of the ceiling or of a variant of a method
    (weights, history.csv, validation.csv, scores.csv, run.json; see `write`).
    labelled_patches: a key of patches.subsets, or "all" for every training patch.
    params: sections model, optimization, train, methods of params.yaml.
    An interrupted training goes on from its checkpoint in build/checkpoints/, beside runs/; so does a
    finished one in a stage of DVC, until the stage has ended (pipeline.finished).
    Raises UserError where a loss is not finite, without validation patches that select: best needs, without unlabelled
    patches that the method needs.
    """
    trainer = Trainer(store, method, labelled_patches, draw, params)
    cost = estimate(method, params, store.size, trainer.iterations, trainer.device)
    print(f"{run.name}: {cost}", file=sys.stderr, flush=True)
    used, why = precision.decide(params.optimization.precision, trainer.device.type)
    print(f"{run.name}: calculates in {used}: {why}", file=sys.stderr, flush=True)
    checkpoint = trainer.checkpoint(run.parent.parent / "build/checkpoints", run.name)
    status = trainer.run(checkpoint)
    scores = trainer.test()
    scores.insert(0, "method", run.name.rsplit("-", 2)[0])
    scores.insert(1, "labelled_patches", labelled_patches)
    scores.insert(2, "draw", draw)
    info = write(run, trainer, scores, status)
    if "DVC_STAGE" not in os.environ:  # else pipeline.finished does, once the run is in safety
        checkpoint.remove()
    return info


class Trainer:
    """State of one training."""

    def __init__(self, store: PatchStore, method: str, labelled_patches: str, draw: int, params):
        torch.set_num_threads(params.train.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # 5 % of a step, and nothing reads it
        settings, seed = params.optimization, seeds(params.train.base_seed + draw)
        self.store, self.draw, self.settings, self.model = store, draw, settings, params.model
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        named = {"method": method, "labelled_patches": labelled_patches, "draw": draw}
        self.learner, self.seed = Learner(method, params, seed, self.device), seed["noise"]
        self.precision = self.learner.networks.precision
        self.depends_on = named | {"device": self.device.type, "precision": self.precision, "params": params}
        self.networks, uses_unlabelled = self.learner.networks, self.learner.method.uses_unlabelled
        labelled = store.labelled(labelled_patches, draw)
        training, self.held = (store.rows(split, draw) for split in ("train", "validation"))
        if not len(self.held) and settings.select == "best":
            raise UserError(
                "data/patches: no validation patches to select weights by; set optimization.select to last in "
                "params.yaml, or cohort.split to auto with two labelled scans or more"
            )
        unlabelled = np.setdiff1d(training, labelled)
        if uses_unlabelled and not len(unlabelled):
            raise UserError(
                f"params.yaml: train.labelled_patches: {labelled_patches} are all training patches of draw {draw}, but "
                f"'{method}' needs unlabelled ones; lower it in patches.subsets or raise patches.count.train"
            )
        self.labelled = Cycle(labelled, settings.batch_size, seed["labelled"])
        self.unlabelled = Cycle(unlabelled, settings.batch_size, seed["unlabelled"]) if uses_unlabelled else None
        self.augment = Augmentation(settings, seed["augmentation"])
        self.iterations = iterations(settings, len(training))  # T_N
        self.iteration, self.history, self.validation, self.kept = 0, [], [], None
        self.seconds_before, self.start = 0.0, time.monotonic()
        self.log, self.watch = defaultdict(list), CollapseWatch(settings.collapse)
        self.batches = []  # rows of the patches of each iteration since self.log was begun

    def checkpoint(self, folder: Path, run: str) -> resume.Checkpoint:
        """Return where this training's state is saved, below a folder, under the name of its run."""
        return resume.Checkpoint(folder, run, resume.key(self.store.folder, self.depends_on))

    def run(self, checkpoint: resume.Checkpoint) -> str:
        """Train to the end, or until the run has collapsed; return its status. Goes on from the checkpoint."""
        torch.manual_seed(self.seed)  # of dropout masks drawn afresh: on a GPU, or larger than the pool
        if state := checkpoint.load():
            self.restore(state)
            print(f"{checkpoint.run}: goes on after iteration {self.iteration}", file=sys.stderr, flush=True)
        with tqdm(total=self.iterations, initial=self.iteration, unit="it", mininterval=1.0) as bar:
            while self.iteration < self.iterations and not self.watch.collapsed:
                if row := self.step():
                    bar.set_postfix(iou=f"{row['iou']:.3f}", hd95=f"{row['hd95_mm']:.1f}")
                bar.update()
                if checkpoint.due() and self.finite():
                    checkpoint.save(self.state())
        checkpoint.save(self.state())  # the test of a large network takes minutes as well
        return "collapsed" if self.watch.collapsed else "finished"

    def step(self) -> dict | None:
        """Do one iteration; return the row of validation.csv where it ends with a validation."""
        for name, value in self.learner.step(self.batch(), self.iteration, self.iterations).items():
            self.log[name].append(value)
        self.iteration += 1
        if self.iteration % self.settings.validate_every and self.iteration < self.iterations:
            return None
        self.record(self.iteration, self.log)
        row = self.validate(self.iteration)
        self.watch.see(row, self.iteration / self.iterations)
        return row

    @property
    def seconds(self) -> float:
        """How long this training has taken, with what went before an interruption."""
        return self.seconds_before + time.monotonic() - self.start

    def state(self) -> dict:
        """Return all that the rest of the training and its result depend on; `restore` brings it back."""
        cycles = [each.state() for each in (self.labelled, self.unlabelled) if each]
        kept = {key: value for key, value in self.kept.items() if key != "weights"} if self.kept else None
        told = {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "history": self.history,
            "validation": self.validation,
            "kept": kept,
            "watch": vars(self.watch),
            "cycles": cycles,
            "batches": self.batches,
            "augmentation": self.augment.rng.bit_generator.state,
        }
        return {
            "told": json.dumps(told),
            "log": {name: torch.stack(values) for name, values in self.log.items()},
            "weights": self.kept["weights"] if self.kept else {},
            "learner": self.learner.state(),
        }

    def restore(self, state: dict) -> None:
        """Go on from what `state` returned, for the same parameters and data."""
        told = json.loads(state["told"])
        self.iteration, self.history, self.validation = told["iteration"], told["history"], told["validation"]
        self.seconds_before, self.batches = told["seconds"], told["batches"]
        self.kept = told["kept"] and told["kept"] | {"weights": state["weights"]}
        vars(self.watch).update(told["watch"])
        for each, saved in zip((self.labelled, self.unlabelled), told["cycles"], strict=False):
            each.restore(saved)
        self.augment.rng.bit_generator.state = told["augmentation"]
        self.log.update({name: list(values.to(self.device)) for name, values in state["log"].items()})
        self.learner.restore(state["learner"])

    def batch(self) -> Batch:
        """Return the next patches; unlabelled ones only where the method uses them."""
        rows = [next(each) for each in (self.labelled, self.unlabelled) if each]
        self.batches.append(np.concatenate(rows).tolist())
        maps = [each for part in rows for each in self.store.training(part, self.device, self.augment)]
        return Batch(*maps)

    def record(self, iteration: int, log: dict[str, list[torch.Tensor]]) -> None:
        """Average what was logged since the last call; raise UserError where a loss or a weight is not finite."""
        row, losses = {name: float(torch.stack(values).nanmean()) for name, values in log.items()}, log.pop("loss")
        row["loss"] = float(torch.stack(losses).mean())
        if not (math.isfinite(row["loss"]) and self.finite()):
            wrong = [math.isfinite(loss) for loss in losses[:-1]]
            at = wrong.index(False) if False in wrong else len(wrong)
            patches = self.store.table("train").patch.iloc[self.batches[at]].tolist()
            raise UserError(
                f"the loss is not finite at iteration {iteration - len(losses) + at + 1} of {self.iterations} (patches "
                f"{', '.join(map(str, patches))} of data/patches/patches.csv); lower optimization.learning_rate, set "
                "optimization.gradient_clip to 1 or optimization.precision to float32 in params.yaml. The last "
                "checkpoint before, if one was due, stays in build/checkpoints/"
            )
        log.clear()
        self.batches.clear()
        self.history.append({"iteration": iteration, **row})

    def finite(self) -> bool:
        """Say whether all weights of the student are finite numbers."""
        return bool(torch.stack([weight.isfinite().all() for weight in self.networks.student.parameters()]).all())

    def validate(self, iteration: int) -> dict:
        """Score the network that `optimization.network` names; keep its weights if `optimization.select` says so.

        All scores are NaN without validation patches.
        """
        network = getattr(self.networks, self.settings.network)
        scores, share = self.score(network, "validation", self.held)
        row = {"iteration": iteration, "iou": scores.iou.mean(), "hd95_mm": scores.hd95_mm.mean(), **share}
        self.validation.append(row)
        if self.settings.select == "last" or self.kept is None or row["hd95_mm"] < self.kept["hd95_mm"]:
            copies = {
                name: {key: value.detach().clone() for key, value in getattr(self.networks, name).state_dict().items()}
                for name in ("student", "teacher")
            }
            self.kept = row | {"weights": copies}
        return row

    def test(self) -> pd.DataFrame:
        """Score student and teacher, with the weights kept, on every test patch.

        Without test patches on the validation patches instead: column split says which.
        """
        tables, (split, rows) = [], self.store.scored(self.draw)
        for name, kept in self.kept["weights"].items():
            network = getattr(self.networks, name)
            network.load_state_dict(kept)
            table, _ = self.score(network, split, rows)
            table.insert(0, "network", name)
            table.insert(1, "split", split)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    @torch.no_grad()
    def score(self, network, split: str, rows: np.ndarray) -> tuple[pd.DataFrame, dict[str, float]]:
        """Return a row a patch, and the shares of foreground.

        rows: of the split's arrays. Columns: patch, subject, those of metrics.score and PatchStore.region_errors.
        """
        network.eval()
        scores, regions, predicted, true, voxels = [], [], 0, 0, 0
        for part in (rows[start : start + 8] for start in range(0, len(rows), 8)):
            with self.networks.autocast():
                logits, _ = network(self.store.images(split, part, self.device))
            masks, truth = (logits[:, 1] > logits[:, 0]).cpu().numpy(), self.store.label[split][part] == 1
            scores += [metrics.score(*pair, self.store.spacing_mm) for pair in zip(masks, truth, strict=True)]
            regions += self.store.region_errors(split, part, masks)
            predicted, true, voxels = predicted + int(masks.sum()), true + int(truth.sum()), voxels + masks.size
        each = 1 / voxels if voxels else math.nan
        share = {"foreground_predicted": predicted * each, "foreground_true": true * each}
        table = self.store.table(split)[["patch", "subject"]].iloc[rows].reset_index(drop=True)
        scores, regions = pd.DataFrame(scores, columns=metrics.SCORES), pd.DataFrame(regions, columns=REGION_ERRORS)
        return table.join(scores).join(regions), share


class Cycle:
    """Batches of `size` rows for ever, from cycles that are reshuffled each time; fewer rows than size repeat."""

    def __init__(self, rows: np.ndarray, size: int, seed: int):
        self.rows, self.size, self.rng, self.waiting = rows, size, np.random.default_rng(seed), np.empty(0, int)

    def __next__(self) -> np.ndarray:
        while len(self.waiting) < self.size:
            self.waiting = np.concatenate([self.waiting, self.rng.permutation(self.rows)])
        batch, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        return batch

    def state(self) -> dict:
        """Return what the next batches depend on, as JSON; `restore` brings it back."""
        return {"rng": self.rng.bit_generator.state, "waiting": self.waiting.tolist()}

    def restore(self, state: dict) -> None:
        """Go on from what `state` returned."""
        self.rng.bit_generator.state, self.waiting = state["rng"], np.array(state["waiting"], int)


def write(run: Path, trainer: Trainer, scores: pd.DataFrame, status: str) -> dict:
    """Write a run's folder.

    student.safetensors, teacher.safetensors  weights of the iteration that optimization.select chose, without heads
    history.csv     iteration and means since the last row
    validation.csv  iteration, iou, hd95_mm, shares of foreground; empty scores without validation patches
    scores.csv      a row a test patch and network: method (or variant, or ceiling), labelled_patches, draw, network,
                    split, patch, subject, those of metrics.score and PatchStore.region_errors; of validation patches
                    where there are no test patches, without either no rows
    run.json        status, iterations, and what prediction needs
    """
    run.mkdir(parents=True, exist_ok=True)
    hashes = weights.write(run, trainer.kept["weights"])
    pd.DataFrame(trainer.history).to_csv(run / "history.csv", index=False, float_format="%.6g")
    pd.DataFrame(trainer.validation).to_csv(run / "validation.csv", index=False, float_format="%.6g")
    scores.to_csv(run / "scores.csv", index=False, float_format="%.6g")
    info = {
        "status": status,
        "iterations": trainer.history[-1]["iteration"],
        "kept_iteration": trainer.kept["iteration"],
        "network": trainer.settings.network,
        "precision": trainer.precision,
        "model": vars(trainer.model),
        "patch_size": trainer.store.size,
        "spacing_mm": trainer.store.spacing_mm,
        "normalization": trainer.store.normalization.to_dict(),
        "sha256": hashes,
    }
    (run / "run.json").write_text(json.dumps(info, indent=2) + "\n")
    return info
