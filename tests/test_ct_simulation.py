from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from ssl_hip import threshold
from ssl_hip.images import resampling
from ssl_hip.simulation import ct_simulation, metal, phantom
from ssl_hip.simulation.anatomy import draw_anatomy
from ssl_hip.simulation.landmarks import depths, landmarks

SPACING = (2.6, 2.6, 3.2)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return phantom.label_map(draw_anatomy(np.random.default_rng(3)), SPACING)


def tissue(**changes: float) -> ct_simulation.Tissue:
    drawn = ct_simulation.draw_tissue(np.random.default_rng(0))
    plain = dict(vessel_contrast=0, bowel_contrast=0, bladder_contrast=0, noise_hu=8.0, osteoporosis=0.2)
    return replace(drawn, **(plain | changes))


@pytest.fixture(scope="module")
def plain_hu(labels: np.ndarray) -> np.ndarray:
    return ct_simulation.simulate(labels, SPACING, tissue())


def core(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_erosion(mask, iterations=2)


def test_same_tissue_same_bytes_another_seed_others(labels: np.ndarray, plain_hu: np.ndarray) -> None:
    first, again = plain_hu, ct_simulation.simulate(labels, SPACING, tissue())
    other = ct_simulation.simulate(labels, SPACING, tissue(tissue_seed=5))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_every_tissue_has_its_hounsfield_units(labels: np.ndarray, plain_hu: np.ndarray) -> None:
    hu = plain_hu
    assert hu.dtype == np.int16 and hu.shape == labels.shape
    assert hu.min() < -950 and 1000 < hu.max() <= 3071
    bone, rest = labels > 0, hu[(labels == 0) & (hu > -300)]
    assert 150 < np.median(hu[core(bone)]) < 500  # trabecular bone
    surface = bone & ~ndimage.binary_erosion(bone)
    assert np.median(hu[surface]) > np.median(rest) + 150
    fat, muscle = (rest < -50).mean(), ((rest > 20) & (rest < 90)).mean()
    assert fat > 0.1 and muscle > 0.1


def test_osteoporosis_empties_the_trabeculae(labels: np.ndarray) -> None:
    dense, porotic = (ct_simulation.simulate(labels, SPACING, tissue(osteoporosis=x)) for x in (0.0, 1.0))
    inside = core((labels == 3) | (labels == 4))
    assert np.median(dense[inside]) - np.median(porotic[inside]) > 80


def test_contrast_agent_is_as_bright_as_bone(labels: np.ndarray) -> None:
    plain = ct_simulation.simulate(labels, SPACING, tissue(contrast_hu=300.0, plaques=0.0, ossifications=0))
    bright = ct_simulation.simulate(
        labels, SPACING, tissue(contrast_hu=300.0, plaques=0.0, ossifications=0, vessel_contrast=1, bladder_contrast=1)
    )
    far = ndimage.distance_transform_edt(labels == 0) > 3
    assert (bright[far] > 200).sum() > (plain[far] > 200).sum() + 500


def test_cortical_shell_is_as_thick_as_asked_for() -> None:
    depth = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0], np.float32)
    hu = ct_simulation.bone_hu(depth, 1.0, 1000.0, 200.0, voxel=1.0)
    assert hu == pytest.approx([1000, 1000, 600, 200, 200, 200])


def test_landmarks_find_head_and_shaft() -> None:
    anatomy = draw_anatomy(np.random.default_rng(4))
    body = replace(anatomy.body, deformation_mm=0.0, tilt_deg=0.0, yaw_deg=0.0, roll_deg=0.0, scale=1.0)
    labels = phantom.label_map(replace(anatomy, body=body), SPACING)
    marks = landmarks(depths(labels, SPACING), SPACING)
    for side, sign in ((0, -1), (1, 1)):
        centre = np.array([sign * body.hip_distance_mm / 2, 0, 0])
        centre += (
            [body.shift_x_mm, body.shift_y_mm, body.shift_z_mm] - phantom.extent(anatomy)[0] - np.array(SPACING) / 2
        )
        assert np.linalg.norm(marks.head[side] - centre) < 6
        assert marks.radius[side] == pytest.approx(getattr(anatomy, ("right", "left")[side]).head_radius_mm, abs=4)


@pytest.mark.parametrize("kind", range(1, len(metal.KINDS)))
def test_metal_is_bright_leaves_streaks_and_lies_in_bone(labels: np.ndarray, plain_hu: np.ndarray, kind: int) -> None:
    without, with_metal = plain_hu, ct_simulation.simulate(labels, SPACING, tissue(implant=kind))
    bright = with_metal > 2500
    assert bright.sum() > 20
    assert (labels[bright] > 0).mean() > 0.4
    streaked = np.abs(with_metal.astype(int) - without)[~ndimage.binary_dilation(bright, iterations=4)]
    assert streaked.max() > 60


def test_streaks_stay_in_the_slices_with_metal() -> None:
    inserted = np.zeros((12, 40, 40), bool)
    inserted[5:7, 18:22, 10:14] = True
    error = metal.streaks(inserted, (2.0, 2.0, 3.0), np.random.default_rng(0))
    assert error.shape == inserted.shape and error[5:7].std() > 0 and not error[:5].any() and not error[7:].any()


def test_a_global_threshold_is_not_enough(labels: np.ndarray) -> None:
    bright = dict(vessel_contrast=1, bladder_contrast=1, bowel_contrast=1, contrast_hu=300.0)
    hu = ct_simulation.simulate(labels, SPACING, tissue(osteoporosis=0.8, **bright))
    truth = (labels > 0) & (labels < 5)
    assert 0.4 < max(threshold.threshold_iou(hu, truth, level) for level in (50, 100, 150, 200, 250, 300)) < 0.88


@pytest.mark.realdata
def test_real_label_maps_become_cts(real_data: Path) -> None:
    from ssl_hip.images import volumes

    image = volumes.canonical(volumes.read_image(real_data / "hip_labelmaps" / "s11.nii.gz"))
    image = resampling.resample(image, 2.0, label=True)
    labels = volumes.to_array(image).astype(np.uint8)
    hu = ct_simulation.simulate(labels, image.GetSpacing(), tissue())
    bone = (labels > 0) & (labels < 5)
    assert np.median(hu[bone]) > np.median(hu[labels == 0]) + 100
    assert labels.shape == hu.shape
