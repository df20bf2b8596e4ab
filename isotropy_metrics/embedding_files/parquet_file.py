"""Parquet, read page by page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile, without_rows
from isotropy_metrics.embedding_files.limits import Limits
from isotropy_metrics.embedding_files.parquet_pages import check_pages
from isotropy_metrics.embedding_files.table import Table, errors_of, import_pyarrow, open_table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

MAGIC = b"PAR1"

BUFFER_BYTES = 2**20
"""Read at once of a column chunk: without a buffer Arrow reads the whole row group."""


def open_parquet(path: Path, columns: Columns, limits: Limits) -> EmbeddingFile:
    """A .parquet file."""
    return open_table(parquet_table(path, limits), columns)


def parquet_table(path: Path, limits: Limits) -> Table:
    """The table in a .parquet file."""
    import_pyarrow(path)
    import pyarrow.parquet as parquet

    _check_footer(path, limits)
    with errors_of(path), parquet.ParquetFile(path, thrift_container_size_limit=_container_limit(limits)) as file:
        schema, metadata = file.schema_arrow, file.metadata
    texts = [field.name for field in schema if _is_text(field.type)]

    checked: set[tuple[str, ...]] = set()

    def read(names: list[str], batch_rows: int, first_row: int) -> Iterator[pa.RecordBatch]:
        if limits.any and tuple(names) not in checked:
            check_pages(path, metadata, names, limits)
            checked.add(tuple(names))
        # one text that a million rows repeat stays one text
        options = {"read_dictionary": [name for name in texts if name in names], "metadata": metadata}
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False, **options) as file:
            for groups, begin, end in _runs(metadata, batch_rows):
                if first_row < end:
                    batches = file.iter_batches(batch_rows, row_groups=groups, columns=names, use_threads=False)
                    yield from without_rows(max(first_row - begin, 0), batches)

    return Table(path, schema, metadata.num_rows, read, limits=limits)


def _runs(metadata: parquet.FileMetaData, batch_rows: int) -> Iterator[tuple[list[int], int, int]]:
    """Row groups that are read together, with the rows where they begin and end: small groups share their batches."""
    groups, begin, end = [], 0, 0
    for number in range(metadata.num_row_groups):
        groups.append(number)
        end += metadata.row_group(number).num_rows
        if end - begin >= batch_rows or number == metadata.num_row_groups - 1:
            yield groups, begin, end
            groups, begin = [], end


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _check_footer(path: Path, limits: Limits) -> None:
    """The length of the footer stands before the magic at the end."""
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, 8), 2)
        end = file.read()
    if end[4:] == MAGIC:
        limits.check(path, header_bytes=int.from_bytes(end[:4], "little"))


def _container_limit(limits: Limits) -> int | None:
    """A list of Thrift in the footer may be long for few bytes; each column has up to three entries in the schema."""
    return None if math.isinf(limits.n_columns) else max(int(4 * limits.n_columns), 1000)
