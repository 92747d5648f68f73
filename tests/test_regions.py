"""The joint gap and the surroundings of metal: what they are, and that no short cut changes them."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip import config
from ssl_hip.images import isotropic, resampling, volumes
from ssl_hip.images.isotropic import Scan
from ssl_hip.preparation import regions
from ssl_hip.preparation.regions import Regions
from ssl_hip.region_bits import JOINT_GAP, METAL

PARTS = {"femur": {"right": 1, "left": 2}, "hip_bone": {"right": 3, "left": 4}}
EVERYWHERE = (slice(None),) * 3


def two_slabs(apart: int, values=(1, 3)) -> np.ndarray:
    """Bones with so many background voxels between them, whose faces end within the volume."""
    bones = np.zeros((9, 9, 24), np.uint8)
    bones[2:7, 2:7, 2:6], bones[2:7, 2:7, 6 + apart : 10 + apart] = values
    return bones


def blobs(seed: int, values=(1, 2, 3, 4)) -> np.ndarray:
    """Bones of random shape, near each other and far."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(len(values), 20, 22, 30)), (0, 2, 2, 2))
    return np.where(noise.max(0) > 0.1, np.array(values, np.uint8)[noise.argmax(0)], 0).astype(np.uint8)


def gap_by_definition(bones: np.ndarray, sides: list[list[int]], joint_gap_mm: float, spacing_mm: float) -> np.ndarray:
    """The two nearest bones of a side, on the whole volume."""
    width = np.full(bones.shape, np.inf)
    for values in sides:
        far = [ndimage.distance_transform_edt(bones != value, sampling=spacing_mm) for value in values]
        width = np.minimum(width, np.sort(far, axis=0)[:2].sum(0) - spacing_mm)
    return np.where((bones == 0) & (width <= joint_gap_mm + 1e-6), width, np.inf)


def label_map(spacing=(1.2, 1.0, 1.5), code="LPS") -> sitk.Image:
    image = sitk.GetImageFromArray(blobs(3, (0, 1, 3, 5)))
    image.SetSpacing(spacing)
    return sitk.DICOMOrient(image, code)


def settings(**changed) -> SimpleNamespace:
    """Parameters of a scan at 1 mm."""
    patches = dict(spacing_mm=1.0, joint_gap_mm=3.0, metal_hu=2500, metal_mm=2.0)
    tree = dict(patches=patches, cohort=dict(foreground=[1, 3, 5]), shape_model=dict(parts=PARTS))
    return config.namespace(tree | changed)


def find(label: sitk.Image, params: SimpleNamespace, size: int = 0) -> tuple[Scan, Regions]:
    """The regions of a label map's scan, which has two voxels of metal, padded to `size`."""
    voxels, spacing = volumes.canonical_view(label)
    foreground = np.isin(voxels, params.cohort.foreground).astype(np.uint8)
    mask = resampling.isotropic_label(foreground, spacing, params.patches.spacing_mm)
    hu = np.zeros(mask.shape, np.float32)
    hu[4, 5, 6] = hu[10, 3, 20] = 2500
    scan = isotropic.pad(Scan(hu, mask), size)
    return scan, regions.find(scan, label, params)


@pytest.mark.parametrize("spacing_mm", [0.6, 1.0, 3.0])
def test_a_gap_is_as_wide_as_the_background_voxels_between_two_bones(spacing_mm):
    for apart in range(1, 12):
        gap = regions.joint_gap(two_slabs(apart), [(1, 3)], 10 * spacing_mm, spacing_mm)
        between = gap[2:7, 2:7, 6 : 6 + apart].astype(float)
        if apart <= 10:
            np.testing.assert_allclose(between, apart * spacing_mm, rtol=1e-3)
        else:
            assert np.isinf(gap).all()


def test_bones_of_other_sides_have_no_joint():
    assert np.isinf(regions.joint_gap(two_slabs(2, (1, 4)), regions.joint_values(PARTS), 9, 1.0)).all()
    assert np.isfinite(regions.joint_gap(two_slabs(2, (2, 4)), regions.joint_values(PARTS), 9, 1.0)).any()


@pytest.mark.parametrize("joint_gap_mm", [2.0, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_crop_around_a_joint_changes_nothing(seed, joint_gap_mm):
    bones, sides = blobs(seed, (1, 2, 3, 4, 5)), [[1, 3, 5], [2, 4]]
    joints = [pair for side in sides for pair in combinations(side, 2)]
    found = regions.joint_gap(bones, joints, joint_gap_mm, 1.5)
    assert np.isfinite(found).any() and not (np.isfinite(found) & (bones > 0)).any()
    np.testing.assert_array_equal(found, gap_by_definition(bones, sides, joint_gap_mm, 1.5).astype(np.float16))


def test_bones_far_apart_or_absent_have_no_gap():
    far, alone = np.zeros((8, 8, 60), np.uint8), two_slabs(1, (1, 0))
    far[1:3, 1:3, 1:3], far[5:7, 5:7, 50:55] = 1, 3
    assert all(np.isinf(regions.joint_gap(bones, [(1, 3)], 6, 1.0)).all() for bones in (far, alone, 0 * alone))


def test_joints_are_pairs_of_different_bones_of_one_side():
    assert regions.joint_values(PARTS) == [(1, 3), (2, 4)] == regions.joint_values(config.namespace(PARTS))
    assert regions.joint_values(PARTS | {"sacrum": {"right": 5}}) == [(1, 3), (2, 4), (1, 5), (3, 5)]
    for parts in ({}, SimpleNamespace(), {"femur": PARTS["femur"]}, {"a": {"right": 1}, "b": {"left": 2}}):
        assert regions.joint_values(parts) == []
    assert regions.joint_values({"femur": {"right": 1}, "hip_bone": {"right": 1}}) == []


@pytest.mark.parametrize("spacing_mm", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR"])
def test_every_foreground_voxel_has_a_bone(spacing_mm, code):
    label = label_map(code=code)
    voxels, spacing = volumes.canonical_view(label)
    mask = resampling.isotropic_label((voxels > 0).astype(np.uint8), spacing, spacing_mm)
    bones = regions.bone_values(mask, label, [1, 3, 5], spacing_mm)
    assert np.array_equal(bones > 0, mask == 1) and set(np.unique(bones)) == {0, 1, 3, 5}
    most = resampling.isotropic_label(voxels, spacing, spacing_mm)
    assert np.array_equal(bones[most > 0], most[most > 0] * mask[most > 0])
    padded = np.pad(mask, [(0, 3), (0, 0), (0, 5)])
    assert np.array_equal(regions.bone_values(padded, label, [1, 3, 5], spacing_mm)[:-3, :, :-5], bones)


@pytest.mark.parametrize(("reach_mm", "spacing_mm"), [(9.0, 3.0), (9.0, 0.6), (2.0, 1.0), (1.0, 3.0)])
def test_around_are_the_voxels_within_reach(reach_mm, spacing_mm):
    mask = np.zeros((14, 16, 18), bool)
    mask[1, 2, 3] = mask[9, 14, 10] = True
    places = np.stack(np.meshgrid(*map(np.arange, mask.shape), indexing="ij"), axis=-1)
    far = np.min([np.linalg.norm(places - place, axis=-1) for place in np.argwhere(mask)], axis=0) * spacing_mm
    assert np.array_equal(regions.around(mask, reach_mm, spacing_mm), far <= reach_mm + 1e-6)
    assert not regions.around(np.zeros_like(mask), reach_mm, spacing_mm).any()


def test_what_is_said_of_a_cube_is_what_its_voxels_show():
    scan, found = find(label_map(), settings())
    for place in (EVERYWHERE, (slice(2, 12),) * 3, (slice(0, 1),) * 3):
        cube, said = found.cube(place), found.describe(place)
        assert cube.dtype == np.uint8 and set(np.unique(cube)) <= {0, JOINT_GAP, METAL, JOINT_GAP + METAL}
        gap, metal = cube & JOINT_GAP > 0, cube & METAL > 0
        assert (said["gap_voxels"], said["metal_voxels"]) == (gap.sum(), metal.sum())
        assert 1 <= said["gap_mm"] <= 3 if gap.any() else np.isnan(said["gap_mm"])
        assert not (gap & (scan.label[place] == 1)).any()


def test_metal_begins_at_its_limit():
    assert not find(label_map(), settings(patches=vars(settings().patches) | {"metal_hu": 2501}))[1].around_metal.any()
    around = find(label_map(), settings())[1].around_metal
    assert around[4, 5, 6] and around[4, 5, 8] and not around[4, 5, 9] and around.sum() == 2 * 33


def test_without_two_bones_of_one_side_the_gap_is_not_available_but_metal_is():
    found = find(label_map(), settings(shape_model={"parts": {}}))[1]
    said = found.describe(EVERYWHERE)
    assert np.isnan(said["gap_voxels"]) and np.isnan(said["gap_mm"]) and said["metal_voxels"] == 66
    assert set(np.unique(found.cube(EVERYWHERE))) == {0, METAL}


def test_padding_adds_background_at_the_far_faces():
    scan, found = find(label_map(), settings())
    wide, padded = find(label_map(), settings(), size=40)
    inner = tuple(map(slice, scan.label.shape))
    assert wide.label.shape == padded.gap_mm.shape == padded.around_metal.shape and wide.label.shape != scan.label.shape
    assert np.array_equal(padded.cube(inner), found.cube(inner))
