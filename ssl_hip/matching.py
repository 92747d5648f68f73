"""Embedding matching: near-surface references of labelled patches tell what an uncertain voxel is (Section 2.3)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from ssl_hip.losses import entropy

PAIRS = 1 << 20  # of voxels and references at once, 4 MB: memory depends neither on their number nor on k and l


class Match(NamedTuple):
    """How much voxels of unlabelled patches resemble the two classes of references."""

    object_similarity: torch.Tensor  # (B, D, H, W) K+
    background_similarity: torch.Tensor  # (B, D, H, W) K-
    valid: torch.Tensor  # float; 0 where there were no references of one class


class References(NamedTuple):
    """Embeddings of near-surface voxels whose class is known."""

    vectors: torch.Tensor  # (2, l, k, C) of the object, of the background
    there: torch.Tensor  # bool, whether both classes have any; without, the vectors mean nothing


def near_surface(label: torch.Tensor, distance: torch.Tensor, band_mm: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return masks (B, D, H, W) of object and background voxels, as `within`."""
    near = within(distance, band_mm)
    return near & (label == 1), near & (label == 0)


def within(distance: torch.Tensor, band_mm: float) -> torch.Tensor:
    """Return the mask of voxels within band_mm of the boundary between the classes, one layer of each class at least.

    distance: metrics.signed_distance, any shape; NaN (a patch without boundary) is near nothing. The layer next to the
    boundary has the smallest distance that there is, half a voxel.
    """
    distance = distance.abs()
    half = distance.nan_to_num(torch.inf).amin()
    return distance <= half.clamp(min=band_mm)


def sample_places(mask, k: int, runs: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw k voxels of a mask for each of l = runs: their places (l, k) in the flattened mask, and how many there are.

    Without replacement; where fewer than k voxels exist they repeat. Shapes do not depend on the mask, so that nothing
    waits for the device.
    """
    flat = mask.flatten()
    count = flat.sum()
    keys = torch.rand(runs, len(flat), generator=generator, device=flat.device).masked_fill(~flat, -1.0)
    chosen = keys.topk(k, dim=1).indices  # the k largest random keys: a draw without replacement
    return chosen[:, torch.arange(k, device=flat.device) % count.clamp(1, k)], count


def sample_references(embeddings, mask, k: int, runs: int, generator: torch.Generator):
    """Draw k references for each of l = runs from the masked voxels of all patches: (l, k, C) and their number.

    embeddings (B, C, D, H, W), mask (B, D, H, W); as sample_places.
    """
    places, count = sample_places(mask, k, runs, generator)
    return at_places(embeddings, places), count


def at_places(embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the embeddings (..., C) at places (...) in the flattened voxels of (B, C, D, H, W), float32."""
    return embeddings.movedim(1, -1).flatten(0, -2)[places].float()


def similarity(queries, references, kernel: str = "cosine", reduce: str = "mean") -> torch.Tensor:
    """Return the similarity (..., n) of queries (..., C) to n classes of references (n, l, k, C).

    kernel: cosine, or euclidean 1 / (1 + d). reduce over k: mean or max; then the mean over l.
    """
    if (kernel, reduce) == ("cosine", "mean"):
        return collapsed_cosine(queries, references)
    voxels = queries.reshape(-1, queries.shape[-1])
    chunks = voxels.split(max(1, PAIRS // references[..., 0].numel()))
    options = {"use_reentrant": False, "preserve_rng_state": False}
    parts = [checkpoint(pairwise, chunk, references, kernel, reduce, **options) for chunk in chunks]
    return torch.cat(parts).view(*queries.shape[:-1], len(references))


def collapsed_cosine(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Mean of the cosines to all references = one dot product with the mean of the normalised references."""
    direction = F.normalize(references, dim=-1).mean((1, 2))  # (n, C)
    return queries @ direction.T / queries.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def pairwise(queries: torch.Tensor, references: torch.Tensor, kernel: str, reduce: str) -> torch.Tensor:
    """Return the similarity (voxels, n) of queries (voxels, C) from every pair."""
    flat = references.flatten(0, -2)
    if kernel == "cosine":
        values = F.normalize(queries, dim=-1) @ F.normalize(flat, dim=-1).T
    else:
        exact = "donot_use_mm_for_euclid_dist"  # the faster way is wrong by 1e-3 between near vectors
        values = 1 / (1 + torch.cdist(queries, flat, compute_mode=exact))
    values = values.view(len(queries), *references.shape[:-1])  # (voxels, n, l, k)
    return (values.mean(-1) if reduce == "mean" else values.amax(-1)).mean(-1)


def draw_references(embeddings, object_mask, background_mask, settings, generator) -> References:
    """Draw references of both classes from embeddings (B, C, D, H, W) of labelled patches, without gradient.

    settings: references (k), runs (l).
    """
    masks, (k, runs) = (object_mask, background_mask), (settings.references, settings.runs)
    drawn = [sample_references(embeddings.detach(), mask, k, runs, generator) for mask in masks]
    vectors, counts = zip(*drawn, strict=True)
    return References(torch.stack(vectors), (counts[0] > 0) & (counts[1] > 0))


def match(queries, references: References, settings) -> Match:
    """Compare queries (B, C, D, H, W) with references; gradients reach the queries only.

    settings: kernel, reduce, center (subtract the mean of the two classes' means from both).
    """
    vectors, queries = references.vectors, queries.movedim(1, -1).float()  # (B, D, H, W, C), as they lie in memory
    if settings.center:
        common = vectors.mean((1, 2)).mean(0)  # (C,), one vector an iteration
        vectors, queries = vectors - common, queries - common
    found = similarity(queries, vectors, settings.kernel, settings.reduce)
    return Match(*found.unbind(-1), references.there.float())


def matched_probability(match: Match, temperature: float = 1.0) -> torch.Tensor:
    """Return softmax([K-, K+] / temperature) (B, 2, D, H, W), no gradient."""
    return (torch.stack([match.background_similarity, match.object_similarity], 1) / temperature).softmax(1).detach()


def nearest_label(match: Match) -> torch.Tensor:
    """Return 1 where the object's references are nearer, else 0 (ties are background); (B, D, H, W), no gradient."""
    return (match.object_similarity > match.background_similarity).long().detach()


def embedding_entropy(match: Match, temperature: float = 1.0) -> torch.Tensor:
    """Return the entropy (B, D, H, W), nats, of softmax([K-, K+] / temperature): small where they differ (Eq. 4)."""
    logits = torch.stack([match.background_similarity, match.object_similarity], 1) / temperature
    return entropy(logits.log_softmax(1))
