"""The benchmarks run: what they call changes more often than they are used."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from samples import bone, ct, image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import (
    anatomy_comparison,
    bench,
    contenders,
    convolution,
    denormals,
    group_norm,
    hausdorff,
    load,
    preparation,
    roofline,
    similarity,
    steps,
    trainings,
)
from benchmarks import reference as written_plainly
from benchmarks.measuring import Row, interleaved
from pipeline.jobs import StageError
from ssl_hip import config, schema
from ssl_hip.cost import random_batch
from ssl_hip.images import volumes
from ssl_hip.learner import Learner, seeds
from ssl_hip.losses import Progress
from ssl_hip.patch_store import PatchStore
from ssl_hip.unet import UNet3d

CPU = torch.device("cpu")


def test_our_way_of_preparing(tmp_path, monkeypatch):
    monkeypatch.setattr(contenders, "SIZE", 24)
    for name, voxels in (("image", ct()), ("label", bone())):
        volumes.write(image(voxels), tmp_path / f"{name}.nii.gz")
    assert contenders.ours(tmp_path)() == contenders.NUMBER
    assert len(list((tmp_path / "cubes").iterdir())) == 3


def test_a_contender_that_is_not_installed_is_told(monkeypatch):
    figures = {"seconds": 2.0, "peak_mb": 500.0}
    lines = preparation.table({"ours": figures, "torchio": {"seconds": 4.0, "peak_mb": 1000.0}, "monai": None})
    assert lines.splitlines()[2].split() == ["torchio", "4.00", "1000", "0.50", "0.50"]
    assert lines.splitlines()[3].split()[1:] == ["not", "installed"]


@pytest.mark.slow
def test_anatomies_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(anatomy_comparison, "MODES", (1, 2))
    settings = config.load("shape_model").shape_model
    cohort = anatomy_comparison.write_cohort(tmp_path, [], 4, 0.5, 2)
    tables = anatomy_comparison.report("phantom", tmp_path, cohort, settings, 2)
    assert len(tables) == 5 and all(isinstance(table, pd.DataFrame) for table in tables.values())
    errors = tables["generalisation phantom"]["mean_mm"]["mean"]
    assert errors["femur", 2] < errors["femur", 1] and errors.between(0.2, 6).all()
    angle = tables["morphometry phantom"].loc["neck_shaft_deg"]
    assert np.isclose(angle["mean"], 127, atol=15)


@pytest.mark.parametrize(
    ("goal", "met"), [("at least 5", True), ("at most 5", True), ("at most 4.9", False), ("", None)]
)
def test_a_goal_is_met_or_not(goal, met):
    assert Row("x", 5.0, "ms", goal).met is met


def test_contenders_take_turns_after_a_warm_up():
    calls = []
    assert set(interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)) == {"a", "b"}
    assert calls == ["a", "b"] * 3


def same_weights(theirs, ours: UNet3d) -> None:
    """Copy our network's weights into the reference network; both list them in the order of computation."""
    pairs = {
        "down": zip(theirs.down, [block[1:] for block in ours.encoder], strict=True),
        "up": zip(theirs.up, [up.up for up in ours.decoder.up], strict=True),
        "first": zip([join[0] for join in theirs.join], [up.convolution for up in ours.decoder.up], strict=True),
        "rest": zip([join[1:] for join in theirs.join], ours.decoder.blocks, strict=True),
    }
    outputs = (theirs.output, ours.decoder.output)
    for theirs_part, ours_part in [pair for part in pairs.values() for pair in part] + [outputs]:
        values = zip(theirs_part.state_dict().values(), ours_part.state_dict().values(), strict=True)
        for target, source in values:
            target.copy_(source)


def test_the_reference_step_is_the_same_method():
    """Without dropout and noise, and with every near-surface voxel a reference: same loss, same gradient."""
    params, edge = steps.settings(), 8
    params.model.width, params.model.levels, params.model.dropout = 8, 2, 0.0
    optimization, settings = params.optimization, params.methods.embedding_matching
    optimization.precision, optimization.student_noise, optimization.teacher_noise = "float32", 0.0, 0.0
    batch = random_batch(2, edge, True, CPU)
    depth = torch.arange(edge) - 3.5  # a plane: as many near voxels on either side
    batch.distance = depth.view(1, -1, 1, 1).expand(2, edge, edge, edge).contiguous()
    batch.label = (batch.distance < 0).to(torch.uint8)
    settings.references, settings.runs = int((batch.distance.abs() <= settings.band_mm).sum()) // 2, 1
    ours = Learner("embedding_matching", params, seeds(0), CPU)
    literal = written_plainly.Step(params.model, settings, optimization)
    for name in ("student", "teacher"):
        with torch.no_grad():
            same_weights(getattr(literal, name), getattr(ours.networks, name))
    ours.networks.train()
    literal.student.train()
    for progress in (Progress(3, 10), Progress(9, 10)):
        losses = ours.method.loss(batch, progress)[0], literal.loss(batch, progress.share)
        torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
        weights = ours.networks.student.decoder.output.weight, literal.student.output.weight
        gradients = [torch.autograd.grad(loss, weight)[0] for loss, weight in zip(losses, weights, strict=True)]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("composed", [True, False])
def test_the_roofline_counts_what_is_computed(composed, monkeypatch):
    if not composed:
        monkeypatch.setattr("ssl_hip.up_convolution.UpConvolution.composition_pays", lambda self, x: False)
    network, x = UNet3d(width=16, levels=3, norm="batch"), torch.randn(2, 1, 16, 16, 16)
    counted = sum(layer.flop for layer in roofline.layers(network.train(), x, True))
    with FlopCounterMode(display=False) as counter:
        sum(output.sum() for output in network(x)).backward()
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_all_forms_of_matching_agree():
    queries, references = similarity.scene(6)
    found = [similarity.outcome(form, queries, references) for form in similarity.FORMS.values()]
    for values, gradient in found[1:]:
        torch.testing.assert_close(values, found[0][0], rtol=0, atol=1e-6)
        torch.testing.assert_close(gradient, found[0][1], rtol=0, atol=1e-5)


def test_the_former_hd95_is_ours():
    mask = np.pad(np.ones((5, 6, 7), bool), 6)
    pair = np.roll(mask, 2, 1), mask, (1.0, 2.0, 0.5)
    assert hausdorff.euclidean_transform(*pair) == pytest.approx(hausdorff.CONTENDERS["ours"](*pair))


def test_ten_times_the_patches_are_read_as_such(store, params, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "PATCHES", tmp_path / "patches")
    many = PatchStore(trainings.enlarge(tmp_path / "many", 10))
    assert len(many.rows("train", 0)) == 80 and np.array_equal(many.label["train"][72:], store.label["train"])
    assert trainings.fed_mb(tmp_path / "many") > 0


def test_the_table_says_what_is_not_met():
    rows = [{"name": "a", "value": 6.54321, "unit": "%", "goal": "at most 5", "met": False}]
    assert bench.table(rows).splitlines()[2] == "| a | 6.54 % | at most 5 | **no** |"


def test_convolutions_take_turns(monkeypatch):
    monkeypatch.setattr(convolution, "SIZES", [(2, 8)])
    (row,) = convolution.rows(rounds=1)
    assert row.value > 0


def test_a_learnt_patch_is_stepped_both_ways(monkeypatch):
    monkeypatch.setattr(denormals, "EDGE", 24)
    monkeypatch.setattr(denormals, "STEPS", 1)
    (row,) = denormals.rows(rounds=1)
    assert row.value > 0


def test_group_norms_take_turns(monkeypatch):
    monkeypatch.setattr(group_norm, "SIZES", [(8, 4)])
    (row,) = group_norm.rows(rounds=1)
    assert row.value > 0 and "8 x 4^3" in row.name


@pytest.mark.parametrize("scans", [10, 100, 950])
def test_a_larger_cohort_has_the_papers_proportions(scans):
    tree = load.parameters(scans)
    assert schema.check(tree) == []
    assert sum(tree["cohort"]["subjects"].values()) == pytest.approx(scans, abs=1)
    assert sum(tree["patches"]["count"].values()) == pytest.approx(8640 * scans / 950, abs=2)


def test_memory_and_time_are_those_of_all_processes(tmp_path):
    hold = "import time; held = bytearray(300 << 20); time.sleep(2)"
    seconds, peak_mb = load.watch(["sh", "-c", f"{sys.executable} -c '{hold}'; exit 0"], tmp_path)
    assert seconds >= 2 and 300 < peak_mb < 400
    with pytest.raises(StageError, match="false failed"):
        load.watch(["false"], tmp_path)


def test_growth_is_drawn_stage_by_stage():
    table = pd.DataFrame({"scans": [10, 100] * 2, "stage": ["a", "a", "b", "b"]}).assign(**dict.fromkeys(load.SHOWN, 1))
    figure = load.draw(table)
    assert len(figure.data) == 6 and list(figure.data[1].x) == [10, 100]
