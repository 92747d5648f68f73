"""`make repro` killed at random moments until it is done, and again: the files are those of an uninterrupted one.

`make torture`; KILLS=50 says how often. What was killed is written to build/torture/kills.csv.
"""

import os
import random

import kills
import pandas as pd
import pytest
import scratch

pytestmark = pytest.mark.torture

TABLE = scratch.ROOT / "build/torture/kills.csv"


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path):
    whole, killed = (kills.project(tmp_path / name) for name in ("whole", "killed"))
    assert kills.start(whole).wait() == 0
    wanted, rng, told, finished = kills.contents(whole), random.Random(0), [], 0
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
