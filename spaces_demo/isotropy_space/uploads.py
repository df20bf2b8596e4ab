"""An uploaded file as embeddings, or one sentence that says why not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.embedding_files import Batch, EmbeddingFile, open_embeddings
from isotropy_space.embeddings import Embeddings
from isotropy_space.limits import MIN_FEATURES, MIN_ROWS, UPLOAD_LIMITS
from isotropy_space.plain_texts import plain_text, plain_texts

MISSING_LABEL = "(missing)"

MAX_SENTENCE = 500
"""Characters of an error: a file may have names of any length."""


def read_embeddings(
    path: str | None, *, column: str | None = None, names: str | None = None, labels: str | None = None
) -> Embeddings:
    """Read an uploaded file whole, after all that its header tells has been checked.

    Args:
        path: of the file; None if nothing has been uploaded.
        column: the column or array of the embeddings; None where the file has only one, or one column per feature.
        names: the column or array that says what each row is.
        labels: the column or array that rows are coloured by.

    Raises:
        FileNotFoundError, ValueError, OSError, ImportError: in one sentence that calls the file by its own name.
    """
    path = uploaded_file(path)
    with sentences_about(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns of whole numbers: the page lists all columns
            file = open_embeddings(
                path,
                column=column or None,
                words=names or None,
                references=labels or None,
                may_be_missing=True,
                limits=UPLOAD_LIMITS,
            )
        if file.n_features < MIN_FEATURES:
            raise ValueError(f"{path} has one number per row: a geometry needs {MIN_FEATURES} at least")
        rows, ids = _read_whole(file)
        if len(rows) < MIN_ROWS:
            raise ValueError(f"{path} has one row: a geometry needs {MIN_ROWS} at least")
    return Embeddings(
        title=f"{shown_name(path)}, {plain_text(column, 40)}" if column else shown_name(path),
        rows=rows,
        names=_texts(ids["words"]) if names else None,
        labels=_texts_or_numbers(ids["references"]) if labels else None,
        labels_title=plain_text(labels) if labels else None,
    )


def uploaded_file(path: str | None) -> Path:
    """The path of an upload.

    Raises:
        ValueError: nothing has been uploaded, or a folder.
        FileNotFoundError: it is not there any more.
    """
    if not path:
        raise ValueError("there is no file yet: upload one first")
    if "\0" in path or len(path) > 4096:
        raise FileNotFoundError(f"there is no file {plain_text(Path(path).name)}: upload it again")
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{shown_name(file)} is a folder: upload one file")
    if not file.exists():
        raise FileNotFoundError(f"there is no file {shown_name(file)}: upload it again")
    return file


def shown_name(path: Path) -> str:
    """The name of a file as a page may show it."""
    return plain_text(path.name, 80)


@contextmanager
def sentences_about(path: Path) -> Iterator[None]:
    """Errors of the library call the file by its name, not by its place on the server, and are not too long."""

    name = shown_name(path)

    def sentence(error: Exception) -> str:
        said = str(error).replace(str(path), name)
        return plain_text(said if name in said else f"{name}: {said}", MAX_SENTENCE)

    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(sentence(error)) from error
    except ValueError as error:
        raise ValueError(sentence(error)) from error
    except ImportError as error:
        raise ImportError(sentence(error)) from error
    except OSError as error:
        if error.strerror is None:  # of pyarrow, with a sentence
            raise OSError(sentence(error)) from error
        raise OSError(f"{name} cannot be read: {plain_text(error.strerror)}") from error


def _read_whole(file: EmbeddingFile) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """The rows in float32 or float64, all finite, and the parts of each id."""
    blocks: list[np.ndarray] = []
    ids: dict[str, list[np.ndarray]] = {name: [] for name in file.columns.ids}
    whole, n_rows = None, 0
    for batch in file.batches():
        rows = _as_floats(batch)
        squared_norms(rows, n_rows)  # raises if a row is not finite
        if file.n_rows is None:
            blocks.append(rows)
        else:
            whole = np.empty((file.n_rows, file.n_features), rows.dtype) if whole is None else whole
            if n_rows + len(rows) > file.n_rows:
                raise ValueError(f"{file.path} has more rows than the {file.n_rows:,} that it says")
            whole[n_rows : n_rows + len(rows)] = rows
        for name, values in batch.ids.items():
            ids[name].append(values)
        n_rows += len(rows)
    if file.n_rows not in (None, n_rows):
        raise ValueError(f"{file.path} has {n_rows:,} rows, and not {file.n_rows:,} as it says")
    return np.concatenate(blocks) if whole is None else whole, ids


def _as_floats(batch: Batch) -> np.ndarray:
    is_narrow = batch.rows.dtype in (np.float16, np.float32)
    return np.ascontiguousarray(batch.rows, np.float32 if is_narrow else np.float64)


def _texts(parts: list[np.ndarray]) -> np.ndarray:
    return plain_texts(value for part in parts for value in part.tolist())


def _texts_or_numbers(parts: list[np.ndarray]) -> np.ndarray:
    if all(part.dtype.kind in "iuf" for part in parts):
        return np.concatenate(parts)
    return plain_texts((value for part in parts for value in part.tolist()), MISSING_LABEL)
