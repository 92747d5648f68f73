"""The training loop: what it writes, that it repeats itself, that unlabelled labels cannot leak, collapse, NaN."""

import io
import json
import re
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_balls
from safetensors.torch import load_file

from ssl_hip import resume, trainer
from ssl_hip.collapse import CollapseWatch
from ssl_hip.config import UserError
from ssl_hip.learner import Learner
from ssl_hip.patch_store import REGION_ERRORS, PatchStore

METHODS = ["supervised", "mean_teacher", "uamt", "cct", "mtc", "dtc", "embedding_matching"]


def same_weights(a, b) -> bool:
    return all(
        (a / f"{n}.safetensors").read_bytes() == (b / f"{n}.safetensors").read_bytes() for n in ("student", "teacher")
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_run_repeats_itself_and_is_complete(method, store, params, tmp_path):
    runs = [tmp_path / folder / f"{method}-2-0" for folder in ("a", "b")]
    for run in runs:
        info = trainer.train(run, store, method, "2", 0, params)
    assert same_weights(*runs)
    for name in ("history.csv", "validation.csv", "scores.csv", "run.json"):
        first, again = ((run / name).read_bytes() for run in runs)
        assert first == again
    scores = pd.read_csv(runs[0] / "scores.csv")
    assert set(scores.method) == {method} and scores[REGION_ERRORS].notna().all(axis=None)
    assert info["status"] == "finished" and info["iterations"] == 8
    assert len(scores) == 4 and set(scores.network) == {"student", "teacher"}
    assert np.isfinite(pd.read_csv(runs[0] / "history.csv").loss).all()


def test_draws_differ(store, params, tmp_path):
    for draw in (0, 1):
        trainer.train(tmp_path / str(draw), store, "supervised", "2", draw, params)
    assert not same_weights(tmp_path / "0", tmp_path / "1")


@pytest.mark.parametrize("method", METHODS)
def test_labels_of_unlabelled_patches_do_not_touch_the_weights(method, store, params, tmp_path):
    """What the log says may change, what is learnt may not."""
    trainer.train(tmp_path / "true", store, method, "2", 0, params)
    unlabelled = np.setdiff1d(np.arange(8), store.labelled("2", 0))
    label, distance = np.array(store.label["train"]), np.array(store.distance)
    rng = np.random.default_rng(1)
    label[unlabelled] = rng.integers(0, 2, label[unlabelled].shape)
    distance[unlabelled] = rng.normal(size=distance[unlabelled].shape)
    store.label["train"], store.distance = label, distance
    trainer.train(tmp_path / "noise", store, method, "2", 0, params)
    assert same_weights(tmp_path / "true", tmp_path / "noise")


def test_the_ceiling_uses_every_training_patch(store, params, tmp_path):
    trainer.train(tmp_path / "ceiling-all-0", store, "supervised", "all", 0, params)
    assert set(pd.read_csv(tmp_path / "ceiling-all-0" / "scores.csv").method) == {"ceiling"}
    assert len(store.labelled("all", 0)) == 8


@pytest.fixture
def in_turn(tmp_path, params) -> PatchStore:
    """Four labelled scans that take turns being held out, ten unlabelled ones, no others."""
    params.patches.subsets, params.patches.draws = {4: 2}, 5
    return PatchStore(write_balls(tmp_path / "in_turn", params, in_turn=True, unlabelled=10))


def test_a_draw_neither_sees_nor_forgets_its_held_out_scan(in_turn):
    train, validation = in_turn.table("train"), in_turn.table("validation")
    for draw in range(5):
        held = f"s{draw % 4}"
        assert set(train.subject[in_turn.rows("train", draw)]) == set(train.subject) - {held}
        assert set(validation.subject[in_turn.rows("validation", draw)]) == {held}
        assert held not in set(train.subject[in_turn.labelled("all", draw)])
        assert len(in_turn.labelled("all", draw)) == 6 and len(in_turn.labelled("4", draw)) == 4


@pytest.mark.parametrize("method", METHODS)
def test_with_four_labelled_scans_the_held_out_one_gives_the_scores(method, in_turn, params, tmp_path):
    trainer.train(tmp_path / "run", in_turn, method, "4", 1, params)
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert set(scores.split) == {"validation"} and set(scores.subject) == {"s1"}
    assert pd.read_csv(tmp_path / "run" / "validation.csv").hd95_mm.notna().all()


def without_scores(store: PatchStore) -> PatchStore:
    """The same patches, none of them held out, and no validation ones."""
    store.patches = store.patches[store.patches.split == "train"].assign(held_out=np.nan)
    return store


def test_without_any_label_to_score_by_training_goes_on_to_its_last_iteration(in_turn, params, tmp_path):
    params.optimization.select = "last"
    info = trainer.train(tmp_path / "run", without_scores(in_turn), "embedding_matching", "all", 0, params)
    assert info["kept_iteration"] == info["iterations"]
    assert pd.read_csv(tmp_path / "run" / "scores.csv").empty
    assert pd.read_csv(tmp_path / "run" / "validation.csv").iou.isna().all()
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history.accuracy_matched_all.isna().all() and history.loss.notna().all()


def test_the_best_weights_cannot_be_told_without_validation_patches(in_turn, params, tmp_path):
    with pytest.raises(UserError, match=r"optimization\.select to last"):
        trainer.train(tmp_path / "run", without_scores(in_turn), "supervised", "4", 0, params)


def test_a_semi_supervised_method_needs_unlabelled_patches(store, params, tmp_path):
    with pytest.raises(UserError, match="are all training patches of draw 0, but 'uamt' needs unlabelled ones"):
        trainer.train(tmp_path / "run", store, "uamt", "all", 0, params)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", METHODS)
def test_patches_without_any_surface_are_learnt_from(method, store, params, tmp_path):
    store.label["train"] = np.zeros_like(store.label["train"])
    store.distance = np.full_like(store.distance, np.nan)
    trainer.train(tmp_path / "run", store, method, "2", 0, params)
    history = pd.read_csv(tmp_path / "run/history.csv")
    assert len(history) and np.isfinite(history.loss).all()
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run/student.safetensors").values())


def test_one_test_patch_is_enough(store, params, tmp_path):
    rows = store.rows
    store.rows = lambda split, draw: rows(split, draw)[: 1 if split == "test" else None]
    trainer.train(tmp_path / "run", store, "supervised", "2", 0, params)
    scores = pd.read_csv(tmp_path / "run/scores.csv")
    assert len(scores) == 2 and scores.patch.nunique() == 1 and scores.iou.notna().all()


def test_a_clock_that_jumps_changes_nothing(store, params, tmp_path, monkeypatch):
    trainer.train(tmp_path / "a/run", store, "uamt", "2", 0, params)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 2**32))
    trainer.train(tmp_path / "b/run", store, "uamt", "2", 0, params)
    for path in (tmp_path / "a/run").iterdir():
        assert path.read_bytes() == (tmp_path / "b/run" / path.name).read_bytes()


def test_select_says_which_weights_are_kept(store, params, tmp_path):
    for select in ("best", "last"):
        params.optimization.select = select
        trainer.train(tmp_path / select, store, "supervised", "2", 0, params)
    validation = pd.read_csv(tmp_path / "best" / "validation.csv")
    kept = {s: json.loads((tmp_path / s / "run.json").read_text())["kept_iteration"] for s in ("best", "last")}
    assert kept == {"best": validation.iteration[validation.hd95_mm.idxmin()], "last": 8}


@pytest.mark.parametrize("method", METHODS)
def test_one_labelled_batch_is_learnt(method, store, params, tmp_path):
    params.optimization.epochs, params.optimization.validate_every, params.model.dropout = 30, 60, 0.0
    trainer.train(tmp_path / "run", store, method, "2", 0, params)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history.loss_supervised.iloc[-1] < 0.5 * history.loss_supervised.iloc[0]
    assert pd.read_csv(tmp_path / "run" / "scores.csv").iou.max() > 0.8


def test_auxiliary_heads_are_not_exported(store, params, tmp_path):
    for method in METHODS:
        trainer.train(tmp_path / method, store, method, "2", 0, params)
    plain, *others = (set(load_file(tmp_path / method / "student.safetensors")) for method in METHODS)
    assert all(keys == plain for keys in others)


def test_not_a_number_stops_the_run_and_writes_nothing(store, params, tmp_path):
    params.optimization.learning_rate = 1e30
    with pytest.raises(UserError, match=r"learning_rate.*params\.yaml"):
        trainer.train(tmp_path / "run", store, "supervised", "2", 0, params)
    assert not (tmp_path / "run").exists()


def test_the_first_batch_with_a_loss_that_is_not_finite_is_named(store, params, tmp_path, monkeypatch):
    batches = []
    step = Learner.step

    def poisoned(self, batch, iteration, iterations):
        batches.append(batch)
        if iteration == 5:
            batch.image.mul_(np.nan)
        return step(self, batch, iteration, iterations)

    monkeypatch.setattr(Learner, "step", poisoned)
    monkeypatch.setattr(resume, "SECONDS", 0)
    with pytest.raises(UserError, match="not finite at iteration 6 of 8 .patches (.*) of data") as caught:
        trainer.train(tmp_path / "runs/mean_teacher-2-0", store, "mean_teacher", "2", 0, params)
    named = re.search(r"patches ([\d, ]+) of", str(caught.value))[1].split(", ")
    rows = store.table("train").set_index("patch").row[[int(name) for name in named]].tolist()
    labelled = store.labelled("2", 0).tolist()
    assert set(rows[:2]) <= set(labelled) and not set(rows[2:]) & set(labelled) and len(rows) == 4
    (kept,) = (tmp_path / "build/checkpoints").iterdir()
    state = torch.load(io.BytesIO(kept.read_bytes()[resume.DIGEST :]), weights_only=True)
    assert json.loads(state["told"])["iteration"] == 5  # the last one that was in order


def test_a_collapsed_run_ends_early_and_is_scored(store, params, tmp_path, monkeypatch):
    params.optimization.collapse = SimpleNamespace(foreground_share=1e9, iou_drop=0.5, patience=1)
    trainer.train(tmp_path / "run", store, "supervised", "2", 0, params)
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["status"] == "collapsed" and info["iterations"] == 4
    assert len(pd.read_csv(tmp_path / "run" / "scores.csv")) == 4


def test_collapse_needs_patience():
    watch = CollapseWatch(SimpleNamespace(foreground_share=0.1, iou_drop=0.5, patience=2))
    good = {"iou": 0.8, "foreground_predicted": 0.1, "foreground_true": 0.1}
    fallen = good | {"iou": 0.3}
    empty = good | {"foreground_predicted": 0.001}
    watch.see(fallen | {"iou": 0.0}, 0.1)
    assert watch.bad == 0
    found = []
    for row in (good, fallen, good, fallen, empty):
        watch.see(row, 0.5)
        found.append(watch.collapsed)
    assert found == [False] * 4 + [True]


def test_cycles_visit_every_row_equally_often():
    batches = trainer.Cycle(np.arange(6), 4, seed=0)
    seen = np.concatenate([next(batches) for _ in range(3)])
    assert np.bincount(seen).tolist() == [2] * 6
    assert len(next(trainer.Cycle(np.array([7]), 3, seed=0))) == 3


def test_weights_load_without_pickle(store, params, tmp_path):
    trainer.train(tmp_path / "run", store, "supervised", "2", 0, params)
    assert "decoder.output.weight" in load_file(tmp_path / "run" / "student.safetensors")
    assert isinstance(store, PatchStore)
