"""A table of cases as a plotly figure: a row a patch, a column a network, and what the colours mean."""

import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip import display
from ssl_hip.reporting.cases import Pictures
from ssl_hip.reporting.figures import WIDTH, finish

LEGEND = {"hit": display.GREEN, "false positive": display.VERMILION, "missed": display.BLUE}
LEFT, TOP, CAPTION, BETWEEN, LARGEST = (
    100,
    80,
    26,
    8,
    200,
)  # px: margins, below and between pictures, their largest edge


def case_table(shown: Pictures) -> go.Figure:
    """Return the table with a caption below each picture; rows are named at the left, columns at the top."""
    height, width = len(shown.rows), len(shown.columns)
    edge = min((WIDTH - LEFT) // width - BETWEEN, LARGEST)
    inner = (height * (edge + CAPTION) - CAPTION, width * (edge + BETWEEN) - BETWEEN)
    figure = make_subplots(height, width, vertical_spacing=CAPTION / inner[0], horizontal_spacing=BETWEEN / inner[1])
    for row, (name, pictures) in enumerate(shown.rows.items(), 1):
        for column, (picture, caption) in enumerate(zip(pictures, shown.captions[name], strict=True), 1):
            image = px.imshow(picture, binary_string=True).data[0]  # as PNG: a tenth of the numbers' size
            figure.add_trace(image.update(hoverinfo="skip", hovertemplate=None), row, column)
            write(figure, caption, row, column, x=0.5, y=0, yanchor="top")
        write(figure, name, row, 1, x=0, y=0.5, xanchor="right", xshift=-BETWEEN)
    for column, title in enumerate(shown.columns, 1):
        write(figure, title, 1, column, x=0.5, y=1, yanchor="bottom")
    for name, colour in LEGEND.items():
        marker = {"color": f"rgb{colour}", "symbol": "square", "size": 12}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name), 1, 1)
    figure.update_xaxes(visible=False).update_yaxes(visible=False, autorange="reversed")
    margin = {"l": LEFT, "r": WIDTH - LEFT - inner[1], "t": TOP, "b": CAPTION, "pad": 0}
    legend = {"orientation": "h", "x": 0, "y": 1 + 36 / inner[0], "yanchor": "bottom"}
    return finish(figure, TOP + inner[0] + CAPTION, margin=margin, legend=legend)


def write(figure: go.Figure, text: str, row: int, column: int, **place) -> None:
    """Write beside a picture; x and y are shares of its edges."""
    axis = {"xref": "x domain", "yref": "y domain", "row": row, "col": column}
    figure.add_annotation(text=text, showarrow=False, font_size=11, **axis, **place)
