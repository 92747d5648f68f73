"""HD95's tail: which components stay, which direction is large, and what is kept of a training."""

import numpy as np
import pandas as pd
import pytest

from ssl_hip import metrics
from study import components

SPACING = 3.0


def cubes(*edges: int) -> np.ndarray:
    """Separate cubes of these edges in a mask (24, 24, 24), at distances along x."""
    mask = np.zeros((24, 24, 24), bool)
    for number, edge in enumerate(edges):
        mask[2 : 2 + edge, 2 : 2 + edge, 8 * number : 8 * number + edge] = True
    return mask


@pytest.mark.parametrize(("share", "kept"), [(0.0, (6, 3, 2)), (0.1, (6, 3)), (0.33, (6,)), (1.0, (6,))])
def test_components_below_a_share_of_the_largest_go(share, kept):
    np.testing.assert_array_equal(components.keep_components(cubes(6, 3, 2), share), cubes(*kept))


def test_an_empty_mask_stays_empty():
    assert not any(components.keep_components(cubes(), share).any() for share in components.RULES.values())


def test_a_far_false_positive_is_too_much_and_goes_with_its_component():
    truth, pred = cubes(6), cubes(6, 0, 3)
    table = components.score(pred[None], truth[None], SPACING).set_index("rule")
    assert table.too_much_mm["all"] > 20 and table.too_little_mm["all"] == 0
    assert table.hd95_mm["all"] == metrics.hd95(pred, truth, SPACING) and table.hd95_mm["largest"] == 0
    assert list(table.components) == [2, 2, 1, 1]


def test_the_summary_and_the_worst_patches():
    truth = np.stack([cubes(6)] * 12)
    pred = truth.copy()
    pred[3], pred[7] = cubes(6, 0, 3), cubes(0, 6)
    scores = components.score(pred, truth, SPACING)
    table = components.summary(scores).set_index("rule")
    assert list(table.index) == list(components.RULES)
    assert table.too_much["all"] == 1 / 12 and table.hd95_median_mm["all"] == 0  # a shifted cube is both alike
    patches = pd.DataFrame({"patch": range(100, 112), "subject": "a", "foreground": 0.1, "deviation_mm": 1.0})
    worst = components.worst(scores, patches.assign(gap_voxels=0, metal_voxels=0))
    assert len(worst) == components.WORST and set(worst.patch[:2]) == {103, 107}
    assert worst.set_index("patch")["hd95 largest"][103] == 0
