"""Projection figure: rows as points on the two directions of largest variance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import plotly.graph_objects as go

from isotropy_metrics.views import PrincipalProjection
from isotropy_space.blank_figure import blank_figure
from isotropy_space.figure_text import hover_text, legend_text
from isotropy_space.palette import COLORS, INK, MOST_MARKS, OTHERS, mark, scale

MOST_POINTS = 2000
"""Points that are drawn; more are sampled."""

SIZE, OPACITY = 6, 0.75

HEIGHT = 480
"""In pixels."""

LAST = 2000
"""Place in the legend; that of others is 1000."""


def draw_projection(
    title: str,
    projection: PrincipalProjection,
    *,
    names: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    labels_title: str | None = None,
    seed: int = 0,
) -> go.Figure:
    """The rows on the first two principal directions, both to one scale, so that elongation is seen.

    Args:
        title: what they are.
        projection: of all rows.
        names: (n_samples,), what each row is called when it is pointed at; None for its number.
        labels: (n_samples,), what the points are coloured by: numbers on a scale, or groups of text.
        labels_title: what the labels are.
        seed: of the sample, where there are more than `MOST_POINTS` rows.
    """
    n = len(projection.coordinates)
    drawn = drawn_rows(n, seed)
    note = f"{len(drawn):,} of {n:,} rows" if len(drawn) < n else ""
    figure = blank_figure(title, *(_axis_title(projection, i) for i in range(2)), note=note)
    figure.update_yaxes(scaleanchor="x")
    figure.update_layout(height=HEIGHT)
    labels = None if labels is None else np.asarray(labels)
    texts = _texts(drawn, names, labels, labels_title)
    for which, name, look in _groups(labels, labels_title, drawn):
        figure.add_scatter(
            x=_coordinate(projection, drawn[which], 0),
            y=_coordinate(projection, drawn[which], 1),
            mode="markers",
            marker={"size": SIZE, "opacity": OPACITY} | look,
            name=name,
            text=texts[which],
            hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
            showlegend=bool(name),
            legendrank=LAST if look is OTHERS else None,
        )
    return figure


def drawn_rows(n: int, seed: int = 0) -> np.ndarray:
    """Which of n rows are drawn, rising: all of a few, else a random sample."""
    if n <= MOST_POINTS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_POINTS, replace=False))


def _axis_title(projection: PrincipalProjection, i: int) -> str:
    if i >= len(projection.shares):
        return "there is no second direction"
    share = projection.shares[i]
    return f"direction {i + 1} ({100 * share:.1f} % of variance)" if np.isfinite(share) else f"direction {i + 1}"


def _coordinate(projection: PrincipalProjection, rows: np.ndarray, i: int) -> np.ndarray:
    """Of rows of one feature the second is zero."""
    coordinates = projection.coordinates[rows]
    return coordinates[:, i] if i < coordinates.shape[1] else np.zeros(len(rows))


def _texts(
    drawn: np.ndarray, names: np.ndarray | None, labels: np.ndarray | None, labels_title: str | None
) -> np.ndarray:
    """What is said of each drawn row when it is pointed at."""
    texts = [hover_text(f"row {i:,}" if names is None else str(names[i])) for i in drawn.tolist()]
    if labels is not None:
        of_labels = [f"{labels[i]:.4g}" if labels.dtype.kind == "f" else str(labels[i]) for i in drawn.tolist()]
        heading = f"{labels_title}: " if labels_title else ""
        texts = [f"{text}<br>{hover_text(heading + own)}" for text, own in zip(texts, of_labels, strict=True)]
    return np.array(texts, dtype=object)


def _groups(
    labels: np.ndarray | None, labels_title: str | None, drawn: np.ndarray
) -> list[tuple[np.ndarray, str, dict]]:
    """Which of the drawn points look alike, what they are called, and how they look."""
    if labels is None:
        return [(np.arange(len(drawn)), "", {"color": COLORS[0]})]
    if labels.dtype.kind in "iuf":
        return _by_number(labels.astype(np.float64), labels_title, drawn)
    return _by_text(labels.astype(str), drawn)


def _by_number(numbers: np.ndarray, labels_title: str | None, drawn: np.ndarray) -> list[tuple[np.ndarray, str, dict]]:
    """On a scale; points without a number are grey, and below the others."""
    known = np.isfinite(numbers)
    groups = [(np.flatnonzero(~known[drawn]), "no value", OTHERS)]
    if known.any():
        which = np.flatnonzero(known[drawn])
        bar = {
            "title": {"text": legend_text(labels_title or "label"), "side": "top"},
            "orientation": "h",
            "thickness": 10,
            "y": -0.16,
            "yanchor": "top",
            "outlinewidth": 0,
            "tickcolor": INK,
        }
        limits = {"cmin": float(numbers[known].min()), "cmax": float(numbers[known].max())}
        look = {"color": numbers[drawn[which]], "colorscale": scale(), "showscale": True, "colorbar": bar}
        groups.append((which, "", look | limits))
    return [group for group in groups if len(group[0])]


def _by_text(labels: np.ndarray, drawn: np.ndarray) -> list[tuple[np.ndarray, str, dict]]:
    """A mark for each text, the commonest first; if there are too many, the rest together, below."""
    order = sorted(Counter(labels.tolist()).items(), key=lambda item: (-item[1], item[0]))
    texts = [text for text, _ in order]
    own = texts if len(texts) <= MOST_MARKS else texts[: MOST_MARKS - 1]
    groups = [(np.flatnonzero(labels[drawn] == text), legend_text(text), mark(i)) for i, text in enumerate(own)]
    if len(own) < len(texts):
        rest = np.flatnonzero(~np.isin(labels[drawn], own))
        groups.insert(0, (rest, f"{len(texts) - len(own):,} others", OTHERS))
    return [group for group in groups if len(group[0])]
