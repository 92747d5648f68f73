"""The smoke profile from nothing to the tables, killed on the way; uninterrupted, the same bytes come out."""

import json
import os
import random

import kills
import pytest
import scratch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Reproduce the smoke profile once, after three kills; hand out the folder with dvc.lock added to git."""
    root, rng = kills.project(tmp_path_factory.mktemp("smoke")), random.Random(0)
    for _ in range(3):
        killed = kills.kill_once(root, rng, longest=30)
        assert killed is None or not killed["orphans"], killed
    done = scratch.run(root, "python", "-m", "pipeline.jobs")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert scratch.git(root, "add", "-f", "dvc.lock", "results").returncode == 0
    assert (root / "dvc.lock").stat().st_size > 0
    return root


def unchanged(root) -> bool:
    """Say whether dvc.lock and the results are as they were added to git."""
    return scratch.git(root, "diff", "--exit-code", "dvc.lock", "results").returncode == 0


def test_nothing_to_do_the_second_time_even_if_the_clock_has_jumped(project):
    rng = random.Random(0)
    for path in project.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (rng.randrange(2**32),) * 2)  # between 1970 and 2106
    done = scratch.run(project, "dvc", "repro")
    assert done.returncode == 0 and "Running stage" not in done.stdout


def test_uninterrupted_one_by_one_under_another_user_name_time_zone_and_locale_the_bytes_are_the_same(project):
    changes = {"USER": "x", "LOGNAME": "x", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "C", "OMP_NUM_THREADS": "4"}
    done = scratch.run(project, "dvc", "repro", "--force", **changes)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if "Warning:" in line]
    assert not warnings  # reports leave them out, a reader of the terminal or of JupyterLab sees them
    assert unchanged(project), scratch.git(project, "diff", "dvc.lock", "results").stdout


def test_an_unseeded_draw_is_noticed(project):
    path = project / "notebooks/05_tables.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    planted = {"cell_type": "code", "id": "planted", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].append(planted | {"source": ["import numpy\n", "print(numpy.random.random())"]})
    path.write_text(json.dumps(notebook))
    assert scratch.run(project, "dvc", "repro", "tables").returncode == 0
    scratch.git(project, "add", "-f", "dvc.lock", "results")
    assert unchanged(project)
    assert scratch.run(project, "dvc", "repro", "--force", "--single-item", "tables").returncode == 0
    assert not unchanged(project)
