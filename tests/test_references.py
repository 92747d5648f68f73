"""How right matched labels are: the measures, on networks that are not trained while they are measured."""

import numpy as np
import pytest
import torch
from conftest import write_balls

from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import Trainer
from study import references


def test_auc_of_known_scores():
    truth = np.array([0, 0, 1, 1])
    assert references.auc(np.array([1.0, 2.0, 3.0, 4.0]), truth) == 1
    assert references.auc(np.array([4.0, 3.0, 2.0, 1.0]), truth) == 0
    assert references.auc(np.ones(4), truth) == 0.5
    assert np.isnan(references.auc(np.ones(4), np.ones(4, int)))


@pytest.fixture
def trainer(tmp_path, params) -> Trainer:
    params.patches.subsets, params.patches.count.train = {4: 2}, 16
    store = PatchStore(write_balls(tmp_path / "patches", params))
    return Trainer(store, "embedding_matching", "4", 0, params)


def test_the_truth_is_always_right_and_nothing_is_learnt(trainer):
    before = {name: value.clone() for name, value in trainer.networks.student.state_dict().items()}
    settings = {name: references.SETTINGS[name] for name in ("as printed", "before ReLU, centred", "k 64")}
    table = references.measure(trainer, settings, batches=3)
    assert list(table.setting.unique()) == ["teacher", *settings, "truth"]
    assert set(table.share) == set(references.SHARES)
    right = table[table.setting == "truth"]
    assert (right.accuracy == 1).all() and set(right.auc.dropna()) == {1.0}
    assert table[["accuracy", "object", "auc"]].stack().dropna().between(0, 1).all()
    for name, value in trainer.networks.student.state_dict().items():
        assert torch.equal(value, before[name])


def test_settings_are_options_of_embedding_matching(trainer):
    known = vars(trainer.learner.method.settings)
    assert all(set(changes) <= set(known) for changes in references.SETTINGS.values())
