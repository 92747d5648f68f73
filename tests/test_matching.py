"""Embedding matching against brute force, and its empty cases."""

import math
from types import SimpleNamespace

import pytest
import torch

from ssl_hip import matching, metrics
from ssl_hip.losses import masked_cross_entropy
from ssl_hip.matching import Match, embedding_entropy, near_surface, sample_references, within

B, C, S = 2, 8, 6


def normal(*shape, seed=0, **more) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **more)


def generator(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(**changes) -> SimpleNamespace:
    return SimpleNamespace(
        **{"references": 5, "runs": 3, "kernel": "cosine", "reduce": "mean", "center": False} | changes
    )


def match(queries, embeddings, inside, outside, settings, generator) -> Match:
    """References of all labelled patches."""
    return matching.match(queries, matching.draw_references(embeddings, inside, outside, settings, generator), settings)


@pytest.fixture
def scene():
    """Embeddings of two labelled patches with a ball in each, their masks, and queries."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(S) - 2.5] * 3, indexing="ij")).norm(dim=0)
    label = (grid < 2).to(torch.uint8).expand(B, S, S, S)
    distance = (grid - 2).expand(B, S, S, S) * 2.0
    return normal(B, C, S, S, S).relu(), *near_surface(label, distance, 3.0), normal(B, C, S, S, S, seed=1).relu()


def similarity(queries, references, *kernel) -> torch.Tensor:
    """Of queries (B, C, D, H, W) to references (l, k, C) of one class: (B, D, H, W)."""
    return matching.similarity(queries.movedim(1, -1), references[None], *kernel)[..., 0]


def brute_force(queries, references, kernel, reduce) -> torch.Tensor:
    """Every pair by broadcasting: queries (B, C, D, H, W), references (l, k, C)."""
    q = queries[:, None, None]  # (B, 1, 1, C, D, H, W)
    r = references[None, :, :, :, None, None, None]
    if kernel == "cosine":
        values = (q * r).sum(3) / (q.norm(dim=3) * r.norm(dim=3)).clamp(min=1e-12)
    else:
        values = 1 / (1 + (q - r).norm(dim=3))
    return (values.mean(2) if reduce == "mean" else values.amax(2)).mean(1)


@pytest.mark.parametrize("kernel", ["cosine", "euclidean"])
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_similarity_is_brute_force(kernel, reduce):
    queries, references = normal(B, C, S, S, S), normal(3, 5, C, seed=1)
    expected = brute_force(queries, references, kernel, reduce)
    torch.testing.assert_close(similarity(queries, references, kernel, reduce), expected, rtol=0, atol=2e-6)


def test_euclidean_distance_of_equal_vectors():
    queries = normal(1, C, 4, 4, 4).abs() * 3
    reference = queries[0, :, 1, 2, 3].view(1, 1, C)
    found = similarity(queries, reference, "euclidean", "max")
    assert found[0, 1, 2, 3].item() == 1 == found.max() > found.median()


@pytest.mark.parametrize("center", [False, True])
def test_collapsed_cosine_is_the_pairwise_mean(scene, center):
    """One dot product with the mean direction; values to 1e-6, gradients to 1e-5."""
    *_, queries = scene
    references = normal(5, 16, C, seed=2).relu()
    common = references.mean((0, 1)) if center else torch.zeros(C)
    outcome = []
    for form in (similarity, lambda q, r: brute_force(q, r, "cosine", "mean")):
        q = queries.clone().requires_grad_()
        values = form(q - common[:, None, None, None], references - common)
        (values * normal(*values.shape, seed=3)).sum().backward()
        outcome.append((values, q.grad))
    torch.testing.assert_close(outcome[0][0], outcome[1][0], rtol=0, atol=1e-6)
    alive = queries.norm(dim=1, keepdim=True).expand_as(queries) > 1e-3
    torch.testing.assert_close(outcome[0][1][alive], outcome[1][1][alive], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("center", [False, True])
def test_match_restated(scene, center):
    """center: the mean of the two classes' means over all l k references."""
    embeddings, inside, outside, queries = scene
    found, again = match(queries, *scene[:3], settings(center=center), generator()), generator()
    near = [sample_references(embeddings, mask, 5, 3, again)[0] for mask in (inside, outside)]
    common = sum(r.mean((0, 1)) for r in near) / 2 if center else torch.zeros(C)
    q = queries - common[:, None, None, None]
    for field, r in zip(found, near, strict=False):
        torch.testing.assert_close(field, brute_force(q, r - common, "cosine", "mean"), rtol=0, atol=1e-6)
    assert found.valid == 1


def test_near_surface_bands():
    label = torch.tensor([0, 0, 1, 1, 1, 255, 0]).view(1, 1, 1, 7)
    distance = torch.tensor([3.5, 3.0, -1.0, -3.0, -4.0, 1.0, math.nan]).view(1, 1, 1, 7)
    inside, outside = near_surface(label, distance, 3.0)
    assert inside.flatten().tolist() == [False, False, True, True, False, False, False]
    assert outside.flatten().tolist() == [False, True, False, False, False, False, False]


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize("spacing", [0.7, 1.0, 3.0])
@pytest.mark.parametrize(("band", "layers"), [(0.01, 1), (0.5, 1), (1.49, 1), (1.51, 2), (2.51, 3)])
def test_a_band_holds_as_many_layers_of_either_class_and_one_at_least(spacing, band, layers, kind):
    """band: in voxels. A flat boundary, in float16 as in the files too."""
    label = (torch.arange(12) < 5).view(-1, 1, 1).expand(12, 4, 4).to(torch.uint8)
    distance = torch.from_numpy(metrics.signed_distance(label.numpy(), spacing)).to(kind).float()
    inside, outside = near_surface(label, distance, band * spacing)
    assert inside.sum() == outside.sum() == layers * 16
    patches = torch.stack([distance, torch.full_like(distance, math.nan)])
    near = within(patches, band * spacing)
    assert torch.equal(near[0], inside | outside) and not near[1].any() and not within(patches[1:], 9.0).any()


def numbered(mask: torch.Tensor) -> torch.Tensor:
    """Embeddings whose single channel is the voxel's number."""
    return torch.arange(mask.numel(), dtype=torch.float32).view(mask.shape)[:, None]


@pytest.mark.parametrize("seed", range(5))
def test_references_come_from_the_mask_without_replacement(seed):
    mask = torch.rand(B, S, S, S, generator=generator(seed)) < 0.1
    drawn, count = sample_references(numbered(mask), mask, 7, 4, generator(seed))
    assert drawn.shape == (4, 7, 1) and count == mask.sum()
    for run in drawn[..., 0].long():
        assert mask.flatten()[run].all() and len(run.unique()) == 7
    assert not torch.equal(*drawn[:2].sort(1).values)


@pytest.mark.parametrize("there", [1, 2, 6, 7])
def test_references_repeat_where_there_are_too_few(there):
    mask = torch.zeros(B, S, S, S, dtype=torch.bool)
    mask.view(-1)[torch.randperm(mask.numel(), generator=generator())[:there]] = True
    drawn, _ = sample_references(numbered(mask), mask, 7, 3, generator())
    for run in drawn[..., 0].long():
        assert set(run.tolist()) == set(mask.flatten().nonzero().flatten().tolist())
        repeats = run.bincount()
        assert repeats[repeats > 0].max() - repeats[repeats > 0].min() <= 1


def test_every_voxel_of_the_mask_is_drawn_equally_often():
    mask = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    mask.view(-1)[:40:2] = True
    drawn, _ = sample_references(numbered(mask), mask, 5, 4000, generator())
    often = drawn.flatten().long().bincount(minlength=64)[:40:2] / 4000
    assert (often - 5 / 20).abs().max() < 5 * math.sqrt(0.25 * 0.75 / 4000)


def losses_of(found: Match, queries):
    logits = torch.stack([queries.sum(1), queries[:, 0]], 1)
    uncertain = torch.ones(B, S, S, S) * found.valid
    return masked_cross_entropy(logits, matching.nearest_label(found), uncertain), (
        embedding_entropy(found) * found.valid
    ).mean()


@pytest.mark.parametrize("changes", [{}, {"center": True}, {"kernel": "euclidean", "reduce": "max"}])
@pytest.mark.parametrize("absent", ["inside", "outside", "both"])
def test_without_references_losses_are_zero_and_finite(scene, absent, changes):
    embeddings, inside, outside, queries = scene
    inside, outside = inside & (absent == "outside"), outside & (absent == "inside")
    queries = queries.clone().requires_grad_()
    found = match(queries, embeddings, inside, outside, settings(**changes), generator())
    matched, entropy = losses_of(found, queries)
    (matched + entropy).backward()
    assert found.valid == 0 and matched == 0 and entropy == 0
    assert queries.grad.isfinite().all() and not queries.grad.any()


@pytest.mark.parametrize("kernel", ["cosine", "euclidean"])
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_gradients_reach_the_queries_only(scene, kernel, reduce):
    embeddings, inside, outside, queries = scene
    embeddings, queries = embeddings.clone().requires_grad_(), queries.clone().requires_grad_()
    found = match(queries, embeddings, inside, outside, settings(kernel=kernel, reduce=reduce), generator())
    embedding_entropy(found).mean().backward()
    assert embeddings.grad is None and queries.grad.any() and queries.grad.isfinite().all()
    assert not matching.nearest_label(found).requires_grad


def test_order_of_references_does_not_matter():
    queries, references = normal(B, C, S, S, S), normal(3, 5, C, seed=1)
    shuffled = references[torch.tensor([2, 0, 1])][:, torch.tensor([4, 2, 0, 1, 3])]
    for kernel, reduce in (("cosine", "mean"), ("cosine", "max"), ("euclidean", "mean")):
        a, b = (similarity(queries, r, kernel, reduce) for r in (references, shuffled))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_order_of_patches_does_not_matter(scene):
    *_, queries = scene
    references = normal(3, 5, C, seed=1)
    a, b = similarity(queries, references), similarity(queries.flip(0), references)
    torch.testing.assert_close(a.flip(0), b, rtol=0, atol=1e-6)


def make(object_similarity: list[float], background_similarity: list[float]) -> Match:
    inside, outside = (torch.tensor(v).view(1, 1, 1, -1) for v in (object_similarity, background_similarity))
    return Match(inside, outside, torch.ones(()))


def test_the_nearer_class_wins_and_ties_are_background():
    assert matching.nearest_label(make([0.9, 0.5, 0.2], [0.1, 0.5, 0.3])).flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_entropy_is_that_of_the_softmax(temperature):
    found = make([0.5, 1.0, 0.0, -1.0], [0.5, 0.0, 1.0, 1.0])
    entropy = embedding_entropy(found, temperature).flatten()
    p = torch.sigmoid((found.object_similarity - found.background_similarity).flatten() / temperature)
    torch.testing.assert_close(entropy, -(p * p.log() + (1 - p) * (1 - p).log()), rtol=1e-4, atol=1e-6)
    assert entropy[0].item() == pytest.approx(math.log(2)) and entropy.max() <= math.log(2) + 1e-6
    assert entropy[1] == pytest.approx(entropy[2].item()) and entropy.min() >= 0


def test_entropy_of_non_negative_embeddings_has_a_floor():
    """After ReLU cosines lie in [0, 1]: the entropy cannot fall below .58 at temperature 1 (design, section 3)."""
    assert embedding_entropy(make([1.0], [0.0])).item() == pytest.approx(0.5823, abs=1e-3)


def test_a_dead_voxel_has_similarity_zero_and_no_gradient_through_relu(scene):
    embeddings, inside, outside, _ = scene
    raw = torch.full((B, C, S, S, S), -1.0, requires_grad=True)
    found = match(raw.relu(), embeddings, inside, outside, settings(), generator())
    embedding_entropy(found).mean().backward()
    assert not found.object_similarity.any() and not raw.grad.any()


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_matched_probabilities_say_what_the_nearest_label_says(scene, temperature):
    found = match(scene[-1], *scene[:3], settings(center=True), generator())
    probability = matching.matched_probability(found, temperature)
    torch.testing.assert_close(probability.sum(1), torch.ones(B, S, S, S))
    assert torch.equal((probability[:, 1] > 0.5).long(), matching.nearest_label(found))
    entropy = -(probability * probability.log()).sum(1)
    torch.testing.assert_close(entropy, embedding_entropy(found, temperature))
