"""The current view as a file: a picture, or a page that needs nothing else."""

import html
import tempfile
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from matplotlib import image

from ssl_hip.reporting import static_figures

STYLE = "<style>body { font: 15px sans-serif; max-width: 860px } code { overflow-wrap: anywhere }</style>"


def write_page(path: Path, told: str, figures: list[go.Figure]) -> None:
    """Write a page that needs neither net nor other files: HTML, then the figures one below the other."""
    parts = [plain(each).to_html(full_html=False, include_plotlyjs=not number) for number, each in enumerate(figures)]
    head = f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{html.escape(path.stem)}</title>{STYLE}</head>'
    path.write_text(f"{head}<body>{told}{''.join(parts)}</body></html>", encoding="utf-8")


def write_picture(path: Path, figures: list[go.Figure]) -> None:
    """Write the figures one below the other as PNG; raise UserError without Chrome or Chromium, which draws them."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(len(figures))]
        static_figures.draw([plain(each) for each in figures], paths)
        image.imsave(path, stacked([image.imread(each) for each in paths]))


def plain(figure: go.Figure) -> go.Figure:
    """Return a figure without its widget, and without what the browser notes of a lasso and Python rejects."""
    return go.Figure(figure.to_dict(), skip_invalid=True)


def stacked(pictures: list[np.ndarray]) -> np.ndarray:
    """Return RGBA pictures (h, w, 4), 0 to 1, one below the other on white."""
    whole = np.ones((sum(len(each) for each in pictures), max(each.shape[1] for each in pictures), 4))
    top = 0
    for each in pictures:
        opacity = each[..., 3:]
        whole[top : top + len(each), : each.shape[1], :3] = each[..., :3] * opacity + 1 - opacity
        top += len(each)
    return whole
