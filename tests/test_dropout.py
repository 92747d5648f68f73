"""ReLU with dropout from a pool of draws behaves as ReLU and dropout with fresh draws."""

import pytest
import torch

from ssl_hip import dropout
from ssl_hip.dropout import MaskPool, ReluDropout

SHAPE = (2, 16, 16, 16, 16)


@pytest.fixture(scope="module")
def shared() -> MaskPool:
    """One pool for the whole file: filling it takes most of the time."""
    return MaskPool()


def masks(pool: MaskPool, calls: int, rate=0.15, shape=SHAPE) -> torch.Tensor:
    layer = ReluDropout(rate, pool).train()
    return torch.stack([layer(torch.ones(shape)) for _ in range(calls)])


def test_rate_and_scale(shared):
    shared.seed(0)
    drawn = masks(shared, 4)
    n = drawn.numel()
    assert (drawn == 0).float().mean().item() == pytest.approx(0.15, abs=5 * (0.15 * 0.85 / n) ** 0.5)
    assert drawn.mean().item() == pytest.approx(1, abs=5 * (0.15 / 0.85 / n) ** 0.5)
    assert drawn.unique().tolist() == [0, pytest.approx(1 / 0.85)]


@pytest.mark.parametrize(("rate", "mode"), [(0.15, False), (0.0, True), (0.0, False)])
def test_relu_alone_in_eval_and_at_rate_zero(rate, mode, shared):
    x = torch.randn(SHAPE)
    expected = x.relu()
    assert torch.equal(ReluDropout(rate, shared).train(mode)(x), expected)


def test_a_seed_repeats_the_masks(shared):
    drawn = []
    for seed in (5, 5, 6):
        shared.seed(seed)
        drawn.append(masks(shared, 3))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_the_global_generator_has_no_say(shared):
    shared.seed(5)
    torch.manual_seed(0)
    first = masks(shared, 1)
    shared.seed(5)
    torch.manual_seed(1)
    assert torch.equal(first, masks(shared, 1))


def test_consecutive_calls_are_nearly_independent(shared):
    shared.seed(1)
    drawn = masks(shared, 6).flatten(1)
    correlation = torch.corrcoef(drawn)
    assert (correlation - torch.eye(6)).abs().max() < 5 / drawn.shape[1] ** 0.5


def test_places_within_a_call_are_independent(shared):
    """No value of the pool serves two voxels of one call: neighbours, channels and patches are uncorrelated."""
    shared.seed(2)
    mask = masks(shared, 1)[0] - 1
    for axis in range(5):
        a, b = mask.narrow(axis, 0, mask.shape[axis] - 1), mask.narrow(axis, 1, mask.shape[axis] - 1)
        correlation = (a * b).mean() / mask.var()
        assert abs(correlation) < 5 / a.numel() ** 0.5


def test_a_window_is_a_stretch_of_the_pool(monkeypatch):
    monkeypatch.setattr(dropout, "POOL_SIZE", 1000)
    pool = MaskPool()
    window = pool.window(600, 0.5, torch.float32)
    assert any(torch.equal(window, pool.pool[i : i + 600]) for i in range(401))
    assert len(pool.window(1000, 0.5, torch.float32)) == 1000


def test_inputs_beyond_the_pool_draw_afresh(monkeypatch):
    monkeypatch.setattr(dropout, "POOL_SIZE", 100)
    drawn = masks(MaskPool(), 1, 0.5)
    assert (drawn == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_value_and_gradient_are_those_of_relu_times_mask(shared, layout):
    raw, d_y = (torch.randn(SHAPE).contiguous(memory_format=layout) for _ in range(2))
    shared.seed(3)
    mask = masks(shared, 1)[0]
    outcome = []
    for form in (ReluDropout(0.15, shared).train(), lambda x: x.relu() * mask):
        shared.seed(3)
        x = raw.clone().requires_grad_()
        y = form(x * 2)
        (y * d_y).sum().backward()
        outcome.append((y, x.grad))
    torch.testing.assert_close(*outcome, rtol=1e-6, atol=0)


def test_a_pool_filled_in_inference_mode_serves_training(monkeypatch):
    monkeypatch.setattr(dropout, "POOL_SIZE", 1000)
    layer = ReluDropout(0.5, MaskPool()).train()
    with torch.inference_mode():
        layer(torch.ones(1, 2, 2, 2, 2))
    x = torch.ones(1, 2, 2, 2, 2, requires_grad=True)
    layer(x * 1).sum().backward()
    assert x.grad is not None
