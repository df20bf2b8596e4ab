"""What every view asks of the rows: that there are two."""

from __future__ import annotations


def check_two_rows(view: str, n_rows: int) -> None:
    """Refuse a single row, or none: there is nothing to see between rows."""
    if n_rows < 2:
        raise ValueError(f"{view} needs at least 2 rows, got {n_rows}")
