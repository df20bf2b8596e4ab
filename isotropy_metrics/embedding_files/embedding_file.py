"""What every format is opened as: rows with their ids, read batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

BATCH_VALUES = 3 * 2**20
"""Numbers per batch unless told otherwise: 12 MiB of float32, half a block of `Moments`, added without a copy."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a file.

    Attributes:
        rows: (n, n_features), in the file's own dtype and the machine's byte order; bfloat16 becomes float32.
        ids: `references`, `words` and `sentences`, those that were asked for, (n,) each, as integers or text.
        weight: (n,), or None.
    """

    rows: np.ndarray
    ids: dict[str, np.ndarray]
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_counted(self) -> int:
        """Number of rows whose weight is above zero."""
        return len(self) if self.weight is None else int(np.count_nonzero(self.weight))

    def __getitem__(self, which: slice | np.ndarray) -> Batch:
        ids = {name: values[which] for name, values in self.ids.items()}
        return Batch(self.rows[which], ids, None if self.weight is None else self.weight[which])


@dataclass(frozen=True)
class Columns:
    """Names of the columns or arrays that play a part; None for those that play none.

    `embeddings` is None where the file is to tell: it then must have one column, or one array, that can be it.
    `may_be_missing` says whether the ids of single rows may be missing in a table.
    """

    embeddings: str | None = None
    references: str | None = None
    words: str | None = None
    sentences: str | None = None
    weight: str | None = None
    mask: str | None = None
    may_be_missing: bool = False

    @property
    def ids(self) -> dict[str, str]:
        """Column by id."""
        named = {"references": self.references, "words": self.words, "sentences": self.sentences}
        return {name: column for name, column in named.items() if column is not None}

    @property
    def beside(self) -> list[str]:
        """All columns that are named for something else than embeddings, each once."""
        named = [*self.ids.values(), self.weight, self.mask]
        return list(dict.fromkeys(column for column in named if column is not None))


@dataclass(frozen=True)
class EmbeddingFile:
    """A file whose header has been read and found in order, and whose rows have not been read yet.

    Attributes:
        path: of the file or folder.
        source: what is measured, in words: "column 'embedding'".
        n_rows: number of rows; None where only reading tells it.
        n_features: number of features of a row.
        columns: what was asked for.
        read: gives the batches, of about so many rows each, from this row on. Where a batch ends depends on the row
            that it begins with and on nothing before it: who goes on later gets the same batches.
        names: of the columns or arrays that hold the embeddings.
        fingerprint: of a dataset, or a folder of one, what tells that it is still the same; empty where nothing does.
            None for files.
    """

    path: Path
    source: str
    n_rows: int | None
    n_features: int
    columns: Columns
    read: Callable[[int, int], Iterator[Batch]]
    names: tuple[str, ...] = ()
    fingerprint: str | None = None

    def batches(
        self, batch_rows: int | None = None, first_row: int = 0, stop_row: int | None = None
    ) -> Iterator[Batch]:
        """Read the file once, `batch_rows` at a time.

        Args:
            batch_rows: None for about three million numbers, so many as `Moments` add without a copy.
            first_row, stop_row: the rows to read, as a slice has them. Arrays, datasets and row groups of parquet are
                entered where the first row is. What lies before it is read and dropped in csv, in compressed arrays
                and in those with a mask.
        """
        if batch_rows is not None and batch_rows < 1:
            raise ValueError(f"batch_rows must be at least 1, got {batch_rows}")
        batches = self.read(batch_rows or max(BATCH_VALUES // self.n_features, 1), first_row)
        return batches if stop_row is None else _first_rows(batches, stop_row - first_row)

    def identity(self) -> dict[str, Any]:
        """What tells that the rows are still those that a state was made of; ValueError if nothing does."""
        if self.fingerprint is None:
            found = self.path.stat()
            return {"path": str(self.path.resolve()), "n_bytes": found.st_size, "modified": found.st_mtime_ns}
        if not self.fingerprint:
            raise ValueError(
                f"{self.path}: nothing tells whether an IterableDataset is still the same, as a state must: open it "
                "with a name= that does"
            )
        return {"path": str(self.path), "fingerprint": self.fingerprint}


def _first_rows(batches: Iterator[Batch], n_rows: int) -> Iterator[Batch]:
    while n_rows > 0 and (batch := next(batches, None)) is not None:
        yield batch[:n_rows]
        n_rows -= len(batch)


def without_rows(n_rows: int, batches: Iterable[T]) -> Iterator[T]:
    """Batches, or record batches of Arrow, without their first n rows."""
    for batch in batches:
        if n_rows < len(batch):
            yield batch[n_rows:] if n_rows else batch
        n_rows = max(n_rows - len(batch), 0)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names as a sentence lists them: the first few, and how many more there are."""
    names = list(names)
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join(names[:most] + more) or "none"
