"""Failures on the way: the failing stage and its message are the last lines, and nothing passes for a result."""

import json
import signal

import psutil
import pytest
import scratch
from conftest import wait_until

from pipeline import advice
from pipeline.jobs import explain
from ssl_hip.config import ROOT, read_yaml

DVC_LOG = """Running stage 'cohort':
> papermill build/nb/01_cohort.ipynb
Executing notebook with kernel: python3
  0%|   | 0/2\r 50%|   | 1/2
{end}
ERROR: failed to reproduce 'cohort': failed to run: papermill ..., exited with 1
"""


def test_a_users_mistake_stands_alone_at_the_end(tmp_path):
    text = explain(
        DVC_LOG.format(end="(notebook: x)\nUserError: scan.nii.gz: missing;\nput it there"), tmp_path / "log"
    )
    assert text.startswith("Stage cohort failed") and text.endswith(
        "\n\nUserError: scan.nii.gz: missing;\nput it there"
    )


FULL = "OSError: [Errno 28] No space left on device"


@pytest.mark.parametrize(
    "message", ["UserError: mend it", "Traceback\nValueError: no", f"{FULL}\n{advice.remedy(FULL)}"]
)
def test_the_notebook_that_failed_is_the_last_line(tmp_path, message):
    last = "The notebook as far as it came: x.failed.ipynb"
    text = explain(DVC_LOG.format(end=f"{message}\n{last}"), tmp_path / "log")
    assert text.endswith(f"{message}\n{last}")


def test_a_full_disk_under_dvc_itself_gives_the_remedy(tmp_path):
    text = explain(DVC_LOG.format(end=f"ERROR: unexpected error - {FULL}"), tmp_path / "log")
    assert text.endswith(f"{FULL}\n\n{advice.remedy(FULL)}")


def test_a_bug_shows_the_end_of_the_output(tmp_path):
    text = explain(DVC_LOG.format(end="Traceback ...\nValueError: no"), tmp_path / "log")
    assert text.endswith(" 50%|   | 1/2\nTraceback ...\nValueError: no")


TREE = """stages:
  check: {cmd: mkdir -p build && echo > build/checked, outs: [build/checked]}
  source: {cmd: echo > build/source, deps: [build/checked], outs: [build/source]}
  patches: {cmd: echo > build/patches, deps: [build/checked], outs: [build/patches]}
  train:
    matrix: {draw: [0, 1, 2]}
    cmd: CMD
    deps: [build/patches]
    outs:
    - build/run${item.draw}
  ablation:
    matrix: {draw: [0]}
    cmd: echo ${item.draw} > build/ablation
    deps: [build/patches]
    outs: [build/ablation]
  ceiling:
    matrix: {draw: [0]}
    cmd: echo ${item.draw} > build/ceiling
    deps: [build/patches]
    outs: [build/ceiling]
"""


@pytest.fixture
def project(tmp_path):
    """A small pipeline with the same groups of stages."""
    names = [f"pipeline/{name}.py" for name in ("__init__", "advice", "finished", "jobs", "orphans", "run_info")]
    for name in [*names, "ssl_hip/__init__.py"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("schema", "cost"):
        (tmp_path / f"ssl_hip/{name}.py").write_text('"""Nothing to check, nothing to tell."""\n')
    (tmp_path / ".gitignore").write_text("build/\n")
    scratch.commit(tmp_path)
    assert scratch.run(tmp_path, "dvc", "init", "-q").returncode == 0
    return tmp_path


def jobs(project, command: str):
    (project / "dvc.yaml").write_text(TREE.replace("CMD", command))
    return scratch.run(project, "python", "-m", "pipeline.jobs", "--jobs", "2")


def test_trainings_run_side_by_side_and_once(project):
    done = jobs(project, "sleep 1 && echo ${item.draw} > build/run${item.draw}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 trainings to do, 2 at once" in done.stdout and "[5/5]" in done.stdout
    info = project / "reports/run_info.json"
    told = json.loads(info.read_text())
    assert told["trainings"] == 5 and told["seconds"]["whole"] >= told["seconds"]["trainings"] >= 1
    again = scratch.run(project, "python", "-m", "pipeline.jobs")
    assert again.stdout == "Nothing has changed since the last run: all results are up to date.\n"
    assert json.loads(info.read_text()) == told  # nothing ran: the times of the last run stay


def test_a_failing_training_ends_the_job(project):
    done = jobs(project, "'echo \"UserError: draw ${item.draw} is bad\" && exit 3'")
    assert done.returncode == 1
    assert "Stage train@" in done.stderr and done.stderr.strip().splitlines()[-1].startswith("UserError: draw")


@pytest.mark.parametrize("log", ["before", "train-0", "after"])
def test_a_full_disk_under_a_log_gives_the_remedy(project, log):
    (project / "build/logs").mkdir(parents=True)
    (project / f"build/logs/{log}.log").symlink_to("/dev/full")
    done = jobs(project, "echo > build/run${item.draw}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("The disk is full.")


def test_a_damaged_lock_file_gives_the_remedy(project):
    (project / "dvc.lock").write_text('<<<<<<< HEAD\nschema: "2.0"\n=======\n')
    done = jobs(project, "echo > build/run${item.draw}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "'./dvc.lock' is invalid" in done.stderr and "'git checkout dvc.lock' brings" in done.stderr


@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_lock_file_that_a_kill_cut_off_is_made_again_and_nothing_runs_twice(project, share):
    noted = "echo >> ran && echo > build/run${item.draw}"
    assert jobs(project, noted).returncode == 0
    lock, ran = project / "dvc.lock", (project / "ran").read_bytes()
    whole, tree = lock.read_bytes(), read_yaml(lock)
    lock.write_bytes(whole[: whole.rindex(b"md5", 0, int(share * len(whole))) + 2])  # within a key: no valid YAML
    done = jobs(project, noted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "build/dvc.lock.damaged").exists()
    assert read_yaml(lock) == tree and (project / "ran").read_bytes() == ran


STORED = (
    "mkdir -p build/checkpoints && echo > build/checkpoints/${item.draw}-0.pt && python -m pipeline.finished"
    " && echo > build/run${item.draw}"
)


def test_a_checkpoint_is_kept_until_dvc_has_stored_the_run(project):
    lost = STORED.replace("echo > build/run", "echo")  # the stage ends well, then DVC finds no run
    assert jobs(project, lost).returncode == 1
    assert list((project / "build/checkpoints").iterdir())
    assert jobs(project, STORED).returncode == 0
    assert not list((project / "build/checkpoints").iterdir())


def test_dvc_alone_removes_the_checkpoint_with_the_end_of_the_stage(project):
    (project / "dvc.yaml").write_text(TREE.replace("CMD", f"'{STORED}'"))
    assert scratch.run(project, "dvc", "repro", "-q").returncode == 0
    assert not list((project / "build/checkpoints").iterdir())


def test_trainings_that_do_not_fit_the_device_are_not_started(project):
    (project / "ssl_hip/cost.py").write_text('import sys\nprint(sys.argv)\nsys.exit("UserError: too large")\n')
    done = jobs(project, "echo > build/run${item.draw}")
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1] == "UserError: too large"
    assert "'params.yaml', '--stages'" in done.stdout and "'train@2'" in done.stdout
    assert not (project / "build/run0").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_a_second_make_repro_is_refused_meanwhile(project, number):
    (project / "dvc.yaml").write_text(TREE.replace("CMD", "touch build/began${item.draw} && sleep 600"))
    running = scratch.start(project, "python", "-m", "pipeline.jobs", "--jobs", "2")
    wait_until(lambda: (project / "build/began2").exists())
    below = psutil.Process(running.pid).children(recursive=True)
    second = scratch.run(project, "python", "-m", "pipeline.jobs")
    assert second.returncode == 1 and second.stderr.startswith("Another 'make repro' runs in this folder")
    running.send_signal(number)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1 and errors.endswith("Stopped. 'make repro' goes on with what is missing.\n")
    wait_until(lambda: not any(process.is_running() for process in below))
    done = jobs(project, "echo > build/run${item.draw}")
    assert done.returncode == 0, done.stdout + done.stderr
