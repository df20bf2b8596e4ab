"""Enhancements fitted on the rows of files: a pass for each step, in memory that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.enhanced_file import steps_of, without_warnings
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.embedding_files.row_errors import rows_of_the_file
from isotropy_metrics.statistics import Moments, RowSample
from isotropy_metrics.statistics.moments import block_rows_of


@dataclass(frozen=True)
class FittedStep:
    """A fitted step, and the moments of the rows that it was fitted on; None if it needs no fitting."""

    enhancement: Any
    moments: Moments | None


@dataclass(frozen=True)
class Block:
    """Rows (n, n_features) with their weights, and the context in which an error names their place in a file."""

    rows: np.ndarray
    weight: np.ndarray | None
    place: AbstractContextManager[None]


def fit_files(
    enhancement: Any,
    files: Sequence[EmbeddingFile],
    *,
    n_rows: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> list[FittedStep]:
    """Fit an enhancement, or a Pipeline of them, in place on the rows of files.

    Args:
        enhancement: not fitted yet. A step of a Pipeline is fitted on what the steps before it make of the rows.
        files: what `open_embeddings` gave, with as many features in each; their weights count.
        n_rows: fit on a random sample of so many rows of all files; None for all rows.
        seed: of the sample.
        progress: show progress bars on stderr for what takes longer than two seconds.

    Returns:
        The steps with the moments that they were fitted on.

    Raises:
        ValueError, OSError: before a row is read, files of different widths, or parameters that no rows would allow;
            later, a row that is not finite, or rows that do not suffice.
    """
    _check_widths(files)
    steps = steps_of(enhancement)
    check_parameters(steps, files[0].n_features)
    counts = [file.n_rows for file in files]
    total = None if None in counts else sum(counts)
    if n_rows is None:
        return _fit_steps(steps, lambda: _blocks(files), files[0].n_features, total, progress)
    sample = _sampled(files, n_rows, seed, total, progress)
    order = np.random.default_rng(seed).permutation(len(sample.rows))  # in the order of the file they look ordered
    weight = None if sample.weight is None else sample.weight[order]
    block = Block(sample.rows[order], weight, nullcontext())
    return _fit_steps(steps, lambda: [block], files[0].n_features, len(order), progress)


def check_parameters(steps: Sequence[Any], n_features: int) -> None:
    """Refuse parameters that no rows would allow, of every step on what comes out of the step before it."""
    for step in filter(_is_fitted_on_rows, steps):
        n_features = step.check_parameters(n_features)


def _is_fitted_on_rows(step: Any) -> bool:
    return hasattr(step, "partial_fit")


def _check_widths(files: Sequence[EmbeddingFile]) -> None:
    first = files[0]
    for file in files:
        if file.n_features != first.n_features:
            raise ValueError(
                f"{first.path} has {first.n_features} features, {file.path} has {file.n_features}: an enhancement is "
                "fitted on rows of one space"
            )


def _blocks(files: Iterable[EmbeddingFile]) -> Iterator[Block]:
    """All rows of weight above zero, in blocks of the size that `Moments` adds fastest."""
    for file in files:
        first_row = 0
        for batch in file.batches(block_rows_of(file.n_features)):
            with rows_of_the_file(first_row, (file, batch)):
                rows, weight = as_rows(batch.rows, weight=batch.weight)
            if len(rows):
                yield Block(rows, weight, rows_of_the_file(first_row, (file, batch)))
            first_row += len(batch)


def _sampled(files: Sequence[EmbeddingFile], n_rows: int, seed: int, total: int | None, progress: bool) -> RowSample:
    sample = RowSample(n_rows, seed)
    with progress_bar(total, f"sampling {files[0].path.name}", "rows", progress) as done:
        for block in _blocks(files):
            with block.place:
                squared_norms(block.rows)
            sample.add_checked(block.rows, block.weight, {})
            done(len(block.rows))
    if not sample.n_rows:
        raise ValueError(f"{files[0].path} holds no rows, or none of a weight above zero")
    return sample


def _fit_steps(
    steps: Sequence[Any], blocks: Callable[[], Iterable[Block]], n_features: int, total: int | None, progress: bool
) -> list[FittedStep]:
    fitted: list[FittedStep] = []
    for number, step in enumerate(steps, 1):
        before = [each.enhancement for each in fitted]
        if not _is_fitted_on_rows(step):
            width = len(before[-1].get_feature_names_out()) if before else n_features
            fitted.append(FittedStep(step.fit(np.ones((1, width))), None))
            continue
        what = type(step).__name__ + (f" ({number} of {len(steps)})" if len(steps) > 1 else "")
        with progress_bar(total, what, "rows", progress) as done:
            for block in blocks():
                with block.place:
                    step.partial_fit(_enhanced(block.rows, before), sample_weight=block.weight)
                done(len(block.rows))
        fitted.append(_settled(step))
    return fitted


def _enhanced(rows: np.ndarray, steps: Sequence[Any]) -> np.ndarray:
    for step in steps:
        rows = without_warnings(step.transform, rows)
    return rows


def _settled(step: Any) -> FittedStep:
    """The step without the statistics that `partial_fit` gathered."""
    if not hasattr(step, "statistics_"):
        raise ValueError("there is no row to fit on: the files hold none, or none of a weight above zero")
    statistics = step.statistics_
    return FittedStep(step.fit(statistics), statistics.moments)
