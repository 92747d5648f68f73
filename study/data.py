"""What the study's networks see: stages of a profile, made by DVC in the profile's own folder."""

import os
import subprocess
from pathlib import Path

from pipeline import jobs, profiles
from ssl_hip.patch_store import PatchStore
from study import plan


def prepared(profile: Path, stage: str) -> Path:
    """Bring a stage of a profile up to date and return the profile's folder; raise StageError where it fails."""
    folder = profiles.prepare(profile)
    environment = os.environ | {"PYTHONPATH": str(folder)}
    if subprocess.run(jobs.dvc("repro", "--quiet", stage), cwd=folder, env=environment).returncode:
        raise jobs.StageError(f"{profile.name}: stage {stage} failed, see above. Folder: {folder}")
    return folder


def patches() -> PatchStore:
    """Bring the study's patches up to date and return them."""
    return PatchStore(prepared(plan.PROFILE, "patches") / "data/patches")
