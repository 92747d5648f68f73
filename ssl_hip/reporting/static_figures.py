"""PNG files for readers without a notebook: `python -m ssl_hip.reporting.static_figures [SOURCE TARGET]`.

Without folders from reports/figures/ to results/figures/.
"""

import argparse
import sys
from pathlib import Path

import kaleido
import plotly.graph_objects as go
from kaleido.errors import ChromeNotFoundError

from ssl_hip import config
from ssl_hip.reporting import figure_files


def write(source: Path, target: Path) -> list[Path]:
    """Write every figure below `source` as target/NAME.png and return the files; one browser draws all.

    Raises UserError where there is no figure or no browser.
    """
    figures = figure_files.read(source)
    if not figures:
        raise config.UserError(f"{source}: no figures yet; type 'make repro'")
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / f"{name}.png" for name in figures]
    draw(list(figures.values()), paths)
    return paths


def draw(figures: list[go.Figure], paths: list[Path]) -> None:
    """Write each figure to its path as PNG; raise UserError without a browser."""
    try:
        kaleido.write_fig_from_object_sync([job(*pair) for pair in zip(figures, paths, strict=True)])
    except ChromeNotFoundError as error:
        raise config.UserError(
            "PNG files are drawn by a browser: install Chrome or Chromium, or set BROWSER_PATH to it"
        ) from error


def job(figure, path: Path) -> dict:
    """Return kaleido's order for one file of the figure's own size in px."""
    size = {"width": figure.layout.width, "height": figure.layout.height, "scale": 1}
    return {"fig": figure, "path": path, "opts": {"format": "png", **size}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", nargs="?", type=Path, default="reports/figures", help="JSON (default: %(default)s)")
    parser.add_argument("target", nargs="?", type=Path, default="results/figures", help="PNG (default: %(default)s)")
    options = parser.parse_args()
    try:
        print(*write(config.ROOT / options.source, config.ROOT / options.target), sep="\n")
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
