"""How a command of the study begins and ends."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.jobs import StageError
from ssl_hip.config import ROOT, UserError


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
