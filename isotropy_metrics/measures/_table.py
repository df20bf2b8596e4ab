"""The README's table of measures, from the records: `python -m isotropy_metrics.measures._table README.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from isotropy_metrics.measures import MEASURES
from isotropy_metrics.measures._measure import text_of

BEGIN, END = "<!-- measures: written by `make readme` -->", "<!-- end of measures -->"


def measures_table() -> str:
    """A Markdown table with one row per measure."""
    lines = [
        "| measure | what it is | range | isotropic | unchanged by | from | options |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in MEASURES.items():
        low, high = map(text_of, each.bounds)
        options = ", ".join(f"`{option}={default!r}`" for option, default in each.options.items()) or "–"
        lines.append(
            f"| [`{name}`]({each.paper_url}) | {each.summary} | {low} … {high} | {text_of(each.isotropic)} "
            f"| {', '.join(each.invariant_to)} | `{each.needs.__name__}` | {options} |"
        )
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The text with what stands between the two marks replaced by the table."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the text has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{measures_table()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
