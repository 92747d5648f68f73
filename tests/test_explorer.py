"""Explorer: what it shows is what the method does, and the browser's part of it does not compute."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write_balls

from ssl_hip import metrics
from ssl_hip.config import UserError
from ssl_hip.explorer import catalogue, matched, references_figure, slices, solid, space, state
from ssl_hip.explorer.case import Case, most_uncertain
from ssl_hip.explorer.maps import Run, Source, finished
from ssl_hip.explorer.sentence import sentence
from ssl_hip.matching import draw_references, near_surface
from ssl_hip.patch_store import PatchStore
from ssl_hip.trainer import train

RUN, LIMIT, VOXEL = Run("embedding_matching-2-0"), 0.5, (8, 7, 6)


@pytest.fixture(scope="module")
def root(tmp_path_factory, small_params):
    """A repository with one finished run."""
    root = tmp_path_factory.mktemp("repository")
    store = PatchStore(write_balls(root / "data/patches", small_params))
    train(root / "runs" / RUN.name, store, "embedding_matching", "2", 0, small_params)
    return root


@pytest.fixture(scope="module")
def source(root):
    return Source(root, passes=3)


@pytest.fixture
def settings(params):
    return SimpleNamespace(**vars(params.methods.embedding_matching))


@pytest.fixture
def case(source, settings):
    return Case(source, RUN, "student", "test", 0, VOXEL, LIMIT, settings)


def test_runs_are_told_by_their_folders_names(root):
    assert finished(root / "runs") == [RUN]
    assert (RUN.method, RUN.labelled_patches, RUN.draw) == ("embedding_matching", "2", 0)


def test_without_a_run_the_message_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="no finished run.*make repro"):
        finished(tmp_path)


def test_maps_are_the_networks_and_the_same_again(source):
    maps = source.maps(RUN, "student", "test", 0)
    image = source.store.images("test", np.array([0]), torch.device("cpu"))
    with torch.no_grad():
        logits, embeddings = source.network(RUN, "student")(image)
    assert np.array_equal(maps.prediction, (logits[0, 1] > logits[0, 0]).numpy())
    torch.testing.assert_close(maps.embeddings, embeddings)
    p = maps.passes.astype(float)
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p)).mean(0)
    assert p.shape == (3, 16, 16, 16) and np.ptp(p, axis=0).max() > 0 and np.allclose(maps.entropy, entropy, atol=1e-4)
    again = source.fresh_maps(RUN, "student", "test", 0)
    assert again is not maps and np.array_equal(again.passes, maps.passes)


def test_references_lie_where_they_are_said_to_lie(case):
    """A place's vector is the teacher's embedding there, its voxel near the surface and of its class."""
    drawn, store = case.drawn, case.source.store
    assert set(drawn.rows) <= set(store.labelled("2", 0)) and drawn.references.vectors.shape[:3] == (2, 5, 16)
    for kind, (places, vectors) in enumerate(zip(drawn.places, drawn.references.vectors, strict=True)):
        patch, place = np.divmod(places.numpy(), store.size**3)
        voxel = np.unravel_index(place, (store.size,) * 3)
        rows = drawn.rows[patch]
        assert (store.label["train"][rows, *voxel] == 1 - kind).all()
        assert np.abs(store.distance[rows, *voxel].astype(float)).max() <= case.settings.band_mm
        _, _, embeddings = case.source.labelled(case.run, tuple(drawn.rows.tolist()))
        torch.testing.assert_close(embeddings.movedim(1, -1)[patch, *voxel], vectors)


def test_references_are_those_that_the_method_draws(case):
    label, distance, embeddings = case.source.labelled(case.run, tuple(case.drawn.rows.tolist()))
    masks = near_surface(label, distance, case.settings.band_mm)
    expected = draw_references(embeddings, *masks, case.settings, torch.Generator().manual_seed(case.seed))
    torch.testing.assert_close(case.drawn.references, expected)


@pytest.mark.parametrize("changes", [{}, {"center": True}, {"kernel": "euclidean"}])
def test_the_nearest_references_are_the_most_similar_ones(case, changes):
    vars(case.settings).update(changes)
    nearest, by_class = case.nearest(), {}
    for each in nearest:
        by_class.setdefault(each.kind, []).append(each)
    assert list(by_class) == list(matched.CLASSES)
    for kind, vectors in zip(matched.CLASSES, case.drawn.references.vectors.flatten(1, 2), strict=True):
        found = [each.similarity for each in by_class[kind]]
        query = case.maps.embeddings[0][:, *VOXEL][None]
        every = matched.similarities(query, vectors, case.drawn, case.settings)[0]
        assert found == sorted(found, reverse=True) and len(found) == references_figure.EACH
        assert math.isclose(found[0], float(every.max()), rel_tol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"center": True}, {"kernel": "euclidean"}])
def test_k_is_the_mean_of_the_similarities(case, changes):
    vars(case.settings).update(changes)
    queries = case.maps.embeddings[0][:, *VOXEL][None]
    means = [
        matched.similarities(queries, vectors, case.drawn, case.settings).mean()
        for vectors in case.drawn.references.vectors.flatten(1, 2)
    ]
    found = [case.labels.object_similarity[VOXEL], case.labels.background_similarity[VOXEL]]
    assert np.allclose(found, means, atol=1e-5) and case.labels.label[VOXEL] == (means[0] > means[1])


def test_a_voxel_is_most_similar_to_itself(case):
    found = matched.similarity_map(case.maps, VOXEL, case.drawn, case.settings)
    assert found.shape == (16, 16, 16) and math.isclose(found[VOXEL], found.max(), abs_tol=1e-5)


def test_a_fresh_draw_changes_the_references_only(source, settings):
    first, second = (Case(source, RUN, "student", "test", 0, VOXEL, LIMIT, settings, seed=seed) for seed in (0, 1))
    assert not torch.equal(first.drawn.references.vectors, second.drawn.references.vectors)
    assert first.maps is second.maps


@pytest.mark.parametrize(("limit", "word"), [(0.0, "uncertain"), (1.0, "certain")])
def test_the_sentence_tells_who_labels_the_voxel(source, settings, limit, word):
    case = Case(source, RUN, "student", "test", 0, VOXEL, limit, settings)
    story, truth = case.story(), {0: "background", 1: "bone"}
    first = {"uncertain": case.labels.label, "certain": case.maps.teacher_label}[word]
    by = {"uncertain": "by matching", "certain": "by the teacher"}[word]
    assert f"</b>: {word} (H = " in story and f"labelled {truth[int(first[VOXEL])]} {by}" in story
    assert f"the truth is {truth[int(case.maps.truth[VOXEL])]}" in story and story.count("against") == 1


def test_accuracies_are_counted_where_the_truth_is_known(case):
    truth = case.maps.truth.copy()
    label = truth == 1
    label[0] = ~label[0]
    assert matched.accuracy(label, truth, np.ones_like(label)) == 1 - 1 / 16
    truth[0] = 255
    assert matched.accuracy(label, truth, np.ones_like(label)) == 1
    assert math.isnan(matched.accuracy(label, np.full_like(truth, 255), np.ones_like(label)))


def test_slices_pass_through_the_voxel_and_a_click_returns_to_it(case):
    volume = np.arange(16**3).reshape((16,) * 3)
    for name in slices.PLANES:
        down, right = slices.AXES[name]
        assert slices.plane(volume, VOXEL, name)[VOXEL[down], VOXEL[right]] == volume[VOXEL]
        there = slices.to_voxel(name, VOXEL, 2.2, 3.9)
        assert (there[down], there[right]) == (4, 2)
        assert slices.to_voxel(name, there, VOXEL[right], VOXEL[down]) == VOXEL


def test_an_outline_has_an_edge_for_each_pair_of_unlike_neighbours():
    mask = np.zeros((6, 6), bool)
    mask[2:4, 1:5] = True
    x, y = slices.outline(mask)
    assert len(x) == len(y) == 3 * (2 * 2 + 2 * 4) and min(v for v in x if v is not None) == 0.5


@pytest.mark.parametrize("name", slices.LAYERS)
def test_every_layer_fills_every_trace(case, name):
    figure, layer = case.picture(name), case.layer(name)
    assert layer.values.shape == (16, 16, 16)
    for trace in figure.data:
        if trace.name.endswith("layer"):
            assert np.array_equal(trace.z, slices.plane(layer.values, VOXEL, trace.name.split()[0]), equal_nan=True)
            assert (trace.zmin, trace.zmax) == (layer.low, layer.high)


def test_unknown_truth_is_neither_shown_nor_called_an_error(case):
    unknown = case.maps._replace(truth=np.full((16,) * 3, 255, np.uint8))
    layers = slices.layers(unknown, case.labels, case.labels.probability, LIMIT)
    assert np.isnan(layers["ground truth"].values).all() and np.isnan(layers["error"].values).all()


def test_the_cloud_holds_near_surface_voxels(case, source):
    cloud = space.cloud({0: (case.maps, case.labels)}, 3.0, source.store.spacing_mm)
    distance = metrics.signed_distance(case.maps.truth == 1, source.store.spacing_mm)
    at = tuple(cloud.voxel.T)
    assert np.abs(distance[at]).max() <= 3 and np.array_equal(cloud.truth, case.maps.truth[at] == 1)
    assert len(np.unique(cloud.voxel, axis=0)) == len(cloud.voxel) and set(cloud.row) == {0}
    for colouring in space.COLOURINGS:
        assert len(space.fill(space.figure(), cloud, colouring).data[0].marker.color) == len(cloud.row)


def test_a_patch_without_surface_leaves_the_cloud_and_the_surfaces_empty(case, source):
    empty = case.maps._replace(truth=np.zeros((16,) * 3, np.uint8), probability=np.zeros((16,) * 3))
    cloud = space.cloud({0: (empty, case.labels)}, 3.0, source.store.spacing_mm)
    assert len(cloud.row) == 0 and len(space.fill(space.figure(), cloud, "patch").data[0].x) == 0
    figure = solid.fill(solid.figure(16, 3.0), empty, 3.0)
    assert all("no surface" in annotation.text for annotation in figure.layout.annotations)


def test_surfaces_are_coloured_by_their_distance(case):
    """A ball and the same ball, 2 voxels of 3 mm further."""
    grid = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"))
    ball = np.linalg.norm(grid - 7.5, axis=0) < 4
    maps = case.maps._replace(truth=ball.astype(np.uint8), probability=np.roll(ball, 2, 0).astype(float))
    figure = solid.fill(solid.figure(16, 3.0), maps, 3.0)
    for trace in figure.data:
        assert 5.5 < max(trace.intensity) < 6.5 and min(trace.intensity) < 1


def test_a_state_comes_back_from_its_text():
    kept = {"run": "uamt-50-0", "layer": "K⁺ − K⁻", "limit": 0.75, "center": True, "truth": False, "z": 3}
    assert (
        state.from_text(state.to_text(kept), dict.fromkeys(kept, None) | {k: type(v)() for k, v in kept.items()})
        == kept
    )


def test_all_mistakes_in_a_state_are_told_at_once():
    with pytest.raises(UserError, match="unknown key 'foo'.*z: 'high' is no int"):
        state.from_text("foo=1&z=high", {"z": 1})
    with pytest.raises(UserError, match="unknown key 'nonsense'; known: z"):
        state.from_text("nonsense", {"z": 1})


def test_patches_are_sorted_by_what_is_asked(source):
    table = catalogue.patches(source, RUN, "test")
    table["hd95_mm"] = [1.0, 5.0]
    assert catalogue.ordered(table, "HD95").row.tolist() == [1, 0]
    assert catalogue.ordered(table, "patch number").row.tolist() == [0, 1]
    assert "HD95 5.0 mm" in catalogue.title(catalogue.ordered(table, "HD95").iloc[0])
    labelled = source.store.labelled("2", 0).tolist()
    assert catalogue.patches(source, RUN, "train").row.tolist()[:2] == labelled


def test_the_survey_scores_as_the_tables_do(source, root):
    rows = source.store.rows("test", 0).tolist()
    found = list(catalogue.survey(source, RUN, "student", "test", LIMIT, rows))
    scores = [metrics.score(source.maps(RUN, "student", "test", row).prediction,
                            source.store.label["test"][row] == 1, source.store.spacing_mm) for row in rows]  # fmt: skip
    assert [each["hd95_mm"] for each in found] == [score["hd95_mm"] for score in scores]
    assert all(0 <= each["uncertain_share"] <= 1 for each in found)


def test_the_most_uncertain_voxel_is_found(source):
    split, row, voxel = most_uncertain(source, RUN)
    assert split == "test"
    entropy = {each: source.maps(RUN, "student", "test", each).entropy for each in (0, 1)}
    assert entropy[row].mean() == max(each.mean() for each in entropy.values())
    assert entropy[row][voxel] == entropy[row].max()


def test_without_references_none_is_shown_and_the_story_says_so(case):
    drawn = case.drawn._replace(references=case.drawn.references._replace(there=torch.tensor(False)))
    assert matched.nearest(case.maps, VOXEL, drawn, case.settings, 3) == []
    found = matched.labels(case.maps, drawn, case.settings)
    assert "not labelled by matching" in sentence(case.maps, found, VOXEL, 0.0)


def test_the_temperature_is_told(case):
    vars(case.settings).update(temperature=0.02)
    difference = float(case.labels.object_similarity[VOXEL]) - float(case.labels.background_similarity[VOXEL])
    expected = 1 / (1 + math.exp(-difference / 0.02))
    assert f"softmax at temperature 0.02: bone {expected:.2f}" in case.story()
