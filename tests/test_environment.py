"""One list of packages: environment.yml. pyproject.toml repeats it, constraints.txt pins what it needs in turn."""

import tomllib
from importlib.metadata import version

import pytest
from scratch import ROOT

from pipeline import constraints
from pipeline.requirements import requirements
from ssl_hip import config


def test_pyproject_repeats_the_list():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == requirements()


def test_the_list_is_the_pip_part_of_the_conda_environment():
    environment = config.read_yaml(ROOT / "environment.yml")
    assert environment["dependencies"][-1] == {"pip": requirements()}
    assert all(line.count("==") == 1 for line in requirements())


@pytest.mark.parametrize("line", requirements())
def test_installed(line):
    name, wanted = line.split("==")
    assert version(name).partition("+")[0] == wanted, "make setup installs the listed versions"


def test_constraints_pin_all_that_is_needed_and_nothing_else():
    assert (ROOT / "constraints.txt").read_text() == constraints.HEADER + "\n".join(constraints.lines()) + "\n"


def test_what_a_package_needs_is_followed_through_its_extras():
    found = constraints.installed(["dvc==3.67.1"])
    assert {"dvc-objects", "fsspec", "pyyaml"} <= set(found) and "torch" not in found
    more = set(constraints.installed(["fsspec[http]"])) - set(constraints.installed(["fsspec"]))
    assert "aiohttp" in more
