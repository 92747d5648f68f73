"""Make one self-contained page of an executed notebook: `python -m pipeline.page NOTEBOOK.ipynb PAGE.html`.

Prose and outputs are shown, code is not. Nothing is loaded from anywhere: plotly.js stands in the page, once.
"""

import html
import json
import re
import sys
from pathlib import Path

import mistune
from plotly.offline import get_plotlyjs

from ssl_hip.config import UserError

PLOTLY = "application/vnd.plotly.v1+json"
HEIGHT = 450  # of a figure that does not say, pixels

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1c2228; font: 16px/1.55 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 1rem 1.25rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; }
h2 { margin-top: 2.75rem; padding-top: .5rem; border-top: 1px solid #d5dbe1; font-size: 1.4rem; }
h3 { margin-top: 2rem; font-size: 1.1rem; }
a { color: #0b5cad; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; background: #f2f4f6; padding: 0 .2em; border-radius: 3px; }
nav { columns: 17rem; padding: .8rem 1rem; background: #f5f7f9; border-radius: 6px; font-size: .95rem; }
nav a { display: block; text-decoration: none; padding: .05rem 0; }
.box { overflow-x: auto; margin: 1rem 0; }
.plot { min-width: 900px; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #e3e7eb; }
th { background: #f5f7f9; white-space: normal; vertical-align: bottom; line-height: 1.25; }
sub { line-height: 0; }
tbody tr:hover { background: #f5f9fd; }
pre { overflow: auto; max-height: 32rem; margin: 1rem 0; padding: .8rem 1rem; background: #f5f7f9; border-radius: 6px;
  font: .8rem/1.45 ui-monospace, Menlo, Consolas, monospace; }
img { max-width: 100%; }
object { width: 100%; height: 24rem; border: 1px solid #d5dbe1; border-radius: 6px; }
"""
# plotly.js drops links within the page (href="#patch-17") where the page is a file: they are followed here.
SCRIPT = """
for (const box of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(box.nextElementSibling.textContent);
  const target = text => (/href="#([^"]+)"/.exec(text) || [])[1];
  for (const note of figure.layout.annotations || []) if (target(note.text)) note.captureevents = true;
  Plotly.newPlot(box, figure.data, figure.layout, {responsive: true, displaylogo: false}).then(() =>
    box.on("plotly_clickannotation", event => {
      const place = document.getElementById(target(event.annotation.text));
      if (place) place.scrollIntoView();
    }));
}
"""
prose = mistune.create_markdown(escape=False, plugins=["table"])  # a notebook's own text may hold HTML
results = mistune.create_markdown(escape=True, plugins=["table"])  # what comes from files may not


def page(notebook: dict) -> str:
    """Return an executed notebook as a page of HTML, the same text each time."""
    parts = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(prose(text_of(cell["source"])))
        parts += [output_html(output, f"{cell['id']}-{i}") for i, output in enumerate(cell.get("outputs", []))]
    body, contents = with_contents(boxed("\n".join(parts)))
    title = re.search(r"<h1>(.*?)</h1>", body, re.DOTALL)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title[1] if title else 'Report'}</title><style>{STYLE}</style>"
    drawing = f"<script>{get_plotlyjs()}</script><script>{SCRIPT}</script>" if 'class="plot"' in body else ""
    body = body.replace("</h1>", f"</h1>\n{contents}", 1)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>\n{body}</main>{drawing}</body></html>\n'


def text_of(lines: str | list[str]) -> str:
    """Return a notebook's text, which may be stored as a list of lines."""
    return lines if isinstance(lines, str) else "".join(lines)


def output_html(output: dict, name: str) -> str:
    """Return one output of a cell as HTML: the richest of its forms; `name` becomes a figure's id."""
    if output["output_type"] == "stream":
        return f"<pre>{html.escape(text_of(output['text']))}</pre>"
    data = output.get("data", {})
    if PLOTLY in data:
        return figure_html(data[PLOTLY], name)
    if "text/html" in data:
        return text_of(data["text/html"])
    if "text/markdown" in data:
        return results(text_of(data["text/markdown"]))
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{text_of(data["image/png"]).strip()}">'
    return f"<pre>{html.escape(text_of(data.get('text/plain', '')))}</pre>"


def figure_html(figure: dict, name: str) -> str:
    """Return the place of a plotly figure and its data; SCRIPT draws it."""
    layout = figure.get("layout", {})
    data = json.dumps({"data": figure["data"], "layout": layout}, sort_keys=True).replace("</", "<\\/")
    size = f"height:{layout.get('height', HEIGHT)}px"
    if "width" in layout:
        size += f";width:{layout['width']}px"
    place = f'<div class="plot" id="figure-{name}" style="{size}"></div>'
    return f'<div class="box">{place}<script type="application/json">{data}</script></div>'


def boxed(body: str) -> str:
    """Put each table into a box of its own, which scrolls where the screen is narrower."""
    return re.sub(r"(<table.*?</table>)", r'<div class="box">\1</div>', body, flags=re.DOTALL)


def with_contents(body: str) -> tuple[str, str]:
    """Give each section an id; return the body and a list of links to the sections."""
    titles = re.findall(r"<h2>(.*?)</h2>", body)
    for number, title in enumerate(titles, 1):
        body = body.replace(f"<h2>{title}</h2>", f'<h2 id="section-{number}">{title}</h2>', 1)
    links = "".join(f'<a href="#section-{number}">{title}</a>' for number, title in enumerate(titles, 1))
    return body, f"<nav>{links}</nav>" if titles else ""


def main(notebook: str, target: str) -> None:
    """Read the notebook, write the page; raise UserError where there is no readable notebook."""
    try:
        content = json.loads(Path(notebook).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{notebook}: not a notebook that ran ({error}); type 'dvc repro report'") from error
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(page(content), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"UserError: {error}")
