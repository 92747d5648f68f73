"""The explorer in JupyterLab, by mouse and keyboard: what is done changes what is seen. `make test-browser`.

Screenshots and the seconds of each interaction (from the event until the page has changed) lie in build/browser/;
REPEAT=20 repeats each, for their median, and EDGE=32 makes patches of 32^3.
"""

import os
import re
import time

import jupyter_process
import lab
import numpy as np
import pandas as pd
import pytest
import scratch
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

KEPT = scratch.ROOT / "build/browser"
RUNS = ("embedding_matching-4-0", "supervised-4-0")
REPEAT = int(os.environ.get("REPEAT", 1))
EDGE = int(os.environ.get("EDGE", 16))  # voxels
STORY = "() => [...document.querySelectorAll('.widget-html')].map(each => each.innerText).join('|')"
SLICES = """() => [...document.querySelectorAll('.js-plotly-plot')[0].querySelectorAll('.heatmaplayer image')]
    .map(image => image.getAttribute('href')).join()"""
TITLES = """() => [...document.querySelectorAll('.js-plotly-plot')].filter(each => each.offsetParent)
    .map(each => each.querySelector('.gtitle')?.textContent).join()"""
LIT = "() => document.querySelectorAll('.js-plotly-plot')[0].querySelectorAll('.scatterlayer path.point').length"
DOTS = "() => document.querySelectorAll('.widget-tab .js-plotly-plot .scatterlayer path.point').length"
CHOSEN = (
    f"""() => window.chosen = ({STORY})().match(/\\d+ voxels chosen, \\d+ of them/)?.[0] ?? window.chosen ?? null"""
)
SURFACES = """() => JSON.stringify([...document.querySelectorAll('.widget-tab .js-plotly-plot')]
    .filter(each => each.offsetParent).map(each => each.data.map(trace => trace.x)))"""
HAIR = """() => JSON.stringify(document.querySelectorAll('.js-plotly-plot')[0].data
    .filter(trace => trace.name.endsWith('cross-hair')).map(trace => trace.x))"""


@pytest.fixture(scope="module")
def browser():
    """A browser for all tests."""
    with lab.browser() as started:
        yield started


@pytest.fixture(scope="module")
def project(browser, tmp_path_factory):
    """A copy of the repository with two finished runs of the smoke profile."""
    root = scratch.copy(tmp_path_factory.mktemp("browser") / "project")
    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(re.sub(r"(?m)^  edge: \d+", f"  edge: {EDGE}", params))
    scratch.commit(root)
    done = scratch.run(root, "dvc", "repro", "-q", *(f"train@{name}" for name in RUNS))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return root


@pytest.fixture(scope="module")
def opened(browser, project, tmp_path_factory):
    """The explorer, run in JupyterLab, and what went wrong so far."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (
        jupyter_process.server(project, tmp_path_factory.mktemp("jupyter")) as (address, _),
        lab.page(browser, address) as (page, wrong),
    ):
        lab.open_notebook(page, address, "explore_embeddings.ipynb")
        lab.run_all(page)
        page.wait_for_selector(".js-plotly-plot .heatmaplayer image")
        yield page, wrong
        pd.DataFrame(SECONDS, columns=["interaction", "seconds"]).groupby("interaction", sort=False).seconds.agg(
            ["median", "max", "size"]
        ).round(3).to_csv(KEPT / "seconds.csv")


SECONDS = []


def changes(page, name: str, read: str, *actions, times: int = REPEAT) -> None:
    """Do the actions in turn, so often in all, and see each change what `read` reads in the page; note the seconds.

    They count from the moment that an action returns, if it does.
    """
    for number in range(times):
        before, start = page.evaluate(read), time.perf_counter()
        start = actions[number % len(actions)]() or start
        page.wait_for_function(f"before => ({read})() !== before", arg=before, timeout=30_000, polling=10)
        SECONDS.append((name, time.perf_counter() - start))


def control(page, kind: str, name: str):
    """Return the control of this name: kind is dropdown or slider."""
    label = page.locator("label", has_text=re.compile(f"^{re.escape(name)}$"))
    return page.locator(f".widget-{kind}", has=label).first


def choose(page, name: str, option: str):
    """Return the action that chooses an option of a menu."""

    def act() -> None:
        control(page, "dropdown", name).locator("select").select_option(label=option)

    return act


def press(page, name: str, key: str):
    """Return the action that presses a key on a slider."""
    return lambda: control(page, "slider", name).locator(".noUi-handle").press(key)


def click(page, plane: int, x: float, y: float):
    """Return the action that clicks into a plane of the slices, at shares of its width and height."""

    def act() -> float:
        box = page.locator(".js-plotly-plot").first.locator(".nsewdrag").nth(plane).bounding_box()
        place = box["x"] + x * box["width"], box["y"] + y * box["height"]
        page.mouse.move(place[0] - 3, place[1])
        page.mouse.move(*place, steps=3)
        page.wait_for_timeout(60)  # plotly notes what the mouse is over before a click counts
        start = time.perf_counter()
        page.mouse.click(*place)
        return start

    return act


def lasso(page, plot, low: float = 0.03, high: float = 0.97):
    """Return the action that draws a lasso around a plot's (first) plane, between shares of its width."""

    def act() -> float:
        plot.scroll_into_view_if_needed()
        box = plot.locator(".nsewdrag").first.bounding_box()
        left, right = (box["x"] + share * box["width"] for share in (low, high))
        top, bottom = (box["y"] + share * box["height"] for share in (low, 0.97))
        page.mouse.move(left, top)
        page.mouse.down()
        for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
            page.mouse.move(*corner, steps=8)
        start = time.perf_counter()
        page.mouse.up()
        return start

    return act


def button(page, name: str):
    """Return the action that clicks a button."""
    return page.get_by_role("button", name=name, exact=True).click


def tab(page, name: str) -> None:
    """Open a tab of the explorer."""
    page.get_by_role("tab", name=name, exact=True).click()


def shot(page, name: str) -> None:
    """Keep a screenshot for a look."""
    page.wait_for_timeout(400)
    page.screenshot(path=KEPT / f"{name}.png")


def test_slices_and_sentence_are_there(opened):
    page, _ = opened
    assert "voxel z" in page.evaluate(STORY) and page.evaluate(SLICES).count("data:image") >= 3
    shot(page, "1_opened")


def test_a_slider_moves_the_slice_by_the_keyboard(opened):
    page, _ = opened
    keys = ["ArrowLeft", "ArrowRight"]
    if control(page, "slider", "z").locator(".widget-readout").inner_text() == "0":
        keys.reverse()
    changes(page, "move the slice", SLICES, *(press(page, "z", key) for key in keys))
    assert page.evaluate("() => document.activeElement.className").startswith("noUi-handle")


def test_all_controls_are_reached_by_the_tab_key(opened):
    page, _ = opened
    control(page, "dropdown", "run").locator("select").focus()
    reached = set()
    for _ in range(25):
        reached.add(
            page.evaluate("() => document.activeElement.closest('.jupyter-widgets')?.innerText.split('\\n')[0]")
        )
        page.keyboard.press("Tab")
    assert {
        "beside",
        "network",
        "split",
        "sorted by",
        "patch",
        "next",
        "colour",
        "window",
        "λ / ln 2",
        "z",
        "y",
        "x",
    } <= {each and each.strip() for each in reached}, reached


def test_a_click_changes_sentence_cross_hair_and_similarity_map(opened):
    page, _ = opened
    before = page.evaluate(SLICES)
    choose(page, "colour", "similarity to the voxel")()
    page.wait_for_function(f"before => ({SLICES})() !== before", arg=before)
    page.wait_for_timeout(1000)  # the colour bar has made room for itself
    shown = page.evaluate(SLICES), page.evaluate(HAIR)
    changes(page, "click a voxel", STORY, click(page, 0, 0.3, 0.4), click(page, 0, 0.6, 0.5))
    page.wait_for_function(f"before => ({SLICES})() !== before", arg=shown[0])
    assert page.evaluate(HAIR) != shown[1]
    shot(page, "2_clicked")


@pytest.mark.parametrize("layer", ["uncertainty H", "K⁺ − K⁻"])
def test_layers_are_switched(opened, layer):
    page, _ = opened
    changes(page, "switch the layer", SLICES, choose(page, "colour", layer), choose(page, "colour", "nothing"))


def test_lambda_decides_what_is_uncertain(opened):
    page, _ = opened
    changes(page, "move lambda", STORY, press(page, "λ / ln 2", "ArrowRight"), press(page, "λ / ln 2", "ArrowLeft"))


def test_patches_are_stepped_through_and_sorted(opened):
    page, _ = opened
    changes(page, "next patch", SLICES, button(page, "next"), button(page, "previous"))
    listed = "() => [...document.querySelectorAll('.widget-dropdown')].map(each => each.innerText).join()"
    changes(page, "sort by HD95", listed, choose(page, "sorted by", "HD95"), times=1)  # known from then on
    choose(page, "sorted by", "patch number")()


@pytest.mark.parametrize(
    ("name", "options"), [("kernel", ("euclidean", "cosine")), ("reduce", ("max", "mean"))], ids=["kernel", "reduce"]
)
def test_play_with_another_similarity(opened, name, options):
    page, _ = opened
    tab(page, "play")
    changes(page, f"change {name}", STORY, *(choose(page, name, option) for option in options))
    choose(page, name, options[1])()


@pytest.mark.parametrize("name", ["k", "l", "band, mm", "temperature"])
def test_play_with_references_and_temperature(opened, name):
    page, _ = opened
    changes(page, f"change {name}", STORY, press(page, name, "ArrowLeft"), press(page, name, "ArrowRight"))


def test_fresh_references_are_scored_over_the_validation_patches(opened):
    page, _ = opened
    changes(page, "fresh draw", STORY, button(page, "fresh draw"))
    shot(page, "3_play")

    def another() -> float:
        before = page.evaluate(STORY)
        button(page, "fresh draw")()
        page.wait_for_function(f"before => ({STORY})() !== before", arg=before)
        start = time.perf_counter()
        button(page, "score validation")()
        return start

    scored = f"() => ({STORY})().split('|').filter(text => text.includes('validation patches that are right')).join()"
    changes(page, "score validation", scored, another)


def test_a_lasso_in_the_space_lights_up_voxels_and_one_in_the_slices_rings_dots(opened):
    page, _ = opened
    tab(page, "space")
    plot, main = page.locator(".widget-tab .js-plotly-plot:visible").first, page.locator(".js-plotly-plot").first
    plot.locator(".scatterlayer path.point").first.wait_for()
    changes(page, "lasso in the space", CHOSEN, lasso(page, plot), lasso(page, plot, 0.1, 0.6), times=max(3, REPEAT))
    chosen, here = map(int, re.findall(r"\d+", page.evaluate(CHOSEN)))
    assert chosen >= here > 0
    page.wait_for_function(f"() => ({LIT})() > 0")
    shot(page, "4_space")
    before = page.evaluate(DOTS)
    page.evaluate(lab.TOP)
    changes(page, "lasso in a slice", DOTS, lasso(page, main), times=1)
    assert page.evaluate(DOTS) > before
    shot(page, "4_rings")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").bounding_box()
    page.mouse.dblclick(box["x"] + 5, box["y"] + 5)  # plotly's way to let go
    page.wait_for_function(f"() => ({LIT})() === 0")


def test_surfaces_are_drawn(opened):
    page, _ = opened
    tab(page, "3D")
    page.wait_for_selector(".js-plotly-plot canvas:visible")
    changes(page, "next patch, 3D", SURFACES, button(page, "next"), button(page, "previous"))
    shot(page, "5_3d")


def test_another_run_and_a_second_one_beside_it(opened):
    page, _ = opened
    tab(page, "voxel")
    changes(page, "switch the run", TITLES, choose(page, "run", RUNS[1]), choose(page, "run", RUNS[0]))
    changes(page, "a run beside", TITLES, choose(page, "beside", RUNS[0]), choose(page, "beside", "none"))
    choose(page, "run", RUNS[1])()
    choose(page, "beside", RUNS[0])()
    page.wait_for_function(f"() => ['{RUNS[0]}', '{RUNS[1]}'].every(name => ({TITLES})().includes(name))")
    shot(page, "6_beside")
    choose(page, "beside", "none")()


def test_a_view_is_kept_and_a_state_comes_back(opened, project):
    page, _ = opened
    tab(page, "keep")
    for kind in ("PNG", "HTML"):
        button(page, kind)()
        page.wait_for_function(f"() => ({STORY})().includes('.{kind.lower()}')")
    kept = sorted(path.suffix for path in (project / "reports/explorer").iterdir())
    assert kept == [".html", ".png"]
    state = page.locator(".widget-text input").last
    before, shown = state.input_value(), page.evaluate(SLICES)
    first = control(page, "slider", "z").locator(".widget-readout").inner_text() == "0"
    press(page, "z", "End" if first else "Home")()
    page.wait_for_function(f"before => ({SLICES})() !== before", arg=shown)
    expect(state).not_to_have_value(before)  # the kernel writes it after the slices, over what is typed till then
    state.fill(before)
    button(page, "restore")()
    page.wait_for_function(f"before => ({SLICES})() === before", arg=shown)


def test_readable_in_the_dark_theme(opened):
    page, _ = opened
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    shot(page, "7_dark")
    colours = page.evaluate("""() => {
        const text = getComputedStyle(document.querySelector('.widget-html-content')).color
        const ground = getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor
        return [text, ground].map(colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)) }""")
    text, ground = (luminance(colour) for colour in colours)
    assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5  # WCAG 2.1, contrast of text


def luminance(colour: list[float]) -> float:
    """Return the relative luminance of an sRGB colour (0-255), WCAG 2.1."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_nothing_went_wrong_and_nothing_left_the_machine(opened):
    assert opened[1] == []


def test_lab_opens_on_the_map_and_without_runs_the_explorer_says_what_to_do(browser, tmp_path):
    with (
        jupyter_process.server(scratch.copy(tmp_path / "empty"), tmp_path / "jupyter") as (address, _),
        lab.page(browser, address) as (page, wrong),
    ):
        lab.open_notebook(page, address)
        assert "00_start_here" in page.url
        lab.open_notebook(page, address, "explore_embeddings.ipynb")
        page.evaluate(lab.RUN_ALL)
        page.wait_for_selector("text=no finished run")
        assert "make repro" in page.locator(".jp-OutputArea-output").first.inner_text()
        assert wrong == []
