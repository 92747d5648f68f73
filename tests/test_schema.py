"""Every mistake in params.yaml gets one line that names the key and says what it may be."""

import copy
import io
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ssl_hip import schema
from ssl_hip.config import ROOT, read_yaml

PROFILES = [ROOT / "params.yaml", *sorted((ROOT / "params").glob("*.yaml"))]
METHODS = "cct, dtc, embedding_matching, mean_teacher, mtc, supervised, uamt"
MODES = "must be 'explained_variance', 'leave_one_out' or a whole number from 1 to 1000"
DELETED = type("Deleted", (), {"__repr__": lambda _: "DELETED"})()  # the same name in every process: xdist compares

BAD = [  # key, value, what the one line says after the key
    ("model.norms", "group", "unknown key; did you mean 'norm'?"),
    (
        "colour",
        1,
        "unknown key; may be cohort, shape_model, patches, model, train, optimization, methods, variants, ablations, "
        "tables, figures",
    ),
    ("model.width", "8", "is '8', must be a whole number"),
    ("model.width", 8.0, "is 8.0, must be a whole number"),
    ("model.width", True, "is True, must be a whole number"),
    ("model.width", 12, "is 12, must be a multiple of 8 with model.norm: group"),
    ("model.dropout", 1.5, "is 1.5, must be less than 1"),
    ("model.dropout", "none", "is 'none', must be a number"),
    ("model.dropout", float("nan"), "is nan, must be a finite number"),
    ("model.norm", "layer", "is 'layer', must be 'group', 'batch', 'instance' or 'none'"),
    ("model.norm", DELETED, "missing; add it as in params/paper.yaml"),
    ("model", None, "is empty, must be a group of keys"),
    ("methods", DELETED, "missing; add it as in params/paper.yaml"),
    ("patches.edge", 36, "is 36, must be a multiple of 8 = 2^(model.levels - 1)"),
    ("patches.edge", 16, "is 16, must be 24 at least: the deepest level keeps 3 voxels an edge"),
    ("patches.clip_hu", [600, 600], "is [600, 600], must go from a smaller to a larger number"),
    ("patches.subsets", {8: 1, 16: 20}, ".16: 16 patches cannot come from 20 scans; at most 16"),
    ("patches.subsets", {8: 4, 48: 3}, ".48: comes from 3 scans, but the smaller subset from 4"),
    ("patches.subsets", {8: 1, 48: 2}, ".48: asks for 48 patches, but 2 scans give 32; name more scans"),
    ("patches.subsets", {8: 1, 2000: 60}, ".2000: asks for 2000 patches, at most patches.count.train = 960"),
    ("patches.subsets", {8: 1, 90: 61}, ".90: comes from 61 labelled scans, at most cohort.subjects.train = 60"),
    ("patches.subsets", {8: 1, "48": 3}, ".48: is '48', must be a whole number"),
    ("patches.count.test", 3, "is 3, must be 12 at least: one a scan (cohort.subjects.test)"),
    ("train.methods", ["supervised", "mean_teachr"], "no method is called 'mean_teachr'; did you mean 'mean_teacher'?"),
    ("train.methods", ["zzz"], f"no method is called 'zzz'; may be {METHODS}"),
    ("train.methods", ["uamt", "uamt"], "is ['uamt', 'uamt'], must not name anything twice"),
    ("train.methods", [], "is [], must have at least 1 item"),
    ("train.labelled_patches", [8, 50], "no subset has 50 patches; may be 8, 48 (keys of patches.subsets)"),
    ("train.draws", [0, 5], "names draw 5, may go up to 4; or raise patches.draws"),
    ("train.ceiling_draws", [7], "names draw 7, may go up to 4; or raise patches.draws"),
    ("optimization.betas", [0.9], "is [0.9], must have at least 2 items"),
    ("optimization.epochs", 0, "is 0, must be greater than 0"),
    ("optimization.epochs", 1e-9, "is 1e-09, which makes no iteration of 960 training patches; raise it"),
    ("train.ceiling_factor", 1e-9, "is 1e-09, which leaves no iteration of 1200; raise it"),
    ("train.ceiling_factor", -1, "is -1, must be greater than 0"),
    ("train.ceiling_factor", 1e308, "is 1e+308, must be less than or equal to 10000"),
    ("optimization.epochs", 1e308, "is 1e+308, must be less than or equal to 10000"),
    ("patches.edge", 10**9, "is 1000000000, must be less than or equal to 512"),
    ("patches.spacing_mm", 1e9, "is 1000000000.0, must be less than or equal to 100"),
    ("patches.count.train", 10**24, "is 1000000000000000000000000, must be less than or equal to 1000000"),
    ("train.base_seed", 2**32, "is 4294967296, must be less than 4294967296"),
    ("shape_model.modes", "best", f"is 'best', {MODES}"),
    ("shape_model.modes", 0, f"is 0, {MODES}"),
    ("shape_model.modes", True, f"is True, {MODES}"),
    ("optimization.ema_warmup", "no", "is 'no', must be true or false"),
    ("methods.uamt.threshold", [1.0, 0.75], "is [1.0, 0.75], must go from the smaller to the larger number"),
    ("methods.embedding_matching.references", 0, "is 0, must be greater than or equal to 1"),
    ("methods.embedding_matching.band_mm", 0.0, "is 0.0, must be greater than 0"),
    ("methods.embedding_matching.threshold", [1, 0.5], "is [1, 0.5], must go from the smaller to the larger number"),
    ("optimization.teacher_norm", "eval", "is 'eval', must be 'running' or 'batch'"),
    ("cohort.phantom.metal", 1.1, "is 1.1, must be less than or equal to 1"),
    ("cohort.source", "dicom", "is 'dicom', must be 'phantom', 'labelmaps' or 'scans'"),
]


@pytest.fixture(scope="module")
def default() -> dict:
    """The default profile, with the figures that the messages name fixed."""
    tree = read_yaml(ROOT / "params.yaml")
    tree["cohort"] |= {"source": "phantom", "path": "", "subjects": {"train": 60, "validation": 8, "test": 12}}
    count = {"train": 960, "validation": 48, "test": 120}
    tree["patches"] |= {"spacing_mm": 2.0, "edge": 32, "count": count, "subsets": {8: 1, 48: 3}, "draws": 5}
    tree["train"] |= {"labelled_patches": [8, 48], "draws": [0, 1], "ceiling_draws": [0]}
    tree["model"] |= {"width": 8, "levels": 4, "norm": "group"}
    tree["ablations"]["variants"] = []
    tree["optimization"]["learning_rate"], tree["methods"]["uamt"]["passes"] = 0.001, 5
    return tree


def written(tree: dict) -> str:
    """The tree as a file's text."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(tree, stream)
    return stream.getvalue()


def changed(tree: dict, key: str, value) -> dict:
    tree = copy.deepcopy(tree)
    *groups, name = key.split(".")
    group = tree
    for part in groups:
        group = group[part]
    group.pop(name, None)
    if value is not DELETED:
        group[name] = value
    return tree


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_profiles_are_in_order(path):
    tree = read_yaml(path)
    assert [p for p in schema.check(tree) if not p.startswith(("cohort.path", "cohort.subjects"))] == []


@pytest.mark.parametrize(("key", "value", "said"), BAD, ids=[f"{key}={value}"[:50] for key, value, _ in BAD])
def test_one_mistake_gives_one_line(default, key, value, said):
    unrelated = ("train.labelled_patches", "train.methods") if key.startswith("patches.subsets") else ()
    found = [p for p in schema.check(changed(default, key, value)) if not p.startswith(unrelated)]
    assert len(found) == 1 and found[0] in (f"{key}: {said}", f"{key}{said}")


def test_a_misspelt_key_is_not_reported_as_missing_too(default):
    tree = changed(changed(default, "patches.spacing_mm", DELETED), "patches.spacing", 1.0)
    assert schema.check(tree) == ["patches.spacing: unknown key; did you mean 'spacing_mm'?"]


def test_all_mistakes_are_told_at_once(default):
    tree = changed(changed(changed(default, "model.width", 12), "train.draws", [9]), "figures.window", 1)
    tree["train"]["methods"] = ["a", "b"]
    assert [p.split(":")[0] for p in schema.check(tree)] == [
        "figures.window", "model.width", "train.methods", "train.methods", "train.draws"
    ]  # fmt: skip


def test_semi_supervised_methods_need_unlabelled_patches(default):
    tree = changed(changed(default, "patches.subsets", {960: 60}), "train.labelled_patches", [960])
    assert "leave some unlabelled" in schema.check(tree)[0]
    assert schema.check(changed(tree, "train.methods", ["supervised"])) == []


VARIANTS = [  # a key below ablations or variants, its value, what is said
    ("variants.ua", {"weight_n": 0.0}, ".weight_n: unknown key; did you mean 'weight_nn'?"),
    ("variants.ua", {"kernel": "cosines"}, ".kernel: is 'cosines', must be 'cosine' or 'euclidean'"),
    ("variants.ua", {"threshold": [1.0]}, ".threshold: is [1.0], must have at least 2 items"),
    ("variants.ua", {"kernel": "cosine"}, ": changes nothing of methods.embedding_matching; take it out of ablations"),
    ("variants.uamt", {"weight_nn": 0.0}, ": is a method's name; take another"),
    ("variants.U-A", {"weight_nn": 0.0}, ": is 'U-A', must be a word of small letters, digits and _"),
    ("ablations.variants", ["ub"], ": no variant is called 'ub'; may be ua, ua_nn"),
    ("ablations.labelled_patches", [8, 9], ": names [9], not among train.labelled_patches = [8, 48]"),
    ("ablations.draws", [2], ": names [2], not among train.draws = [0, 1]"),
    ("train.methods", ["supervised"], "ablations.variants: are compared with embedding_matching; add it to train."),
]


@pytest.mark.parametrize(("key", "value", "said"), VARIANTS, ids=[said[:50] for *_, said in VARIANTS])
def test_variants_differ_from_a_trained_base(default, key, value, said):
    tree = changed(default, "ablations", {"variants": ["ua"], "labelled_patches": [8], "draws": [0]})
    assert schema.check(tree) == []
    (found,) = schema.check(changed(tree, key, value))
    assert found.startswith(key + said if said[0] in ".:" else said)


FOLDER = "must be a folder with images/ and labels/ (cohort.layout)"
REAL = [  # what is set below cohort, and what is said about it
    ({"source": "scans"}, "cohort.path: empty; names a folder with images/ and labels/"),
    ({"source": "scans", "path": "no"}, "cohort.path: 'no' does not exist; names a folder with images/ and labels/"),
    ({"source": "scans", "path": "a.csv"}, f"cohort.path: 'a.csv' is a file; {FOLDER}"),
    (
        {"source": "scans", "path": "maps", "layout": "manifest"},
        "cohort.path: 'maps' is a folder; must be a CSV with the columns subject,image,label[,split] (cohort.layout)",
    ),
    (
        {"source": "scans", "path": "maps", "layout": "totalsegmentator"},
        "cohort.foreground: is [1, 2, 3, 4], must list file names, e.g. [hip_left, hip_right], with source scans and "
        "layout totalsegmentator",
    ),
    (
        {"source": "scans", "path": "maps", "foreground": ["hip_left"]},
        "cohort.foreground: is ['hip_left'], must list label values, e.g. [1, 2], with source scans and layout folder",
    ),
    (
        {"foreground": [1, "hip"]},
        "cohort.foreground: is [1, 'hip'], must list label values from 1 to 254, or file names",
    ),
    ({"background": [0, 4]}, "cohort.background: names [4] like cohort.foreground; a value is one or the other"),
    ({"split": "auto"}, "cohort.split: is 'auto', must be counts with source phantom"),
    (
        {"source": "scans", "path": "maps", "split": "all"},
        "optimization.select: is 'best', must be last with cohort.split: all: nothing to choose by",
    ),
    (
        {"subjects": {"train": 60, "validation": 0, "test": 12}},
        "optimization.select: is 'best', must be last with cohort.subjects.validation = 0: nothing to choose by",
    ),
    ({"source": "labelmaps"}, "cohort.path: empty; names a folder of label maps"),
    (
        {"source": "labelmaps", "path": "maps"},
        "cohort.subjects: asks for 80 subjects, but maps holds 1 label maps; lower them or add files",
    ),
]


@pytest.fixture
def inputs(tmp_path) -> Path:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.nii.gz").touch()
    (tmp_path / "a.csv").touch()
    return tmp_path


@pytest.mark.parametrize(("cohort", "said"), REAL)
def test_one_mistake_about_the_input_gives_one_line(default, inputs, cohort, said):
    changed = {"shape_model": {"parts": {}}, "optimization": {"select": "best"}, "cohort": cohort}
    assert schema.check(default | {name: default[name] | keys for name, keys in changed.items()}, inputs) == [said]


def test_without_validation_patches_the_last_weights_are_taken(default, inputs):
    cohort = default["cohort"] | {"source": "scans", "path": "maps", "split": "auto"}
    patches = default["patches"] | {"count": default["patches"]["count"] | {"validation": 0}}
    said = "optimization.select: is 'best', must be last with patches.count.validation = 0: nothing to choose by"
    best = default["optimization"] | {"select": "best"}
    found = schema.check(default | {"cohort": cohort, "patches": patches, "optimization": best}, inputs)
    assert found == [said]


def test_a_manifest_may_bring_its_own_splits(default, inputs):
    none = {"train": 1, "validation": 0, "test": 0}
    cohort = default["cohort"] | {"source": "scans", "layout": "manifest", "path": "a.csv", "subjects": none}
    assert schema.check(default | {"cohort": cohort}, inputs) == []


def test_four_labelled_scans_and_nothing_else_are_in_order(default, inputs):
    four = default["cohort"] | {"source": "scans", "path": "maps", "split": "auto"}
    assert schema.check(default | {"cohort": four}, inputs) == []
    last = default["optimization"] | {"select": "last"}
    assert schema.check(default | {"cohort": four | {"split": "all"}, "optimization": last}, inputs) == []


TEXTS = [  # what is done to the file's text, what is said
    (("model:\n  width", "model:\n\twidth"), "'\\t' that cannot start any token"),
    (("  width: 8", "  width: 8\n  width: 16"), "duplicate key"),
    (("  width: 8", "  width: [8"), "not valid YAML"),
    (("learning_rate: 0.001", "learning_rate: 1e-3 x"), "optimization.learning_rate: is '1e-3 x', must be a number"),
    (("passes: 5", "passes: 0"), "methods.uamt.passes: is 0, must be greater than or equal to 1"),
]


@pytest.mark.parametrize(("edit", "said"), TEXTS, ids=[said[:20] for _, said in TEXTS])
def test_a_broken_file_is_refused_without_traceback(default, edit, said, tmp_path, capsys):
    path, text = tmp_path / "params.yaml", written(default)
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1))
    assert schema.main([str(path)]) == 1
    assert said in capsys.readouterr().err


def test_exponents_without_a_point_are_numbers(default, tmp_path, capsys):
    path = tmp_path / "params.yaml"
    path.write_text(written(default).replace("learning_rate: 0.001", "learning_rate: 1e-3"))
    assert "1e-3" in path.read_text()
    assert schema.main([str(path)]) == 0
    assert capsys.readouterr().out == "params.yaml: in order\n"


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert schema.main([str(tmp_path / "none.yaml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_bones_of_the_shape_model_are_foreground(default):
    tree = changed(default, "cohort.foreground", [1])
    tree = changed(tree, "cohort.background", [0])
    found = schema.check(tree)
    assert [p.split(":")[0] for p in found] == [
        f"shape_model.parts.{part}" for part in ("femur.left", "hip_bone.right", "hip_bone.left")
    ]
    assert "is 2, not among cohort.foreground [1]; name each bone's own value, or no bones: {}" in found[0]
    assert schema.check(changed(tree, "shape_model.parts", {})) == []
