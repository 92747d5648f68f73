"""The documents name tests, files and messages that exist."""

import ast
import re

import pytest
from scratch import ROOT

from ssl_hip import config

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STOPS = (ROOT / "docs/when_it_stops.md").read_text(encoding="utf-8")
LIBRARIES = ("duplicate key", "found character '\\t' that cannot start any token")  # what ruamel.yaml says


def texts() -> str:
    """Return all texts of the code, a line each; of one with something filled in, each part between."""
    trees = [
        ast.parse(path.read_text("utf-8")) for name in ("ssl_hip", "pipeline") for path in ROOT.glob(f"{name}/**/*.py")
    ]
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "\n".join(filter(lambda value: isinstance(value, str), constants))


TEXTS = texts()
CELLS = [row.split("|")[2] for row in STOPS.splitlines() if "test_" in row and row.startswith("|")]
MESSAGES = sorted({message for cell in CELLS for message in re.findall(r"`([^`]+)`", cell)})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    for file, function in re.findall(r"`(?:tests/)?(test_\w+\.py)(?:::(\w+))?`", text):
        assert f"def {function}" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{function}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("message", MESSAGES, ids=lambda text: text[:40])
def test_messages_are_those_of_the_code(message):
    parts = filter(None, map(str.strip, message.split("…")))
    assert [part for part in parts if part not in TEXTS and part not in LIBRARIES] == []


EXAMPLES = ["README.md", "Makefile", "notebooks/predict.ipynb", "ssl_hip/prediction.py"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_runs_and_scans_of_examples_are_the_default_profiles(name):
    params, text = config.load("train", "cohort.subjects"), (ROOT / name).read_text(encoding="utf-8")
    train = params.train
    trained = {f"{m}-{n}-{draw}" for m in train.methods for n in train.labelled_patches for draw in train.draws}
    trained |= {f"ceiling-all-{draw}" for draw in train.ceiling_draws}
    runs = set(re.findall(r"(?<!/)\bruns/(\w+-\w+-\d+)", text))
    assert runs and runs <= trained
    scans = re.findall(r"data/cohort/images/p(\d+)\.nii", text)
    assert all(int(scan) < sum(vars(params.cohort.subjects).values()) for scan in scans)
