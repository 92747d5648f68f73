"""The picture of a whole scan: which scan, on which side of it, what is coloured, and the same bytes each time."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from ssl_hip.images import volumes
from ssl_hip.reporting import whole_scan

WINDOW = [-200, 800]
RIGHT = np.s_[6:16, 8:18, 4:12]  # a bone at low x


def scores(**iou):
    return pd.DataFrame([(subject, value) for subject, values in iou.items() for value in values],
                        columns=["subject", "iou"])  # fmt: skip


def patches(**tags):
    table = pd.DataFrame({"subject": tags.keys(), "tags": tags.values()})
    return table.assign(metal=table.tags.str.contains("metal").astype(int))


def test_the_scan_is_the_median_of_those_without_metal():
    cut = patches(a="", b="osteoporotic", c="", e="metal", f="")
    found = scores(a=[0.9, 0.1], b=[0.2, 0.2], c=[0.7, 0.8], e=[0.6])
    assert whole_scan.choose(cut, found) == "a"
    assert whole_scan.choose(cut, found[found.subject != "a"]) == "b"
    assert whole_scan.choose(cut, found[found.subject == "e"]) is None
    assert whole_scan.choose(cut, found[:0]) is None


@pytest.fixture(params=["LPS", "RAI"])
def subject(request, tmp_path):
    """A body in air with one bone on the patient's right, stored in any orientation; a row of cohort.csv."""
    label, body = np.zeros((2, 24, 28, 40), np.uint8)
    label[RIGHT], body[:, 4:24, 2:38] = 3, 1
    voxels = {"image": np.where(label > 0, 800, np.where(body > 0, 40, -1000)).astype(np.int16), "label": label}
    for name, array in voxels.items():
        made = sitk.GetImageFromArray(array)
        made.SetSpacing((2.0, 2.0, 3.0))
        volumes.write(sitk.DICOMOrient(made, request.param), tmp_path / f"{name}.nii.gz")
    return {"image": "image.nii.gz", "label": "label.nii.gz"}


@pytest.fixture
def scan(subject, tmp_path, monkeypatch):
    """What `read` makes of it with a network that finds what is brighter than its run's name says."""
    monkeypatch.setattr(whole_scan, "load_run", lambda folder: int(folder.name))
    monkeypatch.setattr(whole_scan, "mask_alone", lambda image, hu: sitk.Cast(image > hu, sitk.sitkUInt8))
    return whole_scan.read(subject, tmp_path, [3], {"faultless": tmp_path / "400", "body": tmp_path / "0"})


def test_truth_and_masks_lie_on_one_grid_cut_to_the_body(scan):
    assert scan.hu.shape == scan.truth.shape == (72, 40, 72)
    assert np.array_equal(scan.masks["faultless"], scan.truth) and scan.masks["body"].mean() > 0.95
    assert np.argwhere(scan.truth).mean(axis=0) == pytest.approx([32.5, 17.5, 11.5], abs=1)


def test_a_surface_is_bone_coloured_where_it_is_right_and_red_where_it_is_far_off(scan):
    right, far = whole_scan.surface(scan.truth, scan.truth), whole_scan.surface(scan.masks["body"], scan.truth)
    drawn = right.any(axis=-1)
    assert np.argwhere(drawn)[:, 1].max() < drawn.shape[1] / 2  # the patient's right is on the left
    hue = right[drawn] / right[drawn].max(axis=-1, keepdims=True)
    assert np.ptp(hue, axis=0).max() < 0.1 and hue.min() > 0.8
    red, green, blue = far[:, -5:].reshape(-1, 3).astype(float).mean(axis=0)
    assert red > 2 * green and red > 2 * blue
    assert not whole_scan.surface(np.zeros_like(scan.truth), scan.truth).any()


def test_the_same_bytes_each_time_with_nothing_found_and_without_a_scan(scan, tmp_path):
    nothing = scan._replace(masks={"nothing": np.zeros_like(scan.truth)})
    for shown in (scan, nothing, None):
        for name in "ab":
            whole_scan.save(shown, tmp_path / "new" / f"{name}.png", WINDOW)
        first, second = ((tmp_path / "new" / f"{name}.png").read_bytes() for name in "ab")
        assert first == second and first.startswith(b"\x89PNG")
    with_columns = whole_scan.draw(scan, WINDOW)
    assert [axis.get_title() for axis in with_columns.axes[:3]] == ["truth", "faultless", "body"]
