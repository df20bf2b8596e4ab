"""How the study's tables show a number, on the page, in the figures and in the terminal."""

from __future__ import annotations

from typing import Any

from isotropy_metrics.measures import Measure


def value_key(measure: Measure, row: dict[str, Any]) -> str:
    """The key under which a table shows a measure: its logarithm where it has one."""
    return f"{measure.name}_log10" if f"{measure.name}_log10" in row else measure.name


def format_number(value: float | None, digits: int = 4) -> str:
    """So many significant digits; a dash for a missing value."""
    if value is None:
        return "–"
    return f"{value}" if isinstance(value, int) else f"{value:.{digits}g}"


def format_interval(row: dict[str, Any], name: str, pattern: str = "{:.2f} [{:.1f}, {:.1f}]") -> str:
    """A value with its limits; a dash if there is none."""
    values = [row.get(key) for key in (name, f"{name}_low", f"{name}_high")]
    return "–" if None in values else pattern.format(*values)


def number_or_nan(value: float | None) -> float:
    """For figures: JSON has null for a missing number."""
    return float("nan") if value is None else value
