"""Resampling: places are kept, nothing aliases, labels keep their values."""

from functools import partial

import numpy as np
import pytest
import samples
import SimpleITK as sitk
from samples import OBLIQUE, ct, extent
from scipy import ndimage

from ssl_hip.images import resampling, volumes

image = partial(samples.image, spacing=(0.8, 1.1, 2.5))


def ramp(reference, slope=(3.0, -2.0, 5.0)):
    """HU that grow linearly with the place in mm: the place can be read off a voxel."""
    index = np.indices(reference.GetSize()).reshape(3, -1)
    turn = np.array(reference.GetDirection()).reshape(3, 3) * reference.GetSpacing()
    place = turn @ index + np.array(reference.GetOrigin())[:, None]
    return (np.array(slope) @ place).reshape(reference.GetSize()).T.astype(np.float32)


@pytest.mark.parametrize("spacing", [0.7, 2.0, 3.3])
@pytest.mark.parametrize("direction", [OBLIQUE, tuple(np.eye(3).ravel())])
def test_resampling_keeps_place_and_covers_all(spacing, direction):
    reference = image(ct((14, 18, 22)), direction=direction)
    fine = resampling.resample(volumes.like(ramp(reference), reference), spacing)
    expected, found = ramp(fine), volumes.to_array(fine)
    inner = (slice(4, -4),) * 3 if spacing < 1 else (slice(2, -2),) * 3
    assert fine.GetSpacing() == (spacing,) * 3 and found.dtype == np.float32
    assert np.allclose(found[inner], expected[inner], atol=0.5)
    assert np.allclose(extent(fine).mean(0), extent(reference).mean(0))
    assert (np.abs(np.diff(extent(fine), axis=0)) > np.abs(np.diff(extent(reference), axis=0)) - 0.01 * spacing).all()


def test_same_spacing_changes_nothing():
    original = image(ct(), spacing=(2.0, 2.0, 2.0))
    assert np.allclose(volumes.to_array(resampling.resample(original, 2.0)), ct(), atol=0.01)


def test_a_headers_rounded_spacing_shifts_nothing():
    """DICOM positions and NIfTI's float32 give 3.000002 mm for 3 mm: no voxel more, so no half voxel's blur."""
    exact, rounded = (image(ct((120, 6, 6)), spacing=(3.0, 3.0, z)) for z in (3.0, 3.000002))
    same = resampling.resample(rounded, 3.0)
    assert same.GetSize() == exact.GetSize()
    assert np.abs(volumes.to_array(same) - ct((120, 6, 6))).max() < 0.2  # of some thousand HU


def test_low_pass_formula():
    sigma = resampling.low_pass_sigma(np.array([1.0, 2.0, 3.0]), 2.0)
    assert np.allclose(sigma, [np.sqrt(3) / 2.3548, 0, 0], atol=1e-4)


def test_downsampling_does_not_alias():
    """Stripes of one voxel, finer than the new grid can show, vanish in their mean."""
    stripes = np.zeros((20, 20, 80), np.int16)
    stripes[..., ::2] = 1000
    coarse = volumes.to_array(resampling.resample(image(stripes, spacing=(1.0, 1.0, 1.0)), 3.0))
    assert np.abs(coarse[..., 2:-2] - 500).max() < 60


@pytest.mark.parametrize("target_mm", [0.6, 1.0, 3.1])
def test_it_is_the_definition_gaussian_then_linear(target_mm):
    original = image(ct((14, 18, 22)))
    sigma = (resampling.low_pass_sigma(np.array(original.GetSpacing()), target_mm) / original.GetSpacing())[::-1]
    smooth = ndimage.gaussian_filter(ct((14, 18, 22)).astype(np.float64), sigma, mode="nearest")
    found = resampling.resample(original, target_mm)
    expected = sitk.Resample(volumes.like(smooth, original), found, sitk.Transform(), sitk.sitkLinear, -9e9)
    assert np.abs(volumes.to_array(found) - volumes.to_array(expected)).max() < 2e-3


def test_one_slice_and_one_voxel():
    assert (volumes.to_array(resampling.resample(image(np.full((1, 5, 5), 7, np.int16)), 1.0)) == 7).all()
    assert volumes.to_array(resampling.resample(image(np.full((1, 1, 1), 7, np.int16)), 9.0)).tolist() == [[[7.0]]]


def test_a_mask_keeps_what_fills_half_of_a_voxel():
    mask = np.zeros((6, 8, 20), np.uint8)
    mask[..., 10:] = 1
    unchanged = resampling.isotropic_label(mask, (2.0, 2.0, 2.0), 2.0)
    coarse = resampling.isotropic_label(mask, (1.0, 1.0, 1.0), 2.0)
    assert np.array_equal(unchanged, mask)
    assert (coarse[..., 5:] == 1).all() and not coarse[..., :5].any()


def test_of_many_values_the_one_that_fills_most_wins():
    label = np.random.default_rng(0).choice([0, 2, 5, 9], (8, 9, 10)).astype(np.uint8)
    grid = resampling.resample(image(label), 1.7)
    shares = {
        v: volumes.to_array(resampling.resample_onto(image((label == v).astype(np.uint8)), grid)) for v in (0, 2, 5, 9)
    }
    found = volumes.to_array(resampling.resample(image(label), 1.7, label=True))
    most = np.max(list(shares.values()), axis=0)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 2, 5, 9}
    assert np.allclose(np.select([found == v for v in shares], list(shares.values())), most, atol=1e-5)


def test_labels_do_not_depend_on_orientation():
    label = image(np.random.default_rng(1).integers(0, 3, (9, 10, 11)).astype(np.uint8))
    straight = resampling.resample(label, 1.9, label=True)
    turned = resampling.resample(sitk.DICOMOrient(label, "PIR"), 1.9, label=True)
    back = sitk.DICOMOrient(
        turned, sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(label.GetDirection())
    )
    assert np.mean(volumes.to_array(back) == volumes.to_array(straight)) > 0.99  # but for ties


def test_labels_keep_their_values_and_type():
    label = np.zeros((12, 16, 20), np.uint8)
    label[3:9, 4:12, 5:15] = 4
    coarse = volumes.to_array(resampling.resample(image(label), 2.0, label=True))
    assert coarse.dtype == np.uint8 and np.array_equal(np.unique(coarse), [0, 4])


def test_there_and_back_again():
    reference = image(ct((14, 18, 22)), direction=OBLIQUE)
    smooth = resampling.resample(volumes.like(ramp(reference), reference), 1.0)
    back = resampling.resample_onto(smooth, reference)
    assert (back.GetSize(), back.GetSpacing(), back.GetOrigin()) == (
        reference.GetSize(),
        reference.GetSpacing(),
        reference.GetOrigin(),
    )
    assert np.allclose(volumes.to_array(back)[3:-3, 3:-3, 3:-3], ramp(reference)[3:-3, 3:-3, 3:-3], atol=0.5)


def test_outside_value_and_nearest():
    near, far = image(ct()), image(ct(), origin=(1000.0, 0.0, 0.0))
    assert (volumes.to_array(resampling.resample_onto(near, far, outside=-1024)) == -1024).all()
    assert np.array_equal(volumes.to_array(resampling.resample_onto(near, near, "nearest")), ct())
