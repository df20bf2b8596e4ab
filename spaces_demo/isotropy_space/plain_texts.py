"""Texts of strangers as they may be shown: printable, of one line, not too long. Escaping is the page's work."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

MAX_SHOWN = 200
"""Characters of a name or label: numpy gives every text of an array the room of the longest."""


def plain_text(text: object, most: int = MAX_SHOWN) -> str:
    """One text: what cannot be printed becomes a space, and a long one is cut.

    Example:
        >>> plain_text("a\\nb\\0c"), plain_text("abcdef", 4), plain_text("<b>Wörter</b>")
        ('a b c', 'abc…', '<b>Wörter</b>')
    """
    text = str(text)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def plain_texts(values: Iterable[object], missing: str = "") -> np.ndarray:
    """Many texts as an array of str; None becomes `missing`."""
    return np.array([missing if value is None else plain_text(value) for value in values], dtype=str)
