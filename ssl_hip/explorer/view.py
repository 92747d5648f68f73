"""The explorer as widgets: what is chosen is shown. What is computed lies in case.py and below."""

import html
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ssl_hip import config
from ssl_hip.config import UserError
from ssl_hip.explorer import catalogue, keep, lasso, references_figure, slices, solid, space, state
from ssl_hip.explorer.case import Case, accuracies_of, told_accuracies
from ssl_hip.explorer.controls import NONE, Controls
from ssl_hip.explorer.maps import Run, Source, finished
from ssl_hip.patch_store import SPLITS

TABS = ("voxel", "play", "space", "3D", "keep")
PATCHES_IN_SPACE = 8
LASSO_STYLE = (
    "<style>.selectionlayer path { pointer-events: none !important }</style>"  # else none begins within another
)


class Explorer:
    """Controls and pictures over a repository's finished runs."""

    def __init__(self, settings: SimpleNamespace, root: Path = config.ROOT):
        """settings: methods.embedding_matching of params.yaml, where the matching begins; root: holds runs/ and data/.

        Raises UserError without any finished run.
        """
        runs = finished(root / "runs")
        self.root, self.source = root, Source(root, settings.passes)
        self.runs, self.surveys, self.selected = {run.name: run for run in runs}, {}, (None, None)
        size = self.source.store.size
        splits = [split for split in SPLITS[::-1] if len(self.source.store.table(split))]
        self.controls = Controls(runs, splits, settings, size)
        self.main, self.other = (go.FigureWidget(slices.figure(size, " ")) for _ in range(2))
        self.near, self.dots = go.FigureWidget(references_figure.figure(size)), go.FigureWidget(space.figure())
        self.solid = go.FigureWidget(solid.figure(size, self.source.store.spacing_mm))
        self.story, self.scores, self.message = (widgets.HTML() for _ in range(3))
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "270px", "visibility": "hidden"})
        self.held, self.seconds = False, 0.0  # held: changes of controls wait; seconds: of the last refresh
        self.layout = self._layout()
        self._listen()
        self._list_patches()

    def case(self, run: Run | None = None, row: int | None = None) -> Case:
        """Return what the controls choose, under another run or of another patch if one is given."""
        chosen = self.controls
        names = ("references", "runs", "band_mm", "kernel", "reduce", "center", "temperature")
        settings = SimpleNamespace(**{name: getattr(chosen, name).value for name in names})
        return Case(
            self.source, run or self.runs[chosen.run.value], chosen.network.value, chosen.split.value,
            chosen.row.value if row is None else row, (chosen.z.value, chosen.y.value, chosen.x.value),
            chosen.limit.value * math.log(2), settings, chosen.patches.value, chosen.seed.value,
        )  # fmt: skip

    # what is shown

    def refresh(self, *_) -> None:
        """Show what the controls say."""
        if self.held:
            return
        start, case, beside = time.perf_counter(), self.case(), self.controls.beside.value
        self._show_slices(self.main, case)
        if beside != NONE:
            self._show_slices(self.other, self.case(self.runs[beside]))
        self.compared.layout.display = "none" if beside == NONE else ""
        self.story.value, self.scores.value = case.story(), case.scores()
        self._fill(TABS[self.tabs.selected_index], case)
        self.text.value = state.to_text(self.controls.state)
        self.seconds = time.perf_counter() - start

    def _fill(self, tab: str, case: Case) -> None:
        """Draw what a tab shows, which nobody sees before it is opened."""
        if tab == "voxel":
            references_figure.fill(self.near, self.source.store, case.nearest(), self._window)
        elif tab == "space":
            self._show_space()
        elif tab == "3D":
            solid.fill(self.solid, case.maps, self.source.store.spacing_mm)

    @property
    def _window(self) -> tuple[float, float]:
        return slices.WINDOWS[self.controls.window.value]

    def _show_slices(self, figure: go.FigureWidget, case: Case) -> None:
        chosen = self.controls
        outlines, layer = (chosen.truth.value, chosen.prediction.value), case.layer(chosen.layer.value)
        patch, voxels = self.selected
        marks = voxels if patch == (case.split, case.row) else None
        slices.fill(figure, slices.content(case.maps, case.voxel, layer, self._window, outlines, marks))
        figure.layout.title.text = f"{case.run.name}, {case.network}"

    def _show_space(self) -> None:
        rows = [row for _, row in self.controls.row.options]
        start = rows.index(self.controls.row.value)
        cases = {row: self.case(row=row) for row in rows[start : start + PATCHES_IN_SPACE]}
        patches = {row: (case.maps, case.labels) for row, case in cases.items()}
        self.cloud = space.cloud(patches, self.controls.band_mm.value, self.source.store.spacing_mm)
        space.fill(self.dots, self.cloud, self.controls.colouring.value, self._ringed())

    def _ringed(self) -> np.ndarray:
        """Return which dots are voxels in a lasso of the slices."""
        voxel, result = self.case().voxel, np.zeros(len(self.cloud.row), bool)
        for axis, (name, (down, right)) in enumerate(slices.AXES.items()):
            here = (self.cloud.row == self.controls.row.value) & (self.cloud.voxel[:, axis] == voxel[axis])
            place = self.cloud.voxel[:, right], self.cloud.voxel[:, down]
            for figure in (self.main, self.other):
                result |= here & lasso.inside(figure, slices.X_AXES[name], *place)
        return result

    # what happens

    def _listen(self) -> None:
        for name, control in vars(self.controls).items():
            lists = name in ("run", "split", "order", "network")
            control.observe(self._list_patches if lists else self.refresh, "value")
        self.tabs.observe(self.refresh, "selected_index")
        for trace in (*self.main.data, *self.other.data):
            if trace.name.endswith("image"):
                trace.on_click(self._clicked)
        for figure in (self.main, self.other):
            figure.layout.on_change(self.refresh, "selections")
        self.dots.layout.on_change(self._lassoed_space, "selections")

    def _clicked(self, trace, points, _) -> None:
        if points.xs:
            self.go_to(slices.to_voxel(trace.name.split()[0], self.case().voxel, points.xs[0], points.ys[0]))

    def go_to(self, voxel: tuple[int, int, int]) -> None:
        """Move the cross-hair to a voxel z, y, x."""
        self.held = True
        self.controls.z.value, self.controls.y.value, self.controls.x.value = voxel
        self.held = False
        self.refresh()

    def _lassoed_space(self, *_) -> None:
        """Mark the voxels of this patch whose dots are chosen, and go to the slice that has most of them."""
        chosen = lasso.inside(self.dots, "x", *self.cloud.place.T)
        voxels, case = self.cloud.voxel[chosen & (self.cloud.row == self.controls.row.value)], self.case()
        self.selected = (case.split, case.row), voxels
        told = f"{chosen.sum()} voxels chosen, {len(voxels)} of them in this patch: marked in the slices"
        self.message.value = told if chosen.any() else ""
        z, y, x = case.voxel
        self.go_to((int(np.bincount(voxels[:, 0]).argmax()) if len(voxels) else z, y, x))

    def _list_patches(self, *_) -> None:
        """List the split's patches in the order wanted; what the order needs to know is found out first."""
        chosen, run = self.controls, self.runs[self.controls.run.value]
        table = catalogue.patches(self.source, run, chosen.split.value)
        column, _ = catalogue.ORDERS[chosen.order.value]
        limit, rows = chosen.limit.value * math.log(2), table.row.tolist()
        key = (run, chosen.network.value, chosen.split.value, limit)
        if column in catalogue.SURVEYED and key not in self.surveys:
            self.surveys[key] = pd.DataFrame(self._watched(catalogue.survey(self.source, *key, rows), len(rows)))
        if key in self.surveys:
            table = table.merge(self.surveys[key], on="row")
        table, before = catalogue.ordered(table, chosen.order.value), chosen.row.value
        self.held = True
        chosen.row.options = [(catalogue.title(patch), int(patch.row)) for _, patch in table.iterrows()]
        if before in rows:
            chosen.row.value = before
        self.held = False
        self.refresh()

    def _watched(self, items, number: int) -> list:
        """Return items as a list, and show in a bar how many of `number` there are."""
        self.bar.layout.visibility, result = "visible", []
        for item in items:
            result.append(item)
            self.bar.value = len(result) / number
        self.bar.layout.visibility = "hidden"
        return result

    def step(self, by: int) -> None:
        """Go to the next patch of the list, or with -1 to the one before."""
        rows = [row for _, row in self.controls.row.options]
        self.controls.row.value = rows[(rows.index(self.controls.row.value) + by) % len(rows)]

    def score_validation(self) -> None:
        """Say how right the labels are over all validation patches, by the references of this draw."""
        case = self.case()
        rows = self.source.store.rows("validation", case.run.draw)
        found = self._watched(accuracies_of(case, "validation", rows), len(rows))
        told = told_accuracies(pd.DataFrame(found).mean().to_dict()) if found else "there are none"
        self.message.value = f"Labels of {len(rows)} validation patches that are right, mean over patches: {told}"

    def keep(self, kind: str) -> Path:
        """Write the view below reports/explorer/, a file a state: png (slices and references) or html (all of it).

        Raises UserError where png lacks Chrome or Chromium.
        """
        case, beside, text = self.case(), self.controls.beside.value, self.text.value
        place = "-".join(map(str, (case.run.name, case.network, case.split, case.row, *case.voxel)))
        path = self.root / f"reports/explorer/{place}-{zlib.crc32(text.encode()):08x}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fill("voxel", case)
        shown = [self.main, *([self.other] if beside != NONE else []), self.near]
        if kind == "png":
            keep.write_picture(path, shown)
        else:
            self._fill("space", case)
            self._fill("3D", case)
            patch = dict(map(reversed, self.controls.row.options))[case.row]
            about, state_told = f"<p>{html.escape(patch)}</p>", f"<p>state: <code>{html.escape(text)}</code></p>"
            keep.write_page(path, about + case.story() + case.scores() + state_told, [*shown, self.dots, self.solid])
        self.message.value = f"written: {path.relative_to(self.root)}"
        return path

    def restore(self, text: str) -> None:
        """Go to the state that a text tells; raise UserError for what is wrong with it."""
        wanted = state.from_text(text, self.controls.state)
        for names in (("run", "network", "split", "order"), tuple(wanted)):  # the list of patches comes first
            self.controls.restore({name: wanted[name] for name in names})
        self.message.value = "restored"

    def do(self, action: Callable[[], object]) -> None:
        """Do what a button asks for; what is wrong is said below the pictures, where a traceback would be lost."""
        try:
            action()
        except Exception as error:
            self.message.value = html.escape(str(error))
            if not isinstance(error, (UserError, OSError)):
                raise  # a bug of ours: the traceback is in JupyterLab's log console

    # where it stands

    def _layout(self) -> widgets.VBox:
        chosen, row, column = self.controls, widgets.HBox, widgets.VBox

        def button(text: str, action) -> widgets.Button:
            made = widgets.Button(description=text)
            made.on_click(lambda _: self.do(action))
            return made

        self.text = widgets.Text(description="state", layout={"width": "640px"}, continuous_update=False)
        fresh = button("fresh draw", lambda: setattr(chosen.seed, "value", chosen.seed.value + 1))
        play = column([
            row([chosen.references, chosen.runs, chosen.band_mm]),
            row([chosen.kernel, chosen.reduce, chosen.center]),
            row([chosen.temperature, chosen.patches, chosen.seed]),
            row([fresh, button("score validation", self.score_validation)]),
            self.scores,
        ])  # fmt: skip
        kept = column([
            row([button("PNG", lambda: self.keep("png")), button("HTML", lambda: self.keep("html"))]),
            row([self.text, button("restore", lambda: self.restore(self.text.value))]),
        ])  # fmt: skip
        panes = [column([self.story, self.near]), play, column([chosen.colouring, self.dots]), self.solid, kept]
        self.tabs = widgets.Tab(panes, titles=TABS)
        self.compared = column([self.other])
        return column([
            row([chosen.run, chosen.beside, chosen.network]),
            row([chosen.split, chosen.order, self.bar]),
            row([chosen.row, button("previous", lambda: self.step(-1)), button("next", lambda: self.step(1))]),
            row([chosen.layer, chosen.window, chosen.limit]),
            row([chosen.truth, chosen.prediction]),
            row([chosen.z, chosen.y, chosen.x]),
            self.main,
            self.compared,
            self.message,
            self.tabs,
            widgets.HTML(LASSO_STYLE),
        ])  # fmt: skip
