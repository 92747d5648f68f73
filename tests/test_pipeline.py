"""dvc.yaml says what the notebooks read; profiles have the same keys; notebooks are committed without outputs."""

import ast
import json
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from scratch import ROOT, git

from pipeline import closure
from ssl_hip import config

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROFILES = sorted((ROOT / "params").glob("*.yaml"))
STAGES = closure.stages(ROOT)
FREE = ("patches.subsets", "shape_model.parts")  # whose keys the user chooses


def keys(tree: dict, prefix: str = "") -> set[str]:
    """Return all dotted keys of a tree, except those below a free one."""
    found = set()
    for key, value in tree.items():
        found.add(f"{prefix}{key}")
        if isinstance(value, dict) and f"{prefix}{key}" not in FREE:
            found |= keys(value, f"{prefix}{key}.")
    return found


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_declares_what_its_notebook_reads(stage):
    report = closure.report(stage, ROOT)
    assert not report, f"\n{report}files: `python -m pipeline.closure --write` puts them in"


def test_the_check_depends_on_its_code():
    """The check has no notebook: python -m ssl_hip.schema."""
    declared = set(config.read_yaml(ROOT / "dvc.yaml")["stages"]["check"]["deps"])
    schema = "ssl_hip/schema.py"
    assert declared == {"params.yaml", schema} | closure.closure(ast.parse((ROOT / schema).read_text()), ROOT)


def test_every_file_of_a_stage_exists():
    methods = config.read_yaml(ROOT / "params.yaml")["methods"]
    paths = {path.replace(closure.ITEM, method) for stage in STAGES for path in stage.files for method in methods}
    assert not [path for path in sorted(paths) if not (ROOT / path).is_file()]


def test_packages_are_empty():
    for path in (ROOT / "ssl_hip").rglob("__init__.py"):
        lines = path.read_text().strip().splitlines()
        assert len(lines) <= 1, f"{path}: code here would be read by every stage without being declared"


def test_imports_have_no_circles():
    """Neither between files nor between the folders of ssl_hip."""
    paths = {str(path.relative_to(ROOT)) for path in (ROOT / "ssl_hip").rglob("*.py")}
    files = {path: closure.imported(ast.parse((ROOT / path).read_text()), ROOT) for path in paths}
    folders = {}
    for path, reached in files.items():
        room = str(Path(path).parent)
        folders.setdefault(room, set()).update({str(Path(other).parent) for other in reached} - {room, "ssl_hip"})
    del folders["ssl_hip"]
    assert list(TopologicalSorter(files).static_order())
    assert list(TopologicalSorter(folders).static_order())


def test_no_key_is_overlooked_by_the_run_cache():
    """DVC's run cache leaves keys of these names out of its hash: after an edit it would bring back old results."""
    names = {key.rsplit(".", 1)[-1] for key in keys(config.read_yaml(ROOT / "params.yaml"))}
    assert not names & {"size", "nfiles"}


def test_scans_in_data_are_no_part_of_the_repository():
    assert git(ROOT, "check-ignore", "data/mine/images/a.nii.gz").returncode == 0


def test_there_are_profiles():
    assert {"paper", "smoke"} <= {path.stem for path in PROFILES}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_profiles_have_the_keys_of_the_default(profile):
    assert keys(config.read_yaml(profile)) == keys(config.read_yaml(ROOT / "params.yaml"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), "in JupyterLab: clear all outputs"
