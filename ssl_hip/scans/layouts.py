"""How scans lie on the disk, by name: each layout lists subject, image, label, split, metal and tags."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ssl_hip.config import UserError
from ssl_hip.scans.manifest import SUFFIXES, stem, volume_files

COLUMNS = ["subject", "image", "label", "split", "metal", "tags"]
CTPELVIC1K_IMAGE, CTPELVIC1K_LABEL = "_data.nii.gz", "_mask_4label.nii.gz"


def table(layout: str, source: Path, foreground: list[int] | list[str]) -> pd.DataFrame:
    """Return the scans at `source`, all columns text; label "" when unlabelled, several files joined by ";".

    foreground: cohort.foreground; names of files, where a layout has a file a bone. A label whose image is missing has
    a row without image. Raises UserError that says what the layout expects.
    """
    if layout not in LAYOUTS:
        raise UserError(f"params.yaml: cohort.layout is '{layout}'; choose one of {', '.join(LAYOUTS)}")
    rows = LAYOUTS[layout](source, foreground)
    found = pd.DataFrame(rows, columns=COLUMNS[:3]) if isinstance(rows, list) else rows
    optional = {"split": "", "metal": "0", "tags": ""}
    return found.assign(**{name: text for name, text in optional.items() if name not in found})[COLUMNS]


def manifest(source: Path, foreground: list) -> pd.DataFrame:
    """A CSV: subject, image, label and, if wanted, split, metal, tags; paths from the CSV's own folder, links followed.

    An image may be a DICOM folder or folder#SERIES_INSTANCE_UID; a label may be several files joined by ";".
    """
    if not source.is_file():
        raise UserError(f"{source}: layout 'manifest' expects a CSV file with the columns subject,image,label[,split]")
    try:
        read = pd.read_csv(source, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{source}: not a CSV file in UTF-8; its header is subject,image,label[,split]") from error
    if missing := [name for name in COLUMNS[:3] if name not in read.columns]:
        raise UserError(f"{source}: column(s) {', '.join(missing)} missing; the header is subject,image,label[,split]")
    place = source.resolve().parent  # a profile's data folder holds a link to the CSV only
    for column in ("image", "label"):
        read[column] = [
            ";".join(str(place / part.strip()) for part in text.split(";") if part.strip()) for text in read[column]
        ]
    return read


def folder(source: Path, foreground: list) -> list[tuple[str, str, str]]:
    """images/ and labels/ with equal names; an image may be a sub-folder, a DICOM series."""
    images = _expect_folder(source / "images", "folder", "images/ with scans and labels/ with labels of equal names")
    scans = volume_files(images) + sorted(p for p in images.iterdir() if p.is_dir() and not p.name.startswith("."))
    labels = _by_name(volume_files(source / "labels") if (source / "labels").is_dir() else [], stem)
    rows = [(name := p.name if p.is_dir() else stem(p), str(p), labels.get(name, "")) for p in scans]
    lonely = sorted(set(labels) - {name for name, _, _ in rows})
    return _some(rows, images, "folder", f"scans ({', '.join(SUFFIXES)}) or DICOM folders") + [
        (name, "", labels[name]) for name in lonely
    ]


def totalsegmentator(source: Path, foreground: list[str]) -> list[tuple[str, str, str]]:
    """SUBJECT/ct.nii.gz with SUBJECT/segmentations/NAME.nii.gz, the names being cohort.foreground.

    The label is those files in this order; without a folder segmentations/ a scan is unlabelled. The data set's own
    meta.csv (image_id;split) is not used: its splits serve another task.
    """
    if not all(isinstance(name, str) for name in foreground):
        raise UserError(
            "params.yaml: with cohort.layout: totalsegmentator, cohort.foreground lists names of files, e.g. "
            "[hip_left, hip_right, femur_left, femur_right]"
        )
    what = "SUBJECT/ct.nii.gz with SUBJECT/segmentations/NAME.nii.gz"
    images = sorted(_expect_folder(source, "totalsegmentator", what).glob("*/ct.nii.gz"))
    rows = []
    for image in images:
        masks = image.parent / "segmentations"
        label = ";".join(str(masks / f"{name}.nii.gz") for name in foreground) if masks.is_dir() else ""
        rows.append((image.parent.name, str(image), label))
    return _some(rows, source, "totalsegmentator", what)


def ctpelvic1k(source: Path, foreground: list[int]) -> list[tuple[str, str, str]]:
    """NAME_data.nii.gz with NAME_mask_4label.nii.gz, in any sub-folders; the subject is NAME.

    Label values: 1 sacrum, 2 and 3 hip bones, 4 lumbar spine. The data set has its masks in other folders than its
    images, some without the leading "datasetN_" of their image (Liu et al. 2021).
    """
    what = f"NAME{CTPELVIC1K_IMAGE} with NAME{CTPELVIC1K_LABEL} in any sub-folders"
    source = _expect_folder(source, "ctpelvic1k", what)
    labels = _by_name(sorted(source.rglob(f"*{CTPELVIC1K_LABEL}")), lambda p: p.name.removesuffix(CTPELVIC1K_LABEL))
    rows = []
    for image in sorted(source.rglob(f"*{CTPELVIC1K_IMAGE}")):
        name = image.name.removesuffix(CTPELVIC1K_IMAGE)
        label = labels.get(name) or labels.get(re.sub(r"^dataset\d+_", "", name), "")
        rows.append((name, str(image), label))
    lonely = sorted(set(labels.values()) - {label for _, _, label in rows})
    return _some(rows, source, "ctpelvic1k", what) + [
        (Path(label).name.removesuffix(CTPELVIC1K_LABEL), "", label) for label in lonely
    ]


LAYOUTS = {each.__name__: each for each in (folder, manifest, totalsegmentator, ctpelvic1k)}


def _by_name(files: list[Path], name_of: Callable[[Path], str]) -> dict[str, str]:
    """Return name -> file; raise UserError that tells all files of equal names: which one is meant is not clear."""
    named: dict[str, list[str]] = {}
    for path in files:
        named.setdefault(name_of(path), []).append(str(path))
    if doubled := [f"{name}: {', '.join(paths)}" for name, paths in named.items() if len(paths) > 1]:
        raise UserError("several labels for one scan; keep one\n" + "\n".join(doubled))
    return {name: paths[0] for name, paths in named.items()}


def _expect_folder(path: Path, layout: str, what: str) -> Path:
    if not path.is_dir():
        expected = f"layout '{layout}' expects a folder with {what}"
        raise UserError(f"{path}: no such folder; {expected}, but there is {_there(path.parent)}")
    return path


def _some(rows: list, source: Path, layout: str, what: str) -> list:
    """Refuse an empty list, saying what lies there instead."""
    if not rows:
        raise UserError(f"{source}: holds no scans; layout '{layout}' expects {what}, but there is {_there(source)}")
    return rows


def _there(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "nothing"
