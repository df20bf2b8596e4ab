"""The rows of a file, enhanced, in another file."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows
from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.embedding_writer import check_format, writing_embeddings
from isotropy_metrics.embedding_files.output_path import check_output
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.embedding_files.row_errors import rows_of_the_file
from isotropy_metrics.statistics import RowSample

BATCH_VALUES = 2**22
"""Numbers per batch: a row group of 16 MiB in float32."""

SAMPLE_ROWS = 1000
"""Rows that tell whether the file is like the rows that the enhancement was fitted on."""


def enhance_file(
    enhancement: Any,
    file: EmbeddingFile,
    output: str | Path,
    *,
    dtype: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> tuple[int, int, str]:
    """Write the enhanced rows of a file to another, a batch at a time: memory does not grow with the number of rows.

    Args:
        enhancement: a fitted enhancement, or a Pipeline of them.
        file: what `open_embeddings` gave. Rows that its mask leaves out are left out.
        output: .npy, .safetensors or .parquet; see `writing_embeddings`.
        dtype: "float16", "float32" or "float64"; None for what `transform` gives.
        overwrite: replace a file that is there.
        progress: show a progress bar on stderr for what takes longer than two seconds.

    Returns:
        The number of rows and of features that were written, and their dtype.

    Raises:
        ValueError, OSError: before a row is read, a file of another width, or an `output` that is the file itself, or
            is there already, or has another extension; while reading, a row that is not finite. Nothing is left at
            `output` then.

    Warns:
        EnhancementWarning: once, if the rows of the file lie off those that the enhancement was fitted on.
    """
    check_places(file.path, output, overwrite)
    _check_width(enhancement, file)
    sample = RowSample(SAMPLE_ROWS)
    n_rows = 0
    with progress_bar(file.n_rows, file.path.name, "rows", progress) as done:
        blocks = _enhanced(enhancement, file, sample)
        first = next(blocks, None)
        if first is None:
            raise ValueError(f"{file.path} holds no rows, or none that its mask keeps")
        dtype, n_features = dtype or first.dtype.name, first.shape[1]
        with writing_embeddings(output, n_features, dtype, source=file, overwrite=overwrite) as append:
            for block in itertools.chain([first], blocks):
                append(block)
                n_rows += len(block)
                done(len(block))
    _warn_if_far_off(enhancement, sample)
    return n_rows, n_features, dtype


def steps_of(enhancement: Any) -> list[Any]:
    """The steps of a Pipeline, or the enhancement itself as the only one."""
    return [step for _, step in enhancement.steps] if hasattr(enhancement, "steps") else [enhancement]


def check_places(file: str | Path, output: str | Path, overwrite: bool) -> None:
    """Refuse an output that is the file itself, or is in the way, or has another extension than those written."""
    check_format(output)
    if Path(output).exists() and Path(file).exists() and Path(output).samefile(file):
        raise ValueError(f"{output} is the file that is read: choose another place for the enhanced rows")
    if Path(output).is_dir():
        raise ValueError(f"{output} is a folder: name a file for the enhanced rows")
    check_output(output, overwrite)


def _check_width(enhancement: Any, file: EmbeddingFile) -> None:
    width = next((step.n_features_in_ for step in steps_of(enhancement) if hasattr(step, "n_features_in_")), None)
    if width not in (None, file.n_features):
        raise ValueError(f"{file.path} has {file.n_features} features, the enhancement was fitted on {width}")


def _enhanced(enhancement: Any, file: EmbeddingFile, sample: RowSample) -> Iterator[np.ndarray]:
    """The enhanced batches; `sample` collects rows as they were."""
    first_row = 0
    for batch in file.batches(max(BATCH_VALUES // file.n_features, 1)):
        if len(batch):
            with rows_of_the_file(first_row, (file, batch)):
                rows = as_rows(batch.rows)[0]
                block = without_warnings(enhancement.transform, rows)
            sample.add_checked(rows, None, {})
            first_row += len(batch)
            yield block


def without_warnings(transform: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Enhanced rows, without warnings about a batch that is not like the whole."""
    from isotropy_metrics.enhancement import EnhancementWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnhancementWarning)
        return transform(rows)


def _warn_if_far_off(enhancement: Any, sample: RowSample) -> None:
    """What `transform` warns of, for the file as a whole."""
    from isotropy_metrics.enhancement import EnhancementWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        enhancement.transform(sample.rows)
    said = [each.message for each in caught if issubclass(each.category, EnhancementWarning)]
    if said:
        warnings.warn(said[0], stacklevel=3)
