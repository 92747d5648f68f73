"""Apply the study's final networks, trained on phantoms, to data of other kinds: `python -m study.transfer`.

On the real anatomies with simulated CT, all subjects of params/anatomies.yaml; with `--real NAME ...` on one real CT
instead, runs of these names: it is scored once a reported variant. Masks are compared on the scan's own grid (1 mm; the
real CT 3 mm), nothing is cropped. results/study/transfer.csv: a row a run, scan and side; what it holds is kept.
"""

import argparse
import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from ssl_hip import config, prediction
from ssl_hip.config import ROOT, UserError
from ssl_hip.images import volumes
from ssl_hip.reporting import evaluation
from ssl_hip.scans import manifest
from study import plan, records
from study.command import command
from study.data import prepared

PROFILE, DATA = ROOT / "params/anatomies.yaml", ROOT.parent / "shared/data"
SIDES = {"anatomies": ["both"], "real": ["right", "left"]}  # by target; the real CT has metal on the left
BONES = ("hip_left", "hip_right", "femur_left", "femur_right")  # of the real CT
SCORES = ["iou", "hd95_mm", "missed"]


class Scan(NamedTuple):
    """A scan and its truth."""

    subject: str
    image: Path
    labels: list[Path]  # their union is the truth
    foreground: list[int]  # values that count in each of them


def anatomies() -> list[Scan]:
    """Bring the simulated CTs of the real anatomies up to date and return all of them, whatever their split."""
    folder = prepared(PROFILE, "cohort")
    foreground = config.load("cohort.foreground", root=folder).cohort.foreground
    table = manifest.read(folder / "data/cohort.csv")
    return [Scan(row.subject, folder / row.image, [folder / row.label], foreground) for row in table.itertuples()]


def real_ct() -> list[Scan]:
    """Return the one real CT."""
    folder = DATA / "totalsegmentator_example/s_example"
    return [Scan(folder.name, folder / "ct.nii.gz", [folder / f"segmentations/{bone}.nii.gz" for bone in BONES], [1])]


def recorded(names: list[str] | None) -> list[plan.Run]:
    """Return the final runs that are recorded, of these names or all; raise UserError where a name has none."""
    done = records.done()
    runs = [run for run in plan.read() if run.part == plan.GRID and run.key in done]
    known = list(dict.fromkeys(run.name for run in runs))
    if unknown := [name for name in names or [] if name not in known]:
        raise UserError(f"--real: no final run is recorded of {', '.join(unknown)}; of {', '.join(known) or 'none'}")
    return [run for run in runs if names is None or run.name in names]


def named(run: plan.Run, target: str) -> dict[str, str | int]:
    """Return what tells a run's rows on a target from all others, by column."""
    return {"name": run.name, "labelled_patches": run.labelled_patches, "draw": run.draw, "target": target}


def to_score(runs: list[plan.Run], target: str, work: Path, folder: Path) -> list[tuple[plan.Run, Path]]:
    """Return the runs that folder/transfer.csv lacks, each with its network's folder; name those without network."""
    done = records.read("transfer", folder).to_dict("records")
    scored = {(row["key"], row["target"]) for row in done}
    wanted = [run for run in runs if (run.key, target) not in scored]
    places = [(run, records.network(run, work, folder)) for run in wanted]
    if absent := [run.title for run, place in places if place is None]:
        print(f"Skipped, no networks in {work} or {folder}: {', '.join(absent)}", file=sys.stderr)
    return [(run, place) for run, place in places if place]


def score(scan: Scan, run: prediction.Run, sides: list[str]) -> list[dict[str, str | float]]:
    """Segment a scan and return a row a side: subject, side and metrics.SCORES."""
    image = volumes.read_image(scan.image)
    truth = evaluation.read_truth(scan.labels, image, scan.foreground)
    with contextlib.redirect_stderr(io.StringIO()):  # a bar of each scan's windows would tear the bar of all scans
        mask = prediction.mask_alone(image, run)
    return [{"subject": scan.subject, "side": side} | evaluation.score(mask, truth, side) for side in sides]


def transfer(runs: list[tuple[plan.Run, Path]], target: str, scans: list[Scan], folder: Path) -> None:
    """Score runs by the networks in their folders; add each one's rows to folder/transfer.csv when it is through."""
    with tqdm(total=len(runs) * len(scans), desc=target, unit="scan") as bar:
        for run, place in runs:
            network, rows = prediction.load_run(place), []
            for scan in scans:
                rows += score(scan, network, SIDES[target])
                bar.update()
            table = pd.DataFrame(rows)[["subject", "side", *SCORES]].assign(key=run.key)
            records.add("transfer", table, named(run, target), folder)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a name, labelled_patches, target and side of transfer.csv: subjects' means, then over draws.

    Columns: these four, draws (number), iou_mean, iou_sd, hd95_mean_mm, hd95_sd_mm, missed_mean, missed_sd (shares of
    the subjects); an sd of one draw is NaN.
    """
    keys = ["name", "labelled_patches", "target", "side"]
    runs = table.groupby([*keys, "draw"], sort=False)[SCORES].mean()
    return runs.groupby(keys, sort=False).agg(
        draws=("iou", "size"), iou_mean=("iou", "mean"), iou_sd=("iou", "std"),
        hd95_mean_mm=("hd95_mm", "mean"), hd95_sd_mm=("hd95_mm", "std"),
        missed_mean=("missed", "mean"), missed_sd=("missed", "std"),
    ).reset_index()  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and work; raise UserError without the real data or with an unknown name."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", nargs="+", metavar="NAME", help="score these final runs on the real CT instead")
    parser.add_argument("--draws", nargs="+", type=int, metavar="DRAW", help="of these draws only (0: those in git)")
    options = parser.parse_args(arguments)
    names = options.real
    target = "anatomies" if names is None else "real"
    if not DATA.is_dir():
        raise UserError("study.transfer needs ../shared/data, the real anatomies and CT: put it there; see README")
    wanted = [run for run in recorded(names) if options.draws is None or run.draw in options.draws]
    runs = to_score(wanted, target, records.WORK, records.FOLDER)
    if not runs:
        print(f"Nothing to score on {target}; scored runs: results/study/transfer.csv")
        return
    scans = anatomies() if names is None else real_ct()
    transfer(runs, target, scans, records.FOLDER)


if __name__ == "__main__":
    command(main)
