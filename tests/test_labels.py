from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from samples import bone, ct, image, write_pair

from ssl_hip.images import grids, label_values, labels, resampling, volumes
from ssl_hip.images.faults import FaultError


def test_one_file_keeps_its_values(tmp_path):
    _, path = write_pair(tmp_path)
    found = labels.read("label.nii.gz", tmp_path)
    assert found.GetPixelID() == sitk.sitkUInt8 and np.array_equal(volumes.to_array(found), bone())
    volumes.write(sitk.Cast(image(bone()), sitk.sitkFloat64), path)
    assert np.array_equal(volumes.to_array(labels.read(str(path), Path())), bone())


def test_several_files_are_numbered_and_the_first_keeps_a_voxel(tmp_path):
    first, second = bone(value=7), np.roll(bone(value=1), 2, axis=2)
    for name, voxels in (("a", first), ("b", second)):
        volumes.write(image(voxels), tmp_path / f"{name}.nii.gz")
    found = volumes.to_array(labels.read("a.nii.gz;b.nii.gz", tmp_path))
    assert np.array_equal(found == 1, first > 0)
    assert np.array_equal(found == 2, (second > 0) & (first == 0)) and found.max() == 2


def test_names_stand_for_numbers():
    assert label_values.foreground(["hip_left", "hip_right"]) == [1, 2]
    assert label_values.foreground([3, 7]) == [3, 7]
    assert label_values.background(["hip_left"], [0, 5]) == [0] and label_values.background([1], [0, 5]) == [0, 5]


@pytest.mark.parametrize("code", ["RAS", "LPI", "PIR"])
def test_another_orientation_comes_onto_the_images_grid(tmp_path, code):
    reference = image(ct())
    volumes.write(sitk.DICOMOrient(image(bone()), code), tmp_path / "label.nii.gz")
    found = labels.read("label.nii.gz", tmp_path, reference)
    assert grids.same(reference, found) and np.array_equal(volumes.to_array(found), bone())


def test_another_spacing_comes_onto_the_images_grid(tmp_path):
    reference = image(ct())
    fine = resampling.resample(image(bone()), 1.0, label=True)
    volumes.write(fine, tmp_path / "label.nii.gz")
    found = labels.read("label.nii.gz", tmp_path, reference)
    assert grids.same(reference, found) and np.array_equal(volumes.to_array(found), bone())


def test_a_label_elsewhere_is_refused_and_all_of_them_named(tmp_path):
    for name, shift in (("a", 40.0), ("b", 0.0), ("c", -8.0)):
        volumes.write(image(bone(), origin=(-30.0, 12.0, 100.0 + shift)), tmp_path / f"{name}.nii.gz")
    with pytest.raises(FaultError) as caught:
        labels.read("a.nii.gz;b.nii.gz;c.nii.gz", tmp_path, image(ct()))
    assert [Path(fault.file).name for fault in caught.value.faults] == ["a.nii.gz", "c.nii.gz"]
    assert "(0.0, 0.0, 40.0) mm" in caught.value.faults[0].problem


@pytest.mark.parametrize(("shift", "fits"), [(0.0, True), (5.9, True), (-5.9, True), (6.2, False), (-6.2, False)])
def test_a_box_may_differ_by_one_voxel_of_the_coarser(shift, fits):
    other = image(bone(), origin=(-30.0, 12.0, 100.0 + shift))
    assert (grids.displacement(image(ct()), other) is None) == fits
    fine = resampling.resample(other, 1.0, label=True)
    assert (grids.displacement(image(ct()), fine) is None) == fits


def test_a_turned_box_is_elsewhere():
    c, s = np.cos(0.02), np.sin(0.02)
    assert "turned" in grids.displacement(image(ct()), image(bone(), direction=(c, -s, 0, s, c, 0, 0, 0, 1)))
    assert grids.same(image(ct()), image(bone())) and grids.displacement(image(ct()), image(bone())) is None
