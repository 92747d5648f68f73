import json
import multiprocessing
import os
import signal
import time

import psutil
import pytest
from conftest import wait_until

from ssl_hip import parallel
from ssl_hip.config import UserError


def square(number):
    return {"square": number * number}


class Stop(Exception):
    pass


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_half_removed_is_not_taken_up_again(tmp_path, monkeypatch):
    for name in ("patches-1", "patches-2", "cohort-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "00000.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(parallel.shutil, "rmtree", lambda path, **_: stop() if path.exists() else None)
        with pytest.raises(Stop):
            parallel.discard(tmp_path, "patches-*")
    assert len(list(tmp_path.glob("patches-*"))) == 1
    parallel.discard(tmp_path, "patches-*")
    assert [path.name for path in tmp_path.iterdir()] == ["cohort-1"]


def stop():
    raise Stop


def test_a_killed_process_is_explained():
    with pytest.raises(UserError, match="a process of 2 was ended from outside, most often because memory ran out"):
        parallel.run(killed, range(2), "test", 2)


def note_and_wait(path):
    path.write_text(str(os.getpid()))
    time.sleep(600)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    notes = [tmp_path / name for name in "ab"]
    parent = multiprocessing.get_context("spawn").Process(target=parallel.run, args=(note_and_wait, notes, "test", 2))
    parent.start()
    wait_until(lambda: all(note.is_file() and note.read_text() for note in notes))
    parent.kill()
    parent.join()
    wait_until(lambda: not any(psutil.pid_exists(int(note.read_text())) for note in notes))


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_jobs_order(workers):
    assert parallel.run(square, range(5), "test", workers) == [square(n) for n in range(5)]
    assert parallel.run(square, [], "test", workers) == []


def test_what_is_finished_is_not_run_again(tmp_path):
    done = []

    def until_three(number):
        if number == 3:
            raise Stop
        done.append(number)
        return square(number)

    with pytest.raises(Stop):
        parallel.run(until_three, range(5), "test", 1, finished=tmp_path)
    assert done == [0, 1, 2] and len(list(tmp_path.glob("*.json"))) == 3
    found = parallel.run(lambda n: done.append(n) or square(n), range(5), "test", 1, finished=tmp_path)
    assert found == [square(n) for n in range(5)] and done == [0, 1, 2, 3, 4]


def test_a_result_that_was_being_written_is_run_again(tmp_path):
    (tmp_path / "00000.unfinished").write_text('{"squ')
    assert parallel.run(square, [2], "test", 1, finished=tmp_path) == [{"square": 4}]
    assert json.loads((tmp_path / "00000.json").read_text()) == {"square": 4}


def test_workers_fit_into_free_memory(monkeypatch):
    monkeypatch.setattr(parallel.psutil, "virtual_memory", lambda: type("Free", (), {"available": 10 * 2**30})())
    assert parallel.affordable(8, 0) == 8 and parallel.affordable(8, 2048) == 4
    assert parallel.affordable(8, 500_000) == 1 and parallel.affordable(2, 100) == 2


def test_fingerprint_depends_on_settings_and_inputs(tmp_path):
    file = tmp_path / "a.nii.gz"
    file.write_text("1")
    first = parallel.fingerprint({"seed": 0}, [file])
    assert parallel.fingerprint({"seed": 0}, [file]) == first != parallel.fingerprint({"seed": 1}, [file])
    file.write_text("12")
    assert parallel.fingerprint({"seed": 0}, [file]) != first
