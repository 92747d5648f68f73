"""What to do about errors that are neither a mistake in the input nor a bug: a full disk, memory, rights, dvc.lock."""

import re

DAMAGED_LOCK = r"dvc\.lock' (is invalid|validation failed)"
REMEDIES = (
    (
        r"No space left on device|database or disk is full|Disk quota exceeded|File too large",
        "The disk is full. Free some space ('make clean'; 'dvc gc --workspace' drops older results) and start again: "
        "what is finished is kept.",
    ),
    (
        r"MemoryError|out of memory|not enough memory|[Cc]an(no|')t allocate memory|Unable to allocate|bad_alloc|"
        r"Failed to allocate|process died",
        "Memory ran out. JOBS=1 trains one at a time; a smaller optimization.batch_size, patches.edge or model.width "
        "in params.yaml needs less.",
    ),
    (
        r"Read-only file system|Permission denied|Operation not permitted",
        "This folder or file cannot be written or read by you: change its rights, or clone into a folder of your own.",
    ),
    (
        DAMAGED_LOCK,
        "dvc.lock is damaged. 'git checkout dvc.lock' brings the committed one back; without any ('rm dvc.lock') "
        "results are found in DVC's cache again by what they depend on.",
    ),
)


def short(text: str) -> str | None:
    """Return an output's last line that tells such an error, what follows it, and the remedy; None without one."""
    lines = text.split("\n")
    last = next((place for place in reversed(range(len(lines))) if remedy(lines[place])), None)
    if last is None:
        return None
    told, words = "\n".join(lines[last:]), remedy(lines[last])
    return told if words in told else f"{told}\n\n{words}"


def remedy(text: str) -> str | None:
    """Return what to do about an error that a text tells, None where nothing is known."""
    return next((words for pattern, words in REMEDIES if re.search(pattern, text)), None)
