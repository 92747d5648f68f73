"""Run information: what made the results, as far as it can be known."""

import json

import scratch

from pipeline import run_info


def test_phases_add_up():
    watch = run_info.Stopwatch()
    for phase in ("first", "second"):
        watch.lap(phase)
    seconds = watch.read()
    assert list(seconds) == ["first", "second", "whole"] and min(seconds.values()) >= 0
    assert seconds["whole"] >= seconds["first"]


def test_the_file_names_commit_machine_and_times(tmp_path):
    path = tmp_path / "reports" / "run_info.json"
    run_info.write({"whole": 1.5}, trainings=3, jobs=2, path=path)
    content = json.loads(path.read_text())
    assert content["seconds"] == {"whole": 1.5} and content["trainings"] == 3 and content["trainings_at_once"] == 2
    assert all(content[key] for key in ("commit", "date", "host", "platform", "cpu", "cores", "device"))


def test_a_commit_is_dirty_by_other_files_than_a_run_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_info.commit() == "unknown"
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/table1.csv", "dvc.lock"):
        (tmp_path / name).write_text("1")
    scratch.commit(tmp_path)
    clean = run_info.commit()
    (tmp_path / "results/table1.csv").write_text("2")
    (tmp_path / "dvc.lock").write_text("2")
    (tmp_path / "profile").mkdir()
    monkeypatch.chdir(tmp_path / "profile")  # of another profile, inside the repository
    assert run_info.commit() == clean and len(clean) == 40
    (tmp_path / "code.py").write_text("2")
    assert run_info.commit() == f"{clean} (dirty)"
