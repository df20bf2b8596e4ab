"""`isotropy-metrics measures`: the names of all measures and comparisons, what they are, and what they need."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import Any

from isotropy_metrics.measures import MEASURES, Measure
from isotropy_metrics.measures.comparisons import COMPARISONS, Comparison


def add_to(commands: Any) -> None:
    """Declare the command."""
    measures = commands.add_parser("measures", help="list the measures and comparisons by name")
    measures.set_defaults(command=_measures)


def _measures(options: argparse.Namespace) -> None:
    groups = {
        "measures of rows": [each for each in MEASURES.values() if not each.ids],
        "measures of rows with ids": [each for each in MEASURES.values() if each.ids],
        "comparisons of two files": list(COMPARISONS.values()),
    }
    indent = max(len(name) for name in MEASURES | COMPARISONS) + 4
    width = max(shutil.get_terminal_size().columns, indent + 40)
    for title, group in groups.items():
        print(f"{title}:")
        for each in group:
            text = f"{each.summary} {_needs(each)}".strip()
            lines = textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * indent)
            print("  " + each.name.ljust(indent - 2) + "\n".join(lines).strip())
        print()


def _needs(each: Measure) -> str:
    needs = [f"--{name}" for name in each.ids]
    if isinstance(each, Comparison):
        needs += ["as many rows in one file as in the other"] if each.paired else []
        needs += ["as many features"] if each.same_width else []
    options = [f"{name}={default!r}" for name, default in each.options.items()]
    texts = [f"Needs {' and '.join(needs)}."] if needs else []
    return " ".join(texts + ([f"Options: {', '.join(options)}."] if options else []))
