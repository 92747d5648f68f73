"""The small pipeline on a disk that is too small, and started again with a little more room until it is done.

As a program, in a mount namespace of its own (`unshare --map-root-user --mount`): FOLDER, in which a tmpfs is mounted.
"""

import json
import subprocess
import sys
from pathlib import Path

import kills
import psutil

from pipeline import advice

GROWTH = 1.2
WORDS = advice.remedy("No space left on device")


def mount(folder: Path, size_mb: float, *options: str) -> None:
    """Mount a disk of this size, or with "remount" give it this size."""
    wanted = ",".join([f"size={size_mb * 2**20:.0f}", *options])
    subprocess.run(["mount", "-t", "tmpfs", "-o", wanted, "none", folder], check=True)


def fill_again_and_again(folder: Path) -> dict:
    """Return how often the disk was full, at how many MB it was done, and what came out (see `kills.contents`)."""
    root = folder / "project"
    root.mkdir()
    mount(root, 1024)
    kills.project(root)
    size_mb, full = psutil.disk_usage(str(root)).used / 2**20 * GROWTH, 0
    while True:
        mount(root, size_mb, "remount")
        code = kills.start(root).wait()
        if not code:
            return {"full": full, "size_mb": round(size_mb), "contents": kills.contents(root)}
        told = kills.log_of(root).read_text()
        assert WORDS in told and "Traceback" not in told, told[-3000:]
        print(f"full at {size_mb:.0f} MB: {told.strip().splitlines()[-1]}", file=sys.stderr, flush=True)
        size_mb, full = size_mb * GROWTH, full + 1


if __name__ == "__main__":
    print(json.dumps(fill_again_and_again(Path(sys.argv[1]))))
