"""A user's table of annotated sentences: which columns it must have, and what is said if it has not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isotropy_metrics.study.data.data_tables import ENDINGS, read_table


def annotated_columns(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[str]]:
    """These columns of a csv, tsv, jsonl or parquet file, as text; the optional ones if it has them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another kind of file, a missing column, no rows, or a row without a value.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path} must be one of {', '.join(ENDINGS)}")
    table = read_table(path)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns))
        raise ValueError(f"{path} has no column {missing[0]!r}, it has: {has}; it needs: {', '.join(columns)}")
    if not len(table):
        raise ValueError(f"{path} has no rows")
    named = [*columns, *(name for name in optional if name in table.columns)]
    return {name: _as_text(table[name].tolist(), f"column {name!r} of {path}") for name in named}


def _as_text(values: list[object], where: str) -> list[str]:
    texts = ["" if value is None or value != value else str(value).strip() for value in values]
    empty = [row for row, text in enumerate(texts, 1) if not text]
    if empty:
        raise ValueError(f"{where} is empty in row {empty[0]} (counted from 1, without the header)")
    return texts
