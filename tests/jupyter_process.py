"""JupyterLab as `make lab` starts it, on a port of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import scratch

TOKEN = "of-this-test"


@contextlib.contextmanager
def server(root: Path, folder: Path, token: str | None = TOKEN):
    """Start `make lab` in root, with settings and server.log in folder; it ends with the block.

    Hands out its address and process. token: that of the server; None: Jupyter's own choice.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"ServerApp": {"open_browser": False, "allow_root": True}, "LabApp": {"expose_app_in_browser": True}}
    (folder / "config").mkdir(parents=True)
    (folder / "config/jupyter_server_config.json").write_text(json.dumps(settings))
    changes = {"JUPYTER_CONFIG_DIR": folder / "config", "JUPYTERLAB_SETTINGS_DIR": folder / "lab",
               "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces", "JUPYTER_PORT": port,
               "PATH": f"{scratch.BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": root}  # fmt: skip
    changes |= {"JUPYTER_TOKEN": token} if token else {}
    environment = os.environ | {name: str(value) for name, value in changes.items()}
    command, log = ["make", "lab", "-o", ".venv/.installed"], folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/login", log)
        yield address, process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_for(address: str, log: Path, seconds: float = 90) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5)
            return
        time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
