"""Reading params.yaml."""

import pytest

from ssl_hip import config
from ssl_hip.config import UserError

TEXT = """model:
  width: 8
  norm: no
  levels: 007
train:
  threads: 1
  base_seed: 4
patches:
  subsets: {8: 1, 48: 3}
  rate: 1e-3
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(TEXT)
    return tmp_path


def test_only_what_is_named_is_loaded(root):
    params = config.load("model", "train.threads", root=root)
    assert params.model.width == 8 and params.train.threads == 1
    assert set(vars(params)) == {"model", "train"} and set(vars(params.train)) == {"threads"}


def test_two_values_of_a_section(root):
    params = config.load("train.threads", "train.base_seed", root=root)
    assert vars(params.train) == {"threads": 1, "base_seed": 4}


@pytest.mark.parametrize("key", ["train.thread", "trains", "train.threads.number"])
def test_a_missing_key_is_named(root, key):
    with pytest.raises(UserError, match=f"params.yaml: the key '{key}' is missing"):
        config.load(key, root=root)


def test_numbers_and_words_are_those_of_yaml_1_2(root):
    params = config.load("patches", "model.norm", "model.levels", root=root)
    assert params.patches.rate == 0.001 and isinstance(params.patches.rate, float)
    assert params.model.norm == "no" and params.model.levels == 7 and params.patches.subsets == {8: 1, 48: 3}


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\nb: [2\nc: 3\n", 3), ("a: 1\n\tb: 2\n", 2), ("a: 1\nb: 2\na: 3\n", 3)]
)
def test_a_broken_file_names_the_line(tmp_path, text, line):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"params\.yaml: not valid YAML: .*line {line}"):
        config.load("a", root=tmp_path)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "model\n"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="expected 'key: value' lines"):
        config.load("a", root=tmp_path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml: cannot be read .*git checkout"):
        config.load("a", root=tmp_path)


def test_notebooks_show_the_message_only():
    assert UserError("say this")._render_traceback_() == ["UserError: say this"]


def test_the_default_root_is_the_project():
    assert config.load("model.levels").model.levels >= 1
