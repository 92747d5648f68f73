"""Figures as files: a notebook shows a figure and writes it; the report and `make figures` read it."""

from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio


def write(figure: go.Figure, path: Path) -> go.Figure:
    """Write a figure as JSON, the same bytes each time, and return it to be shown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_json(path, engine="json")
    return figure


def read(folder: Path) -> dict[str, go.Figure]:
    """Return the figures of a folder and its sub-folders by file name, in its order."""
    return {path.stem: pio.read_json(path) for path in sorted(folder.rglob("*.json"), key=lambda path: path.name)}
