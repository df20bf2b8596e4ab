"""Parquet: a column of vectors, written block by block, and the other columns of the file that the rows come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.embedding_files.parquet_file import BUFFER_BYTES
from isotropy_metrics.embedding_files.table import import_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

BESIDE_ROWS = 4096
"""Rows of the other columns that are read at once."""


class ParquetWriter:
    """Rows appended to a column of lists called `name`; each block becomes a row group.

    Args:
        path, n_features, dtype, name: of the file to write.
        source: a .parquet file whose other columns are kept, in their order; None for none. Notes in its schema, as
            pandas and datasets leave them, are dropped: they would describe the old column.
        replaced: columns of `source` that are left out; `name` takes the place of the first.
    """

    def __init__(
        self,
        path: Path,
        n_features: int,
        dtype: np.dtype,
        name: str = "embeddings",
        source: Path | None = None,
        replaced: tuple[str, ...] = (),
    ) -> None:
        import_pyarrow(path)
        import pyarrow as pa
        from pyarrow import parquet

        self._dtype = dtype
        beside, self._place = ([], 0) if source is None else _columns_beside(source, replaced)
        if name in [field.name for field in beside]:
            raise ValueError(f"{source} has another column {name!r}, which the enhanced rows would take the name of")
        self._beside = pa.schema(beside)
        self._batches = _batches(source, self._beside)
        self._rest = self._beside.empty_table()
        self._schema = self._beside.insert(self._place, pa.field(name, pa.list_(pa.from_numpy_dtype(dtype))))
        self._writer = parquet.ParquetWriter(path, self._schema)

    def write(self, rows: np.ndarray) -> None:
        """Append rows (n, n_features)."""
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(rows, self._dtype).reshape(-1))
        offsets = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1])
        columns = self._taken(len(rows)).columns
        columns.insert(self._place, pa.ListArray.from_arrays(offsets, flat))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()

    def _taken(self, n: int) -> pa.Table:
        """The next n rows of the other columns."""
        import pyarrow as pa

        while len(self._beside) and len(self._rest) < n:
            records = pa.Table.from_batches([next(self._batches)], self._beside)
            self._rest = pa.concat_tables([self._rest, records])
        taken, self._rest = self._rest.slice(0, n), self._rest.slice(n)
        return taken


def _columns_beside(path: Path, replaced: tuple[str, ...]) -> tuple[list[pa.Field], int]:
    """The columns that stay, and the place of the first that goes."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        fields = list(file.schema_arrow)
    first = next(i for i, field in enumerate(fields) if field.name in replaced)
    return [field for field in fields if field.name not in replaced], first


def _batches(path: Path | None, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
        yield from file.iter_batches(BESIDE_ROWS, columns=schema.names, use_threads=False)
