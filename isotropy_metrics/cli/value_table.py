"""Values as a table for people: with rich where it is installed, else as aligned text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from isotropy_metrics.embedding_files.measured_file import PROVENANCE
from isotropy_metrics.measures import MEASURES
from isotropy_metrics.measures._measure import text_of
from isotropy_metrics.measures.comparisons import COMPARISONS, Comparison

RECORDS = MEASURES | COMPARISONS

Row = dict[str, str]


def print_result(values: dict[str, Any], spaces: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """Print values for people, or as JSON and nothing else; see `print_values`."""
    if as_json:
        print(json.dumps(_without_nan(values), allow_nan=False))
    else:
        print_values(values, spaces)


def print_values(values: dict[str, Any], spaces: Sequence[tuple[str, str]]) -> None:
    """Print what was measured, a row for each measure, and a row for each further key that it gave.

    Args:
        values: what a measure of one space, or a comparison of two, gave.
        spaces: where the rows of each space are, and what they are there.
    """
    for i, (place, source) in enumerate(spaces, 1):
        n_rows, n_features = (values.get(key, values.get(f"{key}{i}")) for key in ("n_samples", "n_features"))
        print(f"{place}: {n_rows:,} rows, {n_features} features ({source})")
    if "n_sampled" in values:
        what = "measures of single rows" if len(spaces) == 1 else "comparisons of pairs"
        print(f"{what} are of a sample of {values['n_sampled']:,}")
    rows = _rows(values)
    columns = [
        name for name in dict.fromkeys(name for row in rows for name in row) if any(row.get(name) for row in rows)
    ]
    table = [[row.get(name, "") for name in columns] for row in rows]
    try:
        _print_with_rich(columns, table)
    except ImportError:
        _print_plainly(columns, table)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(values: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    each, isotropic = None, None
    for key, value in values.items():
        if key in RECORDS:
            each = RECORDS[key]
            n_features = values.get("n_features", 0)
            isotropic = each.same if isinstance(each, Comparison) else each.isotropic_value(n_features)
            limits = [values[limit] for limit in (f"{key}_low", f"{key}_high") if limit in values]
            rows.append(
                {
                    "measure": key,
                    "value": _number(value),
                    "interval": f"[{', '.join(map(_number, limits))}]" if limits else "",
                    "null": _number(values[f"{key}_null"]) if f"{key}_null" in values else "",
                    "range": " … ".join(map(text_of, each.bounds)),
                    "equal spaces" if isinstance(each, Comparison) else "isotropic": _number(isotropic),
                }
            )
        elif key not in PROVENANCE and key not in {f"{each.name}_{end}" for end in ("low", "high", "null")}:
            rows.append({"measure": f"  {key}", "value": _number(value)})
    return rows


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return f"{len(value)} numbers, see --json"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _print_with_rich(columns: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        shown.add_column(name, justify="left" if name == columns[0] else "right", no_wrap=True)
    for row in table:
        shown.add_row(*map(Text, row))
    console = Console()
    needed = console.measure(shown, options=console.options.update(max_width=10_000)).maximum
    console.width = max(console.width, needed)  # a number that is cut would be another number
    console.print(shown)


def _print_plainly(columns: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    lines = [columns, *table]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        print("  ".join(cells).rstrip())
