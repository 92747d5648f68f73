"""Versions of all packages that environment.yml brings along: `python -m pipeline.constraints > constraints.txt`."""

from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.requirements import requirements

HEADER = """\
# Made by `python -m pipeline.constraints` from what is installed, after environment.yml was changed: with it, all
# packages that those of environment.yml need have one version. torch's CUDA build pins its own packages.
"""


def installed(wanted: list[str]) -> dict[str, str]:
    """Return name and version of all that these requirements need here, in turn, without local parts as +cpu.

    Raises PackageNotFoundError for one that is not installed.
    """
    found, seen, waiting = {}, set(), [Requirement(line) for line in wanted]
    while waiting:
        one = waiting.pop()
        name, extras = canonicalize_name(one.name), one.extras | {""}
        if (name, frozenset(extras)) in seen:
            continue
        seen.add((name, frozenset(extras)))
        package = distribution(name)
        found[name] = package.version.partition("+")[0]
        needed = map(Requirement, package.requires or [])
        waiting += [each for each in needed if applies(each, extras) and not (name == "torch" and pinned(each))]
    return found


def applies(requirement: Requirement, extras: set[str]) -> bool:
    """Return whether a requirement holds on this platform, for the extras that are asked for ("": none)."""
    return not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def pinned(requirement: Requirement) -> bool:
    """Return whether a requirement names one version."""
    return any(each.operator == "==" for each in requirement.specifier)


def lines() -> list[str]:
    """Return the lines of constraints.txt below its header."""
    return [f"{name}=={version}" for name, version in sorted(installed(requirements()).items())]


if __name__ == "__main__":
    print(HEADER + "\n".join(lines()))
