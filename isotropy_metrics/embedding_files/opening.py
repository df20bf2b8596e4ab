"""Files of embeddings: what each extension is opened with, and what is refused before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from isotropy_metrics.embedding_files.arrow_file import open_arrow, open_datasets_folder
from isotropy_metrics.embedding_files.csv_file import open_csv
from isotropy_metrics.embedding_files.dataset_rows import HUB, open_dataset, open_hub_dataset
from isotropy_metrics.embedding_files.embedding_file import Batch, Columns, EmbeddingFile
from isotropy_metrics.embedding_files.limits import NO_LIMITS, Limits
from isotropy_metrics.embedding_files.npy_file import open_npy, open_npz
from isotropy_metrics.embedding_files.parquet_file import open_parquet
from isotropy_metrics.embedding_files.safetensors_file import open_safetensors

FORMATS = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".safetensors": open_safetensors,
    ".parquet": open_parquet,
    ".arrow": open_arrow,
    ".feather": open_arrow,
    ".csv": open_csv,
    ".tsv": open_csv,
}

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib")


def open_embeddings(
    path: str | Path | Any,
    *,
    column: str | None = None,
    references: str | None = None,
    words: str | None = None,
    sentences: str | None = None,
    weight: str | None = None,
    mask: str | None = None,
    split: str | None = None,
    may_be_missing: bool = False,
    name: str | None = None,
    limits: Limits = NO_LIMITS,
) -> EmbeddingFile:
    """Open a file of embeddings, or a dataset of `datasets`, and check all that its header tells.

    Args:
        path: .npy, .npz, .safetensors, .parquet, .arrow, .feather, .csv, .tsv, or a folder of `save_to_disk`: the
            extension tells the format. Or a `Dataset` or `IterableDataset` itself. Or `hf://datasets/USER/NAME`, which
            is streamed from the Hub; `@REVISION` and then `/CONFIGURATION` can follow.
        column: name of the column or array that holds the embeddings: lists of numbers, or an array (n_samples,
            n_features). Without it the file must have exactly one such; a table that has none is read as one feature
            per column of numbers, without row numbers that pandas saved and the columns named below.
        references, words, sentences: columns or arrays that hold class labels, words and sentences of the rows.
        weight: column or array that holds their weights.
        mask: array of 0 and 1, (batch, length), for embeddings (batch, length, n_features); ids then have its shape.
        split: of a folder or dataset that holds several.
        may_be_missing: whether ids of single rows may be missing in a table: None in text, NaN in numbers.
        name: of a dataset that is passed itself, for messages. An `IterableDataset` needs one for a state: nothing
            else tells that it is still the same.
        limits: of one file, for files of strangers; a file that asks for more is refused before memory is spent.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another format, a damaged file, columns that are missing or of a wrong kind.
        ImportError: a library that the format needs is missing; the message says how to install it.
        TypeError: neither a path nor a dataset.
        OSError: the Hub cannot be reached, or has no such dataset.
    """
    columns = Columns(column, references, words, sentences, weight, mask, may_be_missing)
    if not isinstance(path, str | os.PathLike):
        return open_dataset(path, columns, split, name)
    if name is not None:
        raise ValueError(f"{path} has a name already: leave out name={name!r}")
    if str(path).startswith(HUB):
        return open_hub_dataset(str(path), columns, split)
    path = Path(path)
    if path.is_dir():
        return open_datasets_folder(path, columns, split)
    if split is not None and path.exists():
        raise ValueError(f"{path} is one file and has no splits: leave out {split!r}")
    file = FORMATS[extension_of(path, limits)](path, columns, limits)
    limits.check(path, n_features=file.n_features, n_values=file.n_features * (file.n_rows or 0))
    return replace(file, read=partial(_counted, file, limits)) if limits.any else file


def extension_of(path: Path, limits: Limits) -> str:
    """The extension that tells the format of a file, after everything that can be told without reading it.

    Raises:
        FileNotFoundError, ValueError: as `open_embeddings`.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    extension = path.suffix.lower()
    if extension in PICKLES:
        raise ValueError(
            f"{path} may hold pickled code, which is never run: save the embeddings as .safetensors or .npy"
        )
    if extension not in FORMATS:
        raise ValueError(f"{path} has none of the extensions that are read: {', '.join(FORMATS)}")
    if not path.is_file():
        raise ValueError(f"{path} is neither a file nor a folder")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty: it has 0 bytes")
    limits.check(path, n_bytes=path.stat().st_size)
    return extension


def _counted(file: EmbeddingFile, limits: Limits, batch_rows: int, first_row: int) -> Iterator[Batch]:
    """The batches of a file whose header could not tell, or did not tell the truth, how many rows there are."""
    n_rows = first_row
    for batch in file.read(batch_rows, first_row):
        n_rows += len(batch)
        limits.check(file.path, n_rows=n_rows, n_values=n_rows * file.n_features)
        yield batch


def read_batches(path: str | Path, *, batch_rows: int | None = None, **columns: str | None) -> Iterator[Batch]:
    """The rows of a file with their ids, in order, about `batch_rows` at a time; the file is checked at once.

    Args:
        path: see `open_embeddings`.
        batch_rows: rows per batch; None for about three million numbers. Formats made of blocks give smaller ones too.
        **columns: see `open_embeddings`.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "embeddings.npy")
        >>> np.save(path, np.ones((5, 3), dtype=np.float16))
        >>> [batch.rows.shape for batch in read_batches(path, batch_rows=2)]
        [(2, 3), (2, 3), (1, 3)]
    """
    return open_embeddings(path, **columns).batches(batch_rows)
