"""What a training is said to take."""

from types import SimpleNamespace

import pytest
import torch

from ssl_hip import config, cost
from ssl_hip.config import ROOT
from ssl_hip.unet import UNet3d

CPU = torch.device("cpu")


def test_arithmetic_is_that_of_the_layers(params):
    """A network of one level: its three convolutions, forward and backward; the image needs no gradient."""
    params.model.levels, params.model.width, edge = 1, 8, 8
    voxels = 2 * edge**3
    multiplications = voxels * (2 * 27 * 8 + 3 * 27 * 8 * 16 + 3 * 16 * 2)
    found = cost.estimate("supervised", params, edge, 100, CPU)
    assert found.flop == 2 * multiplications and found.iterations == 100 and found.seconds > 0


def test_memory_is_weights_and_feature_maps(params):
    """What is kept grows with the voxels; the rest is at least student, teacher, gradient and Adam's two moments."""
    params.model.levels = 1
    weights = 4 * sum(p.numel() for p in UNet3d(**vars(params.model)).parameters())
    a, b, c = (cost.estimate("supervised", params, edge, 1, CPU).gib * 2**30 for edge in (8, 16, 24))
    assert (c - b) / (b - a) == pytest.approx((24**3 - 16**3) / (16**3 - 8**3), rel=0.05)
    assert a - (b - a) * 8**3 / (16**3 - 8**3) > 5 * weights


def test_embedding_matching_costs_more_than_supervised(params):
    supervised, matching = (cost.estimate(name, params, 8, 1, CPU) for name in ("supervised", "embedding_matching"))
    assert matching.flop > 3 * supervised.flop and matching.gib > supervised.gib


def test_an_estimate_is_told_in_hours_or_minutes():
    assert str(cost.Cost(125_320, 2e12, 0.5, 1.25)).endswith("about 17.4 hours on this device, 1.25 GiB")
    assert "1,000 steps of 2e+03 GFLOP in 0.06 s: about 1.0 minutes" in str(cost.Cost(1000, 2e12, 0.06, 1))


def test_a_profile_is_priced_without_data(capsys):
    cost.main(str(ROOT / "params" / "smoke.yaml"), [])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and lines[0].startswith("supervised, 1 times 16 steps") and "together about" in lines[-1]
    assert lines[7].startswith("ceiling, 1 times 48 steps") and lines[8].startswith("ua, 1 times 16")
    assert lines[9].startswith("euclidean_max, 1 times")


def test_stages_are_counted_by_method():
    trainings = ["train@embedding_matching-50-0", "train@embedding_matching-150-1"]
    found = cost.named([*trainings, "ablation@ua_nn-50-0", "ceiling@0"])
    assert found == {"embedding_matching": 2, "ua_nn": 1, "ceiling": 1}


def test_a_variant_is_priced_with_its_own_parameters():
    params = config.load("variants", "methods")
    method, settings = cost.settings_of("euclidean_max", params)
    assert method == "embedding_matching" and vars(settings.methods) == {
        method: SimpleNamespace(
            **vars(params.methods.embedding_matching) | {"kernel": "euclidean", "reduce": "max"},
        )
    }
    assert params.methods.embedding_matching.kernel == "cosine" and cost.settings_of("dtc", params) == ("dtc", params)


def test_both_steps_of_an_iteration_count(params):
    found = {name: cost.estimate(name, params, 8, 1, CPU) for name in ("supervised", "mtc")}
    student = found["supervised"].flop
    assert student < found["mtc"].flop < 3 * student
