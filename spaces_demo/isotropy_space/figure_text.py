"""Figure text: users' words as a figure may show them, which takes `<` and `&` for HTML."""

from __future__ import annotations

import html
import textwrap

TITLE_LETTERS = 44
"""That fit on a line at the width of a phone."""

HOVER_LETTERS, HOVER_LINES = 40, 4
LEGEND_LETTERS = 32

MOST_READ = 1000
"""Letters of a text that are looked at: far more than are shown, as dividing into lines takes its time."""


def title_text(text: str, note: str = "") -> str:
    """A title on at most two lines, and a note that is never cut on a line of its own."""
    return "<br>".join([_lines(text, TITLE_LETTERS, 2), *([_lines(note, TITLE_LETTERS, 1)] if note else [])])


def axis_text(text: str) -> str:
    """The title of an axis, on one line."""
    return _lines(text, TITLE_LETTERS, 1)


def hover_text(text: str) -> str:
    """The text of a row, on a few lines."""
    return _lines(text, HOVER_LETTERS, HOVER_LINES)


def legend_text(text: str) -> str:
    """The name of a line or a group, on one line."""
    return _lines(text, LEGEND_LETTERS, 1)


def _lines(text: str, n_letters: int, n_lines: int) -> str:
    """Plotly knows &lt;, &gt; and &amp;, and shows other entities as they are: quotes stay."""
    lines = textwrap.wrap(str(text)[:MOST_READ], n_letters, max_lines=n_lines, placeholder=" …") or ["(empty)"]
    return "<br>".join(html.escape(line, quote=False) for line in lines)
