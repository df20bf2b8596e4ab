"""Experiment: one question of the study: how it is run, drawn and told; and Outcome, what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isotropy_metrics.study.case import StudyCase

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = list[dict[str, Any]]
"""Rows as plain dicts of str, int, float, bool and None, all with the same keys."""


@dataclass(frozen=True)
class Outcome:
    """What an experiment found; it round-trips through JSON, where NaN becomes None.

    Attributes:
        tables: by name, all numbers, those of the figures too.
        protocol: how they came about: sizes, settings, seeds, units.
        seconds: how long it took.
    """

    tables: dict[str, Table]
    protocol: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def always_possible(case: StudyCase) -> str | None:
    """None: the experiment needs nothing that a case may lack."""
    return None


@dataclass(frozen=True)
class Experiment:
    """One question of the study; one file each.

    Attributes:
        name: also its file, its key in `results.json` and what `--experiments` takes.
        code: its number in the literature, as in "E6"; `--experiments` takes it too. "" if it has none.
        title: a heading.
        question: one sentence.
        how_to_read: a paragraph for the page: what a large or small value means, and what it does not tell.
        run: computes the tables.
        draw: from the tables, figures by name; every number drawn is in the tables. One figure is one panel, legible
            at the width of a phone; see `figures.panel`.
        tell: from the tables, one to three sentences with the numbers, for the summary of the page.
        missing: why the case cannot have this experiment, None if it can; called before any long work, when
            `case.after` may be None.
    """

    name: str
    code: str
    title: str
    question: str
    how_to_read: str
    run: Callable[[StudyCase], Outcome]
    draw: Callable[[Outcome], dict[str, Figure]]
    tell: Callable[[Outcome], list[str]]
    missing: Callable[[StudyCase], str | None] = always_possible
