"""How the study's figures look; matplotlib without pyplot, and every change of its settings undone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.ticker import (
    AutoLocator,
    Formatter,
    FuncFormatter,
    LogFormatter,
    LogLocator,
    NullFormatter,
    ScalarFormatter,
)

from isotropy_metrics.study.report.tables import capitalized, number_or_nan

COLORS = {"before": "#4C6A92", "after": "#D1642C"}
LABELS = {"before": "before fine-tuning", "after": "after fine-tuning"}
MARKERS = {"before": "o", "after": "D"}
LINE_COLORS = ("#4C6A92", "#D1642C", "#4F8A5B", "#8A5B93", "#7A7A7A", "#A38A1E")
"""For lines that are not the two checkpoints."""

LAYER_COLORS = ("#2B8A88", "#7A6BB5", "#C2487A")
"""From the first layer to the last, seen on a light and on a dark ground."""

REFERENCE = {"color": "#808080", "ls": ":", "lw": 1.4, "zorder": 1}
"""The line of a value to compare with, as that of an isotropic space."""

INK, GROUND = "#24292F", "#FFFFFE"
"""Of text and axes, and behind legends. On the page they follow its colours: the odd value marks the ground."""

WIDTH, HEIGHT = 4.2, 3.1
"""Of a panel, in inches: one fills a phone, two or three stand side by side on a screen."""

TITLE_SIZE, TEXT_SIZE, SMALLEST = 11.5, 10.5, 10.2
"""In points. A panel of 4.2 inches is drawn about 328 pixels wide on a phone: 10.2 points are 11 pixels there."""

MOST_MARKS = 800
"""A scatter of more marks is drawn as a picture: as many shapes would make the page heavy."""

TITLE_LETTERS = 42
"""That fit on a line of a panel."""

LINE_LETTERS, SIGN_LETTERS = 56, 6
"""That fit on a line of a legend, and the room that a sign takes."""

LEGEND_LINE = 0.2
"""In inches: what a second line of a legend adds to the height."""

TICK_LETTERS, LEGEND_LETTERS = 24, 40
"""Longer labels at an axis or a mark, or in a legend, are cut."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_STYLE = {
    "font.family": "sans-serif",
    "font.size": TEXT_SIZE,
    "axes.titlesize": TITLE_SIZE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.labelsize": TEXT_SIZE,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=LINE_COLORS),
    "xtick.labelsize": TEXT_SIZE,
    "ytick.labelsize": TEXT_SIZE,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "text.color": INK,
    "legend.fontsize": TEXT_SIZE,
    "legend.facecolor": GROUND,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.75,
    "lines.markersize": 4.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "isotropy-metrics",
}


def style() -> AbstractContextManager[None]:
    """Within it figures are drawn and saved in the study's style; afterwards matplotlib is as it was."""
    return matplotlib.rc_context(_STYLE)


def panel(
    title: str, x_label: str = "", y_label: str = "", *, width: float = WIDTH, height: float = HEIGHT
) -> tuple[Figure, Axes]:
    """A figure of one panel."""
    with style():
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        axis = figure.subplots()
        axis.set_title(textwrap.fill(capitalized(title), int(TITLE_LETTERS * width / WIDTH)))
        axis.set_xlabel(x_label)
        axis.set_ylabel(y_label)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.15, lw=0.7)
    return figure, axis


def line_per_checkpoint(axis: Axes, rows: Sequence[dict[str, Any]], x: str, y: str, **style: Any) -> None:
    """A line for each checkpoint in the rows, in its colour, with a legend; a missing value leaves a gap."""
    present = [each for each in COLORS if any(row["checkpoint"] == each for row in rows)]
    for checkpoint in present:
        own = [row for row in rows if row["checkpoint"] == checkpoint]
        look = {"marker": MARKERS[checkpoint], "color": COLORS[checkpoint], "label": LABELS[checkpoint]}
        axis.plot([row[x] for row in own], [number_or_nan(row[y]) for row in own], **look | style)
    if all(isinstance(row[x], int) for row in rows) and axis.get_xscale() == "linear":
        whole_numbers(axis)
    if len(present) > 1:
        axis.legend()


def whole_numbers(axis: Axes) -> None:
    """No fractions below the horizontal axis."""
    axis.xaxis.get_major_locator().set_params(integer=True)


def reference_line(axis: Axes, value: float | None) -> None:
    """A dotted line at this value, if it is in sight."""
    low, high = sorted(axis.get_ylim())
    if value is not None and low <= value <= high:
        axis.axhline(value, **REFERENCE)
        axis.set_ylim(low, high)


def layer_colors(layers: Sequence[int]) -> dict[int, Any]:
    """A colour for each layer, from the first to the last."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("layers", LAYER_COLORS)
    last = max(len(layers) - 1, 1)
    return {layer: to_hex(ramp(i / last)) for i, layer in enumerate(layers)}


def make_legible(figure: Figure) -> None:
    """Ready for a phone: no small or endless text, a $ in it as it is, nothing hidden, big scatters as pictures."""
    smallest = SMALLEST * min(figure.get_figwidth(), WIDTH) / WIDTH
    _move_title(figure)
    for axis in figure.axes:
        for each in (axis.xaxis, axis.yaxis):
            if isinstance(each.get_major_formatter(), LogFormatter):
                _label_powers(each)
            elif not isinstance(each.get_major_formatter(), (ScalarFormatter, NullFormatter)):
                each.set_major_formatter(_shortened(each.get_major_formatter()))
            size = FontProperties(size=each.get_tick_params().get("labelsize", TEXT_SIZE)).get_size_in_points()
            each.set_tick_params(labelsize=max(size, smallest))
        for text in axis.texts:
            text.set_text(shorten(text.get_text()))
    for axis in figure.axes:
        _move_legend(axis, figure)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_fontsize(max(text.get_fontsize(), smallest))
    for scatter in figure.findobj(PathCollection):
        if len(scatter.get_offsets()) > MOST_MARKS:
            scatter.set_rasterized(True)


def _move_title(figure: Figure) -> None:
    """The title of a single panel to the edge of the figure: the axis may begin far to the right."""
    with_title = [axis for axis in figure.axes if axis.get_title("left")]
    if len(with_title) == 1 and figure.get_suptitle() == "":
        figure.suptitle(with_title[0].get_title("left"), x=0.015, ha="left", size=TITLE_SIZE, weight="bold", color=INK)
        with_title[0].set_title("", loc="left")


def _move_legend(axis: Axes, figure: Figure) -> None:
    """A legend inside the axes to the place below them, where it hides nothing."""
    legend = axis.get_legend()
    if legend is None:
        return
    texts = [text.get_text() for text in legend.get_texts()]
    handles, labels = axis.get_legend_handles_labels()
    if labels != texts:
        handles = legend.legend_handles
    legend.remove()
    texts = [shorten(text, LEGEND_LETTERS) for text in texts]
    n_columns = max(1, min(len(texts), LINE_LETTERS // (SIGN_LETTERS + max(map(len, texts), default=0))))
    figure.legend(handles, texts, loc="outside lower center", ncols=n_columns, columnspacing=1.2)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (-(-len(texts) // n_columns) - 1))


def shorten(text: str, most: int = TICK_LETTERS) -> str:
    """A label that is not longer than this: users' words may be of any length."""
    return "\n".join(line if len(line) <= most else f"{line[: most - 1]}…" for line in text.split("\n"))


def _shortened(formatter: Formatter) -> Formatter:
    return FuncFormatter(lambda value, position: shorten(str(formatter(value, position))))


def _label_powers(axis: Axis) -> None:
    """Of a logarithmic axis: numbers as plain text, and enough of them where it spans less than two decades."""
    low, high = sorted(abs(limit) for limit in axis.get_view_interval())
    if low > 0 and axis.get_scale() == "log" and high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else AutoLocator())
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_formatter(NullFormatter())


def _power(value: float, position: int | None = None) -> str:
    """10⁻³ for 0.001, and plain digits near 1."""
    size = abs(value)
    if size == 0 or 0.01 <= size <= 1000:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    factor = {"1": "", "-1": "−"}.get(mantissa, f"{mantissa}·")
    return f"{factor}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def title_of(figure: Figure) -> str:
    """What the panel is called, on one line."""
    titles = [" ".join(axis.get_title(place).split()) for axis in figure.axes for place in ("left", "center", "right")]
    return "; ".join(title for title in titles if title)
