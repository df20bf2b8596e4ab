"""Blank figure: what all figures of the Space have in common: title, axes, margins, legend."""

from __future__ import annotations

import plotly.graph_objects as go

from isotropy_space.figure_text import axis_text, title_text
from isotropy_space.palette import CLEAR, GRID, INK

HEIGHT, LINE_HEIGHT = 400, 20
"""In pixels, of a figure and of a line of its title; the width is that of the page."""

NO_BUTTONS = ("select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d")
"""Left out, so that the others fit beside each other on a phone: download, zoom, move, and back again."""


def blank_figure(title: str, x_title: str, y_title: str, *, note: str = "") -> go.Figure:
    """A figure without data, with a title, the titles of both axes, and below its title a note."""
    text = title_text(title, note)
    more_lines = LINE_HEIGHT * text.count("<br>")
    axis = {
        "automargin": True,
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": INK,
        "ticks": "outside",
        "tickcolor": GRID,
    }
    return go.Figure(
        layout={
            "template": "none",
            "title": {
                "text": text,
                "font": {"size": 15},
                "x": 0.01,
                "xanchor": "left",
                "yref": "paper",
                "y": 1,
                "yanchor": "bottom",
                "pad": {"b": 12 + more_lines},
            },
            "xaxis": axis | {"title": {"text": axis_text(x_title), "standoff": 8}},
            "yaxis": axis | {"title": {"text": axis_text(y_title), "standoff": 6}},
            "height": HEIGHT,
            "margin": {"l": 8, "r": 12, "t": 44 + more_lines, "b": 8},
            "font": {"family": "ui-sans-serif, system-ui, sans-serif", "size": 13, "color": INK},
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0.01,
                "yanchor": "bottom",
                "x": 0,
                "bgcolor": CLEAR,
                "itemsizing": "constant",
            },
            "hovermode": "closest",
            "dragmode": False,
            "modebar": {"bgcolor": CLEAR, "color": INK, "remove": list(NO_BUTTONS)},
        }
    )
