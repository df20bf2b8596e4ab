"""Shown: tables and notes as the page shows them: four digits, and nothing of a stranger's as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from isotropy_space.sentences import NOTES_HEADING

DIGITS = 4

MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$@-]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""Marks, and what makes a link of an address."""

LIST_NUMBER = re.compile(r"^(\s*\d+)\.")


def shown_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its numbers rounded to four digits, and nothing where there is no number.

    Example:
        >>> shown_table(pd.DataFrame({"measure": ["isoscore"], "value": [0.123456]})).value.tolist()
        [0.1235]
    """
    rounded = {
        name: [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in column]
        for name, column in table.items()
        if column.dtype.kind == "f"
    }
    return table.assign(
        **{name: pd.Series(values, dtype=object, index=table.index) for name, values in rounded.items()}
    )


def shown_text(text: str) -> str:
    """A sentence as Markdown that reads as it is written.

    Example:
        >>> print(shown_text("a_b <img>"))
        a\\_b \\<img\\>
    """
    return LIST_NUMBER.sub(r"\1\\.", MARKDOWN.sub(r"\\\1", text))


def shown_notes(notes: Iterable[str]) -> str:
    """What the library warns of, as a list; empty without notes."""
    lines = [f"* {shown_text(note)}" for note in notes]
    return "\n".join([NOTES_HEADING, "", *lines]) if lines else ""
