"""Two halves of a volume are convolved as the whole is: values, gradients, and how the result lies in memory."""

import pytest
import torch
import torch.nn.functional as F

from ssl_hip.convolution import Convolution, convolve, single
from ssl_hip.unet import UNet3d


def inputs(shape, batch=1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, *shape, generator=generator).contiguous(memory_format=torch.channels_last_3d)
    weight, bias = torch.randn(5, 3, 3, 3, 3, generator=generator), torch.randn(5, generator=generator)
    return tuple(each.requires_grad_() for each in (x, weight, bias))


@pytest.mark.parametrize("shape", [(8, 4, 6), (10, 5, 3), (16, 16, 16), (9, 8, 8), (4, 4, 4), (2, 1, 1)])
@pytest.mark.parametrize("batch", [1, 2])
def test_values_and_gradients_are_those_of_the_whole(shape, batch):
    outcome = []
    for function in (convolve, lambda *parts: F.conv3d(*parts, padding=1)):
        parts = inputs(shape, batch)
        y = function(*parts)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        outcome.append([y, *torch.autograd.grad((y * weight).mean(), parts)])
    for ours, whole in zip(*outcome, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-4, atol=1e-5)


def test_channels_stay_last():
    x, weight, bias = inputs((16, 8, 8))
    assert convolve(x, weight, bias).is_contiguous(memory_format=torch.channels_last_3d)


def test_the_halves_are_not_left_to_the_slow_kernel():
    x, weight, bias = inputs((16, 16, 16))
    halves = torch.cat([x[:, :, :10], x[:, :, 6:]])
    none, one = [0] * 3, [1] * 3
    found = torch._C._select_conv_backend(halves, weight, bias, one, one, one, False, none, 1)
    assert single(x) and not single(halves) and found.name == "Mkldnn"


def test_in_bfloat16_nothing_is_halved():
    x, *_ = inputs((16, 16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        assert not single(x)
    assert not single(x.bfloat16()) and single(x)


def test_a_patch_alone_is_segmented_as_beside_others():
    network = UNet3d(width=4, levels=2, norm="instance", dropout=0.0).eval()
    x = torch.randn(3, 1, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    together, alone = network(x)[0], torch.cat([network(each)[0] for each in x.split(1)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_the_layer_has_the_weights_of_torchs_own():
    ours, torchs = Convolution(3, 5), torch.nn.Conv3d(3, 5, 3, padding=1)
    assert [each.shape for each in ours.parameters()] == [each.shape for each in torchs.parameters()]
    assert ours.state_dict().keys() == torchs.state_dict().keys()
