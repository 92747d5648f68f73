"""The network: size as published, shapes, seeds, gradients."""

import pytest
import torch
from torch import nn

from ssl_hip.unet import UNet3d


def count(network: nn.Module, keep=lambda module, name: True) -> int:
    return sum(
        parameter.numel()
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if keep(module, name)
    )


def small(**changes) -> UNet3d:
    return UNet3d(**{"width": 8, "levels": 2, "norm": "group", "dropout": 0.0} | changes)


def test_parameters_of_the_default_network():
    assert count(UNet3d()) == 4_770_658


def test_parameters_of_the_published_network():
    """19,069,955 in Cicek 2016, which leaves out BatchNorm's affine terms and the up-convolutions' biases."""

    def published(module, name):
        return not isinstance(module, nn.BatchNorm3d) and not (
            isinstance(module, nn.ConvTranspose3d) and name == "bias"
        )

    assert count(UNet3d(3, 3, 32), published) == 19_069_955


@pytest.mark.parametrize(
    ("width", "levels", "shape"), [(8, 2, (4, 6, 8)), (8, 3, (8, 8, 8)), (16, 2, (4, 4, 4)), (8, 1, (3, 5, 7))]
)
@pytest.mark.parametrize("norm", ["group", "batch", "instance", "none"])
def test_shapes(width, levels, shape, norm):
    logits, embeddings = small(width=width, levels=levels, norm=norm)(torch.randn(2, 1, *shape))
    assert logits.shape == (2, 2, *shape) and embeddings.shape == (2, 2 * width, *shape)


def test_logits_are_the_output_layer_of_the_embeddings():
    network = small().eval()
    logits, embeddings = network(torch.randn(1, 1, 4, 4, 4))
    assert torch.equal(network.decoder.output(embeddings), logits)


def test_a_seed_fixes_the_weights_whatever_the_global_state():
    torch.manual_seed(1)
    first = small(seed=3).state_dict()
    torch.manual_seed(2)
    second, other = small(seed=3).state_dict(), small(seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["decoder.output.weight"], other["decoder.output.weight"])


def test_he_initialisation_keeps_the_scale():
    weight = UNet3d().encoder[3][4].weight
    assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.01)


@pytest.mark.parametrize("norm", ["group", "batch", "instance", "none"])
def test_gradients_reach_every_parameter(norm):
    network = small(norm=norm, levels=3)
    logits, _ = network(torch.randn(2, 1, 8, 8, 8))
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(m.weight.grad.any() for m in network.modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d))


def test_no_dropout_after_output_and_up_convolutions():
    network = small()
    kinds = [type(m).__name__ for m in network.modules()]
    assert kinds.count("ReluDropout") == 6  # two convolutions in each of two encoder levels and one decoder level
    assert "ReluDropout" not in [type(m).__name__ for m in network.decoder.up.modules()]


def test_patches_do_not_see_each_other_with_group_norm():
    network, x = small().eval(), torch.randn(2, 1, 4, 4, 4)
    torch.testing.assert_close(network(x)[0][:1], network(x[:1])[0])


def test_embeddings_before_the_last_relu_turn_into_those_after_it():
    network, x = UNet3d(width=8, levels=2, norm="group", dropout=0.0), torch.randn(1, 1, 8, 8, 8)
    logits, after = network(x)
    network.decoder.embeddings = "before_relu"
    same, before = network(x)
    assert torch.equal(logits, same) and torch.equal(before.relu(), after) and (before < 0).any()
