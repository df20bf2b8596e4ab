"""Parquet, read page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile
from isotropy_metrics.embedding_files.table import Table, errors_of, import_pyarrow, open_table

if TYPE_CHECKING:
    import pyarrow as pa

BUFFER_BYTES = 2**20
"""Read at once of a column chunk: without a buffer Arrow reads the whole row group."""


def open_parquet(path: Path, columns: Columns) -> EmbeddingFile:
    """A .parquet file."""
    import_pyarrow(path)
    import pyarrow.parquet as parquet

    def read(names: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            yield from file.iter_batches(batch_rows, columns=names, use_threads=False)

    with errors_of(path), parquet.ParquetFile(path) as file:
        table = Table(path, file.schema_arrow, file.metadata.num_rows, read)
    return open_table(table, columns)
