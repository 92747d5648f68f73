"""Calibration: rank statistic and bins against their definitions, counts of parts, seeded passes of the teacher."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ssl_hip.prediction import load_network
from ssl_hip.reporting import calibration
from ssl_hip.trainer import train
from ssl_hip.uncertainty import Prediction

LIMIT = 0.75 * math.log(2)


def made(probability, bone):
    """Passes of a network that all say the same, and the truth."""
    p = torch.as_tensor(probability, dtype=torch.float64).reshape(1, 1, 1, -1)
    both = torch.stack([1 - p, p], 1)
    entropy = -(both * both.log()).sum(1)
    return Prediction(both, entropy), np.asarray(bone, bool).reshape(1, 1, 1, -1)


@pytest.fixture
def voxels():
    """Probabilities of 500 voxels, too confident, and the truth."""
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.02, 0.98, 500)
    return chance**3 / (chance**3 + (1 - chance) ** 3), rng.random(500) < chance


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(2, 9, 60), rng.integers(0, 7, 30)  # levels of certainty, with ties
    pairs = np.mean([(w < r) + (w == r) / 2 for r in right for w in wrong])
    assert np.isclose(calibration.auroc(np.bincount(right, minlength=9), np.bincount(wrong, minlength=9)), pairs)


def test_auroc_is_1_where_all_wrong_voxels_are_less_certain_and_nan_without_any():
    assert calibration.auroc(np.array([0, 0, 5]), np.array([2, 1, 0])) == 1
    assert calibration.auroc(np.array([3, 3, 3]), np.array([2, 2, 2])) == 0.5
    assert math.isnan(calibration.auroc(np.array([3, 3]), np.array([0, 0])))


def test_levels_rank_as_the_entropies_do(voxels):
    passes, bone = made(*voxels)
    entropy, right = passes.mean_entropy.numpy().ravel(), (voxels[0] > 0.5) == voxels[1]
    pairs = (entropy[~right][:, None] > entropy[right]).mean()
    assert np.isclose(calibration.numbers(calibration.count(passes, bone, LIMIT))["auroc"], pairs, atol=1e-3)


def test_numbers_are_their_definitions(voxels):
    probability, truth = voxels
    passes, bone = made(*voxels)
    found = calibration.numbers(calibration.count(passes, bone, LIMIT))
    bins = np.floor(probability * calibration.BINS)
    ece = sum(abs(truth[bins == b].mean() - probability[bins == b].mean()) * (bins == b).mean() for b in set(bins))
    assert np.isclose(found["ece"], ece) and np.isclose(found["error"], ((probability > 0.5) != truth).mean())
    assert np.isclose(found["uncertain_share"], (passes.mean_entropy.numpy() >= LIMIT).mean())


def test_calibrated_voxels_have_next_to_no_error_and_lie_on_the_ideal_line():
    probability = np.repeat([0.05, 0.35, 0.65, 0.95], 1000)
    bone = np.concatenate([np.arange(1000) < 1000 * p for p in (0.05, 0.35, 0.65, 0.95)])
    counts = calibration.count(*made(probability, bone), LIMIT)
    assert calibration.expected_error(counts) < 1e-9
    table = calibration.reliability(counts)
    assert np.allclose(table.x, table.y) and table.voxels.tolist() == [1000] * 4
    table = calibration.accuracy(counts)
    assert np.allclose(np.interp(table.x, *calibration.ideal()), table.y, atol=2e-3)


def test_counts_of_parts_add_up(voxels):
    probability, truth = voxels
    parts = [calibration.count(*made(probability[s], truth[s]), LIMIT) for s in (slice(0, 99), slice(99, None))]
    whole = calibration.count(*made(probability, truth), LIMIT)
    assert all(np.allclose(sum(part), all_) for part, all_ in zip(zip(*parts, strict=True), whole, strict=True))
    assert whole.voxels.sum() == (whole.right + whole.wrong).sum() == len(truth)
    bins = calibration.accuracy(whole)
    assert bins.x.is_monotonic_increasing and bins.voxels.sum() == len(truth)


def test_extreme_probabilities_are_counted():
    certain = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    passes = Prediction(torch.stack([1 - certain, certain], 1), torch.tensor([0.0, math.log(2)]).reshape(1, 1, 1, 2))
    counts = calibration.count(passes, np.array([False, True]).reshape(1, 1, 1, 2), LIMIT)
    assert counts.voxels[[0, -1]].tolist() == [1, 1] and counts.right[[0, -1]].tolist() == [1, 1]
    assert int(counts.uncertain) == 1


def test_it_is_the_teacher_whose_passes_are_counted_and_twice_the_same(tmp_path, store, params):
    folder = tmp_path / "embedding_matching-4-0"
    train(folder, store, "embedding_matching", "4", 0, params)
    weights, found = load_file(folder / "teacher.safetensors"), load_network(folder, "teacher").state_dict()
    assert all(torch.equal(weights[key], found[key]) for key in weights)
    runs = [("embedding_matching", "4", 0), ("uamt", "4", 0)]
    first, second = (calibration.count_runs(tmp_path, runs, store, 3, LIMIT) for _ in range(2))
    assert list(first) == [("embedding_matching", "4", 0)]
    (one,), (again,) = first.values(), second.values()
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert one.voxels.sum() == store.image["test"].size


def test_without_labels_there_are_no_rows(tmp_path, store, params):
    train(tmp_path / "supervised-4-0", store, "supervised", "4", 0, params)
    store.rows = lambda split, draw: np.empty(0, int)
    counted = calibration.count_runs(tmp_path, [("supervised", "4", 0)], store, 2, LIMIT)
    table = calibration.calibration(counted)
    assert table.empty and table.columns.tolist() == ["method", "labelled_patches", "draw", *calibration.NUMBERS]
    assert calibration.describe(table) == ["calibration: not available: no labels"]


def test_words_and_figure_follow_from_the_numbers(voxels):
    probability, truth = voxels
    ours = calibration.count(*made(probability, truth), LIMIT)
    worse = calibration.count(*made(probability, ~truth), LIMIT)
    counted = {("supervised_ema", "4", 0): worse, ("embedding_matching", "4", 0): ours}
    rival, own, verdict = calibration.describe(calibration.calibration(counted))
    assert "does not tell" in rival and "entropy tells them" in own
    assert "is better calibrated than supervised_ema, its entropy a better detector" in verdict
    assert [trace.name for trace in calibration.figure(counted).data] == 2 * [
        "calibrated", "supervised_ema, 4", "embedding_matching, 4",
    ]  # fmt: skip
