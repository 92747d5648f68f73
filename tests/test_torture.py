"""`make repro` killed at random moments, and on a disk that fills: the files are those of an uninterrupted one.

`make torture`; KILLS=50 says how often it is killed. What was killed is written to build/torture/kills.csv.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import kills
import pandas as pd
import pytest
import scratch

pytestmark = pytest.mark.torture

TABLE = scratch.ROOT / "build/torture/kills.csv"


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> dict[str, str]:
    """The files of an uninterrupted run."""
    whole = kills.project(tmp_path_factory.mktemp("whole"))
    assert kills.start(whole).wait() == 0
    return kills.contents(whole)


def test_on_a_disk_that_fills_it_ends_with_the_same_bytes(tmp_path, wanted):
    alone = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip(
            "no small disk can be mounted: that needs Linux, and root or user namespaces (unshare); "
            "tests/test_resume.py and tests/test_patches.py let writing fail on any system"
        )
    command = [*alone, sys.executable, str(Path(__file__).with_name("full_disk.py")), str(tmp_path)]
    done = subprocess.run(command, env=scratch.environment(scratch.ROOT), stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["full"] > 5 and found["contents"] == wanted
    print(f"full {found['full']} times, done with {found['size_mb']} MB and the same {len(wanted)} files")


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path, wanted):
    killed, rng, told, finished = kills.project(tmp_path / "killed"), random.Random(0), [], 0
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    while len(told) < int(os.environ.get("KILLS", 50)) or not finished:
        one = kills.kill_once(killed, rng, longest=60)
        if one is None:
            assert kills.contents(killed) == wanted
            finished += 1
            scratch.git(killed, "clean", "-fdxq")
            continue
        told.append(one)
        print(one, flush=True)
        pd.DataFrame(told).to_csv(TABLE, index=False)
        assert not one["orphans"], one
    print(f"{len(told)} kills, {finished} times finished with the same {len(wanted)} files")
