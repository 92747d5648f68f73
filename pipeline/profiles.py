"""Run another profile beside the default one: `python -m pipeline.profiles params/paper.yaml --jobs 2`.

The repository's files are copied to build/profiles/NAME, with the profile as params.yaml; DVC's cache is shared, so
that trainings, patches and shape models which both profiles have in common are computed once. Stages that write to
results/ run again: DVC remembers no run of a stage with an output outside its cache. Small results are copied back to
results/NAME/.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ssl_hip import config

ROOT = config.ROOT
OURS = ("figures", "study")  # folders of results/ that are no profile's
OWNER = "build/profile"  # in a profile's folder: the file that it is of
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOCAL_CONFIG = "[cache]\n    dir = {cache}\n[core]\n    no_scm = true\n"


def check(profile: Path) -> None:
    """Raise UserError where this is no profile, or where another one's results would be overwritten."""
    if not profile.is_file():
        known = ", ".join(f"params/{path.name}" for path in sorted((ROOT / "params").glob("*.yaml")))
        raise config.UserError(f"{profile}: no such file; profiles are {known}, or a copy of yours")
    if profile.resolve() == ROOT / "params.yaml":
        raise config.UserError(f"{profile}: is the default profile; type 'make repro' alone")
    config.read_yaml(profile)
    if profile.stem in OURS:
        raise config.UserError(f"{profile}: results/{profile.stem}/ holds other results; copy the file to another name")
    owner = ROOT / "build/profiles" / profile.stem / OWNER
    if owner.is_file() and (other := owner.read_text(encoding="utf-8")) != os.path.relpath(profile, ROOT):
        raise config.UserError(
            f"{profile}: build/profiles/{profile.stem}/ and results/{profile.stem}/ are those of {other}; "
            f"give one of the two files another name, or delete build/profiles/{profile.stem}/"
        )


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
    (folder / OWNER).parent.mkdir(exist_ok=True)
    (folder / OWNER).write_text(os.path.relpath(profile, ROOT), encoding="utf-8")
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
    print(f"Results: results/{name}/; in build/profiles/{name}/: reports/report.html, pictures in results/figures/,")
    print("  executed notebooks in reports/nb/, networks in runs/")


def run(command: list[str], folder: Path) -> int:
    """Run a command there and return its exit status; signals are passed on to it once, its end is awaited."""
    child = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, process_group=0)
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, lambda number, _: child.send_signal(number))
    return child.wait()


def main() -> None:
    """Run the profile named on the command line; further arguments go to pipeline.jobs."""
    profile = Path(sys.argv[1])
    try:
        check(profile)
        folder = prepare(profile)
    except config.UserError as error:
        sys.exit(f"UserError: {error}")
    if status := run([sys.executable, "-m", "pipeline.jobs", *sys.argv[2:]], folder):
        said = f"Above, params.yaml is a copy of {profile}, and paths are meant from {folder.relative_to(ROOT)}/."
        print(said, file=sys.stderr)
        sys.exit(status)
    collect(folder, profile.stem)


if __name__ == "__main__":
    main()
