"""Tables: the record batches of any Arrow reader as rows, from a column of vectors or from one column per feature."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.embedding_files.arrow_columns import ids, is_number, is_vector, numbers, vectors
from isotropy_metrics.embedding_files.embedding_file import Batch, Columns, EmbeddingFile, listed
from isotropy_metrics.embedding_files.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    import pyarrow as pa

ROW_NUMBERS = ("", "Unnamed: 0", "__index_level_0__")
"""Columns in which pandas saves its row numbers; they are never features."""


@dataclass(frozen=True)
class Table:
    """A table that can be read from its first row to its last.

    Attributes:
        path: of the file or folder.
        schema: names and types of its columns.
        n_rows: number of rows; None where only reading tells it.
        read: gives record batches of these columns, of so many rows each where the format allows it, from this row on;
            as `EmbeddingFile.read` gives batches.
        json_columns: columns of text that hold JSON lists.
        limits: of what is read.
    """

    path: Path
    schema: pa.Schema
    n_rows: int | None
    read: Callable[[list[str], int, int], Iterator[pa.RecordBatch]]
    json_columns: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS

    def is_vector(self, name: str) -> bool:
        """Whether this column holds one vector per row."""
        return name in self.json_columns or is_vector(self.schema.field(name).type)


def import_pyarrow(path: Path) -> None:
    """Raise ImportError with the remedy if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow: pip install pyarrow") from error


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """What Arrow says of a damaged file, as one sentence with the file's name."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        if "straddl" in reason:
            reason = "it has a line that is too long, or a quotation mark that is not closed"
        raise ValueError(f"{path} cannot be read: {reason}") from error


def check_table(table: Table) -> None:
    """Raise ValueError if the table is beyond its limits, or its columns have not a name each."""
    names = table.schema.names
    table.limits.check(table.path, n_columns=len(names), n_rows=table.n_rows or 0)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{table.path} has more than one column named {twice[0]!r}")


def open_table(table: Table, columns: Columns) -> EmbeddingFile:
    """The embeddings among the columns of a table, with the ids that go with them."""
    names = table.schema.names
    if columns.mask is not None:
        raise ValueError(f"{table.path}: a mask belongs to arrays of three axes, in .npz and .safetensors files")
    for name in [columns.embeddings, *columns.beside]:
        if name is not None and name not in names:
            raise ValueError(f"{table.path} has no column {name!r}, it has: {listed(map(repr, names))}")
    check_table(table)
    features = _feature_columns(table, columns)
    first = next((batch for batch in _batches(table, features, columns, None, batch_rows=1) if len(batch)), None)
    if first is None:
        raise ValueError(f"{table.path} holds no rows")
    n_features = first.rows.shape[1]
    source = f"column {features[0]!r}" if table.is_vector(features[0]) else f"{n_features} columns of numbers"
    read = partial(_batches, table, features, columns, n_features)
    return EmbeddingFile(table.path, source, table.n_rows, n_features, columns, read, tuple(features))


def _feature_columns(table: Table, columns: Columns) -> list[str]:
    """The column of vectors that is named, or the only one there is; else all columns of numbers."""
    path, schema = table.path, table.schema
    if columns.embeddings is not None:
        if not table.is_vector(columns.embeddings):
            kind = schema.field(columns.embeddings).type
            raise ValueError(
                f"{path}: column {columns.embeddings!r} holds {kind}, one list of numbers per row is needed"
            )
        return [columns.embeddings]
    others = [name for name in schema.names if name not in columns.beside]
    candidates = [name for name in others if table.is_vector(name)]
    if len(candidates) > 1:
        there = listed(map(repr, candidates))
        raise ValueError(f"{path} has {len(candidates)} columns that could be the embeddings, name one: {there}")
    if candidates:
        return candidates
    kinds = {name: schema.field(name).type for name in others if name not in ROW_NUMBERS}
    features = [name for name, kind in kinds.items() if is_number(kind)]
    if not features:
        there = listed(f"{field.name!r} ({field.type})" for field in schema)
        raise ValueError(f"{path} has neither a column of lists of numbers nor columns of numbers, it has: {there}")
    _warn_of_whole_numbers(path, {name: str(kinds[name]) for name in features})
    return features


def _warn_of_whole_numbers(path: Path, kinds: dict[str, str]) -> None:
    whole = [name for name, kind in kinds.items() if "int" in kind]
    if 0 < len(whole) < len(kinds):
        warnings.warn(
            f"{path} has columns of whole numbers beside those of fractions, and they are measured as features: "
            f"{listed(map(repr, whole))}; name them as references, words, sentences or weight if they are that",
            RuntimeWarning,
            stacklevel=5,
        )


def _batches(
    table: Table,
    features: list[str],
    columns: Columns,
    n_features: int | None,
    batch_rows: int,
    first_row: int = 0,
) -> Iterator[Batch]:
    names = list(dict.fromkeys(features + columns.beside))
    with errors_of(table.path):
        for records in table.read(names, batch_rows, first_row):
            for start in range(0, len(records), batch_rows):
                batch = _batch(table, records.slice(start, batch_rows), features, columns, first_row, n_features)
                yield batch
                first_row += len(batch)


def _batch(
    table: Table,
    records: pa.RecordBatch,
    features: list[str],
    columns: Columns,
    first_row: int,
    n_features: int | None,
) -> Batch:
    def read(kind: Callable[..., np.ndarray], name: str, *more: Any) -> np.ndarray:
        return kind(records.column(name), f"column {name!r} of {table.path}", first_row, *more)

    def read_ids(name: str) -> np.ndarray:
        return read(ids, name, table.limits, columns.may_be_missing)

    if table.is_vector(features[0]):
        rows = read(vectors, features[0], n_features)
    else:
        rows = np.column_stack([read(numbers, name) for name in features])
    weight = None if columns.weight is None else read(numbers, columns.weight).astype(np.float64)
    return Batch(rows, {own: read_ids(name) for own, name in columns.ids.items()}, weight)
