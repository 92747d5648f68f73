"""The explorer's state as a short string that can be sent to a colleague and typed in again."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from ssl_hip.config import UserError


def to_text(state: dict[str, Any]) -> str:
    """Return a state, values that `str` tells fully, as KEY=VALUE&KEY=VALUE."""
    return urlencode({key: str(value) for key, value in state.items()})


def from_text(text: str, like: dict[str, Any]) -> dict[str, Any]:
    """Return the state in a text, each value of the type it has in `like`; raise UserError that names all mistakes.

    Keys that the text lacks keep the value of `like`.
    """
    pairs, problems, state = parse_qsl(text.strip(), keep_blank_values=True), [], dict(like)
    for key, value in pairs:
        if key not in like:
            problems.append(f"unknown key '{key}'; known: {', '.join(like)}")
            continue
        kind = type(like[key])
        try:
            state[key] = value == "True" if kind is bool else kind(value)
        except ValueError:
            problems.append(f"{key}: '{value}' is no {kind.__name__}")
    if problems:
        raise UserError("state: " + "; ".join(problems))
    return state
