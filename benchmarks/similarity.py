"""Matching beside its literal forms: time, memory, labels and gradients."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks import reference
from benchmarks.measuring import Row, fresh, interleaved, reset_peak, status_mb
from ssl_hip.matching import similarity

EDGE, CHANNELS, K, RUNS = 48, 32, 16, 5
SMALL = 16  # edge at which max and euclidean are compared with the plain form
CHUNK = 1 << 14  # voxels


def scene(edge: int, k: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries (1, D, H, W, C), as a network leaves them in memory, and references (2, l, k, C)."""
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(1, edge, edge, edge, CHANNELS, generator=generator).relu()
    return queries.requires_grad_(), torch.randn(2, RUNS, k, CHANNELS, generator=generator).relu()


def ours(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Return the similarity (1, D, H, W, 2)."""
    return similarity(queries, references)


def broadcast(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """All pairs at once: (l, k, C, voxels)."""
    volume = queries.movedim(-1, 1)[0]  # (C, D, H, W)
    pairs = [F.cosine_similarity(volume, r[..., None, None, None], dim=2).mean((0, 1)) for r in references]
    return torch.stack(pairs, -1)[None]


def by_run(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """As the reference step does: broadcasting over k for one of the l runs after the other."""
    return torch.stack([reference.similarity(queries.movedim(-1, 1), r) for r in references], -1)


def chunked(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """A matrix product of all pairs, a chunk of voxels at a time."""
    normed = F.normalize(references.flatten(1, 2), dim=-1).flatten(0, 1)
    parts = [
        (F.normalize(voxels, dim=-1) @ normed.T).unflatten(1, (len(references), -1)).mean(-1)
        for voxels in queries.flatten(0, -2).split(CHUNK)
    ]
    return torch.cat(parts).view(*queries.shape[:-1], -1)


FORMS = {"ours": ours, "broadcast": broadcast, "by run": by_run, "chunked": chunked}


def outcome(form: Callable, queries: torch.Tensor, references: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return similarity and gradient of one forward and backward."""
    queries.grad = None
    values = form(queries, references)
    weight = torch.linspace(-1, 1, values.numel()).view(values.shape)
    (values * weight).sum().backward()
    return values.detach(), queries.grad


def peak_mb(name: str, edge: int = EDGE, k: int = K, kernel: tuple[str, str] | None = None) -> float:
    """Return by how much forward and backward raise the peak memory of this (fresh) process; kernel: ours with it."""
    torch.set_num_threads(1)
    form = FORMS[name] if kernel is None else lambda q, r: similarity(q, r, *kernel)
    outcome(form, *scene(4))  # what is loaded at the first call is not counted
    queries, references = scene(edge, k)
    queries.grad = torch.zeros_like(queries)
    before = reset_peak()
    outcome(form, queries, references)
    return status_mb("VmHWM") - before


def plain(queries: torch.Tensor, references: torch.Tensor, kernel: str, reduce: str) -> torch.Tensor:
    """Return the similarity of any kernel from its formula, all pairs at once."""
    pairs = queries[:, :, :, :, None, None, None], references
    values = F.cosine_similarity(*pairs, dim=-1) if kernel == "cosine" else 1 / (1 + (pairs[0] - pairs[1]).norm(dim=-1))
    return (values.mean(-1) if reduce == "mean" else values.amax(-1)).mean(-1)


def rows(rounds: int = 3) -> list[Row]:
    """Return the rows of matching."""
    queries, references = scene(EDGE)
    seconds = interleaved(
        {name: lambda f=form: outcome(f, queries, references) for name, form in FORMS.items()}, rounds
    )
    memory = {name: fresh(peak_mb, name) for name in FORMS}
    values, gradients = zip(*(outcome(form, queries, references) for form in FORMS.values()), strict=True)
    labels = [v[..., 0] > v[..., 1] for v in values]
    undecided = (values[0][..., 0] - values[0][..., 1]).abs() < 1e-6  # a tie but for rounding
    other = sum(int((label != labels[0])[~undecided].sum()) for label in labels)
    difference = max(float((g - gradients[0]).abs().max()) for g in gradients)
    at = f"{EDGE}^3, C = {CHANNELS}, l = {RUNS}, k = {K}"
    found = [
        Row(f"matching, forward + backward ({at})", 1e3 * seconds["ours"], "ms"),
        Row(
            "broadcasting over (l, k, C, voxels) / ours: time",
            seconds["broadcast"] / seconds["ours"],
            "times",
            "at least 50",
        ),
        Row("the same: memory", memory["broadcast"] / memory["ours"], "times", "at least 40"),
        Row("broadcasting over k, run by run / ours: time", seconds["by run"] / seconds["ours"], "times"),
        Row("the same: memory", memory["by run"] / memory["ours"], "times"),
        Row("chunked matrix product / ours: time", seconds["chunked"] / seconds["ours"], "times"),
        Row("the same: memory", memory["chunked"] / memory["ours"], "times"),
        Row("labels that differ among these four", other, "voxels", "at most 0"),
        Row("largest difference of their gradients", difference, "", "at most 1e-5"),
    ]
    for kernel in (("cosine", "max"), ("euclidean", "mean"), ("euclidean", "max")):
        queries, references = scene(SMALL)
        mine = outcome(lambda q, r, kernel=kernel: similarity(q, r, *kernel), queries, references)
        theirs = outcome(lambda q, r, kernel=kernel: plain(q, r, *kernel), queries, references)
        difference = max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True))
        growth = fresh(peak_mb, "ours", EDGE, 8 * K, kernel) / fresh(peak_mb, "ours", EDGE, K, kernel)
        name = " + ".join(kernel)
        found.append(Row(f"{name}: largest difference from the plain form", difference, "", "at most 1e-5"))
        found.append(Row(f"{name}: memory at 8 k / at k", growth, "times", "at most 1.25"))
    return found
