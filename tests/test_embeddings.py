"""Embeddings: the same voxels for all, measures against their definitions, the weights a training began with."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write_balls
from made_runs import ABLATIONS, BASE, VARIANTS
from scipy.spatial.distance import cosine

from ssl_hip import metrics
from ssl_hip.learner import Learner, seeds
from ssl_hip.patch_store import PatchStore
from ssl_hip.reporting import ablations, embeddings, separation
from ssl_hip.trainer import train
from ssl_hip.unet import UNet3d

BAND = 3.0


@pytest.fixture
def clouds():
    """Vectors of two overlapping classes, the truth, and halves with as many of each class."""
    rng = np.random.default_rng(0)
    bone = np.tile([True, False], 20)
    vectors = rng.normal(size=(40, 6)) + np.where(bone, 1.0, -0.5)[:, None]
    return vectors.astype(np.float32), bone, np.arange(40) >= 24


def test_voxels_are_near_the_surface_and_balanced_in_every_patch(store):
    voxels = embeddings.draw_voxels(store, 0, BAND)
    assert voxels.split == "test" and set(voxels.row) == {0, 1} and (np.diff(voxels.row) >= 0).all()
    for row in (0, 1):
        here, label = voxels.row == row, store.label["test"][row]
        distance = metrics.signed_distance(label, store.spacing_mm).ravel()[voxels.place[here]]
        assert np.abs(distance).max() <= BAND and (label.ravel()[voxels.place[here]] == voxels.bone[here]).all()
        assert len(set(voxels.place[here])) == here.sum() == 2 * voxels.bone[here].sum() == 2 * embeddings.AT_MOST


def test_voxels_are_the_same_for_every_draw_of_the_labelled_patches(store):
    first, second = (embeddings.draw_voxels(store, draw, BAND) for draw in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_halves_are_of_patches_where_there_is_one_scan_only(store):
    """The balls' test patches are of one scan."""
    voxels = embeddings.draw_voxels(store, 0, BAND)
    assert set(voxels.half[voxels.row == 0]) == {False} and set(voxels.half[voxels.row == 1]) == {True}


def test_scans_that_take_turns_are_scored_by_the_one_held_out(tmp_path, params):
    store = PatchStore(write_balls(tmp_path / "in_turn", params, in_turn=True))
    split, rows = store.scored(2)
    assert split == "validation" and store.table(split).held_out[rows].tolist() == [2]
    assert embeddings.draw_voxels(store, 2, BAND).split == "validation"


def test_without_labels_there_are_no_voxels_and_no_rows(store):
    store.rows = lambda split, draw: np.empty(0, int)
    voxels = embeddings.draw_voxels(store, 0, BAND)
    vectors = embeddings.embed(UNet3d(width=8, levels=2).eval(), store, voxels)
    assert vectors.shape == (0, 16)
    table = separation.measure({("uamt", "4", 0, True): vectors}, {0: voxels})
    assert table.empty and table.columns.tolist() == [*separation.KEY, *separation.NUMBERS]
    assert "not available" in separation.describe_training(table)
    assert "not available" in separation.describe_entropy(table, "ua_nn")


def test_embeddings_are_those_of_the_voxels(store):
    network, voxels = UNet3d(width=8, levels=2).eval(), embeddings.draw_voxels(store, 0, BAND)
    with torch.no_grad():
        _, maps = network(store.images("test", np.array([0, 1]), torch.device("cpu")))
    z, y, x = np.unravel_index(voxels.place, (store.size,) * 3)
    assert np.allclose(embeddings.embed(network, store, voxels), maps[voxels.row, :, z, y, x], atol=1e-5)


def test_batches_hold_few_feature_maps_of_large_patches():
    rows = np.arange(20)
    assert all(np.array_equal(np.concatenate(embeddings.batches(rows, size)), rows) for size in (16, 32, 96))
    assert {size: len(embeddings.batches(rows, size)[0]) for size in (16, 32, 96)} == {16: 8, 32: 8, 96: 1}


def test_initial_weights_are_those_that_a_training_begins_with(tmp_path, store, params):
    params.train.base_seed = 3
    train(tmp_path / "supervised-4-1", store, "supervised", "4", 1, params)
    found = embeddings.initial_network(tmp_path / "supervised-4-1", 3, 1).state_dict()
    began = Learner("supervised", params, seeds(3 + 1), torch.device("cpu")).networks.student.state_dict()
    assert found.keys() == began.keys() and all(torch.equal(found[key], began[key]) for key in began)


def test_runs_of_one_draw_began_alike(tmp_path, store, params):
    for labelled in ("2", "4"):
        train(tmp_path / f"embedding_matching-{labelled}-0", store, "embedding_matching", labelled, 0, params)
    runs, voxels = [("embedding_matching", n, 0) for n in ("2", "4")], {0: embeddings.draw_voxels(store, 0, BAND)}
    vectors = embeddings.embed_runs(tmp_path, runs, store, voxels, params.train.base_seed)
    assert np.array_equal(*(vectors[*run, False] for run in runs))
    assert all(not np.array_equal(a, b) for a, b in combinations([vectors[*run, True] for run in runs], 2))


def test_silhouette_is_its_definition(clouds):
    vectors, bone, _ = clouds
    distance = np.array([[cosine(a, b) for b in vectors.astype(float)] for a in vectors.astype(float)])
    each = []
    for i, own in enumerate(bone):
        mates = (bone == own) & (np.arange(len(bone)) != i)
        a, b = distance[i, mates].mean(), distance[i, bone != own].mean()
        each.append((b - a) / max(a, b))
    assert np.isclose(separation.silhouette(vectors, bone), np.mean(each))


def test_silhouette_is_1_for_two_directions_and_0_or_less_for_one(clouds):
    _, bone, _ = clouds
    apart = np.where(bone[:, None], [1.0, 0.0], [0.0, 2.0])
    assert np.isclose(separation.silhouette(apart, bone), 1)
    assert np.isclose(separation.silhouette(np.ones_like(apart), bone), 0, atol=1e-3)
    assert np.isclose(separation.silhouette(np.zeros_like(apart), bone), 0)
    assert np.isnan(separation.silhouette(apart[:2], bone[:2]))


def test_margin_and_accuracy_are_their_definitions(clouds):
    vectors, bone, half = clouds
    similar = 1 - np.array([[cosine(a, b) for b in vectors] for a in vectors])
    margins = []
    for i, own in enumerate(bone):
        k = [similar[i, (half != half[i]) & (bone == side)].mean() for side in (own, not own)]
        margins.append(k[0] - k[1])
    margin, accuracy = separation.margin_and_accuracy(vectors, bone, half)
    assert np.isclose(margin, np.mean(margins)) and np.isclose(accuracy, np.mean(np.array(margins) > 0))
    assert np.isnan(separation.margin_and_accuracy(vectors, bone, np.zeros_like(half))).all()


def test_measures_see_directions_only(clouds):
    vectors, bone, half = clouds
    longer = vectors * np.linspace(0.5, 3, len(vectors))[:, None].astype(np.float32)
    assert np.isclose(separation.silhouette(vectors, bone), separation.silhouette(longer, bone))
    margins = [separation.margin_and_accuracy(each, bone, half) for each in (vectors, longer)]
    assert np.allclose(*margins)


def test_principal_components_are_those_of_the_covariance(clouds):
    vectors, bone, _ = clouds
    components, shares = separation.principal(vectors, bone)
    eigenvalues = np.linalg.eigvalsh(np.cov(separation.normalised(vectors).T))[::-1]
    assert np.allclose(components.var(0, ddof=1), eigenvalues[:2])
    assert np.allclose(shares, eigenvalues[:2] / eigenvalues.sum())
    assert (components[bone].mean(0) >= 0).all() and np.allclose(components.mean(0), 0, atol=1e-6)


def test_the_variant_without_entropy_is_found_by_its_settings():
    variants = SimpleNamespace(**vars(VARIANTS), other=SimpleNamespace(weight_en=0.0))
    settings = ablations.settings(BASE, variants, [*ABLATIONS.variants, "other"])
    assert separation.without_entropy(settings) == "other"  # not ua, which lacks L_NN too
    assert separation.without_entropy(ablations.settings(BASE, VARIANTS, ABLATIONS.variants)) is None


def test_pictures_are_of_one_subset_and_draw_that_all_were_trained_on():
    runs = [(m, n, d) for m in ("supervised", ablations.BASE) for n in ("50", "150") for d in (0, 1)]
    chosen = separation.pictured([*runs, ("other", "150", 1)], "other")
    assert len(chosen) == 4 and {key[1:3] for key in chosen.values()} == {("150", 1)}
    assert [key[0] for key in separation.pictured(runs, None).values()] == [ablations.BASE] * 2 + ["supervised"]
    assert not separation.pictured([("supervised", "50", 0)], None)


def test_words_and_figures_follow_from_the_numbers(clouds):
    vectors, bone, half = clouds
    rng = np.random.default_rng(1)
    voxels = {0: embeddings.Voxels("test", np.arange(40), np.arange(40), bone, half)}
    found = {
        (ablations.BASE, "4", 0, True): vectors,
        ("other", "4", 0, True): vectors - 0.5 * np.where(bone, 1, -0.5)[:, None],
        (ablations.BASE, "4", 0, False): rng.normal(size=(40, 6)),
    }
    table = separation.measure(found, voxels)
    assert "training separates" in separation.describe_training(table)
    assert "larger with it in 1 of 1" in separation.describe_entropy(table, "other")
    chosen = separation.pictured([key[:3] for key in found if key[3]], "other")
    drawn = separation.scatter(found, voxels, chosen, table)
    assert [len(trace.x) for trace in drawn.data] == [40, 40, 40, 1, 1]
    assert sorted(separation.dot_plot(table).data[0].y) == sorted([ablations.BASE, "other"])
