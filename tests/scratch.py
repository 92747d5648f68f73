"""A copy of the repository to work in, for tests that change files or run stages."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run git in root, under a fixed name, whatever the user's settings are."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, text=True)


def files() -> list[str]:
    """Return the repository's files: tracked and new ones, without ignored ones."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\n") if name and (ROOT / name).is_file()]


def copy(root: Path, profile: str = "params/smoke.yaml") -> Path:
    """Copy the repository to root with another profile in place and no results yet."""
    for name in files():
        if name != "dvc.lock" and not name.startswith("results/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    shutil.copy(ROOT / profile, root / "params.yaml")
    return root


def commit(root: Path) -> None:
    """Make the copy a git repository of its own."""
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "scratch"]):
        done = git(root, *step)
        assert done.returncode == 0, done.stderr


def environment(root: Path) -> dict[str, str]:
    """Return the environment of a command in the copy, with the copy's own modules first."""
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(root)}


def run(root: Path, *command: str, **changes: str) -> subprocess.CompletedProcess:
    """Run a command in the copy, with changes of the environment."""
    return subprocess.run(command, cwd=root, env=environment(root) | changes, capture_output=True, text=True)


def start(root: Path, *command: str, output: IO | int = subprocess.PIPE) -> subprocess.Popen:
    """Start a command in the copy, in a session of its own; a signal that the caller ignores does not stay ignored."""
    return subprocess.Popen(
        command, cwd=root, env=environment(root), stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
