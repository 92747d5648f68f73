"""Who reaches JupyterLab as `make lab` starts it."""

import re
import urllib.error
import urllib.request

import jupyter_process
import psutil
import pytest
import scratch


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab: its address, its process and what it has told on the terminal."""
    folder = tmp_path_factory.mktemp("jupyter")
    with jupyter_process.server(scratch.ROOT, folder, token=None) as (address, process):
        yield address, process, (folder / "server.log").read_text()


def status(address: str) -> int:
    """Return the answer's code."""
    try:
        return urllib.request.urlopen(address).status
    except urllib.error.HTTPError as error:
        return error.code


def test_it_listens_on_this_machine_only(lab):
    process = psutil.Process(lab[1].pid)
    listening = {
        connection.laddr.ip
        for each in [process, *process.children(recursive=True)]
        for connection in each.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_nobody_enters_without_the_token_that_is_told_on_the_terminal(lab):
    address, _, told = lab
    token = re.search(r"token=([0-9a-f]{48})", told)[1]
    answers = [
        status(f"{address}/api/contents{given}") for given in ("", "?token=", "?token=another", f"?token={token}")
    ]
    assert answers == [403, 403, 403, 200]
