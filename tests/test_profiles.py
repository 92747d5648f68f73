"""Another profile runs beside the default one, overwrites nobody's results, and stops when it is told to."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline import profiles
from ssl_hip.config import UserError

WAITING = """
import pathlib, signal, sys, time
got = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: got.append(number))
pathlib.Path("ready").touch()
while not got:
    time.sleep(0.01)
time.sleep(0.5)
sys.exit(len(got) + 6)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of its own, with a default and two profiles."""
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    (tmp_path / "params").mkdir()
    for name in ("params.yaml", "params/a.yaml", "params/study.yaml", "a.yaml"):
        (tmp_path / name).write_text('cohort: {path: ""}\n')
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def test_only_a_profile_of_its_own_is_run(root):
    for name, said in {
        "params/b.yaml": "params/a.yaml, params/study.yaml",
        "params": "no such file",
        "params/../params.yaml": "is the default profile",
        "params/study.yaml": "results/study/ holds other results",
    }.items():
        with pytest.raises(UserError, match=said):
            profiles.check(root / name)
    profiles.check(root / "params/a.yaml")


def test_two_profiles_of_one_name_do_not_share_results(root):
    profiles.prepare(root / "params/a.yaml")
    profiles.check(root / "params/a.yaml")
    with pytest.raises(UserError, match="are those of params/a.yaml"):
        profiles.check(root / "a.yaml")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("group", [False, True], ids=["process", "group as Ctrl-C"])
def test_a_signal_reaches_the_work_once_and_is_waited_for(tmp_path, number, group):
    code = "import sys; from pathlib import Path; from pipeline import profiles; "
    code += "sys.exit(profiles.run([sys.executable, '-c', sys.argv[1]], Path(sys.argv[2])))"
    command = [sys.executable, "-c", code, WAITING, str(tmp_path)]
    running = subprocess.Popen(command, cwd=profiles.ROOT, process_group=0)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    (os.killpg if group else os.kill)(running.pid, number)
    assert running.wait(60) == 7
