"""The keys of params.yaml, their types and ranges. A new method adds its group here."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def ordered(bounds: list[float]) -> list[float]:
    """Refuse a range whose end lies below its start."""
    if bounds[0] > bounds[1]:
        raise ValueError("must go from the smaller to the larger number")
    return bounds


def apart(bounds: list[float]) -> list[float]:
    """Refuse a range that is empty or ends below its start."""
    if bounds[0] >= bounds[1]:
        raise ValueError("must go from a smaller to a larger number")
    return bounds


def distinct(values: list) -> list:
    """Refuse a list that says something twice."""
    if len(set(values)) < len(values):
        raise ValueError("must not name anything twice")
    return values


def rising(values: list[float]) -> list[float]:
    """Refuse bounds that do not rise."""
    if any(a >= b for a, b in zip(values, values[1:], strict=False)):
        raise ValueError("must rise from bound to bound")
    return values


def plain(name: str) -> str:
    """Refuse what cannot name a run's folder and a DVC stage."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError("must be a word of small letters, digits and _")
    return name


def structures(values: list) -> list:
    """Refuse what is neither a list of label values nor one of file names."""
    label_values = all(type(value) is int and 1 <= value <= 254 for value in values)
    if not (label_values or all(isinstance(value, str) and value for value in values)):
        raise ValueError("must list label values from 1 to 254, or file names")
    return values


def kept_modes(value: int | str) -> int | str:
    """Refuse what is neither a rule for the number of modes nor a number of them."""
    if value not in ("explained_variance", "leave_one_out") and not (type(value) is int and 1 <= value <= 1000):
        raise ValueError("must be 'explained_variance', 'leave_one_out' or a whole number from 1 to 1000")
    return value


# Upper bounds are far above any use: what lies beyond is a slip of the finger that would be noticed after hours.
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Whole = Annotated[int, Field(ge=0, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=10_000)]
Weight = Annotated[float, Field(ge=0, le=10_000)]
Millimetre = Annotated[float, Field(gt=0, le=100)]
HU = Annotated[float, Field(ge=-100_000, le=100_000)]
Pair = Field(min_length=2, max_length=2)
Draws = Annotated[list[Whole], AfterValidator(distinct)]
Name = Annotated[str, AfterValidator(plain)]
Shares = Annotated[list[Share], Pair, AfterValidator(ordered)]
Window = Annotated[list[HU], Pair, AfterValidator(apart)]
Millimetres = Annotated[list[Millimetre], Pair, AfterValidator(ordered)]


class Section(BaseModel):
    """A group of keys: unknown ones are refused, and so are texts in place of numbers, infinity and NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Splits(Section):
    """A number for each split; without validation or test scores are not available."""

    train: Count
    validation: Whole
    test: Whole


class Phantom(Section):
    """The generated subjects."""

    in_plane_mm: Millimetres
    slice_mm: Millimetres
    diseased: Share
    metal: Share


class Cohort(Section):
    """Where the scans come from."""

    source: Literal["phantom", "labelmaps", "scans"]
    path: str
    layout: Literal["folder", "manifest", "totalsegmentator", "ctpelvic1k"]
    foreground: Annotated[list, Field(min_length=1), AfterValidator(structures), AfterValidator(distinct)]
    background: Annotated[list[Annotated[int, Field(ge=0, le=254)]], AfterValidator(distinct)]
    split: Literal["counts", "auto", "all"]
    on_error: Literal["stop", "skip"]
    subjects: Splits
    seed: Seed
    phantom: Phantom


class Sides(Section):
    """Label values of a bone."""

    right: Annotated[int, Field(ge=1, le=254)]
    left: Annotated[int, Field(ge=1, le=254)]


class ShapeModel(Section):
    """Statistical shape model and surface deviation score."""

    parts: dict[str, Sides]
    grid_mm: Millimetre
    modes: Annotated[Any, AfterValidator(kept_modes)]
    explained_variance: Annotated[float, Field(gt=0, le=1)]
    folds: Annotated[int, Field(ge=2, le=100)]
    min_surface_cm2: Weight
    groups_mm: Annotated[list[Positive], Field(min_length=1), AfterValidator(rising)]
    seed: Seed


class TrainingPlaces(Section):
    """Where training cubes may lie, by intensity alone."""

    above_hu: Annotated[float, Field(ge=-1024, le=3071)]
    share: BelowOne


class Patches(Section):
    """How scans are cut, and the labelled subsets."""

    spacing_mm: Millimetre
    edge: Annotated[int, Field(ge=8, le=512)]
    count: Splits
    test_candidates: Count
    joint_gap_mm: Millimetre
    metal_hu: Annotated[float, Field(gt=0, le=100_000)]
    metal_mm: Weight
    clip_hu: Window
    body_hu: Annotated[float, Field(ge=-1024, le=3000)]
    training_places: TrainingPlaces
    min_foreground: BelowOne
    subsets: Annotated[dict[Count, Count], Field(min_length=1)]
    draws: Count
    seed: Seed


class Model(Section):
    """The network."""

    width: Annotated[int, Field(ge=1, le=1024)]
    levels: Annotated[int, Field(ge=1, le=7)]
    norm: Literal["group", "batch", "instance", "none"]
    dropout: BelowOne


class Train(Section):
    """The grid of runs."""

    methods: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    labelled_patches: Annotated[list[Count], Field(min_length=1), AfterValidator(distinct)]
    draws: Annotated[Draws, Field(min_length=1)]
    ceiling_draws: Draws
    ceiling_factor: Positive
    base_seed: Seed
    threads: Annotated[int, Field(ge=1, le=1024)]


class Collapse(Section):
    """When a run counts as collapsed."""

    foreground_share: Share
    iou_drop: Share
    patience: Count


class Optimization(Section):
    """What all methods share."""

    epochs: Positive
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    learning_rate_power: Weight
    gradient_clip: Weight
    betas: Annotated[list[BelowOne], Pair]
    precision: Literal["auto", "bfloat16", "float32"]
    mirror: bool
    intensity: Weight
    student_noise: Weight
    teacher_noise: Weight
    ema_decay: Share
    ema_warmup: bool
    teacher_norm: Literal["running", "batch"]
    validate_every: Count
    select: Literal["best", "last"]
    network: Literal["student", "teacher"]
    collapse: Collapse


class Supervised(Section):
    """ssl_hip/methods/supervised.py."""


class MeanTeacher(Section):
    """ssl_hip/methods/mean_teacher.py."""

    weight: Weight


class Uamt(Section):
    """ssl_hip/methods/uamt.py."""

    weight: Weight
    passes: Count
    threshold: Shares  # times ln 2
    target: Literal["single_pass", "mean"]


class Cct(Section):
    """ssl_hip/methods/cct.py."""

    weight: Weight
    noise: Share
    dropout: BelowOne
    drop: Shares


class Mtc(Section):
    """ssl_hip/methods/mtc.py."""

    learning_rate: Positive  # times optimization.learning_rate


class Dtc(Section):
    """ssl_hip/methods/dtc.py."""

    weight: Weight
    weight_distance: Weight
    steepness: Positive


class EmbeddingMatching(Section):
    """ssl_hip/methods/embedding_matching.py."""

    weight_ua: Weight
    weight_nn: Weight
    weight_en: Weight
    threshold: Shares  # times ln 2
    uncertain_share: Shares
    passes: Count
    target: Literal["single_pass", "mean"]
    references: Count
    runs: Count
    band_mm: Millimetre
    kernel: Literal["cosine", "euclidean"]
    reduce: Literal["mean", "max"]
    embeddings: Literal["after_relu", "before_relu"]
    center: bool
    temperature: Positive
    labels: Literal["hard", "soft"]
    loss: Literal["cross_entropy", "brier"]


class Methods(Section):
    """One group a method, under its file's name."""

    supervised: Supervised
    mean_teacher: MeanTeacher
    uamt: Uamt
    cct: Cct
    mtc: Mtc
    dtc: Dtc
    embedding_matching: EmbeddingMatching


class Ablations(Section):
    """Which variants are trained."""

    variants: Annotated[list[str], AfterValidator(distinct)]
    labelled_patches: Annotated[list[Count], Field(min_length=1), AfterValidator(distinct)]
    draws: Annotated[Draws, Field(min_length=1)]


class Tables(Section):
    """Notebook 05."""

    alpha: Annotated[float, Field(gt=0, lt=1)]


class Figures(Section):
    """Notebook 06."""

    window_hu: Window


class Params(Section):
    """params.yaml."""

    cohort: Cohort
    shape_model: ShapeModel
    patches: Patches
    model: Model
    train: Train
    optimization: Optimization
    methods: Methods
    variants: dict[Name, dict[str, Any]]
    ablations: Ablations
    tables: Tables
    figures: Figures
