"""Figures: what the views of the library and plain tables look like in plotly; they hold no formula."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from isotropy_metrics.views import CosineHistogram, VarianceSpectrum
from isotropy_space.blank_figure import blank_figure
from isotropy_space.figure_text import hover_text, legend_text
from isotropy_space.palette import COLORS, INK, line
from isotropy_space.projection_figure import draw_projection

__all__ = ["draw_contributions", "draw_cosines", "draw_curves", "draw_projection", "draw_scores", "draw_spectra"]

FEW_POINTS = 30
"""Up to so many points of a line are marked."""

MOST_NAMED = 3
"""Outlier dimensions that are named in the picture; all are when they are pointed at."""

TICKS = [digit * 10**power for power in range(4) for digit in (1, 2, 5)]
"""Numbers of directions that are written below the axis."""

BAR_HEIGHT, AROUND_BARS = 52, 110
"""In pixels."""


def draw_cosines(histograms: dict[str, CosineHistogram]) -> go.Figure:
    """How the cosine of two rows is distributed, by space; the mean of each is a dotted line."""
    n_pairs = max((each.n_pairs for each in histograms.values()), default=0)
    figure = blank_figure(f"Cosines of {n_pairs:,} pairs of rows", "cosine of two rows", "% of the pairs, in each bin")
    figure.update_xaxes(range=[-1.02, 1.02])
    figure.update_yaxes(rangemode="tozero")
    for i, (name, histogram) in enumerate(histograms.items()):
        look = line(i, len(histograms))
        low, high = histogram.edges[:-1], histogram.edges[1:]
        figure.add_scatter(
            x=(low + high) / 2,
            y=100 * histogram.shares,
            customdata=np.column_stack([low, high]),
            mode="lines",
            line={"shape": "hvh", "width": 2} | look,
            fill="tozeroy",
            fillcolor=_faint(look["color"]),
            name=f"{legend_text(name)} (mean {_number(histogram.mean)})",
            hovertemplate="%{fullData.name}<br>%{y:.2f} % of the pairs have<br>"
            "a cosine from %{customdata[0]:.2f} to %{customdata[1]:.2f}<extra></extra>",
        )
        if math.isfinite(histogram.mean):
            figure.add_vline(histogram.mean, line={"color": look["color"], "width": 1.5, "dash": "dot"})
    figure.update_layout(showlegend=True)
    return figure


def draw_spectra(spectra: dict[str, VarianceSpectrum]) -> go.Figure:
    """Which share of the variance the first directions hold together, by space."""
    figure = blank_figure("Variance held by the first directions", "number of directions", "% of the variance")
    figure.update_xaxes(type="log", tickvals=TICKS)
    figure.update_yaxes(range=[0, 103])
    for i, (name, spectrum) in enumerate(spectra.items()):
        n_directions = np.arange(1, len(spectrum.shares) + 1)
        figure.add_scatter(
            x=n_directions,
            y=100 * spectrum.cumulative,
            mode="lines+markers" if len(n_directions) <= FEW_POINTS else "lines",
            line={"width": 2} | line(i, len(spectra)),
            name=legend_text(name),
            hovertemplate="%{fullData.name}<br>first %{x}: %{y:.1f} % of the variance<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    return figure


def draw_contributions(title: str, contributions: np.ndarray, outliers: list[int]) -> go.Figure:
    """What every dimension adds to the mean cosine; outlier dimensions are marked, and the first of them named.

    Args:
        title: what the rows are.
        contributions: (n_features,), as `average_cosine_similarity(rows, contributions=True)` gives them.
        outliers: dimensions, as `outlier_dimensions` gives them: the largest first.
    """
    contributions = np.atleast_1d(np.asarray(contributions, dtype=np.float64))
    figure = blank_figure(title, "dimension", "part in the mean cosine")
    figure.add_scatter(
        x=np.arange(len(contributions)),
        y=contributions,
        mode="lines",
        line={"shape": "hvh", "width": 1, "color": COLORS[0]},
        fill="tozeroy",
        fillcolor=_faint(COLORS[0]),
        name="all dimensions",
        hovertemplate="dimension %{x}: %{y:.3g}<extra></extra>",
    )
    if outliers:
        named = [f" {outlier}" if i < MOST_NAMED else "" for i, outlier in enumerate(outliers)]
        figure.add_scatter(
            x=outliers,
            y=contributions[outliers],
            mode="markers+text",
            marker={"color": COLORS[1], "symbol": "diamond", "size": 8},
            text=named,
            textposition=["middle left" if 2 * each > len(contributions) else "middle right" for each in outliers],
            name="outlier dimensions",
            hovertemplate="outlier dimension %{x}: %{y:.3g}<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    return figure


def draw_curves(
    lines: dict[str, dict[float, float]],
    title: str,
    y_title: str,
    reference: float | None = None,
    reference_name: str = "reference",
) -> go.Figure:
    """Values over the steps of a training run; what is missing or not finite leaves a gap.

    Args:
        lines: value by step, by name; more than six are coloured from the first to the last.
        title: what they are.
        y_title: what is counted upwards.
        reference: a dotted line, where it does not lie far from the values; a line of the legend in any case.
        reference_name: what the reference is.
    """
    figure = blank_figure(title, "training step", y_title)
    for i, (name, points) in enumerate(lines.items()):
        steps = sorted(points)
        look = line(i, len(lines))
        figure.add_scatter(
            x=steps,
            y=[points[step] if _is_finite(points[step]) else None for step in steps],
            mode="lines+markers" if len(steps) <= FEW_POINTS else "lines",
            line={"width": 2} | look,
            marker={"size": 5},
            name=legend_text(name),
            hovertemplate="%{fullData.name}<br>step %{x:,}: %{y:.4g}<extra></extra>",
        )
    if _is_finite(reference):
        values = [value for points in lines.values() for value in points.values() if _is_finite(value)]
        is_near = _is_near(reference, values)
        figure.add_scatter(
            x=_limits(step for points in lines.values() for step in points) if is_near else [None],
            y=[reference, reference] if is_near else [None],
            mode="lines",
            line={"color": INK, "width": 1.5, "dash": "dot"},
            name=f"{legend_text(reference_name)}: {reference:.4g}",
            hovertemplate="%{fullData.name}<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    return figure


def draw_scores(rows: list[dict[str, Any]], *, title: str = "Score", x_title: str = "score") -> go.Figure:
    """Scores as bars, with their intervals where there are any.

    Args:
        rows: what each is called, `name`; its `value`; and the ends of its interval, `low` and `high`, or None.
        title: what they are.
        x_title: their unit.
    """
    figure = blank_figure(title, x_title, "embeddings")
    places = list(range(len(rows)))
    values, low, high = (np.array([_or_nan(row[key]) for row in rows]) for key in ("value", "low", "high"))
    figure.add_bar(
        x=values,
        y=places,
        orientation="h",
        width=0.55,
        marker={"color": [COLORS[i % len(COLORS)] for i in places]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.nan_to_num(high - values),
            "arrayminus": np.nan_to_num(values - low),
            "color": INK,
        },
        text=[hover_text(row["name"]) for row in rows],
        textposition="none",
        hovertemplate="%{text}: %{x:.4g}<extra></extra>",
    )
    labels = [f"{legend_text(row['name'])}<br>{_with_interval(row)}" for row in rows]
    figure.update_yaxes(tickvals=places, ticktext=labels, autorange="reversed", showgrid=False)
    figure.update_layout(showlegend=False, height=AROUND_BARS + BAR_HEIGHT * max(len(rows), 1))
    return figure


def _is_near(reference: float, values: list[float]) -> bool:
    """Whether a line here leaves at least a third of the height to the values."""
    if not values:
        return False
    low, high = _limits(values)
    return max(reference - high, low - reference) <= 2 * (high - low)


def _limits(values: Iterable[float]) -> list[float]:
    values = list(values)
    return [min(values), max(values)]


def _with_interval(row: dict[str, Any]) -> str:
    value, low, high = (_or_nan(row[key]) for key in ("value", "low", "high"))
    interval = f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""
    return _number(value) + interval


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "unknown"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _is_finite(value: float | None) -> bool:
    return math.isfinite(_or_nan(value))


def _faint(color: str) -> str:
    """The colour, nearly transparent."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"
