"""Measures of a file: its batches go through the statistics that the measures need, in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.gathered_files import gather_files
from isotropy_metrics.embedding_files.opening import open_embeddings
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.measures import Measure, find_measures, measure
from isotropy_metrics.measures._interval import N_RESAMPLES, check_level
from isotropy_metrics.measures._statistics import ID_MEANINGS
from isotropy_metrics.measures.comparisons import PROVENANCE as PROVENANCE_OF_TWO
from isotropy_metrics.processes import of_main, raised_together
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE

Options = dict[str, dict[str, Any]]

PROVENANCE = ("n_samples", "n_features", *PROVENANCE_OF_TWO)
"""What the values are of; these keys come last."""


def measure_file(
    file: str | Path | EmbeddingFile,
    measures: str | Measure | Iterable[str | Measure] | None = None,
    *,
    options: Options | None = None,
    sample_size: int | None = DEFAULT_SIZE,
    interval: float | None = None,
    null: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """Measures of the embeddings in a file, as `isotropy_metrics.measure` gives them of rows in memory.

    Args:
        file: a path or dataset, or what `open_embeddings` gave: that is where columns, ids and weights are named.
        measures: names or measures; None for all that the file's ids and weights allow. Of these, one that cannot be
            computed is left out with a warning; one that was named raises.
        options, sample_size, interval, null, n_resamples, seed: see `isotropy_metrics.measure`.
        progress: show progress bars on stderr for what takes longer than two seconds.

    Where torch.distributed connects several processes this works as `measure_files` does.

    Raises:
        ValueError, OSError: before long work, a measure that lacks its ids or has no meaning for weights, and what
            `open_embeddings` refuses; while reading, a row that is missing, ragged or not finite.
        TypeError: an option that a measure does not have.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> path = os.path.join(tempfile.mkdtemp(), "embeddings.npy")
        >>> np.save(path, np.concatenate([np.eye(4), -np.eye(4)]).repeat(10, axis=0))
        >>> measure_file(path, "isoscore")
        {'isoscore': 1.0, 'dimensions_used': 4.0, 'n_samples': 80, 'n_features': 4}
    """
    asked = {"options": options, "sample_size": sample_size, "interval": interval, "null": null}
    return measure_files([file], measures, **asked, n_resamples=n_resamples, seed=seed, progress=progress)


def measure_files(
    files: Sequence[str | Path | EmbeddingFile],
    measures: str | Measure | Iterable[str | Measure] | None = None,
    *,
    state: str | Path | None = None,
    stream: int = 0,
    options: Options | None = None,
    sample_size: int | None = DEFAULT_SIZE,
    interval: float | None = None,
    null: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """Measures of the embeddings in several files, which are parts of one space.

    Where torch.distributed connects several processes, all of them must call this: each reads and counts rows of its
    own, the main one computes, and all return the same values; an error of one is raised on all. `gather_files` says
    how the rows are shared. No process may call it alone, not even the main one.

    Args:
        files: as `measure_file` takes one; columns are named alike in all of them.
        state: a file that keeps the statistics, so that a run that was cut short goes on where it stopped, and that
            `isotropy-metrics merge` takes; see `gather_files`.
        stream: tells apart the parts that will be merged; see `RowSample`.
        measures, options, sample_size, interval, null, n_resamples, seed, progress: see `measure_file`.

    Raises:
        ValueError, OSError, TypeError: see `measure_file` and `gather_files`.
    """
    with raised_together():
        if not len(files) or isinstance(files, str):
            raise ValueError("name the files as a list, of one or more")
        files = [file if isinstance(file, EmbeddingFile) else open_embeddings(file) for file in files]
        columns = files[0].columns
        for file in files:
            if (file.columns.weight is None, *file.columns.ids) != (columns.weight is None, *columns.ids):
                raise ValueError(
                    f"{file.path} and {files[0].path} differ in what is named: ids and weights of all, or none"
                )
        weighted = columns.weight is not None
        chosen = find_measures(measures, columns.ids)
        if measures is None:
            chosen = [each for each in chosen if each.weighted or not weighted]
        check_asked(chosen, options, interval, weighted)
        for each in chosen:
            missing = [name for name in each.ids if name not in columns.ids]
            if missing:
                raise ValueError(f"{each.name} needs {missing[0]}: name the column with {ID_MEANINGS[missing[0]]}")
    statistics = gather_files(
        files,
        chosen,
        state=state,
        interval=interval is not None,
        sample_size=sample_size,
        seed=seed,
        stream=stream,
        progress=progress,
    )
    asked = {"interval": interval, "null": null, "n_resamples": n_resamples, "seed": seed}
    return of_main(
        lambda: values_of(measure, statistics, chosen, options or {}, asked, measures is not None, progress)
    )


def check_asked(chosen: Sequence[Measure], options: Options | None, interval: float | None, weighted: bool) -> None:
    """Refuse what can be refused before rows are read."""
    check_level(interval)
    by_name = {each.name: each for each in chosen}
    for name, own in (options or {}).items():
        if name not in by_name:
            raise ValueError(f"there are options for {name!r}, which is not among the measures: {', '.join(by_name)}")
        by_name[name].check_options(own)
    for each in chosen:
        if weighted and not each.weighted:
            raise ValueError(f"{each.name} has no meaning for weights of rows: leave them out")


def values_of(
    compute: Callable[..., dict[str, float]],
    statistics: list[Any],
    chosen: Sequence[Measure],
    options: Options,
    asked: dict[str, Any],
    all_were_named: bool,
    progress: bool,
) -> dict[str, float]:
    """The values of all measures of these statistics; unless they were named, one that fails is left out."""
    values: dict[str, float] = {}
    provenance: dict[str, float] = {}
    failures = []
    with progress_bar(len(chosen), "computing", "measures", progress) as done:
        for each in chosen:
            own = {each.name: options[each.name]} if each.name in options else None
            try:
                result = compute(statistics, [each], options=own, **asked)
            except TypeError as error:
                if own is None:
                    raise
                raise ValueError(f"{each.name} cannot take {own[each.name]}: {error}") from error
            except (ValueError, ImportError) as error:
                if all_were_named or own is not None:
                    raise
                failures.append(error)
                warnings.warn(f"{each.name} is left out: {error}", RuntimeWarning, stacklevel=3)
                continue
            provenance |= {key: result.pop(key) for key in PROVENANCE if key in result}
            values |= result
            done(1)
    if not values and failures:
        raise failures[0]
    return values | provenance
