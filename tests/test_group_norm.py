"""Our GroupNorm is torch's: forward, backward, channels first or last."""

import pytest
import torch
from torch import nn

from ssl_hip.group_norm import GroupNorm


def pair(groups: int, channels: int, dtype: torch.dtype) -> tuple[nn.GroupNorm, GroupNorm]:
    torch.manual_seed(0)
    theirs, ours = nn.GroupNorm(groups, channels, dtype=dtype), GroupNorm(groups, channels, dtype=dtype)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def outcome(layer, x, target) -> list[torch.Tensor]:
    """The output and the gradients of input, weight and bias."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    ((y - target) ** 2).mean().backward()
    return [y, x.grad, layer.weight.grad, layer.bias.grad]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("groups", [1, 8, 16])
def test_equals_torch(groups, dtype, layout):
    generator = torch.Generator().manual_seed(1)
    x = (torch.randn(3, 16, 4, 5, 6, generator=generator, dtype=dtype) * 3 + 1).contiguous(memory_format=layout)
    target = torch.randn(x.shape, generator=generator, dtype=dtype)
    theirs, ours = pair(groups, 16, dtype)
    for a, b in zip(outcome(theirs, x, target), outcome(ours, x, target), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=2e-6)  # statistics are float32 whatever the input


@pytest.mark.parametrize("edge", [8, 16])  # by way of float32, and not
@pytest.mark.parametrize("learning", [False, True])
def test_bfloat16_is_near_and_keeps_its_type(edge, learning):
    theirs, ours = pair(8, 16, torch.float32)
    x = torch.randn(2, 16, edge, edge, edge)
    with torch.set_grad_enabled(learning):
        y = ours(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), theirs(x), rtol=0.03, atol=0.06)


def test_gradients_are_those_of_the_forward_pass():
    """Wide steps and tolerances, because the statistics are float32."""
    _, ours = pair(2, 4, torch.float64)
    x = torch.randn(2, 4, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, (x,), eps=1e-3, atol=1e-2, rtol=1e-3, nondet_tol=0)


def test_constant_input_is_finite():
    _, ours = pair(8, 16, torch.float32)
    x = torch.full((1, 16, 4, 4, 4), 7.0, requires_grad=True)
    y = ours(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    torch.testing.assert_close(y[0, :, 0, 0, 0], ours.bias, rtol=0, atol=2e-3)


def test_an_offset_of_ten_deviations_does_no_harm():
    theirs, ours = pair(8, 16, torch.float32)
    x = torch.randn(2, 16, 8, 8, 8) + 10
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-3, atol=1e-3)
