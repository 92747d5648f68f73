"""The explorer's sliders, menus and switches, and the state that they are in."""

from types import SimpleNamespace

import ipywidgets as widgets

from ssl_hip.config import UserError
from ssl_hip.explorer import catalogue, slices, space
from ssl_hip.explorer.maps import Run

NONE = "none"  # no second run


def wide(kind, description: str, width: str = "270px", **options):
    """Return a control with its name beside it."""
    return kind(description=description, layout={"width": width}, style={"description_width": "90px"}, **options)


class Controls:
    """All controls; `state` is what they say."""

    def __init__(self, runs: list[Run], splits: list[str], settings: SimpleNamespace, size: int):
        names, middle = [run.name for run in runs], size // 2
        choose, slide, real, switch = widgets.Dropdown, widgets.IntSlider, widgets.FloatSlider, widgets.Checkbox
        first = next((run.name for run in runs if run.method == "embedding_matching"), names[0])
        self.run = wide(choose, "run", options=names, value=first)
        self.beside = wide(choose, "beside", options=[NONE, *names])
        self.network = wide(choose, "network", options=["student", "teacher"])
        self.split = wide(choose, "split", options=splits)
        self.order = wide(choose, "sorted by", options=list(catalogue.ORDERS))
        self.row = wide(choose, "patch", width="540px", options=[("", 0)])
        self.layer = wide(choose, "colour", options=list(slices.LAYERS))
        self.window = wide(choose, "window", options=list(slices.WINDOWS))
        self.limit = wide(real, "λ / ln 2", min=0, max=1, step=0.01, value=settings.threshold[0])
        self.truth, self.prediction = wide(switch, "outline truth", value=True), wide(switch, "prediction", value=True)
        self.z, self.y, self.x = (wide(slide, axis, min=0, max=size - 1, value=middle) for axis in "zyx")
        self.references = wide(slide, "k", min=1, max=64, value=settings.references)
        self.runs = wide(slide, "l", min=1, max=10, value=settings.runs)
        self.band_mm = wide(real, "band, mm", min=0.5, max=15, step=0.5, value=settings.band_mm)
        self.kernel = wide(choose, "kernel", options=["cosine", "euclidean"], value=settings.kernel)
        self.reduce = wide(choose, "reduce", options=["mean", "max"], value=settings.reduce)
        self.center = wide(switch, "centred", value=settings.center)
        self.temperature = wide(real, "temperature", min=0.02, max=2, step=0.02, value=settings.temperature)
        self.patches = wide(slide, "patches", min=1, max=16, value=2)
        self.seed = wide(widgets.BoundedIntText, "draw of refs", min=0, max=10**6, value=0)
        self.colouring = wide(choose, "coloured by", options=list(space.COLOURINGS))

    @property
    def state(self) -> dict:
        """The value of each control by name."""
        return {name: control.value for name, control in vars(self).items()}

    def restore(self, values: dict) -> None:
        """Set controls; raise UserError for values that they do not take."""
        problems = []
        for name, value in values.items():
            try:
                getattr(self, name).value = value
            except Exception as error:  # traitlets has its own for each kind of control
                problems.append(f"{name}: {value} ({error})")
        if problems:
            raise UserError("state: " + "; ".join(problems))
