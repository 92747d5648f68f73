"""Print the pip part of environment.yml, the one list of packages; standard library only, runs before the install."""

from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parent.parent / "environment.yml"


def requirements(path: Path = ENVIRONMENT) -> list[str]:
    """Return the lines below `- pip:`, e.g. ["torch==2.13.0", ...]."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip() == "- pip:")
    return [line.strip().removeprefix("- ") for line in lines[start + 1 :] if line.startswith("      - ")]


if __name__ == "__main__":
    print("\n".join(requirements()))
