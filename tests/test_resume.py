"""A training that is interrupted ends with the bytes of one that was not; a damaged checkpoint harms nothing."""

import copy
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from conftest import no_file_above, write_balls

from ssl_hip import checksums, resume, trainer, weights
from ssl_hip.patch_store import PatchStore

METHODS = ["supervised", "mean_teacher", "uamt", "cct", "mtc", "dtc", "embedding_matching"]
NAMES = {"student.safetensors", "teacher.safetensors", "history.csv", "validation.csv", "scores.csv", "run.json"}


def content(run) -> dict[str, bytes]:
    """Return what a finished run's folder holds."""
    assert {path.name for path in run.iterdir()} == NAMES
    return {path.name: path.read_bytes() for path in run.iterdir()}


def checkpoints(root) -> list[str]:
    return sorted(path.name for path in (root / "build/checkpoints").glob("*"))


@pytest.fixture
def saved_always(monkeypatch):
    """Save after every iteration."""
    monkeypatch.setattr(resume, "SECONDS", 0)


@pytest.fixture
def die_after(monkeypatch):
    """Return a function that lets each training from now on be killed after so many of its iterations."""
    step = trainer.Trainer.step

    def after(steps: int):
        left = [steps]

        def mortal(self):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return step(self)

        monkeypatch.setattr(trainer.Trainer, "step", mortal)

    return after


def arguments(store, method, params, draw=0):
    return store, method, "2", draw, params


@pytest.mark.parametrize("method", METHODS)
def test_killed_again_and_again_it_ends_with_the_same_bytes(method, store, params, tmp_path, saved_always, die_after):
    params.optimization.mirror, params.optimization.intensity = True, 0.1
    whole, run = (tmp_path / name / "runs" / f"{method}-2-0" for name in ("whole", "killed"))
    trainer.train(whole, *arguments(store, method, params))
    for steps in (1, 2, 4):  # in all 7 of 8: in the middle of an interval between validations, at its end, near the end
        die_after(steps)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(run, *arguments(store, method, params))
        assert len(checkpoints(tmp_path / "killed")) == 1 and not run.exists()
    die_after(1)
    trainer.train(run, *arguments(store, method, params))
    assert content(run) == content(whole)
    assert checkpoints(tmp_path / "killed") == []


def test_killed_in_the_test_it_only_tests_again(store, params, tmp_path, monkeypatch, die_after):
    whole, run = (tmp_path / name / "runs/uamt-2-0" for name in ("whole", "killed"))
    trainer.train(whole, *arguments(store, "uamt", params))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer.Trainer, "test", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        trainer.train(run, *arguments(store, "uamt", params))
    die_after(0)
    trainer.train(run, *arguments(store, "uamt", params))
    assert content(run) == content(whole)


def test_in_a_stage_a_finished_training_is_kept_until_the_stage_ends(store, params, tmp_path, monkeypatch, die_after):
    run = tmp_path / "runs/uamt-2-0"
    monkeypatch.setenv("DVC_STAGE", "train@uamt-2-0")
    trainer.train(run, *arguments(store, "uamt", params))
    whole = content(run)
    shutil.rmtree(run)  # as DVC does before it runs a stage again
    die_after(0)
    trainer.train(run, *arguments(store, "uamt", params))
    assert content(run) == whole and len(checkpoints(tmp_path)) == 1


def test_a_collapsed_run_stays_collapsed(store, params, tmp_path, monkeypatch, die_after):
    params.optimization.collapse.foreground_share, params.optimization.collapse.patience = 1e9, 1
    run = tmp_path / "runs/supervised-2-0"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trainer.Trainer, "test", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        trainer.train(run, *arguments(store, "supervised", params))
    die_after(0)
    info = trainer.train(run, *arguments(store, "supervised", params))
    assert info["status"] == "collapsed" and info["iterations"] == 4


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_not_used(harm, store, params, tmp_path, saved_always, die_after, capsys):
    whole, run = (tmp_path / name / "runs/supervised-2-0" for name in ("whole", "killed"))
    trainer.train(whole, *arguments(store, "supervised", params))
    die_after(5)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(run, *arguments(store, "supervised", params))
    (path,) = (tmp_path / "killed/build/checkpoints").iterdir()
    before = path.read_bytes()
    middle = len(before) // 2
    flipped = before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :]
    path.write_bytes({"cut": before[:middle], "flipped": flipped, "empty": b""}[harm])
    die_after(8)
    trainer.train(run, *arguments(store, "supervised", params))
    assert content(run) == content(whole)
    assert f"{path}: damaged, not used" in capsys.readouterr().err


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint = resume.Checkpoint(tmp_path, "run", "key")
    checkpoint.save({"value": 1})
    monkeypatch.setattr(resume.os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError):
        checkpoint.save({"value": 2})
    assert checkpoint.load() == {"value": 1}


@pytest.mark.parametrize("what", ["a checkpoint", "the weights"])
def test_a_full_disk_costs_nothing_but_time(store, params, tmp_path, monkeypatch, what):
    whole, run = (tmp_path / name / "runs/uamt-2-0" for name in ("whole", "full"))
    trainer.train(whole, *arguments(store, "uamt", params))
    monkeypatch.setattr(resume, "SECONDS", 0)
    written, save = [], resume.Checkpoint.save

    def save_some(self, state):
        written.append(state)
        with no_file_above(1000) if what == "a checkpoint" and len(written) == 4 else nullcontext():
            save(self, state)

    monkeypatch.setattr(resume.Checkpoint, "save", save_some)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="File too large"):
        write = weights.write

        def write_less(*arguments):
            with no_file_above(1000):
                return write(*arguments)

        patched.setattr(weights, "write", write_less)
        trainer.train(run, *arguments(store, "uamt", params))
    steps = []
    step = trainer.Trainer.step
    monkeypatch.setattr(trainer.Trainer, "step", lambda self: steps.append(0) or step(self))
    trainer.train(run, *arguments(store, "uamt", params))
    assert len(steps) == (5 if what == "a checkpoint" else 0) and content(run) == content(whole)


def test_no_other_parameters_data_or_draw_use_a_checkpoint(store, params, tmp_path):
    def key(store=store, draw=0, params=params):
        return trainer.Trainer(*arguments(store, "supervised", params, draw)).checkpoint(tmp_path, "run").path

    changed = copy.deepcopy(params)
    changed.optimization.student_noise *= 2
    params.patches.seed += 1  # of the patches, not of the training
    other = PatchStore(write_balls(tmp_path / "other", params))
    table = (other.folder / "subsets.csv").read_text()
    (other.folder / "subsets.csv").write_text(table.replace("s0", "s0 "))
    checksums.write(other.folder)
    keys = {key(), key(draw=1), key(params=changed), key(PatchStore(other.folder))}
    assert len(keys) == 4


def test_another_version_of_the_code_does_not_use_a_checkpoint(tmp_path, monkeypatch):
    (tmp_path / checksums.NAME).write_text("{}")
    key, copied = resume.key(tmp_path, {}), tmp_path / "ssl_hip"
    shutil.copytree(Path(resume.__file__).parent, copied)
    monkeypatch.setattr(resume, "__file__", str(copied / "resume.py"))
    assert resume.key(tmp_path, {}) == key
    (copied / "methods/uamt.py").write_text("# changed")
    assert resume.key(tmp_path, {}) != key


def test_a_runs_old_checkpoints_go(tmp_path):
    for name in ("old", "other"):
        resume.Checkpoint(tmp_path, "a-50-0" if name == "old" else "b-50-0", name).save({})
    assert resume.Checkpoint(tmp_path, "a-50-0", "new").load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["b-50-0-other.pt"]


def test_no_code_is_read_from_a_checkpoint(tmp_path):
    checkpoint = resume.Checkpoint(tmp_path, "run", "key")
    checkpoint.save({"harm": print})
    with pytest.raises(Exception, match="weights_only|Weights only"):
        checkpoint.load()


def test_generators_keep_their_first_seed():
    """The pool of dropout masks is drawn from it (dropout.py), after a resume as well."""
    generator, other = torch.Generator().manual_seed(123), torch.Generator()
    torch.rand(5, generator=generator)
    other.set_state(generator.get_state())
    assert other.initial_seed() == 123
