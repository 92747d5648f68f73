"""The cohort: scans, labels and a manifest, from the phantom, from real label maps or from the user's own scans."""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import SimpleITK as sitk

from ssl_hip import parallel
from ssl_hip.config import ROOT, UserError
from ssl_hip.images import resampling, volumes
from ssl_hip.scans import checks, manifest, names, own_scans, problems
from ssl_hip.scans.manifest import Row
from ssl_hip.simulation import ct_simulation, phantom
from ssl_hip.simulation.anatomy import draw_anatomy

ORIENTATIONS = ("LPS", "LPS", "RAS", "LAS", "LPI")  # of the files written for the phantom
LABELMAP_MM = 1.0  # grid of the CTs simulated from label maps
LABELMAP_MARGIN_MM = 20.0  # added on each side, for skin and air
SIMULATION_MB, BYTES_A_VOXEL = 260, 44  # a worker's memory: the tallest phantom, 11 million voxels, took 40 bytes each
LABELMAP_MB = 1500  # 1100 were measured for 36 million voxels of 1 mm


def build(params: SimpleNamespace, root: Path = ROOT, workers: int | None = None) -> pd.DataFrame:
    """Write data/cohort.csv, data/problems.csv and, of simulated scans, data/cohort/; return the manifest.

    params.cohort as in params.yaml. Columns: subject, split, image, label (paths from `root`; label empty when there is
    none), spacing_x_mm, spacing_y_mm, spacing_z_mm (of the file's axes), metal, tags, held_out (with split: auto the
    draw that leaves the scan out, else empty); of the user's own scans content (hash of voxels and grids, so that what
    depends on cohort.csv runs again after a scan has changed), of simulated ones every draw. Simulated images are int16
    HU, labels uint8. The result does not depend on `workers`. An interrupted call continues where it stopped; an older
    cohort stays until the new one is complete. Raises UserError.
    """
    cohort, root = params.cohort, Path(root).resolve()  # or "../" in the paths would not lead out of a linked folder
    sources = {"phantom": _phantom, "labelmaps": _labelmaps, "scans": _scans}
    if cohort.source not in sources:
        raise UserError(f"params.yaml: cohort.source is '{cohort.source}'; choose one of {', '.join(sources)}")
    problems.write(problems.table([]), root)
    unfinished = root / "data" / ".unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    folder = unfinished / f"cohort-{parallel.fingerprint(cohort, _inputs(cohort, root))}"
    table = pd.DataFrame(sources[cohort.source](cohort, root, folder, workers))
    (folder / "new").mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "cohort.csv", index=False)
    _replace(root / "data" / "cohort", folder)
    (folder / "cohort.csv").replace(root / "data" / "cohort.csv")
    parallel.discard(unfinished, "cohort-*")
    return table


def _inputs(cohort: SimpleNamespace, root: Path) -> list[Path]:
    """Files that generated scans depend on."""
    source = root / cohort.path
    return manifest.volume_files(source) if cohort.source == "labelmaps" and source.is_dir() else []


def _replace(target: Path, folder: Path) -> None:
    """Put folder/new in the target's place; from here on an interrupted call begins anew."""
    for left in ("rows", "old"):
        shutil.rmtree(folder / left, ignore_errors=True)
    if target.exists():
        target.rename(folder / "old")
    (folder / "new").rename(target)


def _quota(splits: list[str], share: float, rng: np.random.Generator) -> list[bool]:
    """Mark this share of each split, at random places."""
    marks, names = np.zeros(len(splits), bool), np.array(splits)
    for split in manifest.SPLITS:
        places = rng.permutation(np.flatnonzero(names == split))
        marks[places[: int(round(share * len(places)))]] = True
    return marks.tolist()


def _jobs(cohort: SimpleNamespace, folder: Path, splits: list[str], subjects: list[str]) -> list[Row]:
    rng = np.random.default_rng([cohort.seed, 0])
    diseased, metal = (_quota(splits, share, rng) for share in (cohort.phantom.diseased, cohort.phantom.metal))
    columns = zip(subjects, splits, diseased, metal, strict=True)
    return [
        dict(index=i, subject=subject, split=split, diseased=ill, metal=implant, cohort=cohort, folder=folder)
        for i, (subject, split, ill, implant) in enumerate(columns)
    ]


def _phantom(cohort: SimpleNamespace, root: Path, folder: Path, workers: int | None) -> list[Row]:
    splits = [split for split, count in manifest.counts(cohort).items() for _ in range(count)]
    subjects = [f"p{i:03d}" for i in range(len(splits))]
    finest = np.array([cohort.phantom.in_plane_mm[0]] * 2 + [cohort.phantom.slice_mm[0]])
    voxels = np.prod((phantom.HIGH_MM - phantom.LOW_MM) / finest)
    memory_mb = SIMULATION_MB + BYTES_A_VOXEL * voxels / 2**20
    jobs = _jobs(cohort, folder / "new", splits, subjects)
    return parallel.run(_phantom_subject, jobs, "phantom", workers, memory_mb, folder / "rows")


def _phantom_subject(job: Row) -> Row:
    rng, ranges = np.random.default_rng([job["cohort"].seed, 1, job["index"]]), job["cohort"].phantom
    anatomy = draw_anatomy(rng, job["diseased"])
    tissue = ct_simulation.draw_tissue(rng, job["diseased"], job["metal"])
    in_plane, slices = (round(float(rng.uniform(*bounds)), 2) for bounds in (ranges.in_plane_mm, ranges.slice_mm))
    spacing = (in_plane, in_plane, slices)
    labels = phantom.label_map(anatomy, spacing)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing)
    image.SetOrigin((phantom.extent(anatomy)[0] + np.array(spacing) / 2).tolist())
    sides = (anatomy.right, anatomy.left)
    extra = ["dysplasia"] if min(side.centre_edge_deg for side in sides) < 20 else []
    return _store(job, image, tissue, str(rng.choice(ORIENTATIONS)), extra) | anatomy.row()


def _store(job: Row, labels: sitk.Image, tissue: ct_simulation.Tissue, orientation: str, extra: list[str]) -> Row:
    """Simulate the CT of a label map in LPS, write both, and return the subject's row of the manifest."""
    array = volumes.to_array(labels).astype(np.uint8)
    hu = ct_simulation.simulate(array, labels.GetSpacing(), tissue)
    name = f"{job['subject']}.nii.gz"
    for kind, voxels in (("images", hu), ("labels", array)):
        image = sitk.DICOMOrient(volumes.like(voxels, labels), orientation)
        volumes.write(image, job["folder"] / kind / name)
    facts = [("diseased", job["diseased"]), ("osteoporotic", tissue.osteoporosis > 0.66)]
    facts += [("contrast", tissue.vessel_contrast), ("metal", job["metal"])]
    tags = [tag for tag, holds in facts if holds] + extra
    return manifest.row(
        job["subject"],
        job["split"],
        f"data/cohort/images/{name}",
        f"data/cohort/labels/{name}",
        image.GetSpacing(),
        int(job["metal"]),
        ";".join(tags),
    ) | asdict(tissue)


def _scans(cohort: SimpleNamespace, root: Path, folder: Path, workers: int | None) -> list[Row]:
    return own_scans.rows(cohort, root, workers)


def _labelmaps(cohort: SimpleNamespace, root: Path, folder: Path, workers: int | None) -> list[Row]:
    source = root / cohort.path
    if not cohort.path or not source.is_dir():
        raise UserError(
            f"params.yaml: cohort.path '{cohort.path}' is no folder; name the folder of *.nii.gz label maps"
        )
    files = _sound_label_maps(manifest.volume_files(source), cohort, root, workers)
    manifest.enough(cohort, len(files), "label maps")
    order = np.random.default_rng([cohort.seed, 2]).permutation(len(files))
    splits = [split for split, count in manifest.counts(cohort).items() for _ in range(count)]
    chosen = [files[i] for i in order[: len(splits)]]
    jobs = _jobs(cohort, folder / "new", splits, [manifest.stem(path) for path in chosen])
    jobs = [job | {"path": path} for job, path in zip(jobs, chosen, strict=True)]
    return parallel.run(_labelmap_subject, jobs, "label maps", workers, LABELMAP_MB, folder / "rows")


def _sound_label_maps(files: list[Path], cohort: SimpleNamespace, root: Path, workers: int | None) -> list[Path]:
    """Return the label maps without problems, after a check of all."""
    check = partial(checks.check_label_map, values=checks.Values.of(cohort), root=root)
    found = parallel.run(check, files, "check", workers, checks.MEMORY_MB)
    faults = [(manifest.stem(path), fault) for path, each in zip(files, found, strict=True) for fault in each]
    misnamed = names.faults([manifest.stem(path) for path in files], "label map", cohort.path)
    left_out = problems.settle(misnamed + faults, len(files), cohort.on_error, root, bool(misnamed))
    return [path for path in files if manifest.stem(path) not in left_out]


def _labelmap_subject(job: Row) -> Row:
    labels = sitk.Cast(volumes.canonical(volumes.read_image(job["path"])), sitk.sitkUInt8)
    labels = resampling.resample(labels, LABELMAP_MM, label=True)
    margin = [int(LABELMAP_MARGIN_MM / LABELMAP_MM)] * 2 + [0]
    rng = np.random.default_rng([job["cohort"].seed, 3, job["index"]])
    tissue = ct_simulation.draw_tissue(rng, job["diseased"], job["metal"])
    return _store(job, sitk.ConstantPad(labels, margin, margin, 0), tissue, "LPS", [])
