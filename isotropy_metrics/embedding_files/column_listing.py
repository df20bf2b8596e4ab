"""What the columns or arrays of a file could be, as its header tells it; no rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isotropy_metrics.embedding_files.arrow_columns import is_id, is_number
from isotropy_metrics.embedding_files.arrow_file import arrow_table
from isotropy_metrics.embedding_files.csv_file import csv_table
from isotropy_metrics.embedding_files.embedding_file import Columns
from isotropy_metrics.embedding_files.limits import NO_LIMITS, Limits
from isotropy_metrics.embedding_files.npy_file import npz_arrays
from isotropy_metrics.embedding_files.opening import extension_of
from isotropy_metrics.embedding_files.parquet_file import parquet_table
from isotropy_metrics.embedding_files.safetensors_file import safetensors_arrays
from isotropy_metrics.embedding_files.stored_array import StoredArray
from isotropy_metrics.embedding_files.table import Table, check_table

ARRAYS = {".npz": npz_arrays, ".safetensors": safetensors_arrays}
"""Formats of arrays with names."""


@dataclass(frozen=True)
class ColumnListing:
    """The names that `open_embeddings` can be given for a file.

    Attributes:
        embeddings: columns or arrays that can be the embeddings. None: they have no name, because it is the one array
            of an .npy file, or one column per feature.
        texts, numbers: columns or arrays of one text or number per row, which can be ids; beside arrays those only
            that have as many rows as some embeddings have.
    """

    embeddings: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


def list_columns(path: str | Path, *, limits: Limits = NO_LIMITS) -> ColumnListing:
    """List the columns or arrays of a file by what they could be.

    Args:
        path: a file as in `open_embeddings`, no folder.
        limits: as there.

    Raises:
        FileNotFoundError, ValueError, ImportError: as there.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "words.npz")
        >>> np.savez(path, vectors=np.ones((2, 3)), word=np.array(["a", "b"]), count=np.array([7, 1]))
        >>> list_columns(path)
        ColumnListing(embeddings=('vectors',), texts=('word',), numbers=('count',))
    """
    path = Path(path)
    extension = extension_of(path, limits)
    if extension == ".npy":
        return ColumnListing()
    if extension in ARRAYS:
        return _of_arrays(ARRAYS[extension](path, limits))
    if extension == ".parquet":
        return _of_table(parquet_table(path, limits))
    if extension in (".csv", ".tsv"):
        return _of_table(csv_table(path, Columns(), limits))
    return _of_table(arrow_table(path, [path], limits))


def _of_arrays(arrays: dict[str, StoredArray]) -> ColumnListing:
    kinds = {name: array.dtype.kind for name, array in arrays.items() if array.dtype is not None}
    embeddings = [name for name, kind in kinds.items() if kind in "biuf" and len(arrays[name].shape) == 2]
    shapes = {arrays[name].shape[:1] for name in embeddings}
    beside = {name: kind for name, kind in kinds.items() if arrays[name].shape in shapes}
    texts = tuple(name for name, kind in beside.items() if kind in "US")
    return ColumnListing(tuple(embeddings), texts, tuple(name for name, kind in beside.items() if kind in "biuf"))


def _of_table(table: Table) -> ColumnListing:
    check_table(table)
    vectors = tuple(name for name in table.schema.names if table.is_vector(name))
    kinds = {field.name: field.type for field in table.schema if is_id(field.type)}
    others = {name: is_number(kind) for name, kind in kinds.items() if not table.is_vector(name)}
    texts = tuple(name for name, is_one in others.items() if not is_one)
    return ColumnListing(vectors, texts, tuple(name for name, is_one in others.items() if is_one))
