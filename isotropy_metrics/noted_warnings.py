"""Warnings of a piece of work as notes, each once, instead of lines on the terminal."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

NOTED = (RuntimeWarning, UserWarning)
"""Kinds that speak of the numbers; others, such as deprecations, speak to programmers and stay warnings."""


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Give a list that holds, when the block has ended, what its warnings said, in order of their first coming.

    Sentences that differ only in their first word, the name of a measure, become one:

    >>> import warnings
    >>> with noted_warnings() as notes:
    ...     for name in ("isoscore", "rankme", "isoscore"):
    ...         warnings.warn(f"{name} of 9 rows", RuntimeWarning)
    >>> notes
    ['isoscore, rankme of 9 rows']
    """
    said: dict[str, None] = {}
    notes: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, NOTED):
                said[" ".join(str(message).split())] = None
            else:
                show(message, category, *where, **more)

        for kind in NOTED:
            warnings.simplefilter("always", kind)
        warnings.showwarning = note
        try:
            yield notes
        finally:
            notes += _together(said)


def _together(sentences: Iterable[str]) -> list[str]:
    first_words: dict[str, list[str]] = {}
    for sentence in sentences:
        first, _, rest = sentence.partition(" ")
        first_words.setdefault(rest, []).append(first)
    return [", ".join(words) + f" {rest}".rstrip() for rest, words in first_words.items()]
