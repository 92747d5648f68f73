"""Names of subjects and tags: they stand in tables that a spreadsheet opens, on pages, and in names of files."""

import re

from ssl_hip.images.faults import Fault

PLAIN = re.compile(r"\w[\w .,;()+@#-]*")
REMEDY = "rename it: a letter, digit or _ first, then also blanks and . , ; ( ) + @ # -"


def is_plain(name: str) -> bool:
    """Say whether a name is neither a formula, nor HTML, nor a path, nor controls the terminal."""
    return PLAIN.fullmatch(name) is not None


def quoted(name: str) -> str:
    """Return a name as a table may show it: one that is not plain in quotes, with escapes."""
    return name if not name or is_plain(name) else repr(name)


def faults(names: list[str], what: str, file: str) -> list[tuple[str, Fault]]:
    """Return a fault for each name that is not plain; what: subject or tag; file: where it stands."""
    return [(name, Fault(file, f"{what} {name!r}", REMEDY)) for name in names if name and not is_plain(name)]
