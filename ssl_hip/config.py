"""Typed view of params.yaml: the same for a notebook under papermill, in JupyterLab and in a test."""

import io
from pathlib import Path
from types import SimpleNamespace

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ROOT = Path(__file__).resolve().parent.parent


class UserError(Exception):
    """A mistake in the input that its owner can mend: the message names the file or key and the remedy.

    In a notebook the message is shown without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to print the message only."""
        return [f"UserError: {self}"]


def read_yaml(path: Path) -> dict:
    """Read a YAML 1.2 mapping (1e-3 is a number, `no` is a string); raise UserError with the line of a mistake."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        tree = YAML(typ="safe", pure=True).load(io.StringIO(text))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore it with 'git checkout {path}'") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except YAMLError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML: {problem}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected 'key: value' lines at top level")
    return tree


def load(*keys: str, root: Path = ROOT) -> SimpleNamespace:
    """Return the sections or values of params.yaml that are named, and nothing else.

    keys: dotted names, e.g. load("model", "train.threads") gives .model.width and .train.threads.
    A stage declares the same names under `params:` in dvc.yaml; a test compares the two.
    Raises UserError where a key is missing.
    """
    tree = read_yaml(root / "params.yaml")
    picked: dict = {}
    for key in keys:
        value, target, parts = tree, picked, key.split(".")
        for part in parts:
            if not isinstance(value, dict) or part not in value:
                raise UserError(f"params.yaml: the key '{key}' is missing; compare with params/smoke.yaml")
            value = value[part]
        for part in parts[:-1]:
            target = target.setdefault(part, {})
        target[parts[-1]] = value
    return namespace(picked)


def namespace(tree: dict) -> SimpleNamespace:
    """Turn nested dicts into attributes; keys that are no identifiers (numbers) stay a dict."""
    if not all(isinstance(key, str) and key.isidentifier() for key in tree):
        return tree
    return SimpleNamespace(**{k: namespace(v) if isinstance(v, dict) else v for k, v in tree.items()})
