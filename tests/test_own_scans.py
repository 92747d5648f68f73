"""A user's own scans, four labelled and ten unlabelled and no others, from a folder to the report."""

import json

import pandas as pd
import pytest
import scratch
from ruamel.yaml import YAML

from ssl_hip.metrics import NOT_AVAILABLE

pytestmark = pytest.mark.slow
YAML_IO = YAML()


def edit(root, **sections) -> None:
    """Change sections of params.yaml."""
    tree = YAML_IO.load(root / "params.yaml")
    for section, values in sections.items():
        tree[section].update(values)
    YAML_IO.dump(tree, root / "params.yaml")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The smoke profile on 14 scans in data/mine, a label for the first four."""
    root = scratch.copy(tmp_path_factory.mktemp("own"))
    edit(root, cohort={"subjects": {"train": 14, "validation": 0, "test": 0}})
    code = "from ssl_hip import config; from ssl_hip.preparation import cohort"
    code += "; cohort.build(config.load('cohort'), config.ROOT)"
    assert scratch.run(root, "python", "-c", code).returncode == 0
    (root / "data" / "cohort").rename(root / "data" / "mine")
    for path in sorted((root / "data/mine/labels").iterdir())[4:]:
        path.unlink()
    own = {"source": "scans", "path": "data/mine", "layout": "folder", "split": "auto"}
    patches = {"count": {"train": 84, "validation": 16, "test": 0}, "subsets": {8: 3}, "draws": 2}
    train = {"labelled_patches": [8], "draws": [0, 1], "methods": ["supervised", "embedding_matching"]}
    ablations = {"variants": ["ua"], "labelled_patches": [8], "draws": [0, 1]}
    edit(root, cohort=own, patches=patches, train=train, ablations=ablations)
    scratch.commit(root)
    return root


def repro(root) -> str:
    """Run the pipeline and return the text of the tables' report."""
    done = scratch.run(root, "python", "-m", "pipeline.jobs")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    return (root / "reports/nb/05_tables.ipynb").read_text(encoding="utf-8")


def stamps(folder) -> dict:
    """Return size and time of all files and folders of a folder, and its own."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


def test_each_draw_is_scored_on_the_scan_it_holds_out(project):
    before = stamps(project / "data/mine")
    report = repro(project)
    assert stamps(project / "data/mine") == before  # a folder that nobody may write to will do
    scores = pd.read_csv(project / "runs/embedding_matching-8-1/scores.csv")
    cohort = pd.read_csv(project / "data/cohort.csv", dtype={"subject": str})
    assert set(scores.split) == {"validation"}
    assert set(scores.subject) == set(cohort.subject[cohort.held_out == 1])
    assert "Scores of patches of the split: validation" in report and NOT_AVAILABLE in report  # no threshold on test
    table = pd.read_csv(project / "results/table1.csv")
    assert table.iou_mean.notna().all() and set(table.draws[table.method != "ceiling"]) == {2}


def test_all_of_them_train_when_there_is_nothing_to_score_by(project):
    edit(project, cohort={"split": "all"}, optimization={"select": "last"}, patches={"subsets": {8: 4}})
    report = repro(project)
    assert f"Scores of patches of the split: {NOT_AVAILABLE}" in report
    table = pd.read_csv(project / "results/table1.csv")
    assert table.iou_mean.isna().all() and set(table.labelled_scans.astype(str)) == {"4", "all"}
    assert json.loads((project / "results/metrics.json").read_text()) == {}
    page = (project / "reports/report.html").read_text(encoding="utf-8")
    assert "not available" in page and "Traceback" not in page
    assert (project / "runs/embedding_matching-8-0/student.safetensors").is_file()
