"""Make an executed notebook byte-identical from run to run."""

import re

ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
WIDGET = "application/vnd.jupyter.widget-view+json"


def scrub(notebook: dict, root: str = "") -> dict:
    """Strip everything that differs between two equal runs; changes `notebook` in place and returns it.

    Removed: timings, random cell ids, widget state, object addresses, the repository's path (`root`) and stderr,
    where tqdm and warnings write. Kept: sources, tags, execution counts, stdout, results, figures.
    For notebooks that ran without error; a failed one keeps everything.
    """
    notebook["metadata"] = clean_metadata(notebook["metadata"])
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number:02d}"
        cell["metadata"] = clean_tags(cell["metadata"])
        if cell["cell_type"] == "code":
            cell["outputs"] = [clean_output(o, root) for o in cell["outputs"] if not is_volatile(o)]
    return notebook


def clean_metadata(metadata: dict) -> dict:
    """Keep the kernel and papermill's parameters."""
    kept = {key: metadata[key] for key in ("kernelspec",) if key in metadata}
    kept["language_info"] = {"name": "python"}
    if parameters := metadata.get("papermill", {}).get("parameters"):
        kept["papermill"] = {"parameters": parameters}
    return kept


def clean_tags(metadata: dict) -> dict:
    """Keep a cell's tags, the only metadata that papermill acts on."""
    return {"tags": metadata["tags"]} if metadata.get("tags") else {}


def is_volatile(output: dict) -> bool:
    """Tell progress bars, warnings and dead widgets."""
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def clean_output(output: dict, root: str) -> dict:
    """Clean the text of one output; images and plotly figures stay as they are."""
    if "text" in output:
        output["text"] = clean_text(output["text"], root)
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/"):
            output["data"][kind] = clean_text(value, root)
    return output


def clean_text(text: str | list[str], root: str) -> str:
    """Mask object addresses and the repository's path; of a line rewritten with carriage returns keep the end."""
    text = text if isinstance(text, str) else "".join(text)
    text = ADDRESS.sub("at 0x...", text)
    text = text.replace(root, ".") if root else text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
