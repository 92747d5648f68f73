"""Compute which ssl_hip files and parameters a notebook reaches, and which its stages declare in dvc.yaml.

`python -m pipeline.closure` prints, for every stage, the lists that belong under deps and params;
`python -m pipeline.closure --write` puts the ssl_hip files into dvc.yaml. Files: modules, and tables that they read.
"""

import ast
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ssl_hip import config

PACKAGE = "ssl_hip"
ITEM = "${item.method}"


@dataclass
class Stage:
    """A stage that runs a notebook: its name, the notebook's path, the values it is given, what it declares."""

    name: str
    notebook: Path
    given: dict[str, str]  # papermill's -p
    files: set[str]
    params: set[str]


def stages(root: Path) -> list[Stage]:
    """Read the notebook stages of dvc.yaml."""
    tree = config.read_yaml(root / "dvc.yaml")["stages"]
    return [read_stage(root, name, stage) for name, stage in tree.items() if "papermill" in stage["cmd"]]


def read_stage(root: Path, name: str, stage: dict) -> Stage:
    """Read one stage of dvc.yaml."""
    notebook = root / "notebooks" / re.search(r"build/nb/(\S+\.ipynb)", stage["cmd"])[1]
    files = {path for path in stage["deps"] if path.startswith(f"{PACKAGE}/")}
    return Stage(name, notebook, dict(re.findall(r"-p (\w+) (\S+)", stage["cmd"])), files, set(stage.get("params", [])))


def code(notebook: Path) -> ast.Module:
    """Parse the code cells of a notebook, without lines of IPython magic."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    return ast.parse("\n".join(line for line in text.split("\n") if not line.lstrip().startswith(("%", "!"))))


def imported(tree: ast.AST, root: Path) -> set[str]:
    """Return the ssl_hip files that a parsed source imports, relative to root."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    paths = {name.replace(".", "/") + ".py" for name in names if name.split(".")[0] == PACKAGE}
    return {path for path in paths if (root / path).is_file()}


def closure(tree: ast.AST, root: Path) -> set[str]:
    """Return every ssl_hip file reached from a parsed source, directly or through others: modules and `beside` them."""
    reached, todo = set(), imported(tree, root)
    while todo:
        path = todo.pop()
        module = ast.parse((root / path).read_text(encoding="utf-8"))
        reached |= {path} | beside(module, root / path, root)
        todo |= imported(module, root) - reached
    return reached


def beside(module: ast.AST, path: Path, root: Path) -> set[str]:
    """Return the CSV files in a module's folder that its texts name, relative to root."""
    texts = (node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    tables = (path.with_name(text) for text in texts if re.fullmatch(r"\w+\.csv", text))
    return {str(table.relative_to(root)) for table in tables if table.is_file()}


def wanted_files(stage: Stage, root: Path) -> set[str]:
    """Return the files that the stage has to depend on.

    A stage of the grid depends on its own method's file and on what any method imports: DVC has no per-item lists.
    """
    files, method = closure(code(stage.notebook), root), stage.given.get("method")
    if not method:
        return files
    methods = sorted((root / PACKAGE / "methods").glob("[!_]*.py")) if method == ITEM else []
    methods = methods or [root / PACKAGE / "methods" / f"{method}.py"]
    for path in methods:
        files |= closure(ast.parse(path.read_text(encoding="utf-8")), root)
    return files | {f"{PACKAGE}/methods/{method}.py"}


def wanted_params(stage: Stage) -> set[str]:
    """Return the keys that the stage's notebook asks for in config.load(...); not those with a value it lacks."""
    calls = [node for node in ast.walk(code(stage.notebook)) if isinstance(node, ast.Call)]
    calls = [call for call in calls if ast.unparse(call.func) in ("config.load", "load")]
    found = {literal(argument, stage.given) for call in calls for argument in call.args}
    return {key for key in found if not re.search(r"(?<!\$){", key)}


def literal(argument: ast.expr, given: dict[str, str]) -> str:
    """Return a key's text; in an f-string `{name}` is the value that the stage passes under that name."""
    text = ast.unparse(argument).strip("f").strip("'\"")
    return re.sub(r"{(\w+)}", lambda match: given.get(match[1], match[0]), text)


def report(stage: Stage, root: Path) -> str:
    """Say what a stage should declare beside what it declares; empty when both agree."""
    text = ""
    for title, want, have in (
        ("deps", wanted_files(stage, root), stage.files),
        ("params", wanted_params(stage), stage.params),
    ):
        lines = [f"    + {entry}" for entry in sorted(want - have)] + [
            f"    - {entry}" for entry in sorted(have - want)
        ]
        text += "\n".join([f"{stage.name}: change {title} in dvc.yaml by", *lines, ""]) if lines else ""
    return text


def write(root: Path) -> None:
    """Put each stage's list of ssl_hip files into dvc.yaml, in place of the lines that stand there."""
    wanted = {stage.name: sorted(wanted_files(stage, root)) for stage in stages(root)}
    lines, current = [], None
    for line in (root / "dvc.yaml").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"  (\w+):", line):
            current = heading[1]
        if current not in wanted or not line.startswith(f"    - {PACKAGE}/"):
            lines.append(line)
        else:
            lines += [f"    - {path}" for path in wanted[current]]
            wanted[current] = []
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(config.ROOT)
    print("".join(report(stage, config.ROOT) for stage in stages(config.ROOT)) or "dvc.yaml agrees with the notebooks")
