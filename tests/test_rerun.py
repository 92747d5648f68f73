"""What re-runs after which edit: the table in the README, on the real dvc.yaml with stand-ins for the commands."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import scratch
from ruamel.yaml import YAML

# Writes, for each output, a hash of the files read and of the parameters declared, as the real stage would.
STAND_IN = """
import hashlib, json, sys
from pathlib import Path
job = json.loads(sys.argv[1])
files = [p for d in job["deps"] for p in (sorted(Path(d).rglob("*")) if Path(d).is_dir() else [Path(d)]) if p.is_file()]
tree = json.loads(Path("params.json").read_text())
values = [eval("tree" + "".join(f"[{part!r}]" for part in key.split("."))) for key in job["params"]]
mark = hashlib.md5(b"".join(p.read_bytes() for p in files) + repr(values).encode()).hexdigest()
for out in map(Path, job["outs"]):
    inner = {"data/patches": ["patches.csv", "subsets.csv", "threshold.csv"]}.get(str(out), ["content"])
    folder = not out.suffix and str(out) != "build/params-checked"
    for target in [out / name for name in inner] if folder else [out]:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(mark if target.suffix != ".json" else json.dumps({"mark": mark}))
"""
YAML_IO = YAML()


def paths(entries: list) -> list[str]:
    """Return the paths of a dvc.yaml list whose entries may be {path: options}."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def stand_in(stage: dict) -> str:
    """Return a command that behaves like the stage: other inputs or parameters, other outputs."""
    job = {"deps": stage["deps"], "params": stage.get("params", [])}
    job["outs"] = paths(stage["outs"]) + paths(stage.get("metrics", []))
    return f"python -S stand_in.py '{json.dumps(job)}'"


class Project:
    """A scratch copy whose long commands are replaced."""

    def __init__(self, root: Path):
        self.root = scratch.copy(root)
        tree = YAML_IO.load(root / "dvc.yaml")
        for name, stage in tree["stages"].items():
            if name not in ("source", "grid", "check"):
                stage["cmd"] = stand_in(stage)
        tree["stages"]["check"]["cmd"] = "mkdir -p build && echo valid > build/params-checked"
        YAML_IO.dump(tree, root / "dvc.yaml")
        self.edit_params(lambda tree: tree["train"].update(methods=["mean_teacher", "embedding_matching"], draws=[0]))
        (root / "stand_in.py").write_text(STAND_IN)
        scratch.commit(root)

    def repro(self) -> set[str]:
        """Run what has to run; return the names of those stages, a group's members under the group's name."""
        params = YAML(typ="safe", pure=True).load((self.root / "params.yaml").read_text())
        (self.root / "params.json").write_text(json.dumps(params))
        done = scratch.run(self.root, "dvc", "repro", "--no-run-cache")
        assert done.returncode == 0, done.stdout + done.stderr
        return set(re.findall(r"Running stage '([^']+)'", done.stdout))

    def edit_params(self, change) -> None:
        """Change params.yaml through a function of its tree."""
        tree = YAML_IO.load(self.root / "params.yaml")
        change(tree)
        YAML_IO.dump(tree, self.root / "params.yaml")

    def append(self, name: str, text: str) -> None:
        """Add text to a file."""
        with (self.root / name).open("a") as file:
            file.write(text)

    def edit_notebook(self, name: str, change) -> None:
        """Change a notebook through a function of its code cells."""
        path = self.root / "notebooks" / name
        notebook = json.loads(path.read_text(encoding="utf-8"))
        change([cell for cell in notebook["cells"] if cell["cell_type"] == "code"])
        path.write_text(json.dumps(notebook))


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("rerun"))
    assert {"cohort", "patches", "tables", "figures"} <= project.repro()
    return project


@pytest.fixture
def project(reproduced):
    """Hand out the reproduced project; afterwards put its files and results back."""
    scratch.git(reproduced.root, "add", "-Af", "dvc.lock", "results", "params.json")
    scratch.git(reproduced.root, "commit", "-q", "-m", "state")
    yield reproduced
    scratch.git(reproduced.root, "checkout", "-q", "--", ".")
    done = scratch.run(reproduced.root, "dvc", "checkout", "--quiet", "--force")
    assert done.returncode == 0, done.stderr


def runs(project: Project, group: str = "train", word: str = "") -> set[str]:
    """Return the names of a group's stages, those only that contain `word`."""
    listed = scratch.run(project.root, "dvc", "stage", "list", "--name-only", group)
    return {name for name in listed.stdout.split() if word in name}


REPORT = {"report", "page"}  # shows all of params.yaml
AFTER = {"grid", "tables", "figures", "networks", "explore"} | REPORT


def save_with_outputs(cells: list[dict]) -> None:
    for number, cell in enumerate(cells):
        cell["execution_count"] = number + 7
        cell["metadata"] = {**cell["metadata"], "execution": {"iopub.status.busy": "2026-01-01"}}
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["saved in JupyterLab\n"]}]


def test_nothing_changed(project):
    assert project.repro() == set()


def test_another_method(project):
    project.edit_params(lambda tree: tree["train"]["methods"].append("uamt"))
    assert project.repro() == {"check"} | runs(project, word="uamt") | AFTER


def test_a_method_less_leaves_its_runs_alone(project):
    project.edit_params(lambda tree: tree["train"]["methods"].pop())
    assert project.repro() == {"check"} | AFTER


def test_one_methods_weight(project):
    project.edit_params(lambda tree: tree["methods"]["embedding_matching"].update(weight_nn=0.123))
    trained = runs(project, word="embedding_matching") | runs(project, "ablation")
    assert project.repro() == {"check"} | trained | AFTER


def test_one_variant(project):
    project.edit_params(lambda tree: tree["variants"]["ua"].update(temperature=0.5))
    assert project.repro() == {"check"} | runs(project, "ablation", word="ua") | AFTER


def test_another_variant_shares_the_runs_of_table_1(project):
    project.edit_params(lambda tree: tree["ablations"]["variants"].append("cosine_max"))
    assert project.repro() == {"check"} | runs(project, "ablation", word="cosine_max") | AFTER


def test_one_plotting_parameter(project):
    project.edit_params(lambda tree: tree["figures"].update(window_hu=[-100, 700]))
    assert project.repro() == {"check", "figures"} | REPORT


def test_code_of_one_method(project):
    project.append("ssl_hip/methods/mean_teacher.py", "\n# touched\n")
    assert project.repro() == runs(project, word="mean_teacher") | AFTER


@pytest.mark.parametrize("name", ["explorer/view", "prediction", "schema"])
def test_code_that_no_training_reads(project, name):
    project.append(f"ssl_hip/{name}.py", "\n# touched\n")
    trained = runs(project) | runs(project, "ablation") | runs(project, "ceiling")
    assert not project.repro() & (trained | {"cohort", "patches"})


def test_saving_a_notebook_with_outputs(project):
    project.edit_notebook("04_train.ipynb", save_with_outputs)
    assert project.repro() == {"source@04_train"}


def test_editing_a_notebook(project):
    project.edit_notebook("05_tables.ipynb", lambda cells: cells[-1]["source"].append("\nedited = True"))
    assert project.repro() == {"source@05_tables", "tables"} | REPORT


def test_a_run_left_over_from_other_settings(project):
    leftover = project.root / "runs/left-over-0"
    leftover.mkdir()
    (leftover / "content").write_text("old")
    try:
        assert project.repro() == {"grid"}
    finally:
        subprocess.run(["rm", "-r", leftover], check=True)
