"""The study: what its plan may say, what is kept of a training, that nothing is trained twice or half recorded."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_balls
from ruamel.yaml import YAML

from ssl_hip import config, prediction
from ssl_hip.config import ROOT, UserError
from study import plan, records, run, worker

SMOKE = ROOT / "params/smoke.yaml"
ENTRY = {"question": 1, "name": "a", "method": "supervised", "labelled_patches": [4], "draws": [0, 1]}


def read(folder, trials=(), grid=()) -> list[plan.Run]:
    path = folder / "plan.yaml"
    YAML().dump({"trials": list(trials), "grid": list(grid)}, path)
    return plan.read(path, SMOKE)


def test_the_plan_in_the_repository_is_sound():
    runs = plan.read()
    assert len({(run.part, run.title) for run in runs}) == len(runs)
    assert all(run.part == plan.TRIAL for run in runs[: sum(run.part == plan.TRIAL for run in runs)])


def test_all_mistakes_of_a_plan_are_named_at_once(tmp_path):
    wrong = [
        {key: value for key, value in ENTRY.items() if key != "draws"},
        ENTRY | {"method": "supervized"},
        ENTRY | {"labelled_patches": [7]},
        ENTRY | {"draws": [99]},
        ENTRY | {"changes": {"optimization.rate": 1}},
        ENTRY | {"changes": {"model.norm": "layer"}},
    ]
    with pytest.raises(UserError) as error:
        read(tmp_path, wrong)
    lines = str(error.value).splitlines()
    assert [line[: line.index("]") + 1] for line in lines] == [f"plan.yaml: trials[{i}]" for i in range(6)]
    for line, said in zip(lines, ["draws", "supervized", "7", "99", "optimization.rate", "model.norm"], strict=True):
        assert said in line


def test_the_same_training_is_not_planned_twice(tmp_path):
    same = ENTRY | {"name": "b", "changes": {"model.norm": config.read_yaml(SMOKE)["model"]["norm"]}}
    with pytest.raises(UserError, match="a-4-0 and b-4-0"):
        read(tmp_path, [ENTRY, same])
    assert len(read(tmp_path, [ENTRY], [ENTRY])) == 4  # a trial and a final run are two things


def test_a_key_is_of_what_the_training_depends_on(tmp_path):
    def key(**changes):
        return read(tmp_path, [ENTRY | {"draws": [0], "changes": changes}])[0].key

    assert key() == key(**{"methods.uamt.weight": 3.0}) == key(**{"tables.alpha": 0.01})
    assert key() != key(**{"optimization.epochs": 9})


def test_a_method_s_own_section_may_be_called_method(tmp_path):
    own, full = (read(tmp_path, [ENTRY | {"method": "uamt", "draws": [0], "changes": {f"{section}.weight": 0.1}}])
                 for section in ("method", "methods.uamt"))  # fmt: skip
    assert own[0].key == full[0].key and own[0].tree["methods"]["uamt"]["weight"] == 0.1


@pytest.fixture
def trained(tmp_path, params) -> tuple:
    """A trial and a final run of the same training on balls, not recorded yet."""
    entry = ENTRY | {"labelled_patches": [4], "draws": [0]}
    runs = read(tmp_path, [entry], [entry])
    for each in runs:
        tree = each.tree
        tree["patches"]["edge"], tree["patches"]["subsets"], tree["model"]["levels"] = 16, {4: 2}, 2
        tree["optimization"] |= {"epochs": 2, "validate_every": 4, "precision": "float32"}
    params.patches.subsets = {4: 2}
    params.patches.count.train = 16
    patches = write_balls(tmp_path / "patches", params)
    for each in runs:
        worker.work(each, patches, tmp_path / "work")
    return runs, tmp_path / "work", tmp_path / "results"


def test_what_is_kept_of_a_trial_and_of_a_final_run(trained):
    (trial, final), work, results = trained
    records.keep(trial, work, results)
    assert not (results / "scores.csv").exists()
    records.keep(final, work, results)
    scores, trials, runs, curves = (records.read(name, results) for name in ("scores", "trials", "runs", "run_curves"))
    assert len(scores) == 4 and list(scores) == ["method", "labelled_patches", "draw", *records.SCORES, "seed"]
    assert list(trials.columns) == list(runs.columns) and len(trials) == len(runs) == 1
    assert curves.iteration.tolist() == [4, 8, 12, 16] and trials.kept_iteration[0] in curves.iteration.tolist()
    best = curves.hd95_mm.min()
    assert trials.hd95_mm[0] == pytest.approx(best, rel=1e-4) and trials.last_hd95_mm[0] >= best
    assert records.done(results) == {trial.key, final.key}


def test_a_training_is_recorded_once_even_after_an_interruption(trained, monkeypatch):
    (_, final), work, results = trained
    add = records.add

    def full_disk(table, *rest):
        if table == "runs":
            raise OSError("no space left")
        add(table, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(records, "add", full_disk)
        with pytest.raises(OSError, match="no space"):
            records.keep(final, work, results)
    assert not records.done(results)
    for _ in range(2):
        records.keep(final, work, results)
    assert len(records.read("scores", results)) == 4 and len(records.read("run_curves", results)) == 4


def test_one_final_network_is_kept_and_found_without_the_others(trained, tmp_path):
    (trial, final), work, results = trained
    assert records.lacks_network(final, results) and not records.lacks_network(trial, results)
    records.keep(final, work, results)
    rows = (results / "runs.csv").read_bytes()
    folder = records.network(final, tmp_path / "elsewhere", results)
    assert folder == results / "networks/a-4-0" and not records.lacks_network(final, results)
    ours, kept = (prediction.load_network(place).state_dict() for place in (work / final.key, folder))
    assert all(torch.equal(ours[name], value) for name, value in kept.items())
    (folder / records.KEY_FILE).write_text("of other settings")
    assert records.network(final, tmp_path / "elsewhere", results) is None and records.lacks_network(final, results)
    records.keep(final, work, results)  # trained again for its network: the rows stay
    assert not records.lacks_network(final, results) and (results / "runs.csv").read_bytes() == rows


def test_tables_are_replaced_whole(tmp_path, monkeypatch):
    records.add("trials", pd.DataFrame({"key": ["a"]}), {}, tmp_path)
    before = (tmp_path / "trials.csv").read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *a, **b: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        records.add("trials", pd.DataFrame({"key": ["b"]}), {}, tmp_path)
    assert (tmp_path / "trials.csv").read_bytes() == before


def test_a_trial_reads_no_test_patch(tmp_path, params, trained, monkeypatch):
    (trial, _), _, _ = trained
    monkeypatch.setattr(worker.Trainer, "test", lambda self: pytest.fail("a trial was tested"))
    worker.work(trial, tmp_path / "patches", tmp_path / "again")
    files = [tmp_path / folder / trial.key / "validation.csv" for folder in ("work", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_interrupted_training_leaves_nothing_that_looks_finished(tmp_path, trained, monkeypatch):
    (trial, _), _, _ = trained
    monkeypatch.setattr(worker, "commit", lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        worker.work(trial, tmp_path / "patches", tmp_path / "again")
    assert not (tmp_path / "again" / trial.key).exists()


@pytest.mark.parametrize(("minutes", "chosen"), [(0, 1), (10, 2), (15, 3), (100, 4)])
def test_a_part_takes_the_next_runs_that_fit(minutes, chosen):
    runs, seconds = list("abcd"), list(60 * np.array([10, 5, 9, 10]))
    assert run.fitting(runs, seconds, 2, minutes) == runs[:chosen]


def test_networks_that_are_not_here_are_named(tmp_path, monkeypatch):
    planned = read(tmp_path, [ENTRY])
    monkeypatch.setattr(plan, "read", lambda: planned)
    with pytest.raises(UserError, match="no networks of a, nothing in .*make study"):
        records.trained(["a", "nothing"], tmp_path)


@pytest.mark.parametrize("options", [[], ["--list"]])
def test_an_empty_plan_is_said_to_be_empty(tmp_path, monkeypatch, capsys, options):
    planned = read(tmp_path)
    monkeypatch.setattr(plan, "read", lambda: planned)
    monkeypatch.setattr("sys.argv", ["study.run", *options])
    run.main()
    assert capsys.readouterr().out == "Nothing is planned: study/plan.yaml has no trials and no grid\n"
