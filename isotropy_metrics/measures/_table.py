"""The README's tables of measures and comparisons: `python -m isotropy_metrics.measures._table README.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from isotropy_metrics.measures import MEASURES
from isotropy_metrics.measures._measure import Measure, text_of
from isotropy_metrics.measures.comparisons import COMPARISONS

BEGIN, END = "<!-- measures: written by `make readme` -->", "<!-- end of measures -->"


def measures_table() -> str:
    """A Markdown table with one row per measure."""
    head = "| measure | what it is | range | isotropic | unchanged by | from | options |"
    return _table(head, ((each, text_of(each.isotropic)) for each in MEASURES.values()))


def comparisons_table() -> str:
    """A Markdown table with one row per comparison of two spaces."""
    head = "| comparison | what it is | range | of equal spaces | unchanged by, of one space | from | options |"
    return _table(head, ((each, text_of(each.same)) for each in COMPARISONS.values()))


def _table(head: str, rows: Iterable[tuple[Measure, str]]) -> str:
    lines = [head, "|---|---|---|---|---|---|---|"]
    for each, special in rows:
        low, high = map(text_of, each.bounds)
        options = ", ".join(f"`{option}={default!r}`" for option, default in each.options.items()) or "–"
        needs = ", ".join([f"`{each.needs.__name__}`", *(f"`{name}=`" for name in each.ids)])
        lines.append(
            f"| [`{each.name}`]({each.paper_url}) | {each.summary} | {low} … {high} | {special} "
            f"| {', '.join(each.invariant_to) or '–'} | {needs} | {options} |"
        )
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The text with what stands between the two marks replaced by the tables."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the text has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{measures_table()}\n\n{comparisons_table()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
