"""Shape models of a cohort: trained on its training subjects' labels, cross-fitted for them, fitted to every label.

A training subject is fitted by a model that has not seen it, nor has it for a template: each fold's model is made of
the other folds' subjects, and two templates of two folds stand ready.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import SimpleITK as sitk

from ssl_hip import parallel
from ssl_hip.config import UserError
from ssl_hip.images import labels, volumes
from ssl_hip.scans import manifest
from ssl_hip.shape import shape_model, shape_parts
from ssl_hip.shape.deviation_score import fit_file
from ssl_hip.shape.distance_field import Field
from ssl_hip.shape.shape_model import Fit, ShapeModel

CANDIDATES = 8  # training subjects from whom templates are chosen
DISTANCE_MM = 1.5  # grid of bones and templates
FIT_MM = 2.0  # grid of a subject's rendered fit
TENTHS = 10  # rendered distances are whole tenths of a mm, within +-FAR_MM
FAR_MM = 12.0
MEMORY_MB = 700
COLUMNS = ["subject", "part", "side", "fold", "residual_mm", "coefficients", "pose"]
ALL = "all"  # the fold of those fitted by the model of all training subjects


class Task(NamedTuple):
    """One subject's work in a process."""

    subject: str
    image: str  # path from root
    label: str  # paths from root, joined by ";"
    root: Path
    parts: dict[str, dict[str, int]]
    grid_mm: float
    folder: Path
    use: Any = None  # templates to register with, or the models' name


def build(params: SimpleNamespace, cohort_csv: Path, folder: Path, workers: int | None = None) -> pd.DataFrame:
    """Write PART.npz, fits/SUBJECT.nii.gz and fits.json below `folder`; return fits.json as a table (see `table`).

    params: section shape_model of params.yaml. Subjects without label are left out. What an interrupted run finished
    is taken up again. Without training labels, or without parts, there are no models and no fits. Raises UserError
    where the training labels show none of the bones.
    """
    settings, root = params.shape_model, cohort_csv.parent.parent
    cohort = manifest.read(cohort_csv).query("label != ''")
    files = [file for label in cohort.label for file in labels.files(label, root)]
    name = parallel.fingerprint([settings, cohort_csv.read_text()], files)
    work = folder.parent / ".unfinished" / f"{folder.name}-{name}"
    tasks = {
        row.subject: Task(row.subject, row.image, row.label, root, parts_of(settings), settings.grid_mm, work)
        for row in cohort.itertuples()
    }
    training = [tasks[subject] for subject in cohort.subject[cohort.split == "train"]]
    (work / "fits").mkdir(parents=True, exist_ok=True)
    fold_of = folds([task.subject for task in training], settings.folds, settings.seed)
    _train(training, fold_of, settings, work, workers)
    jobs = [task._replace(use=fold_of.get(task.subject, ALL)) for task in tasks.values()]
    fits = parallel.run(fit_subject, jobs, "fitting shapes", workers, MEMORY_MB, work / "fitted")
    return _finish(work, folder, fits)


def read_labels(task: Task) -> sitk.Image:
    """Read a subject's label on its image's grid, where patches are cut."""
    return labels.read(task.label, task.root, volumes.read_image(task.root / task.image))


def parts_of(settings: SimpleNamespace) -> dict[str, dict[str, int]]:
    """Return part -> side -> label value as plain dicts."""
    return {part: dict(vars(sides)) for part, sides in vars(settings.parts).items()}


def folds(subjects: list[str], count: int, seed: int) -> dict[str, int]:
    """Return each subject's fold 0, 1, ...: as equal in size as they go, at random."""
    order = np.random.default_rng([seed, 0]).permutation(len(subjects))
    return {subjects[i]: int(place % count) for place, i in enumerate(order)}


def _train(training: list[Task], fold_of: dict[str, int], settings, work: Path, workers: int | None) -> None:
    """Write templates/ and models/ of all folds."""
    order = np.random.default_rng([settings.seed, 1]).permutation(len(training))
    candidates = [training[i] for i in order[:CANDIDATES]]
    surveys = parallel.run(survey, candidates, "choosing templates", workers, MEMORY_MB, work / "surveyed")
    chosen = {
        part: templates([s for s in sum(surveys, []) if s["part"] == part], fold_of) for part in parts_of(settings)
    }
    if training and chosen and not any(chosen.values()):
        raise UserError("params.yaml: shape_model.parts: no training label shows any of these values; correct them")
    (work / "templates").mkdir(exist_ok=True)
    (work / "displacements").mkdir(exist_ok=True)
    jobs = [task._replace(use=chosen) for task in training]
    for part, names in chosen.items():
        for name in names:
            _write_template(next(t for t in training if t.subject == name), part, work)
    parallel.run(register_subject, jobs, "registering bones", workers, MEMORY_MB, work / "registered")
    (work / "models").mkdir(exist_ok=True)
    for part, names in chosen.items():
        for fold in [ALL, *sorted(set(fold_of.values()))]:
            _write_model(part, names, fold, fold_of, settings, work)


def survey(task: Task) -> list[dict[str, Any]]:
    """Return for each bone of a subject its size and by how many faces of the scan it is cut."""
    return [measured(task.subject, bone) for bone in shape_parts.bones(read_labels(task), task.parts, DISTANCE_MM)]


def measured(subject: Any, bone: shape_parts.Bone) -> dict[str, Any]:
    """Return a bone's height in voxels and by how many faces of the scan it is cut, as `templates` takes them."""
    inside = bone.distance.values < 0
    cuts = sum(bool(inside.take(end, axis).any()) for axis in range(3) for end in (0, -1))
    height = float(np.ptp(np.flatnonzero(inside.any((1, 2)))))
    return dict(subject=subject, part=bone.part, side=bone.side, cuts=cuts, height=height)


def templates(surveys: list[dict[str, Any]], fold_of: dict[str, int]) -> list[str]:
    """Return the subject of the template, and another of another fold for the fold that the first belongs to.

    A bone that the scan does not cut, of median height; where the scan cuts all of them the tallest.
    """
    right = [s for s in surveys if s["side"] == shape_parts.SIDES[0]]
    whole = [s for s in right if s["cuts"] == 0]
    middle = np.median([s["height"] for s in whole]) if whole else 0.0
    ranked = sorted(right, key=lambda s: (s["cuts"] > 0, abs(s["height"] - middle) if s["cuts"] == 0 else -s["height"]))
    others = [s for s in ranked if fold_of[s["subject"]] != fold_of[ranked[0]["subject"]]]
    return [s["subject"] for s in ranked[:1] + others[:1]]


def _write_template(task: Task, part: str, work: Path) -> None:
    sides = {part: {shape_parts.SIDES[0]: task.parts[part][shape_parts.SIDES[0]]}}
    bone = next(shape_parts.bones(read_labels(task), sides, DISTANCE_MM))
    template = shape_model.template_of(bone.distance)
    empty = Field(np.zeros((2, 2, 2, 3, 1), np.float32), template.origin, 1.0)
    ShapeModel(template, empty).save(work / "templates" / f"{part}-{task.subject}.npz")


def register_subject(task: Task) -> list[str]:
    """Write the displacements of a subject's bones onto each template."""
    written = []
    for bone in shape_parts.bones(read_labels(task), task.parts, DISTANCE_MM):
        for name in task.use[bone.part]:
            template = ShapeModel.load(task.folder / "templates" / f"{bone.part}-{name}.npz").template
            moved = shape_model.correspond(template, bone.distance, task.grid_mm).astype(np.float16)
            written.append(f"{bone.part}-{name}-{task.subject}-{bone.side}.npy")
            np.save(task.folder / "displacements" / written[-1], moved)
    return written


def _write_model(part: str, names: list[str], fold, fold_of: dict[str, int], settings, work: Path) -> None:
    """Train the model of all folds but one and write it; nothing where no bones or no template are left."""
    name = next((name for name in names if fold_of[name] != fold), None)
    others = [subject for subject in fold_of if fold_of[subject] != fold]
    files = [
        (subject, file)
        for subject in others
        for side in shape_parts.SIDES
        if (file := work / "displacements" / f"{part}-{name}-{subject}-{side}.npy").is_file()
    ]
    if len(files) < 2:
        return
    template = ShapeModel.load(work / "templates" / f"{part}-{name}.npz").template
    stack = np.stack([np.load(file) for _, file in files])
    model = shape_model.train(template, stack, np.array([subject for subject, _ in files]), settings)
    model.save(work / "models" / f"{part}-{fold}.npz")


def fit_subject(task: Task) -> list[dict[str, Any]]:
    """Fit a subject's bones, write the union of the fits as fits/SUBJECT.nii.gz, and return a row a bone."""
    label = shape_parts.own_frame(read_labels(task))
    union, rows = empty_fit(label), []
    for bone in shape_parts.bones(label, task.parts, DISTANCE_MM):
        file = task.folder / "models" / f"{bone.part}-{task.use}.npz"
        if file.is_file():
            model = ShapeModel.load(file)
            fit = model.fit(bone.distance, bone.side)
            union = sitk.Minimum(union, model.render(fit, union))
            rows.append(dict(subject=task.subject, part=bone.part, side=bone.side, fold=str(task.use)) | described(fit))
    if rows:
        tenths = sitk.Clamp(sitk.Round(union * TENTHS), sitk.sitkInt8, -FAR_MM * TENTHS, FAR_MM * TENTHS)
        volumes.write(tenths, fit_file(task.folder, task.subject))
    return rows


def empty_fit(label: sitk.Image) -> sitk.Image:
    """Return a grid of FIT_MM that covers a label map in its own frame, FAR_MM everywhere."""
    size, spacing = np.array(label.GetSize()), np.array(label.GetSpacing())
    grid = sitk.Image(np.ceil(size * spacing / FIT_MM).astype(int).tolist(), sitk.sitkFloat32)
    grid.SetSpacing([FIT_MM] * 3)
    grid.SetOrigin(((FIT_MM - spacing) / 2).tolist())
    return grid + FAR_MM


def described(fit: Fit) -> dict[str, Any]:
    """Return a fit as JSON keeps it."""
    pose = {name: np.asarray(value).round(9).tolist() for name, value in fit.pose._asdict().items()}
    return dict(residual_mm=round(fit.residual_mm, 4), coefficients=fit.coefficients.round(6).tolist(), pose=pose)


def _finish(work: Path, folder: Path, fits: list[list[dict[str, Any]]]) -> pd.DataFrame:
    """Put models, fits and their table in place; copies, so that work is whole until they are there."""
    new = work / "new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(work / "fits", new / "fits")
    for file in (work / "models").glob(f"*-{ALL}.npz"):
        shutil.copyfile(file, new / file.name.replace(f"-{ALL}", ""))
    (new / "fits.json").write_text(json.dumps(sum(fits, []), indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    parallel.discard(work.parent, f"{folder.name}-*")
    return table(folder)


def table(folder: Path) -> pd.DataFrame:
    """Return subject, part, side, fold, residual_mm, coefficients (list), pose (dict) of every fitted bone."""
    return pd.DataFrame(json.loads((folder / "fits.json").read_text()), columns=COLUMNS)
