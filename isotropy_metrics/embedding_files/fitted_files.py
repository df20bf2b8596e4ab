"""Enhancements fitted on the rows of files: a pass for each step, in memory that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.embedding_files.embedding_file import Batch, EmbeddingFile
from isotropy_metrics.embedding_files.enhanced_file import steps_of, without_warnings
from isotropy_metrics.embedding_files.gathered_files import check_one_space, columns_of
from isotropy_metrics.embedding_files.kept_passes import KeptPasses
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.embedding_files.reading_core import core_for_reading
from isotropy_metrics.statistics import Moments, RowSample


@dataclass(frozen=True)
class FittedStep:
    """A fitted step, and the moments of the rows that it was fitted on; None if it needs no fitting."""

    enhancement: Any
    moments: Moments | None


def fit_files(
    enhancement: Any,
    files: Sequence[EmbeddingFile],
    *,
    n_rows: int | None = None,
    seed: int = 0,
    state: str | Path | None = None,
    progress: bool = False,
) -> list[FittedStep]:
    """Fit an enhancement, or a Pipeline of them, in place on the rows of files; the next rows are read meanwhile.

    Args:
        enhancement: not fitted yet. A step of a Pipeline is fitted on what the steps before it make of the rows.
        files: what `open_embeddings` gave, with as many features in each; their weights count.
        n_rows: fit on a random sample of so many rows of all files; None for all rows.
        seed: of the sample.
        state: where the statistics of every step are kept, as `save_statistics` writes them, so that a fit that was
            cut short goes on where it stopped, to the same bits. If it is complete no row is read.
        progress: show progress bars on stderr for what takes longer than two seconds.

    Returns:
        The steps with the moments that they were fitted on.

    Raises:
        ValueError, OSError: before a row is read, files of different widths, parameters that no rows would allow, or a
            state of other files, methods or parameters; later, a row that is not finite, or rows that do not suffice.
    """
    if not len(files):
        raise ValueError("name the files as a list, of one or more")
    check_one_space(files)
    steps = steps_of(enhancement)
    check_parameters(steps, files[0].n_features)
    asked = {
        "files": [] if state is None else [file.identity() for file in files],
        "columns": columns_of(files),
        "methods": [type(step).__name__ for step in steps],
        "parameters": [{name: repr(value) for name, value in step.get_params().items()} for step in steps],
        "n_rows": n_rows,
        "seed": int(seed),
    }
    passes = KeptPasses(files, state, asked)
    with core_for_reading():
        if n_rows is not None:
            passes = KeptPasses([_sampled(passes, n_rows, seed, progress)])
        return _fit_steps(steps, passes, progress)


def check_parameters(steps: Sequence[Any], n_features: int) -> None:
    """Refuse parameters that no rows would allow, of every step on what comes out of the step before it."""
    for step in filter(_is_fitted_on_rows, steps):
        n_features = step.check_parameters(n_features)


def _is_fitted_on_rows(step: Any) -> bool:
    return hasattr(step, "partial_fit")


def _sampled(passes: KeptPasses, n_rows: int, seed: int, progress: bool) -> EmbeddingFile:
    """A sample of the rows of all files, in random order: in the order of the files they would look ordered."""
    first = passes.files[0]
    sample = passes.begin() or RowSample(n_rows, seed)
    with progress_bar(passes.n_rows, f"sampling {first.path.name}", "rows", progress) as done:
        done(sample.n_rows)
        with closing(passes.blocks(lambda: sample)) as blocks:
            for block in blocks:
                with block.place:
                    squared_norms(block.rows)
                sample.add_checked(block.rows, block.weight, {})
                done(len(block.rows))
    if not sample.n_rows:
        raise ValueError(f"{first.path} holds no rows, or none of a weight above zero")
    order = np.random.default_rng(seed).permutation(len(sample.rows))
    batch = Batch(sample.rows, {}, sample.weight)[order]

    def read(batch_rows: int, first_row: int) -> Iterator[Batch]:
        yield batch[first_row:]

    return replace(first, n_rows=len(batch), read=read)


def _fit_steps(steps: Sequence[Any], passes: KeptPasses, progress: bool) -> list[FittedStep]:
    fitted: list[FittedStep] = []
    for number, step in enumerate(steps, 1):
        before = [each.enhancement for each in fitted]
        if not _is_fitted_on_rows(step):
            width = len(before[-1].get_feature_names_out()) if before else passes.files[0].n_features
            fitted.append(FittedStep(step.fit(np.ones((1, width))), None))
            continue
        kept = passes.begin()
        if kept is not None:
            step._keep(kept)
        what = type(step).__name__ + (f" ({number} of {len(steps)})" if len(steps) > 1 else "")
        with progress_bar(passes.n_rows, what, "rows", progress) as done:
            done(0 if kept is None else kept.n_rows)
            _fit_step(step, before, passes, done)
        fitted.append(_settled(step))
    return fitted


def _fit_step(step: Any, before: Sequence[Any], passes: KeptPasses, done: Callable[[int], object]) -> None:
    with closing(passes.blocks(lambda: step.statistics_)) as blocks:
        for block in blocks:
            with block.place:
                step.partial_fit(_enhanced(block.rows, before), sample_weight=block.weight)
            done(len(block.rows))


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
