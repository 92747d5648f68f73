"""`make bench`: every claim about speed, measured in one run; writes results/bench.json and prints it as a table.

    python -m benchmarks.bench [--out results/bench.json]

One CPU thread (train.threads), except where a row says otherwise; on a GPU the rows of the training step once more.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import torch

from benchmarks import convolution, denormals, group_norm, hausdorff, precision_speed, similarity, steps, trainings
from ssl_hip import config


def processor() -> str:
    """Return the processor's name and its number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def devices() -> dict[str, torch.device]:
    """Return name -> device of what can train here."""
    found = {processor(): torch.device("cpu")}
    if torch.cuda.is_available():
        found[torch.cuda.get_device_name()] = torch.device("cuda")
    return found


def table(rows: list[dict]) -> str:
    """Return the rows as Markdown."""
    said = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | measured | goal | met |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['name']} | {row['value']:.3g} {row['unit']} | {row['goal']} | {said[row['met']]} |")
    return "\n".join(lines)


def main() -> None:
    """Measure everything; a progress line on stderr for each part."""
    parser = argparse.ArgumentParser(description="Measure this repository's speed beside other code.")
    parser.add_argument("--out", type=Path, default=config.ROOT / "results" / "bench.json")
    options = parser.parse_args()
    if not (trainings.PATCHES / "patches.csv").is_file():
        sys.exit("data/patches is missing: 'make bench' prepares it, or 'dvc repro patches'")
    threads = config.load("train.threads").train.threads
    torch.set_num_threads(threads)
    peak, rows = {}, []
    for name, device in devices().items():
        print(f"training step on {name}: a few minutes", file=sys.stderr)
        peak[name], found = steps.rows(device)
        rows += [(name, row) for row in found]
    here = processor()
    parts = {"matching": similarity, "convolution": convolution, "norm": group_norm, "denormals": denormals}
    parts |= {"precision": precision_speed, "trainings": trainings, "HD95": hausdorff}
    for part, module in parts.items():
        print(f"{part}: a few minutes", file=sys.stderr)
        rows += [(here, row) for row in module.rows()]
    listed = [{"device": name, **vars(row), "met": row.met} for name, row in rows]
    found = {"device": list(peak), "threads": threads, "torch": torch.__version__, "peak": peak, "rows": listed}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, speeds in peak.items():
        print(f"{name}: " + ", ".join(f"{kind} {value:.0f} {unit(kind)}" for kind, value in speeds.items()))
    print(table(listed))


def unit(kind: str) -> str:
    """Return the unit of a peak."""
    return "GB/s" if kind.startswith("copy") else "GFLOP/s"


if __name__ == "__main__":
    main()
