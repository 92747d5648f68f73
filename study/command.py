"""How a command of the study begins and ends."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.jobs import StageError
from ssl_hip.config import ROOT, UserError
from study import plan, records


def command(main: Callable[[], None]) -> None:
    """Run main from the repository's root, its tools found; a user's mistake ends it with the message alone."""
    os.chdir(ROOT)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        main()
    except (UserError, StageError) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on with what is missing.")


def trained(description: str, arguments: list[str] | None) -> list[tuple[plan.Run, Path]]:
    """Read names from the command line; return their trainings with their networks' folders, as records.trained."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help="names of study/plan.yaml, finished trainings")
    return records.trained(parser.parse_args(arguments).names)
