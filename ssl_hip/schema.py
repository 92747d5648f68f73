"""Check of params.yaml. `python -m ssl_hip.schema [file]` names everything that is wrong with it."""

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ssl_hip.config import ROOT, UserError, read_yaml
from ssl_hip.schema_keys import Params
from ssl_hip.schema_rules import RULES

WORDS = {  # of pydantic's messages
    "Input should be": "must be",
    "List should have": "must have",
    "Dictionary should have": "must have",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid list": "a list",
    "a valid dictionary": "a group of keys",
}


def check(tree: dict, root: Path = ROOT) -> list[str]:
    """Return every problem of a parameter tree, 'dotted.key: what is wrong'; paths in it are relative to root."""
    problems = [*mistakes(tree), *variant_mistakes(tree)]
    wrong = [key for key, _ in problems]
    for keys, rule in RULES:
        if all(present(tree, key) for key in keys) and not any(related(bad, key) for bad in wrong for key in keys):
            problems += rule(*(value(tree, key) for key in keys), root=root)
    return [f"{key}: {text}" for key, text in problems]


def mistakes(tree: dict) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, what is wrong) for every key that is unknown, missing, or of a wrong type or range."""
    try:
        Params.model_validate(tree)
        return
    except ValidationError as error:
        errors = error.errors()
    meant = set()
    for item in sorted(errors, key=lambda item: item["type"] == "missing"):
        *group, name = (str(part) for part in item["loc"] if part != "[key]")
        key = ".".join([*group, name])
        if item["type"] in ("extra_forbidden", "invalid_key"):
            near = difflib.get_close_matches(name, known(group), 1, 0.7)
            meant |= {".".join([*group, match]) for match in near}
            yield key, "unknown key; " + (f"did you mean '{near[0]}'?" if near else f"may be {', '.join(known(group))}")
        elif item["type"] != "missing":
            yield key, sentence(item)
        elif key not in meant:
            yield key, "missing; add it as in params/paper.yaml"


def variant_mistakes(tree: dict) -> Iterator[tuple[str, str]]:
    """Yield what `mistakes` would say of each variant's keys if they stood in methods.embedding_matching."""
    base = "methods.embedding_matching"
    groups = [value(tree, key) if present(tree, key) else None for key in ("methods", base, "variants")]
    if not all(isinstance(group, dict) for group in groups):
        return
    methods, settings, variants = groups
    for name, changes in variants.items():
        if not isinstance(changes, dict):
            continue
        changed = tree | {"methods": methods | {"embedding_matching": settings | changes}}
        for key, text in mistakes(changed):
            own = key.removeprefix(f"{base}.")
            if own != key and own.split(".")[0] in changes:
                yield f"variants.{name}.{own}", text


def sentence(item: dict) -> str:
    """Say what is wrong with a value and what it may be."""
    text = item["msg"].removeprefix("Value error, ").split(" or instance of")[0].split(" after validation")[0]
    for pydantic, ours in WORDS.items():
        text = text.replace(pydantic, ours)
    shown = "empty" if item["input"] is None else repr(item["input"])
    return f"is {shown}, {text}"


def known(group: list[str]) -> list[str]:
    """Return the keys that a group may have."""
    section = Params
    for name in group:
        section = section.model_fields[name].annotation
    return list(section.model_fields)


def related(a: str, b: str) -> bool:
    """Say whether one dotted key contains the other."""
    return f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")


def present(tree: dict, key: str) -> bool:
    """Say whether something stands under a dotted key."""
    try:
        value(tree, key)
    except (KeyError, TypeError):
        return False
    return True


def value(tree: dict, key: str):
    """Return what stands under a dotted key."""
    for name in key.split("."):
        tree = tree[name]
    return tree


def main(arguments: list[str]) -> int:
    """Check a file; return the exit status."""
    path = Path(arguments[0] if arguments else ROOT / "params.yaml")
    try:
        problems = [f"{path.name}: {problem}" for problem in check(read_yaml(path))]
    except UserError as error:
        problems = [str(error)]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    print(f"{path.name}: in order")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
