"""The papermill engine `ssl_hip`: live progress on the terminal, byte-identical reports, one clear message on failure.

papermill loads this module while it is being imported itself: import papermill first, never this module.
"""

import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine
from papermill.exceptions import strip_color
from traitlets.config import Config

from pipeline import advice, orphans
from pipeline.scrub import scrub

SO_FAR = "The notebook as far as it came: "


class Client(PapermillNotebookClient):
    """Notebook client that passes stream output on as it comes, carriage returns included."""

    def process_message(self, msg, *args, **kwargs):
        """Show a stream message, then record it."""
        if msg["msg_type"] == "stream":
            stream = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
            stream.write(msg["content"]["text"])
            stream.flush()
        return super().process_message(msg, *args, **kwargs)


class Engine(NBClientEngine):
    """Run a notebook; its report appears at `output_path` only when every cell has passed.

    Until then, and after a failure, it is kept whole as NAME.failed.ipynb, so that no half-written report is
    taken for a result.
    """

    @classmethod
    def execute_notebook(cls, nb, kernel_name, output_path, **kwargs):
        """Execute, then scrub; on failure print what went wrong and exit with a status other than 0."""
        draft = str(Path(output_path).with_suffix(".failed.ipynb"))
        Path(draft).parent.mkdir(parents=True, exist_ok=True)
        kwargs["progress_bar"] = False
        orphans.end_with(orphans.starters())
        try:
            nb = super().execute_notebook(nb, kernel_name, output_path=draft, **kwargs)
        except DeadKernelError:
            died = "The notebook's process died, most often for lack of memory."
            fail(f"{died}\n{advice.remedy(died)}\n{SO_FAR}{draft}", 138)
        except OSError as error:  # of papermill itself, which writes the notebook after each cell
            fail(advice.short(str(error)) or "".join(traceback.format_exception(error)), 1)
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                if output.output_type == "error":
                    fail(describe(output, draft), 1)
        Path(draft).unlink()
        return scrub(nb, root=str(Path.cwd()))

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, log_output=False, start_timeout=60, **kwargs):
        """Run all cells. IPC in a folder of its own: nothing to collide when several notebooks run at once."""
        options = {"record_timing": False, "coalesce_streams": True, "timeout": None, "startup_timeout": start_timeout}
        with TemporaryDirectory(prefix="ssl-hip-") as sockets:
            config = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
            return Client(nb_man, kernel_name=kernel_name, config=config, **options).execute()


def describe(error: dict, draft: str) -> str:
    """Return the text for a failed cell: a traceback where it is a bug, else what to do; the draft is named last."""
    told = f"{error['ename']}: {error['evalue']}"
    if error["ename"] == "UserError":
        text = told
    elif remedy := advice.remedy(told):
        text = f"{told}\n{remedy}"
    else:
        text = strip_color("\n".join(error["traceback"]))
    return f"{text}\n{SO_FAR}{draft}"


def fail(message: str, status: int):
    """Print the message last and leave; papermill would write the notebook to its output path and add a traceback."""
    sys.stdout.flush()
    print(f"\n{message}", file=sys.stderr, flush=True)
    sys.exit(status)
