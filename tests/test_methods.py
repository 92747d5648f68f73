"""Each method's loss against a plain restatement, where dropout and noise are zero."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from ssl_hip import dropout, learner, losses, metrics
from ssl_hip.losses import Progress
from ssl_hip.matching import near_surface, sample_references
from ssl_hip.methods import cct, dtc
from ssl_hip.student_teacher import Batch, StudentTeacher, threshold
from ssl_hip.unet import UNet3d

METHODS = ["supervised", "mean_teacher", "uamt", "cct", "mtc", "dtc", "embedding_matching"]
OURS = [  # what the paper does not have
    {"center": True, "temperature": 0.2, "labels": "soft"},
    {"uncertain_share": [0.02, 0.5]},
    {"labels": "soft", "loss": "brier", "target": "single_pass"},
    {"embeddings": "before_relu"},
]
SIZE, PROGRESS = 8, Progress(6, 10)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    grid = torch.stack(torch.meshgrid(*[torch.arange(SIZE) - 3.5] * 3, indexing="ij")).norm(dim=0)
    label = (grid < 2.5).to(torch.uint8).expand(2, SIZE, SIZE, SIZE)
    image = label[:, None] + 0.3 * torch.randn(2, 1, SIZE, SIZE, SIZE, generator=generator)
    unlabelled = label[:, None] + torch.randn(2, 1, SIZE, SIZE, SIZE, generator=generator)
    distance = (grid - 2.5).expand(label.shape)
    return Batch(image, label, distance, unlabelled, label, distance)


def build(name: str, params, **changes):
    """A method over small networks; the teacher's weights differ from the student's."""
    for key in ("student_noise", "teacher_noise"):
        setattr(params.optimization, key, 0.0)
    networks = StudentTeacher(
        UNet3d(width=8, levels=2, norm="group", dropout=0.0), params.optimization, 0, torch.device("cpu")
    )
    networks.teacher.load_state_dict(UNet3d(width=8, levels=2, norm="group", dropout=0.0, seed=1).state_dict())
    settings = SimpleNamespace(**vars(getattr(params.methods, name)) | changes)
    module = importlib.import_module(f"ssl_hip.methods.{name}")
    return module.Method(networks, settings, torch.Generator().manual_seed(7))


def labelled_only(batch: Batch) -> Batch:
    """What the trainer gives to a method that does not use unlabelled patches."""
    return Batch(batch.image, batch.label, batch.distance)


def forward(method, batch):
    """Student's (labelled logits, unlabelled logits, unlabelled embeddings), teacher's softmax of the unlabelled."""
    networks = method.networks
    logits, embeddings = networks.student(torch.cat([batch.image, batch.unlabelled]))
    with torch.no_grad():
        target = networks.teacher(batch.unlabelled)[0].softmax(1)
    return logits[:2], logits[2:], embeddings[2:], target


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(p * p.log()).sum(1)


def test_supervised(params, batch):
    method = build("supervised", params)
    loss, _ = method.loss(labelled_only(batch), PROGRESS)
    torch.testing.assert_close(loss, losses.supervised_loss(method.networks.student(batch.image)[0], batch.label))


def test_mean_teacher(params, batch):
    method = build("mean_teacher", params, weight=0.7)
    loss, log = method.loss(batch, PROGRESS)
    labelled, unlabelled, _, target = forward(method, batch)
    consistency = ((unlabelled.softmax(1) - target) ** 2).mean()
    expected = losses.supervised_loss(labelled, batch.label) + 0.7 * losses.ramp_up(0.6) * consistency
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(log["loss_consistency"], consistency.detach())


@pytest.mark.parametrize("target_name", ["single_pass", "mean"])
def test_uamt(params, batch, target_name):
    method = build("uamt", params, weight=0.7, target=target_name)
    loss, log = method.loss(batch, PROGRESS)
    labelled, unlabelled, _, target = forward(method, batch)
    weight = losses.ramp_up(0.6)
    certain = entropy(target) < threshold([0.75, 1.0], weight)
    consistency = ((unlabelled.softmax(1) - target) ** 2).mean(1)[certain].mean()
    torch.testing.assert_close(loss, losses.supervised_loss(labelled, batch.label) + 0.7 * weight * consistency)
    assert 0 < log["uncertain_share"] < 1
    torch.testing.assert_close(log["uncertain_share"], 1 - certain.float().mean())


def test_uamt_with_every_voxel_masked_is_supervised(params, batch):
    method = build("uamt", params, threshold=[0.0, 0.0])
    loss, log = method.loss(batch, PROGRESS)
    labelled, *_ = forward(method, batch)
    torch.testing.assert_close(loss, losses.supervised_loss(labelled, batch.label))
    assert log["uncertain_share"] == 1 and log["loss_consistency"] == 0


def test_cct(params, batch):
    """Without perturbation: three decoders of the same features."""
    method = build("cct", params, weight=0.7, noise=0.0, dropout=0.0, drop=[1.0, 1.0])
    loss, log = method.loss(batch, PROGRESS)
    labelled, unlabelled, *_ = forward(method, batch)
    student = method.networks.student
    features = [level[2:] for level in student.encode(torch.cat([batch.image, batch.unlabelled]))]
    answers = [decoder(features)[0].softmax(1) for decoder in method.networks.heads]
    consistency = sum(((answer - unlabelled.detach().softmax(1)) ** 2).mean() for answer in answers) / 3
    supervised = losses.supervised_loss(labelled, batch.label)
    assert len(answers) == 3 and consistency > 0
    torch.testing.assert_close(loss, supervised + 0.7 * losses.ramp_up(0.6) * consistency)
    torch.testing.assert_close(log["loss_consistency"], consistency.detach())


def test_cct_teaches_the_encoder_but_not_the_main_decoder(params, batch):
    grown = {}
    for weight in (0.0, 5.0):
        torch.manual_seed(0)
        method = build("cct", params, weight=weight)
        method.loss(batch, PROGRESS)[0].backward()
        student, heads = method.networks.student, method.networks.heads
        grown[weight] = [[p.grad for p in part.parameters()] for part in (student.decoder, student.encoder, heads)]
    (decoder, encoder, heads), (same, other, taught) = grown.values()
    assert all(torch.equal(a, b) for a, b in zip(decoder, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(encoder, other, strict=True))
    assert not any(gradient.any() for gradient in heads) and all(gradient.any() for gradient in taught)


def test_perturbations_of_features():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 8, 12, 12, 12, generator=generator)
    assert torch.equal(cct.feature_noise(x, 0.0, generator), x)
    assert torch.equal(cct.feature_dropout(x, 0.0, generator), x)
    assert torch.equal(cct.feature_drop(x, [1.0, 1.0], generator), x)
    factor = cct.feature_noise(x, 0.3, generator) / x
    assert 0.7 - 1e-5 <= factor.min() < 0.71 and 1.29 < factor.max() <= 1.3 + 1e-5
    many = torch.rand(8, 128, 2, 2, 2, generator=generator) + 1  # channels are dropped whole
    kept = cct.feature_dropout(many, 0.3, generator).flatten(2)
    gone = (kept == 0).all(2)
    assert torch.equal(gone, (kept == 0).any(2)) and gone.float().mean().item() == pytest.approx(0.3, abs=0.06)
    torch.testing.assert_close(kept[~gone], many.flatten(2)[~gone] / 0.7)
    dropped = cct.feature_drop(x, [0.7, 0.9], generator) == 0
    for gone, attention in zip(dropped, x.mean(1), strict=True):
        assert torch.equal(gone.all(0), gone.any(0)) and gone.any() and not gone.all()
        limit = attention[gone[0]].min() / attention.max()
        assert 0.7 <= limit <= 0.92 and attention[~gone[0]].max() <= attention[gone[0]].min()


def test_mtc(params, batch):
    """A class's reconstruction counts by its own share of the voxels; L_R is not ramped up."""
    method = build("mtc", params, learning_rate=0.25)
    (segmentation, first), (reconstruction, second) = method.losses
    assert (first, second) == (1, 0.25)
    loss, log = segmentation(batch, PROGRESS)
    student, (decoder,) = method.networks.student, method.networks.heads
    torch.testing.assert_close(loss, losses.supervised_loss(student(batch.image)[0], batch.label))
    assert set(log) == {"loss_supervised"}

    loss, log = reconstruction(batch, PROGRESS)
    image = batch.unlabelled
    attention = student(image)[0].softmax(1).detach()
    made = decoder(student.encode(image)[-1])
    expected = sum(attention[:, c].mean() * ((made[:, c] - image[:, 0] * attention[:, c]) ** 2).mean() for c in (0, 1))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(log["loss_reconstruction"], expected.detach())


def test_mtc_gives_each_task_its_own_parts(params, batch):
    method = build("mtc", params)
    student, heads = method.networks.student, method.networks.heads
    for (loss, _), student_decoder, second in zip(method.losses, (True, False), (False, True), strict=True):
        method.networks.student.zero_grad(), heads.zero_grad()
        loss(batch, PROGRESS)[0].backward()
        for part, reached in ((student.encoder, True), (student.decoder, student_decoder), (heads, second)):
            assert all((p.grad is not None) == reached for p in part.parameters())


def test_dtc(params, batch):
    method = build("dtc", params, weight=0.7, weight_distance=0.4, steepness=20.0)
    loss, _ = method.loss(batch, PROGRESS)
    labelled, unlabelled, *_ = forward(method, batch)
    student, (head,) = method.networks.student, method.networks.heads
    found = torch.tanh(head(student(torch.cat([batch.image, batch.unlabelled]))[1]))[:, 0]
    regression = ((found[:2] - dtc.normalised_distance(batch.distance, batch.label)) ** 2).mean()
    foreground = torch.cat([labelled, unlabelled]).softmax(1)[:, 1]
    consistency = ((1 / (1 + torch.exp(20 * found)) - foreground) ** 2).mean()
    expected = losses.supervised_loss(labelled, batch.label) + 0.4 * regression
    torch.testing.assert_close(loss, expected + 0.7 * losses.ramp_up(0.6) * consistency)


def test_dtc_reaches_both_heads_by_each_of_its_terms(params, batch):
    """The labelled loss alone leaves the distance head alone; either other term reaches it and the student."""
    heads = {}
    for weights in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        torch.manual_seed(0)
        method = build("dtc", params, weight=weights[0], weight_distance=weights[1], steepness=20.0)
        method.loss(batch, PROGRESS)[0].backward()
        student, (head,) = method.networks.student, method.networks.heads
        heads[weights] = head.weight.grad, student.decoder.output.weight.grad, student.encoder[0][1].weight.grad
    (alone, logits, encoder), consistent, regressed = heads.values()
    assert not alone.any() and consistent[0].any() and regressed[0].any()
    assert not torch.equal(logits, consistent[1])  # the consistency pulls the probability too,
    torch.testing.assert_close(logits, regressed[1])  # the distance does not
    assert not torch.equal(encoder, consistent[2]) and not torch.equal(encoder, regressed[2])


def test_distances_are_normalised_patch_by_patch():
    label = np.zeros((4, 8, 8, 8), np.uint8)
    label[0, 2:6, 2:6, 1:7], label[1, :3] = 1, 1
    label[3] = 1  # a patch without foreground, one without background
    distance = torch.from_numpy(np.stack([metrics.signed_distance(mask, 3.0) for mask in label]))
    found, inside = dtc.normalised_distance(distance, torch.from_numpy(label)), torch.from_numpy(label) == 1
    assert torch.equal(found < 0, inside) and found.isfinite().all()
    for patch in found[:2]:
        assert patch.min() == -1 and patch.max() == 1
    assert (found[2] == 1).all() and (found[3] == -1).all()
    torch.testing.assert_close(found[1, :, 0, 0], torch.tensor([-7.5, -4.5, -1.5, 1.5, 4.5, 7.5, 10.5, 13.5]) /
                               torch.tensor([7.5, 7.5, 7.5, 13.5, 13.5, 13.5, 13.5, 13.5]))  # fmt: skip


@pytest.mark.parametrize("full", [0, 1])
def test_dtc_on_empty_and_full_patches(params, batch, full):
    batch.label, batch.distance = torch.full_like(batch.label, full), torch.full_like(batch.distance, torch.nan)
    method = build("dtc", params)
    loss, log = method.loss(batch, PROGRESS)
    loss.backward()
    assert loss.isfinite() and finite_gradients(method) and all(value.isfinite() for value in log.values())


def restated(method, batch, center: bool, temperature: float, labels: str):
    """L_S, L_UA, L_NN, L_EN by every pair of voxel and reference."""
    labelled, unlabelled, embeddings, target = forward(method, batch)
    with torch.no_grad():
        known = method.networks.teacher(batch.image)[1]
    generator = torch.Generator().manual_seed(7)
    masks = near_surface(batch.label, batch.distance, 3.0)
    inside, outside = (sample_references(known, mask, 16, 5, generator)[0].flatten(0, 1) for mask in masks)
    common = (inside.mean(0) + outside.mean(0)) / 2 if center else 0.0
    queries = embeddings.movedim(1, -1) - common

    def cosine(references):
        return F.cosine_similarity(queries[..., None, :], references - common, dim=-1).mean(-1)

    near, far = cosine(inside), cosine(outside)
    uncertain = entropy(target) >= threshold([0.75, 1.0], losses.ramp_up(0.6))
    p = torch.sigmoid((near - far) / temperature)
    soft = target, torch.stack([1 - p, p], 1).detach()
    targets = soft if labels == "soft" else [probability.argmax(1) for probability in soft]
    each = [F.cross_entropy(unlabelled, label, reduction="none") for label in targets]
    embedding_entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    supervised = losses.supervised_loss(labelled, batch.label)
    return supervised, each[0][~uncertain].mean(), each[1][uncertain].mean(), embedding_entropy.mean()


@pytest.mark.parametrize(
    ("center", "temperature", "labels"), [(False, 1.0, "hard"), (True, 0.2, "hard"), (True, 0.2, "soft")]
)
def test_embedding_matching(params, batch, center, temperature, labels):
    method = build("embedding_matching", params, center=center, temperature=temperature, labels=labels)
    loss, log = method.loss(batch, PROGRESS)
    terms = restated(method, batch, center, temperature, labels)
    for name, term in zip(("supervised", "ua", "nn", "en"), terms, strict=True):
        torch.testing.assert_close(log[f"loss_{name}"], term.detach(), rtol=1e-4, atol=1e-5)
    supervised, certain, matched, embedding = terms
    extra = 0.25 * certain + 0.125 * (matched + embedding)  # Eq. 5
    torch.testing.assert_close(loss, supervised + losses.ramp_up(0.6) * extra, rtol=1e-4, atol=1e-5)
    assert 0 < log["uncertain_share"] < 1 and log["without_references"] == 0


def test_embedding_matching_towards_a_single_pass(params, batch):
    """Its target is free of the dropout that the certainty comes from; without dropout both targets are the same."""
    mean, single = (build("embedding_matching", params, target=target) for target in ("mean", "single_pass"))
    torch.testing.assert_close(mean.teacher(batch.unlabelled), single.teacher(batch.unlabelled))
    for layer in (m for net in (mean, single) for m in net.networks.teacher.modules()):
        if isinstance(layer, dropout.ReluDropout):
            layer.rate = 0.5
    *_, target = forward(single, batch)
    found = single.teacher(batch.unlabelled)
    torch.testing.assert_close(found.probability, target)
    assert not torch.allclose(mean.teacher(batch.unlabelled).probability, target, atol=0.01)


def test_coverage_is_counted_near_the_surface(params, batch):
    method = build("embedding_matching", params)
    _, log = method.loss(batch, PROGRESS)
    *_, target = forward(method, batch)
    near = batch.truth_distance.abs() <= 3.0
    uncertain = entropy(target) >= threshold([0.75, 1.0], losses.ramp_up(0.6))
    torch.testing.assert_close(log["near_surface_uncertain_share"], uncertain[near].float().mean())
    right = (target.argmax(1) == batch.truth)[near & uncertain].float().mean()
    torch.testing.assert_close(log["near_surface_accuracy_pseudo"], right)
    assert 0 <= log["near_surface_accuracy_matched"] <= 1


def test_embedding_matching_when_all_is_certain(params, batch):
    method = build("embedding_matching", params, threshold=[1.1, 1.1])
    loss, log = method.loss(batch, PROGRESS)
    loss.backward()
    assert log["loss_nn"] == 0 and log["uncertain_share"] == 0 and loss.isfinite() and finite_gradients(method)
    assert log["accuracy_pseudo_uncertain"].isnan() and log["accuracy_pseudo_certain"].isfinite()


@pytest.mark.parametrize("label", [0, 1])
def test_embedding_matching_without_any_surface(params, batch, label):
    """Whatever went before: L_NN and L_EN of that iteration are 0, and it is counted."""
    method = build("embedding_matching", params)
    _, log = method.loss(batch, PROGRESS)
    assert log["loss_nn"] > 0 and log["loss_en"] > 0 and log["without_references"] == 0
    batch.label, batch.distance = torch.full_like(batch.label, label), torch.full_like(batch.distance, torch.nan)
    loss, log = method.loss(batch, PROGRESS)
    loss.backward()
    assert log["loss_nn"] == 0 and log["loss_en"] == 0 and log["without_references"] == 1
    assert log["uncertain_share"] > 0 and loss.isfinite() and finite_gradients(method)
    expected = log["loss_supervised"] + 0.25 * losses.ramp_up(0.6) * log["loss_ua"]
    torch.testing.assert_close(loss.detach(), expected)


def test_unknown_truth_is_logged_as_nothing_and_learnt_from_as_ever(params, batch):
    known, _ = build("embedding_matching", params).loss(batch, PROGRESS)
    batch.truth, batch.truth_distance = torch.full_like(batch.truth, 255), torch.full_like(batch.distance, torch.nan)
    unknown, log = build("embedding_matching", params).loss(batch, PROGRESS)
    assert torch.equal(known, unknown)
    assert all(value.isnan() for name, value in log.items() if "accuracy" in name)


def finite_gradients(method) -> bool:
    return all(p.grad is not None and p.grad.isfinite().all() for p in method.networks.student.parameters())


def all_losses(method, batch) -> tuple[torch.Tensor, dict]:
    """The sum of what the method minimises in turn, and all that is logged."""
    seen = batch if method.uses_unlabelled else labelled_only(batch)
    each, logs = zip(*(loss(seen, PROGRESS) for loss, _ in learner.losses(method)), strict=True)
    return sum(each), {name: value for log in logs for name, value in log.items()}


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_the_student_only(params, batch, name):
    method = build(name, params)
    loss, log = all_losses(method, batch)
    loss.backward()
    assert finite_gradients(method)
    assert all(p.grad is None and not p.requires_grad for p in method.networks.teacher.parameters())
    assert not any(value.requires_grad for value in log.values())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_loss_and_log_are_scalars_of_float32(params, batch, name, precision):
    params.optimization.precision = precision
    method = build(name, params)
    loss, log = all_losses(method, batch)
    assert loss.dtype == torch.float32 and loss.shape == ()
    assert all(value.shape == () for value in log.values()) and "loss_supervised" in log


@pytest.mark.parametrize(
    ("name", "changes"),
    [*((name, {}) for name in METHODS), ("uamt", {"target": "mean"})]
    + [("embedding_matching", {"kernel": kernel, "reduce": "max"}) for kernel in ("cosine", "euclidean")]
    + [("embedding_matching", changes) for changes in OURS],
)
def test_the_loss_never_waits_for_the_device(params, batch, name, changes, monkeypatch):
    """torch.compile traces it as one graph; and tensors without values, which no shape and no branch can ask, suffice.

    The tracer knows no generators, and a GPU draws its dropout masks afresh: so here too.
    """
    torch.compiler.reset()
    monkeypatch.setattr(dropout, "POOL_SIZE", 0)
    method = build(name, params, **changes)
    method.networks.noise = method.generator = None
    method.networks.settings.student_noise = method.networks.settings.teacher_noise = 0.1
    seen = batch if method.uses_unlabelled else labelled_only(batch)
    for function, _ in learner.losses(method):
        loss, _ = torch.compile(function, fullgraph=True, backend="eager")(seen, PROGRESS)
        loss.backward()
    assert all(p.grad is not None for p in method.networks.student.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = Batch(*(None if tensor is None else mode.from_tensor(tensor) for tensor in vars(seen).values()))
        for function, _ in learner.losses(method):
            function(fake, PROGRESS)[0].backward()


@pytest.mark.parametrize(
    "waiting",
    [lambda x: x * x.sum().item(), lambda x: x[x > 0], lambda x: x if x.any() else -x, lambda x: x.numpy()],
)
def test_a_loss_that_waits_is_noticed(waiting):
    with pytest.raises((RuntimeError, DataDependentOutputException, DynamicOutputShapeException)), FakeTensorMode():
        waiting(torch.ones(2))
