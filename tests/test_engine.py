"""Notebooks run by the engine: reports are the same from run to run; failures keep all and end with the message."""

import copy
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import scratch

from pipeline.scrub import scrub
from pipeline.source import canonical, dump


def notebook(*cells: str) -> dict:
    """Return a notebook as JupyterLab would save it."""
    common = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {
        "cells": [common | {"id": f"random{number}", "source": text} for number, text in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "any", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def execute(folder, *cells: str):
    """Run the cells with the engine in `folder`, as a stage would."""
    (folder / "in.ipynb").write_text(json.dumps(notebook(*cells)))
    (folder / "out.ipynb").unlink(missing_ok=True)
    return scratch.run(folder, "papermill", "--engine", "ssl_hip", "in.ipynb", "out.ipynb", "-p", "draw", "3")


SO_FAR = "The notebook as far as it came: out.failed.ipynb\n"
LIVELY = """import sys, time, warnings
from IPython.display import display
from ipywidgets import IntSlider
from tqdm import tqdm
for step in tqdm(range(3)):
    print("step", step); print("aside", file=sys.stderr)
display(IntSlider())
warnings.warn("a warning")
print(object(), "a\\rb")
object()"""


def test_two_runs_give_the_same_bytes_and_show_progress(tmp_path):
    reports = []
    for _ in range(2):
        done = execute(tmp_path, "draw = 0", LIVELY, "import os; print(os.getcwd())")
        assert done.returncode == 0, done.stderr
        reports.append((tmp_path / "out.ipynb").read_bytes())
    assert reports[0] == reports[1]
    assert "3/3" in done.stderr and "step 2" in done.stdout
    report = reports[0].decode()
    assert "step 2" in report and "object at 0x..." in report and str(tmp_path) not in report
    assert not (tmp_path / "out.failed.ipynb").exists()


def test_user_error_is_the_last_thing_on_the_terminal_but_where_the_notebook_is(tmp_path):
    done = execute(
        tmp_path, "print('before')", "from ssl_hip.config import UserError\nraise UserError('mend x\\nand y')"
    )
    assert done.returncode == 1
    assert done.stderr.endswith(f"UserError: mend x\nand y\n{SO_FAR}") and "Traceback" not in done.stderr
    assert not (tmp_path / "out.ipynb").exists()
    assert "before" in (tmp_path / "out.failed.ipynb").read_text(encoding="utf-8")


def test_other_errors_show_their_traceback(tmp_path):
    done = execute(tmp_path, "1 / 0")
    assert done.returncode == 1 and done.stderr.endswith(f"ZeroDivisionError: division by zero\n{SO_FAR}")
    assert "Traceback" in done.stderr and not (tmp_path / "out.ipynb").exists()


def test_a_dead_kernel_is_named(tmp_path):
    done = execute(tmp_path, "import os; os._exit(9)")
    assert done.returncode == 138
    assert "most often for lack of memory.\nMemory ran out. JOBS=1" in done.stderr and done.stderr.endswith(SO_FAR)


LIMITED = "import numpy, resource\nresource.setrlimit(resource.RLIMIT_AS, (3 << 30,) * 2)\n"
SURROUNDINGS = {  # /sys: what not even root may write
    "with open('/dev/full', 'w') as file:\n    file.write('x' * 100_000)": (
        "OSError: [Errno 28]",
        "The disk is full.",
    ),
    "open('/sys/kernel/uevent_seqnum', 'w')": ("PermissionError: [Errno 13]", "This folder or file cannot be"),
    f"{LIMITED}held = [numpy.ones(1 << 25) for _ in range(64)]": (
        "MemoryError: Unable",
        "Memory ran out. JOBS=1",
    ),
}


@pytest.mark.parametrize("cell", SURROUNDINGS)
def test_unlucky_surroundings_give_a_remedy_and_no_traceback(tmp_path, cell):
    done = execute(tmp_path, cell)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    error, words = SURROUNDINGS[cell]
    *_, told, remedy, _ = done.stderr.splitlines()
    assert told.startswith(error) and remedy.startswith(words)


def test_a_full_disk_under_the_notebook_itself_gives_the_remedy_too(tmp_path):
    (tmp_path / "out.failed.ipynb").symlink_to("/dev/full")
    done = execute(tmp_path, "1")
    assert done.returncode == 1 and "Traceback" not in done.stderr and not (tmp_path / "out.ipynb").exists()
    *_, told, _, last = done.stderr.strip().split("\n")
    assert told == "[Errno 28] No space left on device" and last.startswith("The disk is full.")


def test_notebooks_run_side_by_side(tmp_path):
    """Each kernel has sockets of its own; on shared ones messages cross, now and then."""
    (tmp_path / "in.ipynb").write_text(json.dumps(notebook("import time; time.sleep(1)")))
    names = [f"out{number}.ipynb" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: scratch.run(tmp_path, "papermill", "--engine", "ssl_hip", "in.ipynb", n), names))
    assert [run.returncode for run in done] == [0] * 4, [run.stderr[-500:] for run in done]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.ipynb", *names])


def test_scrub_twice_is_scrub_once(tmp_path):
    execute(tmp_path, "print(object())")
    once = scrub(json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8")))
    assert scrub(copy.deepcopy(once)) == once


@pytest.mark.parametrize("metadata", [{}, {"execution": {"busy": "12:00"}}, {"collapsed": True}])
def test_canonical_source_ignores_what_saving_changes(metadata):
    plain, saved = notebook("a = 1", "b = 2"), notebook("a = 1", "b = 2", "")
    saved["metadata"] |= {"language_info": {"version": "3.11.99"}, "widgets": {}}
    for number, cell in enumerate(saved["cells"]):
        cell |= {"id": f"other{number}", "metadata": metadata, "execution_count": 4, "outputs": [{"text": "x"}]}
    assert dump(canonical(plain)) == dump(canonical(saved))
    assert dump(canonical(plain)) != dump(canonical(notebook("a = 1", "b = 3")))


def test_canonical_source_keeps_tags():
    tagged = notebook("draw = 0")
    tagged["cells"][0]["metadata"] = {"tags": ["parameters"], "slideshow": {}}
    assert canonical(tagged)["cells"][0]["metadata"] == {"tags": ["parameters"]}
