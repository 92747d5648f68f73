"""The composed kernel is the literal pair of layers: values and all gradients."""

import pytest
import torch

from ssl_hip.up_convolution import UpConvolution

FORMS = ("literal", "composed")


def layer(skip=4, below=6) -> UpConvolution:
    torch.manual_seed(0)
    module = UpConvolution(skip, below)
    torch.nn.init.normal_(module.up.bias)
    torch.nn.init.normal_(module.convolution.bias)
    return module


def inputs(shape, skip=4, below=6, batch=2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    double = [2 * size for size in shape]
    both = (
        torch.randn(batch, below, *shape, generator=generator),
        torch.randn(batch, skip, *double, generator=generator),
    )
    return tuple(x.contiguous(memory_format=torch.channels_last_3d).requires_grad_() for x in both)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (4, 4, 4), (5, 2, 6)])
def test_composed_is_literal(shape):
    module, (x, skip) = layer(), inputs(shape)
    outcome = []
    for form in FORMS:
        y = getattr(module, form)(x, skip)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
        outcome.append([y, *torch.autograd.grad((y * weight).mean(), [x, skip, *module.parameters()])])
    for literal, composed in zip(*outcome, strict=True):
        torch.testing.assert_close(composed, literal, rtol=1e-5, atol=1e-6)


def test_composed_in_bfloat16_is_as_near_to_float32_as_literal():
    module, (x, skip) = layer(16, 32), inputs((4, 4, 4), 16, 32)
    truth = module.literal(x, skip)
    with torch.autocast("cpu", torch.bfloat16):
        x, skip = x.bfloat16(), skip.bfloat16()
        literal, composed = ((getattr(module, form)(x, skip) - truth).norm() / truth.norm() for form in FORMS)
    assert composed < 2 * literal < 0.02


def test_the_cheaper_form_is_taken(monkeypatch):
    taken = []
    for form in FORMS:
        monkeypatch.setattr(UpConvolution, form, lambda self, x, skip, form=form: taken.append(form))
    module = layer(16, 32)
    for shape in ((4, 4, 4), (16, 16, 16)):
        module(*inputs(shape, 16, 32))
    assert taken == ["literal", "composed"]
