"""Rules of params.yaml that tie keys to one another or to files: each yields (dotted key, what is wrong)."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from ssl_hip.images import label_values
from ssl_hip.scans.manifest import volume_files

Problems = Iterator[tuple[str, str]]


def patch_edge(size: int, levels: int, root: Path) -> Problems:
    """Every level of the network halves the patch; 3 voxels an edge must be left.

    On a volume of 2, oneDNN's bfloat16 weight gradient of a 3x3x3 convolution reads unwritten memory: NaN at random.
    """
    step = 2 ** (levels - 1)
    if size % step:
        yield "patches.edge", f"is {size}, must be a multiple of {step} = 2^(model.levels - 1)"
    elif size < 3 * step:
        yield "patches.edge", f"is {size}, must be {3 * step} at least: the deepest level keeps 3 voxels an edge"


def group_width(norm: str, width: int, root: Path) -> Problems:
    """Group normalisation has 8 groups."""
    if norm == "group" and width % 8:
        yield "model.width", f"is {width}, must be a multiple of 8 with model.norm: group"


def methods_exist(names: list[str], settings: dict, root: Path) -> Problems:
    """A method has a file and a group of settings."""
    folder = Path(__file__).parent / "methods"
    there = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"may be {', '.join(there)}"
            yield "train.methods", f"no method is called '{name}'; {hint}"
        elif name not in settings:
            yield "train.methods", f"'{name}' has no settings; add the group methods.{name}"


def variants_fit(variants: dict, trained: list[str], methods: dict, root: Path) -> Problems:
    """A variant changes keys of embedding_matching to other values, and does not take a method's name."""
    base = methods["embedding_matching"]
    for name, changes in variants.items():
        key = f"variants.{name}"
        if name in methods or name == "ceiling":
            yield key, "is a method's name; take another, its runs would lie in the same folder"
        if base | changes == base and name in trained:
            yield key, "changes nothing of methods.embedding_matching; take it out of ablations.variants"


def ablations_have_a_base(ablations: dict, variants: dict, train: dict, root: Path) -> Problems:
    """The variants trained are defined, and so is embedding_matching itself at the same subsets and draws."""
    for name in ablations["variants"]:
        if name not in variants:
            yield "ablations.variants", f"no variant is called '{name}'; may be {', '.join(variants)} (see variants)"
    if not ablations["variants"]:
        return
    if "embedding_matching" not in train["methods"]:
        yield "ablations.variants", "are compared with embedding_matching; add it to train.methods, or empty the list"
    for key in ("labelled_patches", "draws"):
        if lacking := [value for value in ablations[key] if value not in train[key]]:
            yield f"ablations.{key}", f"names {lacking}, not among train.{key} = {train[key]}: nothing to compare with"


def subsets_are_known(chosen: list[int], subsets: dict[int, int], root: Path) -> Problems:
    """A run's labelled patches are one of the subsets."""
    for size in chosen:
        if size not in subsets:
            there = ", ".join(map(str, subsets))
            yield "train.labelled_patches", f"no subset has {size} patches; may be {there} (keys of patches.subsets)"


def draws_exist(draws: list[int], ceiling: list[int], number: int, root: Path) -> Problems:
    """Draws count from 0 to patches.draws - 1."""
    for key, values in (("train.draws", draws), ("train.ceiling_draws", ceiling)):
        for draw in values:
            if draw >= number:
                yield key, f"names draw {draw}, may go up to {number - 1}; or raise patches.draws"


def something_is_trained(epochs: float, batch: int, count: int, factor: float, root: Path) -> Problems:
    """Every training has an iteration at least: epochs * ceil(training patches / batch_size), rounded."""
    steps = epochs * -(-count // batch)
    if round(steps) < 1:
        yield "optimization.epochs", f"is {epochs:g}, which makes no iteration of {count} training patches; raise it"
    elif round(factor * steps) < 1:
        yield "train.ceiling_factor", f"is {factor:g}, which leaves no iteration of {round(steps)}; raise it"


def subsets_nest(subsets: dict[int, int], count: int, root: Path) -> Problems:
    """A larger subset contains the smaller one, and every scan of a subset gives at least one patch."""
    before = 0
    for size, scans in sorted(subsets.items()):
        key = f"patches.subsets.{size}"
        if scans < before:
            yield key, f"comes from {scans} scans, but the smaller subset from {before}"
        if scans > size:
            yield key, f"{size} patches cannot come from {scans} scans; at most {size}"
        if size > count:
            yield key, f"asks for {size} patches, at most patches.count.train = {count}"
        before = max(before, scans)


def something_is_unlabelled(methods: list[str], chosen: list[int], count: int, root: Path) -> Problems:
    """Semi-supervised methods need patches without labels."""
    if set(methods) - {"supervised"} and count in chosen:
        remedy = "leave some unlabelled, or name only 'supervised' in train.methods"
        yield "train.labelled_patches", f"{count} are all training patches; {remedy}"


def scans_suffice(source: str, subjects: dict, count: dict, subsets: dict[int, int], root: Path) -> Problems:
    """Where cohort.subjects says how many scans there are, they must give the patches asked for."""
    if source == "scans":
        return
    for split, scans in subjects.items():
        if count[split] < scans:
            reason = f"one a scan (cohort.subjects.{split})"
            yield f"patches.count.{split}", f"is {count[split]}, must be {scans} at least: {reason}"
    share, rest = divmod(count["train"], subjects["train"])
    for size, scans in subsets.items():
        key = f"patches.subsets.{size}"
        surely = scans * share + max(0, scans - (subjects["train"] - rest))  # where the scans with fewest are drawn
        if scans > subjects["train"]:
            yield key, f"comes from {scans} labelled scans, at most cohort.subjects.train = {subjects['train']}"
        elif surely < size <= count["train"]:
            yield key, f"asks for {size} patches, but {scans} scans give {surely}; name more scans"


def splits_are_drawn(
    source: str, layout: str, split: str, select: str, subjects: dict, count: dict, root: Path
) -> Problems:
    """Only the user's own scans may all train; without validation patches there is nothing to choose by.

    A manifest may have a column split, which wins over cohort.split.
    """
    if source != "scans" and split != "counts":
        yield "cohort.split", f"is '{split}', must be counts with source {source}"
    drawn = source != "scans" or layout != "manifest"
    reasons = {
        "cohort.split: all": drawn and split == "all",
        "cohort.subjects.validation = 0": drawn and split == "counts" and subjects["validation"] == 0,
        "patches.count.validation = 0": count["validation"] == 0,
    }
    if select == "best" and any(reasons.values()):
        reason = next(reason for reason, holds in reasons.items() if holds)
        yield "optimization.select", f"is 'best', must be last with {reason}: nothing to choose by"


def foreground_is_named(source: str, layout: str, foreground: list, background: list, root: Path) -> Problems:
    """Files are named where each structure has its own, label values everywhere else."""
    files = source == "scans" and layout == "totalsegmentator"
    if files != all(isinstance(name, str) for name in foreground):
        what = "file names, e.g. [hip_left, hip_right]" if files else "label values, e.g. [1, 2]"
        yield "cohort.foreground", f"is {foreground}, must list {what}, with source {source} and layout {layout}"
    if both := sorted(set(foreground) & set(background)):
        yield "cohort.background", f"names {both} like cohort.foreground; a value is one or the other"


def bones_are_foreground(parts: dict, foreground: list, root: Path) -> Problems:
    """A shape model is made of foreground; several bones in one label value would be taken for one."""
    values = label_values.foreground(foreground)
    for bone, sides in parts.items():
        for side, value in sides.items():
            if value not in values:
                remedy = "name each bone's own value, or no bones: {}"
                yield f"shape_model.parts.{bone}.{side}", f"is {value}, not among cohort.foreground {values}; {remedy}"


INPUTS = {
    "labelmaps": "a folder of label maps",
    "manifest": "a CSV with the columns subject,image,label[,split]",
    "folder": "a folder with images/ and labels/",
    "totalsegmentator": "a folder of sXXXX/ct.nii.gz with sXXXX/segmentations/",
    "ctpelvic1k": "a folder with *_data.nii.gz and *_mask_4label.nii.gz",
}


def input_exists(source: str, layout: str, name: str, subjects: dict, root: Path) -> Problems:
    """Real scans and label maps are there; what they hold is checked when the cohort is built."""
    path = root / name
    if source == "phantom":
        return
    wanted = INPUTS[layout if source == "scans" else source]
    if not name or not path.exists():
        yield "cohort.path", (f"'{name}' does not exist; " if name else "empty; ") + f"names {wanted}"
    elif path.is_file() != (source == "scans" and layout == "manifest"):
        yield "cohort.path", f"'{name}' is a {'file' if path.is_file() else 'folder'}; must be {wanted} (cohort.layout)"
    elif source == "labelmaps":
        yield from enough_maps(path, name, sum(subjects.values()))


def enough_maps(path: Path, name: str, wanted: int) -> Problems:
    """The folder holds as many label maps as there are subjects."""
    found = len(volume_files(path))
    if found < wanted:
        said = f"asks for {wanted} subjects, but {name} holds {found} label maps"
        yield "cohort.subjects", f"{said}; lower them or add files"


RULES = (  # keys whose values a rule takes; it is asked only where nothing else is wrong with them
    (("patches.edge", "model.levels"), patch_edge),
    (("model.norm", "model.width"), group_width),
    (("train.methods", "methods"), methods_exist),
    (("variants", "ablations.variants", "methods"), variants_fit),
    (("ablations", "variants", "train"), ablations_have_a_base),
    (("train.labelled_patches", "patches.subsets"), subsets_are_known),
    (("train.draws", "train.ceiling_draws", "patches.draws"), draws_exist),
    (
        ("optimization.epochs", "optimization.batch_size", "patches.count.train", "train.ceiling_factor"),
        something_is_trained,
    ),
    (("patches.subsets", "patches.count.train"), subsets_nest),
    (("train.methods", "train.labelled_patches", "patches.count.train"), something_is_unlabelled),
    (("cohort.source", "cohort.subjects", "patches.count", "patches.subsets"), scans_suffice),
    (
        ("cohort.source", "cohort.layout", "cohort.split", "optimization.select", "cohort.subjects", "patches.count"),
        splits_are_drawn,
    ),
    (("cohort.source", "cohort.layout", "cohort.foreground", "cohort.background"), foreground_is_named),
    (("shape_model.parts", "cohort.foreground"), bones_are_foreground),
    (("cohort.source", "cohort.layout", "cohort.path", "cohort.subjects"), input_exists),
)
