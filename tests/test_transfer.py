"""Networks on data of other kinds: what is scored, on which side, what is kept, and that nothing is scored twice."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch

from ssl_hip import config, prediction, weights
from ssl_hip.config import ROOT, UserError
from ssl_hip.images import volumes
from ssl_hip.normalization import Normalization
from ssl_hip.unet import UNet3d
from study import plan, records, transfer

torch.set_num_threads(1)
SIZE, SPACING = 16, 3.0
MODEL = {"width": 8, "levels": 2, "norm": "group", "dropout": 0.1}
NORMALIZATION = {"clip_hu": [-1024, 3071], "mean_hu": -100.0, "sd_hu": 400.0}
COLUMNS = ["name", "labelled_patches", "draw", "target", "subject", "side", "iou", "hd95_mm", "missed", "key"]


class BrightIsBone(torch.nn.Module):
    """Stand-in network without a fault: foreground where the CT is above 400 HU."""

    def __init__(self):
        super().__init__()
        self.sharpness = torch.nn.Parameter(torch.tensor(50.0))

    def forward(self, x):
        bright = self.sharpness * (x - (400 + 100) / 400)
        return torch.cat([-bright, bright], 1), x


PERFECT = prediction.Run(BrightIsBone(), SPACING, SIZE, Normalization(**NORMALIZATION))


def write_scan(folder, subject, flipped=False) -> transfer.Scan:
    """Write a CT with a bright block on each side, and one label file a block: values 1 (right) and 3 (left)."""
    labels = np.zeros((2, 18, 20, 24), np.uint8)
    labels[0, 5:12, 6:14, 2:8], labels[1, 6:13, 6:14, 15:21] = 1, 3
    voxels = {"ct": np.where(labels.any(0), 800, 40).astype(np.int16), "right": labels[0], "left": labels[1]}
    for name, array in voxels.items():
        image = sitk.GetImageFromArray(array)
        image.SetSpacing([SPACING] * 3)
        volumes.write(sitk.DICOMOrient(image, "RAS" if flipped else "LPS"), folder / subject / f"{name}.nii.gz")
    paths = {name: folder / subject / f"{name}.nii.gz" for name in voxels}
    return transfer.Scan(subject, paths["ct"], [paths["right"], paths["left"]], [1, 3])


def final_run(name="a", draw=0, labelled_patches="4") -> plan.Run:
    tree = config.read_yaml(ROOT / "params/smoke.yaml")
    tree["optimization"]["student_noise"] = len(name) * 0.01  # another name, another training
    return plan.Run(plan.GRID, "1", name, "supervised", labelled_patches, draw, {}, tree)


def write_network(folder) -> None:
    folder.mkdir(parents=True)
    hashes = weights.write(folder, {"student": UNet3d(**MODEL).state_dict()})
    info = {"network": "student", "model": MODEL, "spacing_mm": SPACING, "patch_size": SIZE, "precision": "float32"}
    (folder / "run.json").write_text(json.dumps(info | {"normalization": NORMALIZATION, "sha256": hashes}))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Three final runs, two of one name, recorded and with untrained networks; two scans as the anatomies."""
    runs = [final_run(draw=0), final_run(draw=1), final_run("bb")]
    for name, folder in (("WORK", tmp_path / "work"), ("FOLDER", tmp_path / "results")):
        monkeypatch.setattr(records, name, folder)
    for run in runs:
        write_network(tmp_path / "work" / run.key)
    scans = [write_scan(tmp_path, "s1"), write_scan(tmp_path, "s2", flipped=True)]
    monkeypatch.setattr(transfer.plan, "read", lambda: runs)
    monkeypatch.setattr(records, "done", lambda: {run.key for run in runs})
    monkeypatch.setattr(transfer, "DATA", tmp_path)
    monkeypatch.setattr(transfer, "anatomies", lambda: scans)
    monkeypatch.setattr(transfer, "real_ct", lambda: scans[:1])
    return runs


def table() -> pd.DataFrame:
    return records.read("transfer", records.FOLDER)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_faultless_network_scores_1_on_each_side(tmp_path, flipped):
    rows = transfer.score(write_scan(tmp_path, "s", flipped), PERFECT, ["both", "right", "left"])
    assert [row["side"] for row in rows] == ["both", "right", "left"]
    assert all(row["iou"] == 1 and row["hd95_mm"] == row["missed"] == 0 for row in rows)


@pytest.mark.parametrize("flipped", [False, True])
def test_sides_are_scored_by_themselves(tmp_path, flipped):
    scan = write_scan(tmp_path, "s", flipped)
    right, left = transfer.score(scan._replace(labels=scan.labels[:1]), PERFECT, ["right", "left"])
    assert right["iou"] == 1 and left["iou"] == 0 and left["false_alarm"] == 1


def test_the_mask_is_that_of_a_segmentation_with_uncertainty(tmp_path, study):
    image = volumes.read_image(write_scan(tmp_path, "s").image)
    image.SetSpacing((2.0, 3.5, 4.0))
    run = prediction.load_run(records.WORK / study[0].key)
    masks = [
        volumes.to_array(mask) for mask in (prediction.mask_alone(image, run), prediction.segment(image, run).mask)
    ]
    assert np.array_equal(*masks) and 0 < masks[0].mean() < 1


def test_a_row_a_run_and_subject(study, capsys):
    transfer.main([])
    found = table()
    assert list(found) == COLUMNS and found.subject.tolist() == ["s1", "s2"] * 3
    assert set(found.target) == {"anatomies"} and set(found.side) == {"both"}
    assert found.iou.between(0, 1).all() and "segmenting" not in capsys.readouterr().err
    transfer.main(["--real", "a"])
    real = table()[len(found) :]
    assert real.draw.tolist() == [0, 0, 1, 1] and real.side.tolist() == ["right", "left"] * 2
    assert set(real.name) == {"a"} and set(real.target) == {"real"} and set(real.labelled_patches) == {"4"}


def test_draws_may_be_chosen(study):
    transfer.main(["--draws", "1"])
    assert set(table().draw) == {1}
    transfer.main(["--real", "a", "--draws", "0", "2"])
    assert set(table()[lambda rows: rows.target == "real"].draw) == {0}


def test_nothing_is_scored_twice(study, monkeypatch, capsys):
    transfer.main(["--real", "bb"])
    before = (records.FOLDER / "transfer.csv").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "score", lambda *_: pytest.fail("scored again"))
        transfer.main(["--real", "bb"])
    assert "Nothing to score" in capsys.readouterr().out
    assert (records.FOLDER / "transfer.csv").read_bytes() == before
    transfer.main([])
    assert len(table()) == 2 + 6  # another target is another thing to score


def test_a_run_trained_anew_with_other_settings_is_scored_anew(study):
    transfer.main(["--real", "bb"])
    study[2].tree["optimization"]["epochs"] += 1
    write_network(records.WORK / study[2].key)
    transfer.main(["--real", "bb"])
    assert set(table().key) == {study[2].key} and len(table()) == 2  # in place of the former rows


def test_an_interruption_keeps_the_runs_before_it(study, monkeypatch):
    score, scored = transfer.score, []

    def stopped(scan, *rest):
        if len(scored) == 3:
            raise KeyboardInterrupt
        scored.append(scan)
        return score(scan, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "score", stopped)
        with pytest.raises(KeyboardInterrupt):
            transfer.main([])
    first = table()
    assert len(first) == 2 and set(first.draw) == {0}
    transfer.main([])
    pd.testing.assert_frame_equal(table()[:2], first)
    assert len(table()) == 6


def test_runs_without_networks_are_named_and_skipped(study, capsys):
    shutil.rmtree(records.WORK / study[1].key)
    transfer.main([])
    said = [line for line in capsys.readouterr().err.splitlines() if "no networks" in line]
    assert len(said) == 1 and said[0].endswith(": a-4-1") and len(table()) == 4


@pytest.mark.parametrize("done", [[], [0]])
def test_only_recorded_final_runs_count(study, monkeypatch, done):
    monkeypatch.setattr(records, "done", lambda: {study[i].key for i in done})
    assert transfer.recorded(None) == [study[i] for i in done]
    with pytest.raises(UserError, match="no final run is recorded of bb; "):
        transfer.main(["--real", "bb"])


def test_absent_data_are_one_message_with_a_remedy(study, monkeypatch, tmp_path):
    monkeypatch.setattr(transfer, "DATA", tmp_path / "shared/data")
    with pytest.raises(UserError, match="study.transfer needs .*see README"):
        transfer.main([])


def test_the_summary_restated_by_hand():
    rows = [("a", "4", 0, "s1", 0.2, 10, 0), ("a", "4", 0, "s2", 0.4, 30, 1), ("a", "4", 1, "s1", 0.5, 40, 0)]
    rows += [("a", "4", 1, "s2", 0.7, 60, 0), ("b", "all", 0, "s1", 0.9, 5, 0)]
    scores = pd.DataFrame(rows, columns=["name", "labelled_patches", "draw", "subject", "iou", "hd95_mm", "missed"])
    found = transfer.summary(scores.assign(target="anatomies", side="both"))
    first, second = found.to_dict("records")
    assert (first["name"], first["labelled_patches"], first["target"], first["side"]) == ("a", "4", "anatomies", "both")
    assert first["draws"] == 2 and second["draws"] == 1
    assert first["iou_mean"] == pytest.approx((0.3 + 0.6) / 2) and first["iou_sd"] == pytest.approx(0.3 / 2**0.5)
    assert first["hd95_mean_mm"] == pytest.approx(35) and first["hd95_sd_mm"] == pytest.approx(30 / 2**0.5)
    assert first["missed_mean"] == pytest.approx(0.25) and first["missed_sd"] == pytest.approx(0.5 / 2**0.5)
    assert second["iou_mean"] == 0.9 and np.isnan(second["iou_sd"])


@pytest.mark.realdata
def test_a_network_on_the_real_right_half(real_data, tmp_path):
    write_network(tmp_path / "run")
    (scan,) = transfer.real_ct()
    (row,) = transfer.score(scan, prediction.load_run(tmp_path / "run"), ["right"])
    assert row["subject"] == "s_example" and 0 <= row["iou"] < 0.5 and row["hd95_mm"] > 0
