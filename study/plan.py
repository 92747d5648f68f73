"""What the study trains: the trials and the grid of study/plan.yaml, on top of params/study.yaml."""

import copy
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from ssl_hip import config, schema
from ssl_hip.config import ROOT, UserError

PROFILE, PLAN = ROOT / "params/study.yaml", ROOT / "study/plan.yaml"
TRIAL, GRID = "trials", "grid"  # scored on validation patches only; on test patches, once
ENTRY = ("question", "name", "method", "labelled_patches", "draws", "changes")
OPTIONAL = {"changes": {}}
USED = ("cohort", "patches", "model", "optimization")  # sections that every training depends on


@dataclass(frozen=True)
class Run:
    """One training of the study."""

    part: str  # TRIAL or GRID
    question: str
    name: str
    method: str
    labelled_patches: str
    draw: int
    changes: dict  # dotted key of params/study.yaml -> value
    tree: dict  # params/study.yaml with the changes

    @property
    def params(self) -> SimpleNamespace:
        """The parameters, as of config.namespace."""
        return config.namespace(self.tree)

    @property
    def key(self) -> str:
        """Hash of all that the training depends on but the code: the same key, the same training."""
        tree = self.tree
        settings = {section: tree[section] for section in USED} | {"method": tree["methods"][self.method]}
        settings |= {"base_seed": tree["train"]["base_seed"], "threads": tree["train"]["threads"]}
        settings |= {"run": [self.part, self.method, self.labelled_patches, self.draw]}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """Name, labelled patches and draw, e.g. supervised-50-0."""
        return f"{self.name}-{self.labelled_patches}-{self.draw}"


def read(plan: Path = PLAN, profile: Path = PROFILE) -> list[Run]:
    """Return all runs in the order in which they are to be trained; raise UserError that names every mistake."""
    base, entries, problems, runs = config.read_yaml(profile), config.read_yaml(plan), [], []
    for part in (TRIAL, GRID):
        for number, entry in enumerate(entries.get(part) or []):
            place = f"{plan.name}: {part}[{number}]"
            entry = OPTIONAL | entry
            if wrong := sorted(set(entry) ^ set(ENTRY)):
                problems.append(f"{place}: {', '.join(wrong)}: missing or unknown; an entry has {', '.join(ENTRY)}")
                continue
            tree, changes = alone(base, entry), in_full(entry["changes"], entry["method"])
            problems += [f"{place}: {text}" for text in change(tree, changes) + schema.check(tree)]
            runs += [
                Run(part, str(entry["question"]), entry["name"], entry["method"], str(n), d, changes, tree)
                for d in entry["draws"]
                for n in entry["labelled_patches"]
            ]
    if problems:
        raise UserError("\n".join(problems))
    if twins := [f"{a.title} and {b.title}" for a, b in twin_runs(runs)]:
        raise UserError(f"{plan.name}: the same training twice: {', '.join(twins)}")
    return runs


def alone(base: dict, entry: dict) -> dict:
    """Return a parameter tree whose grid is the entry's, so that the check of params.yaml checks the entry too."""
    tree, subsets = copy.deepcopy(base), [n for n in entry["labelled_patches"] if n != "all"]
    tree["train"] |= {"methods": [entry["method"]], "draws": entry["draws"], "ceiling_draws": []}
    tree["train"]["labelled_patches"] = subsets or tree["train"]["labelled_patches"]
    tree["ablations"]["variants"] = []
    return tree


def in_full(changes: dict, method: str) -> dict:
    """Return changes whose keys method.KEY have become methods.METHOD.KEY."""
    return {re.sub(r"^method\.", f"methods.{method}.", key): value for key, value in changes.items()}


def change(tree: dict, changes: dict) -> list[str]:
    """Set dotted keys of a parameter tree; return a problem for each that does not exist."""
    problems = []
    for key, value in changes.items():
        *group, name = key.split(".")
        if not schema.present(tree, key):
            problems.append(f"no key '{key}' in params/study.yaml")
            continue
        (schema.value(tree, ".".join(group)) if group else tree)[name] = value
    return problems


def twin_runs(runs: list[Run]) -> list[tuple[Run, Run]]:
    """Return pairs of runs that are the same training."""
    first: dict[str, Run] = {}
    return [(first[run.key], run) for run in runs if first.setdefault(run.key, run) is not run]
