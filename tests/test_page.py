"""The page: complete in itself, the same each time, nothing of the code, nothing unescaped from files."""

import json
import re
import subprocess
import sys

import plotly.graph_objects as go
import pytest

from pipeline import page
from ssl_hip.config import ROOT, UserError

PICTURE = "iVBORw0KGgo="
HOSTILE = "</script><script>alert(1)</script>"


def code(*outputs, name="cell-01"):
    return {"cell_type": "code", "id": name, "source": ["secret = 1"], "outputs": list(outputs)}


def shown(**data):
    return {"output_type": "display_data", "data": {kind.replace("_", "/"): text for kind, text in data.items()}}


def figure(text="a"):
    made = go.Figure(go.Scatter(x=[1, 2], y=[2, 1]), {"title": {"text": text}, "height": 300})
    return {"output_type": "execute_result", "data": {page.PLOTLY: json.loads(made.to_json()), "text/plain": "Figure"}}


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "cell-00", "source": ["# Title\n", "\n", "## Part\n", "\n", "L<sub>UA</sub>"]},
        code({"output_type": "stream", "name": "stdout", "text": ["a < b\n"]}, shown(text_plain="'x'")),
        code(shown(text_markdown="| m | n |\n| :-- | --: |\n| supervised_ema | **1** |", text_plain="no")),
        code(figure(), shown(image_png=PICTURE), shown(text_html='<a id="patch-17"></a>')),
        code(figure("b"), name="cell-02"),
    ]
}
PAGE = page.page(NOTEBOOK)
PLAIN = PAGE.replace(page.get_plotlyjs(), "")


def test_prose_and_outputs_are_shown_and_code_is_not():
    assert "<title>Title</title>" in PLAIN and '<h2 id="section-1">Part</h2>' in PLAIN and "L<sub>UA</sub>" in PLAIN
    assert "a &lt; b" in PLAIN and "supervised_ema" in PLAIN and "<strong>1</strong>" in PLAIN
    assert PICTURE in PLAIN and '<a id="patch-17"></a>' in PLAIN
    assert "secret" not in PLAIN and ">no<" not in PLAIN and "Figure" not in PLAIN


def test_the_page_is_complete_in_itself_and_small():
    assert PAGE.count(page.get_plotlyjs()) == 1 and len(PAGE.encode()) < 15e6
    resources = re.findall(r"""<[^>]+\b(?:src|href|data)\s*=\s*["']?([^"'\s>]+)""", PLAIN)
    assert resources and not [each for each in resources if each.startswith(("http", "//"))]
    assert not re.search(r"<link|@import|url\(|<script[^>]+src", PLAIN)


def test_without_figures_there_is_no_plotly():
    assert len(page.page({"cells": NOTEBOOK["cells"][:3]})) < 10_000


def test_figures_have_ids_of_their_own_that_stay():
    ids = re.findall(r'class="plot" id="([^"]+)"', PAGE)
    assert ids == ["figure-cell-01-0", "figure-cell-02-0"]
    assert page.page(NOTEBOOK) == PAGE


def test_tables_and_figures_have_boxes_that_scroll():
    assert PLAIN.count('<div class="box">') == 3 and "overflow-x: auto" in PLAIN
    assert 'style="height:300px"' in PLAIN and '<td style="text-align:right">' in PLAIN


STREAM = {"output_type": "stream", "name": "stdout", "text": HOSTILE}


@pytest.mark.parametrize("output", [figure(HOSTILE), shown(text_markdown=HOSTILE), shown(text_plain=HOSTILE), STREAM])
def test_text_from_files_cannot_become_part_of_the_page(output):
    assert HOSTILE not in page.page({"cells": [code(output)]})


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(UserError, match="lost.ipynb"):
        page.main(str(tmp_path / "lost.ipynb"), str(tmp_path / "page.html"))


def test_from_the_command_line(tmp_path):
    (tmp_path / "nb.ipynb").write_text(json.dumps(NOTEBOOK))
    command = [sys.executable, "-m", "pipeline.page", tmp_path / "nb.ipynb", tmp_path / "reports" / "page.html"]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    assert (tmp_path / "reports" / "page.html").read_text(encoding="utf-8") == PAGE
