"""Comparisons of two files, read in step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from isotropy_metrics.embedding_files.embedding_file import Batch, EmbeddingFile
from isotropy_metrics.embedding_files.measured_file import Options, check_asked, values_of
from isotropy_metrics.embedding_files.opening import open_embeddings
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.embedding_files.row_errors import rows_of_the_file
from isotropy_metrics.measures._interval import N_RESAMPLES
from isotropy_metrics.measures.comparisons import (
    Comparison,
    compare,
    find_comparisons,
    statistics_for,
    update_statistics,
)
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE


def compare_files(
    file1: str | Path | EmbeddingFile,
    file2: str | Path | EmbeddingFile,
    comparisons: str | Comparison | Iterable[str | Comparison] | None = None,
    *,
    options: Options | None = None,
    sample_size: int | None = DEFAULT_SIZE,
    interval: float | None = None,
    null: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """Comparisons of the embeddings in two files, as `isotropy_metrics.measures.comparisons.compare` gives them.

    Args:
        file1, file2: what `open_embeddings` takes or gave. Weights are those of the first file, of pairs of rows.
        comparisons: names or comparisons; None for all that the two files allow.
        options, sample_size, interval, null, n_resamples, seed, progress: see `measure_file`.

    Raises:
        ValueError, OSError: what `measure_file` raises; different numbers of rows where rows are paired, or of
            features where the spaces must be one. Some formats tell the number of rows only when they have been read.
        TypeError: an option that a comparison does not have.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> folder = tempfile.mkdtemp()
        >>> paths = [os.path.join(folder, name) for name in ("before.npy", "after.npy")]
        >>> X = np.random.default_rng(0).normal(size=(1000, 8))
        >>> np.save(paths[0], X), np.save(paths[1], 2 * X[:, ::-1] + 1)
        (None, None)
        >>> round(compare_files(*paths, "linear_cka")["linear_cka"], 6)
        1.0
    """
    first, second = (file if isinstance(file, EmbeddingFile) else open_embeddings(file) for file in (file1, file2))
    weighted = first.columns.weight is not None
    differ = None not in (first.n_rows, second.n_rows) and first.n_rows != second.n_rows
    same_width = first.n_features == second.n_features
    chosen = find_comparisons(comparisons)
    if comparisons is None:
        chosen = [each for each in chosen if not (differ and each.paired)]
        chosen = [each for each in chosen if (same_width or not each.same_width) and (each.weighted or not weighted)]
    check_asked(chosen, options, interval, weighted)
    one_space = next((each.name for each in chosen if each.same_width), None)
    if one_space and not same_width:
        raise ValueError(
            f"{one_space} compares rows of one space: {first.path} has {first.n_features} features, {second.path} has "
            f"{second.n_features}"
        )
    if not chosen:
        raise ValueError(
            f"{first.path} and {second.path} differ in rows ({first.n_rows:,} and {second.n_rows:,}) and in features "
            f"({first.n_features} and {second.n_features}): no comparison allows that"
        )
    paired = "weights" if weighted else next((each.name for each in chosen if each.paired), None)
    if differ and paired:
        raise _not_paired(paired, first, second, f"{first.n_rows:,}", f"{second.n_rows:,}")
    statistics = statistics_for(chosen, interval=interval is not None, seed=seed, size=sample_size)
    first_row = 0
    with progress_bar(first.n_rows, first.path.name, "rows", progress) as done:
        for one, other in _in_step(first, second):
            if paired and len(one) != len(other):
                counts = sorted((f"{first_row:,}", f"more than {first_row:,}"), reverse=len(one) > 0)
                raise _not_paired(paired, first, second, *counts)
            with rows_of_the_file(first_row, (first, one), (second, other)):
                update_statistics(statistics, one.rows, other.rows, mask=None, weight=one.weight)
            first_row += max(len(one), len(other))
            done(len(one))
    asked = {"interval": interval, "null": null, "n_resamples": n_resamples, "seed": seed}
    return values_of(compare, statistics, chosen, options or {}, asked, comparisons is not None, progress)


def _in_step(first: EmbeddingFile, second: EmbeddingFile) -> Iterator[tuple[Batch, Batch]]:
    """Batches of as many rows of the one file as of the other; what is left of the longer file comes with no rows."""
    streams = [(batch for batch in file.batches() if len(batch)) for file in (first, second)]
    ends = [Batch(np.empty((0, file.n_features)), {}) for file in (first, second)]
    rests = list(ends)
    while True:
        rests = [
            rest if len(rest) else next(stream, end) for rest, stream, end in zip(rests, streams, ends, strict=True)
        ]
        n = min(map(len, rests)) or max(map(len, rests))
        if not n:
            return
        yield rests[0][:n], rests[1][:n]
        rests = [rest[n:] for rest in rests]


def _not_paired(what: str, first: EmbeddingFile, second: EmbeddingFile, n_first: str, n_second: str) -> ValueError:
    return ValueError(
        f"{what} needs files that are paired row by row: {first.path} has {n_first} rows, {second.path} has {n_second}"
    )
