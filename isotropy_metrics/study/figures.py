"""How the study's figures look; matplotlib without pyplot, so that nothing global changes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = {"before": "#4C6A92", "after": "#D1642C"}
LABELS = {"before": "before fine-tuning", "after": "after fine-tuning"}
LINE_COLORS = ("#4C6A92", "#D1642C", "#4F8A5B", "#8A5B93", "#7A7A7A", "#B59B2A")
"""For lines that are not the two checkpoints."""

WIDTH, HEIGHT = 4.2, 3.1
"""Of a panel, in inches: one fills a phone, two or three stand side by side on a screen."""


def panel(
    title: str, x_label: str = "", y_label: str = "", *, width: float = WIDTH, height: float = HEIGHT
) -> tuple[Figure, Axes]:
    """A figure of one panel."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, lw=0.6)
    return figure, axis
