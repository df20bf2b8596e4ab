"""Where rows go: a file of the format that its extension tells, written block by block, complete or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.npy_writer import NpyWriter
from isotropy_metrics.embedding_files.output_path import output_path
from isotropy_metrics.embedding_files.parquet_writer import ParquetWriter
from isotropy_metrics.embedding_files.safetensors_writer import SafetensorsWriter

WRITERS = {".npy": NpyWriter, ".safetensors": SafetensorsWriter, ".parquet": ParquetWriter}

DTYPES = ("float16", "float32", "float64")


class Writer(Protocol):
    """What every format is written by."""

    def write(self, rows: np.ndarray) -> None:
        """Append rows (n, n_features)."""

    def close(self) -> None:
        """Write what can be known at the end only."""


@contextmanager
def writing_embeddings(
    output: str | Path,
    n_features: int,
    dtype: str | np.dtype = "float32",
    *,
    source: EmbeddingFile | None = None,
    overwrite: bool = False,
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that appends rows (n, n_features) to a file, which appears when the block ends without an error.

    Args:
        output: .npy, .safetensors or .parquet; the extension tells the format.
        n_features: of a row.
        dtype: "float16", "float32" or "float64".
        source: the file that the rows come from. Their column or array keeps its name, and from .parquet to .parquet
            the other columns come along.
        overwrite: replace a file that is there.

    Raises:
        FileExistsError, FileNotFoundError: see `output_path.check_output`.
        ValueError: another extension or dtype; on append, rows that are not finite in this dtype.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "embeddings.npy")
        >>> with writing_embeddings(path, 3) as append:
        ...     append(np.ones((2, 3)))
        ...     append(np.zeros((5, 3)))
        >>> np.load(path).shape
        (7, 3)
    """
    extension, dtype = check_format(output), np.dtype(dtype)
    if dtype.name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype}")
    with output_path(output, overwrite) as path:
        writer = WRITERS[extension](path, n_features, dtype, **_named_as(source, extension))
        n_rows = 0

        def append(rows: np.ndarray) -> None:
            nonlocal n_rows
            writer.write(_as_dtype(rows, dtype, n_rows))
            n_rows += len(rows)

        try:
            yield append
        finally:
            writer.close()


def check_format(output: str | Path) -> str:
    """The extension of a file that can be written."""
    extension = Path(output).suffix.lower()
    if extension not in WRITERS:
        raise ValueError(f"{output} has none of the extensions that are written: {', '.join(WRITERS)}")
    return extension


def _named_as(source: EmbeddingFile | None, extension: str) -> dict[str, object]:
    if source is None or extension == ".npy":
        return {}
    named = {"name": source.names[0]} if len(source.names) == 1 else {}
    if extension == source.path.suffix.lower() == ".parquet" and source.fingerprint is None:
        named |= {"source": source.path, "replaced": source.names}
    return named


def _as_dtype(rows: np.ndarray, dtype: np.dtype, first_row: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(rows, dtype)
    if dtype.itemsize < rows.dtype.itemsize and not np.isfinite(cast).all():
        raise ValueError(f"row {first_row} or a later one overflows {dtype}: ask for a wider dtype")
    return cast
