"""Student, teacher and noise."""

from types import SimpleNamespace

import pytest
import torch

from ssl_hip.student_teacher import StudentTeacher, threshold
from ssl_hip.unet import UNet3d

SETTINGS = {
    "precision": "float32",
    "student_noise": 0.0,
    "teacher_noise": 0.0,
    "teacher_norm": "running",
}


def networks(norm="batch", dropout=0.0, seed=0, **changes) -> StudentTeacher:
    settings = SimpleNamespace(**SETTINGS | {"ema_decay": 0.9, "ema_warmup": True} | changes)
    student = UNet3d(width=8, levels=2, norm=norm, dropout=dropout)
    return StudentTeacher(student, settings, seed, torch.device("cpu"))


def normal(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Labelled and unlabelled, whose statistics differ."""
    return normal(2, 1, 4, 4, 4), normal(2, 1, 4, 4, 4, seed=1) * 5 + 3


def stir(network, seed: int) -> None:
    """Give every parameter and buffer another value, in place."""
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator))
        else:
            value.fill_(seed)


def copied(network) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("warmup", [True, False])
def test_moving_average_in_closed_form(warmup):
    """teacher_n = prod(d) teacher_0 + sum_t (1 - d_t) prod_{s>t} d_s student_t, float buffers included."""
    pair = networks(ema_warmup=warmup)
    stir(pair.teacher, 99)
    start, students, decays = copied(pair.teacher), [], []
    for t in range(15):
        stir(pair.student, t)
        students.append(copied(pair.student))
        decays.append(min(0.9, 1 - 1 / (t + 1)) if warmup else 0.9)
        pair.update_teacher(t)
    shares, rest = [], 1.0
    for decay in reversed(decays):
        shares.insert(0, rest * (1 - decay))
        rest *= decay
    for key, value in pair.teacher.state_dict().items():
        if value.is_floating_point():
            expected = rest * start[key] + sum(s * student[key] for s, student in zip(shares, students, strict=True))
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
        else:
            assert value == 14 and "num_batches_tracked" in key
    assert any("running_var" in key for key in start)


def test_the_first_step_of_the_warm_up_copies_the_student():
    pair = networks()
    stir(pair.student, 1)
    pair.update_teacher(0)
    assert all(torch.equal(value, pair.student.state_dict()[key]) for key, value in pair.teacher.state_dict().items())


def test_the_teacher_begins_as_a_copy_apart():
    pair = networks()
    assert all(torch.equal(value, pair.student.state_dict()[key]) for key, value in pair.teacher.state_dict().items())
    stir(pair.student, 1)
    assert not torch.equal(pair.teacher.decoder.output.weight, pair.student.decoder.output.weight)
    assert pair.teacher.masks is not pair.student.masks
    assert all(m.masks is pair.teacher.masks for m in pair.teacher.modules() if type(m).__name__ == "ReluDropout")


def test_the_teacher_is_in_eval_mode_and_gets_no_gradient():
    pair = networks()
    pair.train()
    logits = pair.student_forward(*images()).logits
    target, _ = pair.teacher(images()[1])
    (logits[2:] - target).square().mean().backward()
    assert not pair.teacher.training and not target.requires_grad
    assert all(p.grad is None for p in pair.teacher.parameters())
    assert all(p.grad is not None for p in pair.student.parameters())


def test_noise_has_its_deviation_and_its_seed():
    image = torch.zeros(2, 1, 24, 24, 24)
    noisy = [networks(seed=seed).add_noise(image, 0.02) for seed in (3, 3, 4)]
    assert noisy[0].std().item() == pytest.approx(0.02, rel=0.03) and abs(noisy[0].mean()) < 5e-4
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])


def test_zero_noise_is_the_identity():
    pair = networks()
    image = normal(2, 1, 4, 4, 4)
    assert pair.add_noise(image, 0) is image and pair.teacher_noise(image) is image


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_labelled_and_unlabelled_are_one_batch(norm):
    """Norms with batch statistics see both; group norm does not care."""
    together = networks(norm=norm).student_forward(*images()).logits
    apart = torch.cat([networks(norm=norm).student_forward(part).logits for part in images()])
    assert torch.allclose(together, apart, atol=1e-2) == (norm == "group")


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("teacher_norm", ["running", "batch"])
def test_statistics_of_the_teacher(norm, teacher_norm):
    """batch: as a copy in train mode, but nothing is remembered and no dropout; scoring takes the running ones."""
    pair = networks(norm=norm, teacher_norm=teacher_norm, dropout=0.3)
    for module in pair.teacher.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            stir(module, 1)
    before, (_, image) = copied(pair.teacher), images()
    copy = UNet3d(width=8, levels=2, norm=norm, dropout=0.0)
    copy.load_state_dict(pair.teacher.state_dict())
    running, learning = copy.eval()(image)[0], copy.train()(image)[0]
    pair.train()
    torch.testing.assert_close(pair.teacher(image)[0], learning if teacher_norm == "batch" else running)
    torch.testing.assert_close(pair.teacher.eval()(image)[0], running)
    assert torch.allclose(running, learning, atol=1e-2) == (norm == "group")
    assert all(torch.equal(value, before[key]) for key, value in pair.teacher.state_dict().items())


def test_thresholds_in_nats():
    assert threshold([0.75, 1.0], 0) == pytest.approx(0.75 * 0.693147, rel=1e-5)
    assert threshold([0.75, 1.0], 1) == pytest.approx(0.693147, rel=1e-5)
    assert threshold([0.75, 1.0], 0.5) == pytest.approx(0.875 * 0.693147, rel=1e-5)
