"""Palette: colours and marks that are told apart on a light and on a dark ground, and without seeing all colours."""

from __future__ import annotations

import numpy as np

INK = "#75797F"
"""Of text: a contrast of 4.4 with #ffffff and with #0b0f19, the most for a figure that does not know its ground."""

PAGE_STYLE = """
.js-plotly-plot svg text:not(.hoverlayer text) { fill: #4b5563 !important; }
.dark .js-plotly-plot svg text:not(.hoverlayer text) { fill: #d4d4d8 !important; }
.table-wrap .text {
  font-family: var(--font) !important; font-size: 13px; font-variant-numeric: tabular-nums;
  word-break: normal; overflow-wrap: break-word;
}
.first-picture { margin: 0; color: var(--body-text-color); }
.first-picture figcaption { font-size: 13px; }
.if-any:has(.empty) { display: none; }
.wide-table .upload-container { overflow-x: auto; }
.wide-table .virtual-table-viewport { min-width: 820px; }
"""
"""CSS of a Gradio page, which knows the ground: text of contrasts of 7 and more; and tables whose words and numbers
stay whole: on a phone a wide one is moved sideways, in its frame."""

GRID = "rgba(128, 128, 128, 0.2)"
CLEAR = "rgba(0, 0, 0, 0)"

COLORS = ("#2878B8", "#CC7E0A", "#B5459E", "#14A08A", "#926C33", "#CC7083")
"""Each has a contrast of at least 3 with #ffffff, with #0b0f19, and with #27272a, Gradio's dark panel. The first two
are those of before and after."""

SYMBOLS = ("circle", "diamond", "square", "triangle-up")
"""With the colours they make twelve different marks, where both change from each to the next."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

MOST_MARKS = 12
"""Different marks that there are."""

RAMP = ("#2A6FC9", "#8A63B8", "#C2487A", "#CC7E0A")
"""Of numbers, from small to large: seen on both grounds, and from blue to orange for every eye."""

OTHERS = {"color": "#84888F", "symbol": "circle-open"}
"""The mark of what has none of its own."""


def mark(i: int) -> dict[str, str]:
    """Colour and symbol of the group with this number, below `MOST_MARKS`."""
    return {"color": COLORS[i % len(COLORS)], "symbol": SYMBOLS[i % len(SYMBOLS)]}


def line(i: int, n: int) -> dict[str, str]:
    """Colour and dashes of line i of n: of many a colour between the first and the last, in their order."""
    if n <= len(COLORS):
        return {"color": COLORS[i], "dash": DASHES[i]}
    return {"color": between(i / (n - 1)), "dash": "solid"}


def between(share: float) -> str:
    """The colour at this share of the way along the ramp, from 0 to 1."""
    stops = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in RAMP])
    places = np.linspace(0, 1, len(RAMP))
    return "#" + "".join(f"{round(np.interp(share, places, channel)):02X}" for channel in stops.T)


def scale() -> list[list[float | str]]:
    """The ramp as plotly wants it."""
    return [[share, color] for share, color in zip(np.linspace(0, 1, len(RAMP)).tolist(), RAMP, strict=True)]
