"""Monte-Carlo dropout: what entropy is meant, and that nothing but dropout is switched on."""

import pytest
import torch

from ssl_hip import uncertainty
from ssl_hip.dropout import ReluDropout
from ssl_hip.losses import entropy
from ssl_hip.uncertainty import dropout_on, mc_dropout, uncertain_voxels
from ssl_hip.unet import UNet3d


def network(**changes) -> UNet3d:
    return UNet3d(**{"width": 8, "levels": 2, "norm": "batch", "dropout": 0.3} | changes).eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def test_mean_of_entropies_is_at_most_the_entropy_of_the_mean(image):
    result = mc_dropout(network(), image, 4)
    of_mean = entropy(result.probability.log())
    assert (result.mean_entropy <= of_mean + 1e-6).all() and (result.mean_entropy < of_mean - 1e-3).any()
    assert (result.mean_entropy >= 0).all()


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_mean_over_the_passes_restated(image, at_once, monkeypatch):
    monkeypatch.setattr(uncertainty, "VOXELS_AT_ONCE", at_once * image.numel())
    net = network()
    net.masks.seed(1)
    result = mc_dropout(net, image, 3)
    net.masks.seed(1)
    with dropout_on(net), torch.no_grad():
        groups = [image.repeat(min(at_once, 3 - i), 1, 1, 1, 1) for i in range(0, 3, at_once)]
        maps = torch.cat([net(group)[0].log_softmax(1) for group in groups]).unflatten(0, (3, 2))
    torch.testing.assert_close(result.probability, maps.exp().mean(0))
    torch.testing.assert_close(result.mean_entropy, -(maps.exp() * maps).sum(2).mean(0))
    assert all((maps[i] - maps[j]).abs().mean() > 0.01 for i, j in ((0, 1), (0, 2), (1, 2)))  # no pass repeats another


def test_without_dropout_all_passes_are_one(image):
    net = network(dropout=0.0)
    many, one = mc_dropout(net, image, 5), mc_dropout(net, image, 1)
    torch.testing.assert_close(many.probability, one.probability)
    torch.testing.assert_close(many.mean_entropy, one.mean_entropy)
    torch.testing.assert_close(one.probability, net(image)[0].softmax(1))


def test_norm_statistics_stay_and_no_gradient_is_kept(image):
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    result = mc_dropout(net, image, 2)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not result.probability.requires_grad and not result.mean_entropy.requires_grad


def test_only_dropout_is_switched_on(image):
    net = network()
    with dropout_on(net):
        assert {type(module) for module in net.modules() if module.training} == {ReluDropout}
    assert not any(module.training for module in net.modules())


def test_modes_are_restored_after_an_exception(image):
    net = network()
    layers = [module for module in net.modules() if isinstance(module, ReluDropout)]
    layers[0].train()

    def broken(_):
        raise RuntimeError("no noise today")

    with pytest.raises(RuntimeError):
        mc_dropout(net, image, 2, broken)
    assert [layer.training for layer in layers] == [True] + [False] * (len(layers) - 1)


def test_noise_is_drawn_once_a_pass_and_zero_noise_changes_nothing(image):
    net, calls = network(), []

    def nothing(x):
        calls.append(1)
        return x

    net.masks.seed(0)
    noisy = mc_dropout(net, image, 3, nothing)
    net.masks.seed(0)
    torch.testing.assert_close(noisy.probability, mc_dropout(net, image, 3).probability, rtol=0, atol=0)
    assert len(calls) == 3


def test_entropies_are_float32_under_autocast(image):
    with torch.autocast("cpu", torch.bfloat16):
        result = mc_dropout(network(), image, 2)
    assert result.probability.dtype == result.mean_entropy.dtype == torch.float32


@pytest.mark.parametrize(
    ("limit", "share", "expected"),
    [(0.5, [0, 1], 0.5), (0.9, [0.2, 1], 0.2), (0.5, [0.2, 1], 0.5), (0.1, [0, 0.3], 0.3), (0.5, [0.1, 0.1], 0.1)],
)
def test_the_share_of_uncertain_voxels_is_kept_between_bounds(limit, share, expected):
    entropy = torch.linspace(0, 1, 1001)[torch.randperm(1001)].view(1, 7, 11, 13)
    mask = uncertain_voxels(entropy, limit, share)
    assert mask.float().mean().item() == pytest.approx(expected, abs=2e-3)
    assert entropy[mask].min() > entropy[~mask].max()


def test_nothing_need_be_uncertain():
    assert not uncertain_voxels(torch.rand(1, 4, 4, 4), 2.0, [0, 1]).any()
