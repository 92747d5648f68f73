"""Labels by matching, with settings that may change: references that are drawn anew, and what they say."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from ssl_hip.explorer.maps import Maps, Run, Source
from ssl_hip.matching import (
    Match,
    References,
    at_places,
    match,
    matched_probability,
    near_surface,
    nearest_label,
    pairwise,
    sample_places,
)

CLASSES = ("object", "background")


class Drawn(NamedTuple):
    """References and where they lie."""

    rows: np.ndarray  # (B,) labelled patches, rows of the training arrays
    places: torch.Tensor  # (2, l, k) in the flattened voxels of these patches
    references: References


def draw(source: Source, run: Run, settings: SimpleNamespace, patches: int, seed: int) -> Drawn:
    """Draw labelled patches of a run's subset, as a training's iteration does, and references among their voxels.

    settings: references (k), runs (l), band_mm.
    """
    labelled = source.store.labelled(run.labelled_patches, run.draw)
    rows = np.sort(np.random.default_rng(seed).choice(labelled, min(patches, len(labelled)), replace=False))
    label, distance, embeddings = source.labelled(run, tuple(rows.tolist()))
    generator = torch.Generator().manual_seed(seed)
    masks = near_surface(label, distance, settings.band_mm)
    drawn = [sample_places(mask, settings.references, settings.runs, generator) for mask in masks]
    places, counts = zip(*drawn, strict=True)
    vectors = torch.stack([at_places(embeddings, each) for each in places])
    return Drawn(rows, torch.stack(places), References(vectors, torch.tensor(all(n > 0 for n in counts))))


class Labels(NamedTuple):
    """What matching says of a patch; maps (D, H, W)."""

    object_similarity: np.ndarray  # K+
    background_similarity: np.ndarray  # K-
    probability: np.ndarray  # of the object: softmax of both at the temperature
    label: np.ndarray  # bool
    valid: bool  # whether both classes have references


def labels(maps: Maps, drawn: Drawn, settings: SimpleNamespace) -> Labels:
    """Match a patch with references. settings: kernel, reduce, center, temperature."""
    found: Match = match(maps.embeddings, drawn.references, settings)
    return Labels(
        found.object_similarity[0].numpy(),
        found.background_similarity[0].numpy(),
        matched_probability(found, settings.temperature)[0, 1].numpy(),
        nearest_label(found)[0].numpy() == 1,
        bool(drawn.references.there),
    )


def accuracy(label: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return how often a label (bool) is right in a mask, where the truth (0, 1, 255) is known; NaN for nothing."""
    counted = mask & (truth != 255)
    return float((label == (truth == 1))[counted].mean()) if counted.any() else float("nan")


def accuracies(maps: Maps, found: Labels, limit: float) -> dict[str, float]:
    """Return how often matching and the teacher are right: over the patch, and where H >= limit (nats)."""
    everywhere, uncertain = np.ones_like(maps.truth, bool), maps.entropy >= limit
    names = {"matching": found.label, "teacher": maps.teacher_label}
    masks = {"all": everywhere, "uncertain": uncertain}
    return {
        f"{name}, {m}": accuracy(each, maps.truth, mask) for name, each in names.items() for m, mask in masks.items()
    }


class Reference(NamedTuple):
    """A reference and how similar a voxel is to it."""

    kind: str  # object | background
    similarity: float
    row: int  # of the training arrays
    voxel: tuple[int, int, int]  # z, y, x


def nearest(
    maps: Maps, voxel: tuple[int, int, int], drawn: Drawn, settings: SimpleNamespace, number: int
) -> list[Reference]:
    """Return the references of each class that a voxel is most similar to, object's first: they carry its label.

    None where one of the classes has no references.
    """
    size, found = maps.hu.shape[0], []
    if not drawn.references.there:
        return found
    each = similarities(maps.embeddings[0][:, *voxel][None], drawn.references.vectors.flatten(0, 2), drawn, settings)
    for kind, similarity, places in zip(CLASSES, each.view(2, -1), drawn.places.flatten(1), strict=True):
        _, first = np.unique(places, return_index=True)  # where voxels are few, references repeat
        for i in sorted(first, key=lambda i: -float(similarity[i]))[:number]:
            patch, place = divmod(int(places[i]), size**3)
            z, y, x = (int(n) for n in np.unravel_index(place, (size,) * 3))
            found.append(Reference(kind, float(similarity[i]), int(drawn.rows[patch]), (z, y, x)))
    return found


def similarity_map(maps: Maps, voxel: tuple[int, int, int], drawn: Drawn, settings: SimpleNamespace) -> np.ndarray:
    """Return how similar every voxel of a patch (D, H, W) is to one of its voxels, by the kernel of settings."""
    voxels = maps.embeddings[0].movedim(0, -1)  # (D, H, W, C)
    return similarities(voxels.flatten(0, -2), voxels[voxel][None], drawn, settings).view(voxels.shape[:-1]).numpy()


def similarities(queries: torch.Tensor, others: torch.Tensor, drawn: Drawn, settings: SimpleNamespace) -> torch.Tensor:
    """Return the similarity (n, m) of every pair of queries (n, C) and others (m, C)."""
    if settings.center:
        common = drawn.references.vectors.mean((0, 1, 2))
        queries, others = queries - common, others - common
    return pairwise(queries, others[:, None, None], settings.kernel, "mean")
