"""Write the canonical copy of a notebook, which the stages run and depend on.

JupyterLab rewrites outputs, counts, ids and metadata whenever a notebook is saved. The copy holds none of them,
so its hash changes only with code, prose and tags, and saving retrains nothing.
"""

import json
import sys
from pathlib import Path

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def canonical(notebook: dict) -> dict:
    """Return a notebook's cells with fixed ids and tags, without outputs, empty cells or any other metadata."""
    cells = [cell for cell in notebook["cells"] if "".join(cell["source"]).strip()]
    return {
        "cells": [canonical_cell(cell, number) for number, cell in enumerate(cells)],
        "metadata": {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def canonical_cell(cell: dict, number: int) -> dict:
    """Return one cell, reduced to what its author typed."""
    tags = cell.get("metadata", {}).get("tags")
    kept = {"cell_type": cell["cell_type"], "id": f"cell-{number:02d}", "metadata": {"tags": tags} if tags else {}}
    kept["source"] = "".join(cell["source"]).splitlines(keepends=True)
    if cell["cell_type"] == "code":
        kept |= {"execution_count": None, "outputs": []}
    return kept


def dump(notebook: dict) -> str:
    """Return the notebook as text, the same on every machine."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(name: str) -> None:
    """Copy notebooks/NAME.ipynb to build/nb/NAME.ipynb."""
    notebook = json.loads(Path("notebooks", f"{name}.ipynb").read_text(encoding="utf-8"))
    target = Path("build/nb", f"{name}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(dump(canonical(notebook)), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
