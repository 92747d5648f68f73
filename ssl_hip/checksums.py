"""SHA-256 of all files of a folder, kept in it and compared before they are used: a flipped bit harms no training."""

import hashlib
import json
from pathlib import Path

from ssl_hip.config import UserError

NAME = "sha256.json"


def write(folder: Path) -> None:
    """Write the hashes of what the folder holds, {file: SHA-256}, to its sha256.json."""
    hashes = {path.name: of_file(path) for path in sorted(folder.iterdir()) if path.name != NAME}
    (folder / NAME).write_text(json.dumps(hashes, indent=2) + "\n")


def verify(folder: Path) -> None:
    """Raise UserError, naming every file that is not as it was written.

    Reads all of them once: about a second a GB, after which they are in the system's memory.
    """
    try:
        hashes = json.loads((folder / NAME).read_text())
    except (OSError, ValueError):
        hashes = {NAME: None}
    paths = [(folder / name, wanted) for name, wanted in hashes.items()]
    damaged = [path for path, wanted in paths if not path.is_file() or of_file(path) != wanted]
    if damaged:
        raise UserError("\n".join(f"{path}: damaged or missing" for path in damaged) + f"\n{remedy(folder)}")


def remedy(folder: Path) -> str:
    """Return what to do about a damaged folder that a stage has made."""
    return f"remove the folder {folder} and type 'make repro': it comes back from DVC's cache, or is made anew"


def of_file(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
