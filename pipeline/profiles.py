"""Run another profile beside the default one: `python -m pipeline.profiles params/paper.yaml --jobs 2`.

The repository's files are copied to build/profiles/NAME, with the profile as params.yaml; DVC's cache is shared, so
that stages which both profiles have in common are computed once. Small results are copied back to results/NAME/.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ssl_hip import config

ROOT = config.ROOT
LOCAL_CONFIG = "[cache]\n    dir = {cache}\n[core]\n    no_scm = true\n"


def prepare(profile: Path) -> Path:
    """Copy the repository's files, new ones included, to the profile's folder; its own results there stay."""
    folder = ROOT / "build/profiles" / profile.stem
    listed = ["git", "ls-files", "-coz", "--exclude-standard"]  # z: names as they are, ended by a zero
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in names:
        if name != "dvc.lock" and not name.startswith("results/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    shutil.copy2(profile, folder / "params.yaml")
    (folder / ".dvc/config.local").write_text(LOCAL_CONFIG.format(cache=ROOT / ".dvc/cache"), encoding="utf-8")
    link_input(folder, str(config.load("cohort.path", root=folder).cohort.path))
    return folder


def link_input(folder: Path, path: str) -> None:
    """Let a relative `cohort.path` lead to the same place from the profile's folder as from the repository."""
    place, target = Path(os.path.normpath(folder / path)), (ROOT / path).resolve()
    if not path or Path(path).is_absolute() or place.exists() or not target.exists():
        return
    if not place.is_relative_to(ROOT / "build"):
        raise config.UserError(f"cohort.path: '{path}' leads too far up for a profile; write it as an absolute path")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def collect(folder: Path, name: str) -> None:
    """Copy the profile's tables to results/NAME/."""
    target = ROOT / "results" / name
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / "results").glob("*.*")):
        shutil.copy(path, target)
    print(f"Results: results/{name}/; in build/profiles/{name}/: notebooks in reports/nb/, networks in runs/")


def main() -> None:
    """Run the profile named on the command line; further arguments go to pipeline.jobs."""
    profile = Path(sys.argv[1])
    try:
        config.read_yaml(profile)
        folder = prepare(profile)
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-m", "pipeline.jobs", *sys.argv[2:]], cwd=folder, env=environment)
    if done.returncode:
        print(f"Relative paths above are meant from {folder.relative_to(ROOT)}/.", file=sys.stderr)
        sys.exit(done.returncode)
    collect(folder, profile.stem)


if __name__ == "__main__":
    main()
