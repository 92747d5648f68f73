"""One voxel of a patch under a run, and all that is said and shown of it; without widgets."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go

from ssl_hip.explorer import matched, references_figure, slices
from ssl_hip.explorer.maps import Maps, Run, Source
from ssl_hip.explorer.sentence import sentence

FIRST = 12  # patches that the most uncertain one is looked for in


@dataclass(frozen=True)
class Case:
    """A voxel and how it is matched."""

    source: Source
    run: Run
    network: str  # student | teacher: whose prediction and embeddings are shown
    split: str
    row: int  # of the split's arrays
    voxel: tuple[int, int, int]  # z, y, x
    limit: float  # lambda_T, nats
    settings: SimpleNamespace  # references, runs, band_mm, kernel, reduce, center, temperature
    patches: int = 2  # labelled ones that references come from
    seed: int = 0  # of the references

    @property
    def maps(self) -> Maps:
        """What the run makes of the patch."""
        return self.source.maps(self.run, self.network, self.split, self.row)

    @cached_property
    def drawn(self) -> matched.Drawn:
        """The references."""
        return matched.draw(self.source, self.run, self.settings, self.patches, self.seed)

    @cached_property
    def labels(self) -> matched.Labels:
        """The patch's labels by matching."""
        return matched.labels(self.maps, self.drawn, self.settings)

    def layer(self, name: str) -> slices.Layer:
        """Return one of slices.LAYERS."""
        similar = matched.similarity_map(self.maps, self.voxel, self.drawn, self.settings)
        return slices.layers(self.maps, self.labels, similar, self.limit)[name]

    def picture(self, layer: str, window: str = "bone") -> go.Figure:
        """Return the slices through the voxel with a layer of colour."""
        empty = slices.figure(self.source.store.size, layer)
        return slices.fill(empty, slices.content(self.maps, self.voxel, self.layer(layer), slices.WINDOWS[window]))

    def nearest(self) -> list[matched.Reference]:
        """Return the references that carry the voxel's label."""
        return matched.nearest(self.maps, self.voxel, self.drawn, self.settings, references_figure.EACH)

    def story(self) -> str:
        """Return HTML: the voxel's label and what it is made of."""
        maps, found, voxel = self.maps, self.labels, self.voxel
        passes = ", ".join(f"{value:.2f}" for value in maps.passes[:, *voxel])
        near, far = (float(each[voxel]) for each in (found.object_similarity, found.background_similarity))
        return (
            f"<p><b>voxel z {voxel[0]}, y {voxel[1]}, x {voxel[2]}</b>: "
            f"{sentence(maps, found, voxel, self.limit)}.</p>"
            f"<p>K⁺ = {near:.3f}, K⁻ = {far:.3f}, their softmax at temperature {self.settings.temperature:g}: bone "
            f"{found.probability[voxel]:.2f}; probability of bone in the teacher's passes: {passes}; "
            f"by the {self.network}, without dropout: {maps.probability[voxel]:.2f}</p>"
        )

    def scores(self) -> str:
        """Return HTML: how often labels of the patch are right, by matching and by the teacher."""
        uncertain = (self.maps.entropy >= self.limit).mean()
        told = told_accuracies(matched.accuracies(self.maps, self.labels, self.limit))
        return f"<p>Labels of this patch that are right: {told} ({uncertain:.1%} of the voxels are uncertain).</p>"


def accuracies_of(case: Case, split: str, rows: Iterable[int]) -> Iterator[dict[str, float]]:
    """Yield matched.accuracies of each patch of a split, by the references and settings of a case."""
    for row in rows:
        maps = case.source.fresh_maps(case.run, case.network, split, int(row))
        yield matched.accuracies(maps, matched.labels(maps, case.drawn, case.settings), case.limit)


def told_accuracies(right: dict[str, float]) -> str:
    """Return accuracies in one line of HTML."""

    def say(name: str) -> str:
        return "none to count" if math.isnan(right[name]) else f"{right[name]:.1%}"

    return (
        f"by matching <b>{say('matching, all')}</b>, by the teacher {say('teacher, all')}; of uncertain voxels by "
        f"matching <b>{say('matching, uncertain')}</b>, by the teacher {say('teacher, uncertain')}"
    )


def most_uncertain(source: Source, run: Run) -> tuple[str, int, tuple[int, int, int]]:
    """Return split, row and voxel of the largest entropy in the patch of the largest mean entropy, without any truth.

    Among the first FIRST patches that a run is scored by; without such, of its labelled ones.
    """
    split, rows = source.store.scored(run.draw)
    if not len(rows):
        split, rows = "train", source.store.labelled(run.labelled_patches, run.draw)
    entropy = {row: source.maps(run, "student", split, row).entropy for row in rows[:FIRST].tolist()}
    row = max(entropy, key=lambda each: entropy[each].mean())
    return split, row, tuple(int(n) for n in np.unravel_index(entropy[row].argmax(), entropy[row].shape))
