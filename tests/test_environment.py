"""One list of packages: environment.yml. pyproject.toml repeats it; what is installed has those versions."""

import tomllib
from importlib.metadata import version

import pytest
from scratch import ROOT

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
