"""Time and peak memory of preparing 24 patches of one 512 x 512 x 300 scan, beside TorchIO and MONAI.

    python -m benchmarks.preparation [--repetitions 3] [--folder FOLDER] [--out FILE.json]

The peers are optional: pip install -r benchmarks/requirements.txt. Contenders take turns, each in a fresh process, on
two cores; median of the repetitions. Linux.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from benchmarks.contenders import CONTENDERS

CORES = 2


def measure(folder: Path, repetitions: int) -> dict[str, dict[str, float] | None]:
    """Return each contender's median seconds and peak_mb; None where its package is not installed."""
    runs: dict[str, list] = {name: [] for name in CONTENDERS}
    for name in tqdm([*CONTENDERS] * repetitions, unit="run"):
        runs[name].append(json.loads(run("benchmarks.contenders", name, str(folder)).splitlines()[-1]))
    return {name: median(found) if all(found) else None for name, found in runs.items()}


def run(module: str, *arguments: str) -> str:
    """Run a module in a process of its own on CORES cores; return what it prints."""
    command = [sys.executable, "-m", module, *arguments]
    threads = {name: str(CORES) for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | threads).stdout


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each measure."""
    return {measure: statistics.median(each[measure] for each in runs) for measure in runs[0]}


def table(found: dict[str, dict[str, float] | None]) -> str:
    """Return a line a contender: seconds, peak MB, and ours as a share of its."""
    ours, lines = found["ours"], [f"{'':22}{'seconds':>9}{'peak MB':>9}{'our time':>10}{'our memory':>12}"]
    for name, each in found.items():
        if each is None:
            lines.append(f"{name:22}not installed")
            continue
        shares = [ours[measure] / each[measure] for measure in ("seconds", "peak_mb")]
        lines.append(f"{name:22}{each['seconds']:9.2f}{each['peak_mb']:9.0f}{shares[0]:10.2f}{shares[1]:12.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; write JSON where asked to."""
    parser = argparse.ArgumentParser(description="Measure the preparation of patches beside TorchIO and MONAI.")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "ssl-hip-benchmark")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    run("benchmarks.synthetic", str(options.folder))
    found = measure(options.folder, options.repetitions)
    print(table(found))
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
