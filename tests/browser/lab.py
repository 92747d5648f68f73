"""A page in a browser that notes all that goes wrong, and JupyterLab in it."""

import contextlib
import os
import shutil
import time

import pytest
from jupyter_process import TOKEN
from playwright.sync_api import Browser, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
RUN_ALL = "() => { void jupyterapp.commands.execute('notebook:run-all-cells') }"
READY = "() => !!window.jupyterapp?.shell?.currentWidget?.sessionContext?.isReady"
COUNTS = """() => jupyterapp.shell.currentWidget.content.model.sharedModel.cells
    .filter(cell => cell.cell_type === 'code').map(cell => cell.execution_count)"""
TOP = "() => document.querySelectorAll('.jp-WindowedPanel-outer').forEach(panel => { panel.scrollTop = 0 })"


@contextlib.contextmanager
def browser():
    """Start Chromium or Chrome, without a window; fails the test, with a remedy, where there is none."""
    found = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.fail("these tests need Chromium or Chrome: apt-get install chromium, or set BROWSER_PATH to it")
    with sync_playwright() as play, play.chromium.launch(executable_path=found, args=QUIET) as started:
        yield started


@contextlib.contextmanager
def page(started: Browser, address: str, width: int = 1280, height: int = 1800):
    """Open a page and hand it out with the list of its errors and of its requests to other machines."""
    wrong = []
    with started.new_page(viewport={"width": width, "height": height}) as opened:
        opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        local = (address, address.replace("http", "ws"), "data:", "blob:", "about:")
        opened.on("request", lambda request: None if request.url.startswith(local) else wrong.append(request.url))
        yield opened, wrong


def open_notebook(opened: Page, address: str, name: str | None = None) -> None:
    """Open a notebook of notebooks/, or what JupyterLab opens by itself, and wait for its kernel."""
    place = f"/lab/tree/notebooks/{name}?reset&" if name else "/?"
    opened.goto(f"{address}{place}token={TOKEN}", wait_until="domcontentloaded")
    opened.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    opened.wait_for_function(READY, timeout=60_000)


def run_all(opened: Page) -> None:
    """Run all cells and wait until the last has run."""
    opened.evaluate(RUN_ALL)
    end = time.monotonic() + 180
    while not all(opened.evaluate(COUNTS)):
        assert time.monotonic() < end, opened.locator(".jp-OutputArea-output").all_inner_texts()
        opened.wait_for_timeout(200)
    opened.evaluate(TOP)
