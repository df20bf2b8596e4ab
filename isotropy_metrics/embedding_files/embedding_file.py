"""What every format is opened as: rows with their ids, read batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BATCH_VALUES = 2**20
"""Numbers per batch unless told otherwise: 4 MiB of float32."""


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
        read: gives the batches, of about so many rows each.
        names: of the columns or arrays that hold the embeddings.
    """

    path: Path
    source: str
    n_rows: int | None
    n_features: int
    columns: Columns
    read: Callable[[int], Iterator[Batch]]
    names: tuple[str, ...] = ()

    def batches(self, batch_rows: int | None = None) -> Iterator[Batch]:
        """Read the file once from its first row to its last, `batch_rows` at a time."""
        if batch_rows is not None and batch_rows < 1:
            raise ValueError(f"batch_rows must be at least 1, got {batch_rows}")
        return self.read(batch_rows or max(BATCH_VALUES // self.n_features, 1))


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names as a sentence lists them: the first few, and how many more there are."""
    names = list(names)
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join(names[:most] + more) or "none"
