import json

import numpy as np
import pytest
import SimpleITK as sitk

from ssl_hip import metrics
from ssl_hip.config import UserError
from ssl_hip.images import volumes
from ssl_hip.reporting import evaluation, pictures


def image(voxels):
    """An image whose index x grows to the patient's left (LPS) with anisotropic voxels."""
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing((1.0, 2.0, 3.0))
    return made


def cube(*corner, shape=(12, 14, 20), side=4):
    voxels = np.zeros(shape, np.uint8)
    voxels[tuple(slice(c, c + side) for c in corner)] = 1
    return voxels


RIGHT, LEFT = cube(4, 5, 3), cube(4, 5, 13)


@pytest.mark.parametrize("code", ["LPS", "RAI", "SAL"])
def test_each_half_is_scored_by_itself(code):
    truth, mask = (sitk.DICOMOrient(image(v), code) for v in (RIGHT | LEFT, RIGHT))
    assert evaluation.score(mask, truth, "right") == dict.fromkeys(metrics.SCORES, 0) | {"iou": 1}
    left = evaluation.score(mask, truth, "left")
    assert left["iou"] == 0 and left["missed"] == 1
    assert left["hd95_mm"] == pytest.approx(np.linalg.norm([12 * 3, 14 * 2, 10 * 1]))
    assert evaluation.score(mask, truth)["iou"] == 0.5


@pytest.mark.parametrize(("corner", "mm"), [((6, 5, 3), 6), ((4, 7, 3), 4), ((4, 5, 5), 2)])
def test_distances_are_in_mm_of_each_axis(corner, mm):
    found = evaluation.score(sitk.DICOMOrient(image(cube(*corner)), "SAL"), sitk.DICOMOrient(image(RIGHT), "SAL"))
    assert found["hd95_mm"] == pytest.approx(mm)


def test_far_false_positives_in_the_half_count():
    found = evaluation.score(image(RIGHT | cube(0, 0, 0, side=3)), image(RIGHT), "right")
    assert found["hd95_mm"] > 5


def test_truth_is_the_union_of_files(tmp_path):
    volumes.write(image(RIGHT), tmp_path / "hip.nii.gz")
    volumes.write(image(LEFT * 5), tmp_path / "sacrum.nii.gz")
    files = [tmp_path / "hip.nii.gz", tmp_path / "sacrum.nii.gz"]
    reference = image(RIGHT)
    assert np.array_equal(volumes.to_array(evaluation.read_truth(files, reference, [1, 2])), RIGHT)
    assert np.array_equal(volumes.to_array(evaluation.read_truth(files, reference, [1, 5])), RIGHT | LEFT)
    with pytest.raises(UserError, match="hip.nii.gz: it begins .*sacrum.nii.gz: it begins"):
        evaluation.read_truth(files, reference[2:], [1])


def files_of_a_case(folder):
    ct = np.random.default_rng([0, 4]).integers(-1000, 900, RIGHT.shape).astype(np.int16)
    nats = np.full(RIGHT.shape, 0.3, np.float32)
    for name, voxels in {"image": ct, "mask": RIGHT, "truth": RIGHT | LEFT, "uncertainty": nats}.items():
        volumes.write(image(voxels), folder / f"{name}.nii.gz")
    return [x for n in ("image", "mask", "truth", "uncertainty") for x in (f"--{n}", str(folder / f"{n}.nii.gz"))]


def test_command_line_prints_scores_and_draws(tmp_path, capsys):
    case = files_of_a_case(tmp_path)
    for name in "ab":
        assert evaluation.main([*case, "--side", "right", "--picture", str(tmp_path / f"{name}.png")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["iou"] == 1
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert evaluation.main([*case[2:6], "--picture", str(tmp_path / "c.png")]) == 1
    assert "--image" in capsys.readouterr().err and not (tmp_path / "c.png").exists()


def test_pictures_show_the_patients_right_on_the_left():
    ct, mask = image(RIGHT.astype(np.int16)), sitk.DICOMOrient(image(RIGHT), "RAI")
    shown = pictures.view(ct, mask, image(RIGHT * np.float32(0.6)))
    found = pictures.panels(shown)
    assert set(found) == {"CT", "prediction", "uncertainty"}
    orange = (found["prediction"]["coronal"] != found["CT"]["coronal"]).any(-1)
    assert np.argwhere(orange)[:, 1].mean() < orange.shape[1] / 2
    assert all(p.dtype == np.uint8 for row in found.values() for p in row.values())
    assert len(pictures.figure(shown).data) == 9 and len(pictures.figure(shown).to_json()) < 50_000


@pytest.mark.realdata
@pytest.mark.parametrize("side", ["right", "left"])
def test_real_bones_lie_in_their_half(side, real_data):
    masks = real_data / "totalsegmentator_example/s_example/segmentations"
    labels = [volumes.read_image(masks / f"{bone}_{side}.nii.gz") for bone in ("hip", "femur")]
    for label in labels:
        assert evaluation.half(label, side).sum() > 0.99 * volumes.to_array(label).sum()
