"""One method beside its rivals, patch by patch: who is better where, and which patches are the hardest."""

from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ssl_hip.reporting.figures import COLOURS, finish


def rivals(table: pd.DataFrame, method: str, subset: str) -> list[str]:
    """Return `supervised` and of the other methods of Table 1 the one with the lowest HD95 at a labelled subset."""
    scored = table[(table.labelled_patches == subset) & (table.method != method)].dropna(subset="hd95_mean_mm")
    ranked = scored.sort_values("hd95_mean_mm", kind="stable").method.tolist()
    best = [name for name in ranked if name != "supervised"][:1]
    return [name for name in ranked if name == "supervised"] + best


def side_by_side(scores: pd.DataFrame, methods: list[str], subset: str) -> pd.DataFrame:
    """Return HD95 in mm at a labelled subset, mean over draws: index patch and subject, a column a method.

    scores: as of tables.reported. Patches that not all methods have are left out.
    """
    chosen = scores[(scores.labelled_patches == subset) & scores.method.isin(methods)]
    means = chosen.groupby(["patch", "subject", "method"]).hd95_mm.mean().unstack()
    return means.reindex(columns=methods).dropna()


def hardest(pairs: pd.DataFrame, number: int = 5) -> list[int]:
    """Return the patches with the largest HD95 of any method, the largest first; of equals the lower patch number."""
    worst = pairs.max(axis=1).rename("worst").reset_index()
    return worst.sort_values(["worst", "patch"], ascending=[False, True]).patch.head(number).tolist()


def scatter(pairs: pd.DataFrame, groups: pd.Series, named: Iterable[int]) -> go.Figure:
    """Return HD95 of the first method (y) against each other one (x), a point a patch, a panel a rival.

    pairs: as of `side_by_side`. groups: deviation group by patch. named: patches that get a link to #patch-NUMBER.
    No data without pairs.
    """
    method, *others = pairs.columns
    if pairs.empty or not others:
        return go.Figure()
    limit, titles = (
        float(pairs.max(axis=None)),
        [f"{rival}: {verdict(pairs[method], pairs[rival])}" for rival in others],
    )
    figure = make_subplots(1, len(others), subplot_titles=titles, horizontal_spacing=0.1)
    for column, rival in enumerate(others, 1):
        diagonal = go.Scatter(x=[0, limit], y=[0, limit], mode="lines", line_color="#999999", hoverinfo="skip")
        figure.add_traces([diagonal, cloud(pairs[[rival, method]], groups)], rows=1, cols=column)
        name_points(figure, pairs[[rival, method]], named, limit, column)
        figure.update_xaxes(title=f"HD95 of {rival}, mm", range=[-0.03 * limit, 1.45 * limit], col=column)
    figure.update_yaxes(title=f"HD95 of {method}, mm", range=[-0.03 * limit, 1.1 * limit])
    return finish(figure, 500, showlegend=False)


def verdict(ours: pd.Series, theirs: pd.Series) -> str:
    """Say on which share of the patches our HD95 is lower and higher; the rest are equal."""
    return f"{(ours < theirs).mean():.0%} of patches below the diagonal, {(ours > theirs).mean():.0%} above"


def cloud(places: pd.DataFrame, groups: pd.Series) -> go.Scatter:
    """Return the points (x, y) of a rival and our method, mm; hovering says patch, subject and deviation group."""
    rival, method = places.columns
    patch, subject = (places.index.get_level_values(name) for name in ("patch", "subject"))
    group = ["unknown" if pd.isna(value) else int(value) for value in groups.reindex(patch)]
    facts = list(zip(patch.tolist(), subject.tolist(), group, strict=True))
    text = "patch %{customdata[0]}, %{customdata[1]}, group %{customdata[2]}"
    return go.Scatter(
        x=places[rival].tolist(), y=places[method].tolist(), customdata=facts, mode="markers",
        marker={"color": COLOURS.get(rival), "size": 7, "opacity": 0.6},
        hovertemplate=f"{text}<br>{rival} %{{x:.1f}} mm<br>{method} %{{y:.1f}} mm<extra></extra>",
    )  # fmt: skip


def name_points(figure: go.Figure, places: pd.DataFrame, named: Iterable[int], limit: float, column: int) -> None:
    """Name points (x, y) of patches in a list at the right, from where arrows that do not cross lead to them."""
    chosen = places[places.index.get_level_values("patch").isin(list(named))]
    x, y = chosen.columns
    panel = "" if column == 1 else str(column)
    for i, ((patch, _), point) in enumerate(chosen.sort_values([y, x]).iterrows()):
        figure.add_annotation(
            x=point[x], y=point[y], ax=1.12 * limit, ay=limit * (0.25 + 0.15 * i), axref=f"x{panel}", ayref=f"y{panel}",
            text=f'<a href="#patch-{patch}" target="_self">patch {patch}</a>', name=f"patch-{patch}",
            xanchor="left", arrowwidth=1, arrowsize=0.8, arrowcolor="#666666", captureevents=True, row=1, col=column,
        )  # fmt: skip
