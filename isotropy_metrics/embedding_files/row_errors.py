"""Row errors: what is wrong with a row, with the number that the row has in its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.embedding_files.embedding_file import Batch, EmbeddingFile


@contextmanager
def rows_of_the_file(first_row: int, *read: tuple[EmbeddingFile, Batch]) -> Iterator[None]:
    """An error about a row of these batches has the row's number in the file."""
    try:
        yield
    except ValueError as error:
        for file, batch in read:
            try:
                squared_norms(_counted(batch), first_row)
            except ValueError as of_file:
                raise ValueError(f"{file.path}: {of_file}") from error
        raise ValueError(f"{read[0][0].path}, rows {first_row} and later: {error}") from error


def _counted(batch: Batch) -> np.ndarray:
    """The rows, those of weight zero as zeros: nothing is asked of them."""
    rows, _ = as_rows(batch.rows)
    return rows if batch.weight is None else np.where((batch.weight > 0)[:, None], rows, 0)
