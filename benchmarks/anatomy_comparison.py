"""Hold the phantom against real anatomies: python -m benchmarks.anatomy_comparison --labelmaps FOLDER [--out FOLDER].

For as many phantoms as there are label maps, at 1 mm: morphometry, leave-one-out error of the shape model against its
number of modes, and Table 4 of random patches of 48 and 96 mm, cross-fitted. Prints tables and writes them as CSV.
9 minutes on 2 cores.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from ssl_hip import config, metrics, parallel
from ssl_hip.images import resampling, volumes
from ssl_hip.images.isotropic import Scan
from ssl_hip.preparation import cutting
from ssl_hip.scans import manifest
from ssl_hip.shape import deviation_score, morphometry, shape_cohort, shape_model, shape_parts
from ssl_hip.shape.distance_field import Field
from ssl_hip.simulation import phantom, shapes, soft_tissue
from ssl_hip.simulation.anatomy import draw_anatomy
from ssl_hip.simulation.landmarks import depths, landmarks

FOREGROUND = [1, 2, 3, 4]
MODES = (1, 2, 5, 10, 15, 20, 30)
SUBCUTANEOUS_MM = 22.0  # fat, about the middle of ct_simulation's range
GRID_MM = 3.0  # of the patches' places, as in the default profile
EDGES_MM = (48.0, 96.0)  # of the patches; the default profile's and the paper's order of magnitude
Row = dict[str, float | str | int]


def write_real(job: tuple[Path, Path]) -> None:
    """Store a label map with 20 mm of surroundings."""
    source, target = job
    labels = volumes.canonical(volumes.read_image(source))
    margin = [int(round(20 / s)) for s in labels.GetSpacing()[:2]] + [0]
    volumes.write(sitk.ConstantPad(sitk.Cast(labels, sitk.sitkUInt8), margin, margin, 0), target)


def write_phantom(job: tuple[int, bool, Path]) -> None:
    """Store the label map of a phantom at 1 mm."""
    index, diseased, target = job
    anatomy = draw_anatomy(np.random.default_rng([0, 1, index]), diseased)
    volumes.write(sitk.GetImageFromArray(phantom.label_map(anatomy, (1.0, 1.0, 1.0))), target)


def write_cohort(root: Path, sources: list[Path], phantoms: int, diseased: float, workers: int) -> pd.DataFrame:
    """Write label maps and a manifest of training subjects: real ones where sources are given, else phantoms."""
    names = [path.name.split(".")[0] for path in sources] or [f"p{i:03d}" for i in range(phantoms)]
    files = [root / "data" / "labels" / f"{name}.nii.gz" for name in names]
    if sources:
        parallel.run(write_real, list(zip(sources, files, strict=True)), "label maps", workers)
    else:
        ill = np.random.default_rng([0, 0]).permutation(phantoms)[: round(diseased * phantoms)]
        parallel.run(write_phantom, [(i, i in ill, file) for i, file in enumerate(files)], "phantoms", workers)
    place = [f"data/labels/{file.name}" for file in files]  # no image is needed but its grid, which is the label's
    table = pd.DataFrame(dict(subject=names, split="train", image=place, label=place, held_out=""))
    table.to_csv(root / "data" / "cohort.csv", index=False)
    return table


def body(labels: sitk.Image) -> np.ndarray:
    """Return HU on the patches' grid: 0 within the body that ct_simulation draws around the bones, air outside."""
    coarse = resampling.resample(labels, GRID_MM, label=True)
    voxels, spacing = volumes.to_array(coarse), coarse.GetSpacing()
    marks, grid = landmarks(depths(voxels, spacing), spacing), shapes.grid_of(voxels.shape, spacing)
    inside = soft_tissue.skin_distance(grid, marks, SUBCUTANEOUS_MM) < 0
    return np.broadcast_to(np.where(inside, np.float32(0), np.float32(volumes.AIR_HU)), voxels.shape)


def score_subject(job) -> list[Row]:
    """Score a subject's random patches centred on the body."""
    root, subject, label, index, edge_mm, count, least_cm2 = job
    labels = shape_parts.own_frame(volumes.read_image(root / label))
    fit = volumes.read_image(deviation_score.fit_file(root / "model", subject))
    scored = deviation_score.Subject(labels, FOREGROUND, fit)
    size = int(edge_mm / GRID_MM)
    settings, rng = SimpleNamespace(edge=size, spacing_mm=GRID_MM, body_hu=-300), np.random.default_rng([0, index])
    corners = cutting.positions(Scan(body(labels), None), count, settings, 0.0, rng, subject)
    places = [scored.corner_mm(corner, GRID_MM) for corner in corners]
    return [dict(subject=subject, split="train", deviation_mm=scored.score(p, edge_mm, least_cm2)) for p in places]


def scores(root: Path, table: pd.DataFrame, edge_mm: float, settings, workers: int) -> pd.DataFrame:
    """Score 30 patches of every subject of a cohort whose shape model is built."""
    least = settings.min_surface_cm2
    jobs = [(root, row.subject, row.label, row.Index, edge_mm, 30, least) for row in table.itertuples()]
    found = parallel.run(score_subject, jobs, "scoring", workers)
    return pd.DataFrame(sum(found, []))


def measure(job: tuple[Path, dict[str, dict[str, int]]]) -> list[Row]:
    """Return a subject's measures, a row a side."""
    file, parts = job
    return [dict(subject=file.name[:4]) | row for row in morphometry.measure(volumes.read_image(file), parts)]


def leave_one_out(job) -> list[Row]:
    """Return the error of a part's model for every bone and number of modes, both hips of the subject left out."""
    files, part, settings = job
    parts = {part: shape_cohort.parts_of(settings)[part]}
    found = [list(shape_parts.bones(volumes.read_image(f), parts, shape_cohort.DISTANCE_MM)) for f in files]
    surveys = [shape_cohort.measured(i, bone) for i, bones in enumerate(found) for bone in bones]
    first = shape_cohort.templates(surveys, {i: i for i in range(len(files))})[0]
    subjects = [{bone.side: bone.distance for bone in bones} for bones in found]
    template = shape_model.template_of(subjects[first]["right"])
    groups = np.array([i for i, bones in enumerate(subjects) for _ in bones])
    moved = (shape_model.correspond(template, d, settings.grid_mm) for bones in subjects for d in bones.values())
    stack = np.stack([m.astype(np.float16) for m in moved])
    rows = []
    for left in (i for i in range(len(subjects)) if i != first):
        chosen = SimpleNamespace(grid_mm=settings.grid_mm, modes=max(MODES))
        model = shape_model.train(template, stack[groups != left], groups[groups != left], chosen)
        for side, distance in subjects[left].items():
            errors = ((n, *surface_error(model.first(n), distance)) for n in MODES if n <= model.modes)
            rows += [dict(part=part, left=left, side=side, modes=n, mean_mm=m, hd95_mm=h) for n, m, h in errors]
    return rows


def surface_error(model: shape_model.ShapeModel, distance: Field) -> tuple[float, float]:
    """Return mean surface distance and HD95 in mm between a bone and its fit."""
    image = sitk.GetImageFromArray(distance.values)
    image.SetOrigin(distance.origin.tolist())
    image.SetSpacing([distance.spacing_mm] * 3)
    fitted = volumes.to_array(model.render(model.fit(distance), image)) < 0
    surfaces = metrics.surface(fitted), metrics.surface(distance.values < 0)
    ways = [distance.spacing_mm * ndimage.distance_transform_edt(~b)[a] for a, b in (surfaces, surfaces[::-1])]
    return float(np.mean([way.mean() for way in ways])), metrics.hd95(fitted, distance.values < 0, distance.spacing_mm)


def first_mode(folder: Path) -> pd.Series:
    """Return the share of the variance that each part's first mode holds."""
    shares = {}
    for file in sorted(folder.glob("*.npz")):
        moves = shape_model.ShapeModel.load(file).displacement.values[..., 1:]
        variances = np.square(moves).sum((0, 1, 2, 3))
        shares[file.stem] = variances[0] / variances.sum()
    return pd.Series(shares, name="first mode's share")


def report(name: str, root: Path, table: pd.DataFrame, settings, workers: int) -> dict[str, pd.DataFrame]:
    """Build the shape model of a cohort that is written and return all tables by their titles."""
    shape_cohort.build(SimpleNamespace(shape_model=settings), root / "data" / "cohort.csv", root / "model", workers)
    result = {}
    for edge in EDGES_MM:
        rows = scores(root, table, edge, settings, workers)
        title = f"table4 {name} {edge:.0f} mm, {int(rows.deviation_mm.isna().sum())} of {len(rows)} unscored"
        result[title] = deviation_score.table4(rows, settings.groups_mm)
    return result | anatomy(name, root, [root / label for label in table.label], settings, workers)


def anatomy(name: str, root: Path, files: list[Path], settings, workers: int) -> dict[str, pd.DataFrame]:
    """Return the tables of measures, of leave-one-out errors and of first modes."""
    jobs = [(file, shape_cohort.parts_of(settings)) for file in files]
    measures = pd.DataFrame(sum(parallel.run(measure, jobs, "measuring", workers), []))
    jobs = [(files, part, settings) for part in vars(settings.parts)]
    errors = pd.DataFrame(sum(parallel.run(leave_one_out, jobs, "leaving one out", workers), []))
    return {
        f"morphometry {name}": measures.drop(columns=["subject", "side"]).describe().T,
        f"generalisation {name}": errors.groupby(["part", "modes"])[["mean_mm", "hd95_mm"]].agg(["mean", "std"]),
        f"first mode {name}": first_mode(root / "model").to_frame(),
    }


def main() -> None:
    """Print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labelmaps", type=Path, required=True, help="folder of real label maps")
    parser.add_argument("--out", type=Path, help="folder for CSV tables")
    parser.add_argument("--params", type=Path, default=config.ROOT, help="folder of params.yaml")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    params = config.load("shape_model", "cohort.phantom.diseased", root=arguments.params)
    files, diseased = manifest.volume_files(arguments.labelmaps), params.cohort.phantom.diseased
    for name, sources in {"real": files, "phantom": []}.items():
        with TemporaryDirectory() as folder:
            table = write_cohort(Path(folder), sources, len(files), diseased, arguments.workers)
            found = report(name, Path(folder), table, params.shape_model, arguments.workers)
            for title, table in found.items():
                print(f"\n{title}\n{table.round(3).to_string()}", flush=True)
                if arguments.out:
                    arguments.out.mkdir(parents=True, exist_ok=True)
                    table.to_csv(arguments.out / f"{title.split(',')[0].replace(' ', '_')}.csv")


if __name__ == "__main__":
    main()
