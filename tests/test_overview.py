"""What has been run, as DVC tells it, and what to do next."""

import json

import papermill
import pytest
import scratch

from pipeline import overview

NAMES = ["cohort", "train@uamt-4-0", "train@uamt-4-1", "train@dtc-4-0"]
STATUS = {
    "train@uamt-4-0": [{"changed deps": {"data/patches": "modified", "params.yaml": {"model": "modified"}}}],
    "train@uamt-4-1": ["changed command", {"changed outs": {"runs/uamt-4-1": "modified", "x.ipynb": "modified"}}],
    "train@dtc-4-0": [{"changed deps": {"data/patches": "deleted"}}, {"changed outs": {"runs/dtc-4-0": "deleted"}}],
}


def test_a_row_a_stage_with_its_parts_and_causes():
    table = overview.tabulated(NAMES, STATUS).set_index("stage")
    assert table[["up_to_date", "of"]].to_numpy().tolist() == [[1, 1], [0, 3]] and list(table.index) == [
        "cohort",
        "train",
    ]
    assert table.because["cohort"] == ""
    assert table.because["train"] == "data/patches modified, model modified, changed command and 3 more"


@pytest.mark.parametrize(
    "status, runs, said",
    [
        (STATUS, [], "`make repro`"),
        (STATUS, ["a"], "not up to date: train"),
        ({}, ["a", "b"], "up to date, 2 trainings"),
    ],
)
def test_what_to_do_next(status, runs, said):
    assert said in overview.next_step(overview.tabulated(NAMES, status), runs)


@pytest.mark.slow
def test_the_notebook_tells_what_was_run(tmp_path, monkeypatch):
    root = scratch.copy(tmp_path / "project")
    scratch.commit(root)
    assert scratch.run(root, "dvc", "repro", "-q", "source@01_cohort", "check").returncode == 0
    monkeypatch.setenv("PYTHONPATH", str(root))
    notebook = root / "notebooks/00_start_here.ipynb"
    done = papermill.execute_notebook(notebook, None, cwd=notebook.parent, progress_bar=False)  # as JupyterLab does
    told = json.dumps([cell["outputs"] for cell in done.cells if cell.cell_type == "code"])
    stages = overview.stages(root).set_index("stage")
    assert stages.up_to_date["check"] == stages.of["check"] == 1 and stages.up_to_date["source"] == 1
    assert stages.up_to_date["train"] == 0 and stages.because["train"] == "not made here yet"
    assert "Nothing is trained yet" in told and "explore" in told
