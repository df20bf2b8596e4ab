"""Statistics of files, gathered in one pass; kept in a file now and then, so that work that was cut short goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.prefetched import prefetched
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.embedding_files.row_errors import rows_of_the_file
from isotropy_metrics.measures import Measure, statistics_for
from isotropy_metrics.measures._statistics import update_statistics
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE
from isotropy_metrics.statistics_file import load_statistics, save_statistics

SAVE_VALUES = 2**28
"""Numbers between two saves, a few seconds of work. They are counted because a clock would not save at the same
batches again: so a run that was cut short adds the same rows in the same groups as one that was not."""


@dataclass
class _Progress:
    """How far a pass over several files has come: whole files, then batches and rows of the next; rows in all."""

    n_files: int = 0
    n_batches: int = 0
    n_rows_of_file: int = 0
    n_rows: int = 0


def gather_files(
    files: Sequence[EmbeddingFile],
    measures: Sequence[Measure],
    *,
    state: str | Path | None = None,
    interval: bool = False,
    sample_size: int | None = DEFAULT_SIZE,
    seed: int = 0,
    stream: int = 0,
    progress: bool = False,
) -> list[Any]:
    """The statistics that these measures need, of the rows of all files; the next batch is read meanwhile.

    Args:
        files: what `open_embeddings` gave, in order, with as many features in each.
        measures: measures of one space.
        state: where the statistics are kept, as `save_statistics` writes them: every `SAVE_VALUES` numbers, and at the
            end. If the file is there the work goes on where it stopped; if it is complete no row is read.
        interval: keep what intervals need.
        sample_size, seed, stream: of samples; see `RowSample`.
        progress: show a progress bar on stderr for what takes longer than two seconds.

    Raises:
        ValueError: files of different widths; a state of other files, measures or settings; while reading, a row that
            is missing, ragged or not finite.
    """
    _check_one_width(files)
    asked = {
        "files": [_identity(file.path) for file in files],
        "columns": asdict(files[0].columns),
        "measures": [each.name for each in measures],
        "interval": interval,
        "sample_size": sample_size,
        "seed": seed,
        "stream": stream,
    }
    statistics = statistics_for(measures, interval=interval, seed=seed, stream=stream, size=sample_size)
    done = _Progress()
    if state is not None and Path(state).exists():
        statistics, done = _resumed(Path(state), asked)
    counts = [file.n_rows for file in files]
    n_unsaved = 0
    with progress_bar(None if None in counts else sum(counts), files[0].path.name, "rows", progress) as advance:
        advance(done.n_rows)
        for file in files[done.n_files :]:
            for batch in prefetched(islice(file.batches(), done.n_batches, None)):
                with rows_of_the_file(done.n_rows_of_file, (file, batch)):
                    update_statistics(statistics, batch.rows, mask=None, weight=batch.weight, **batch.ids)
                done.n_batches += 1
                done.n_rows_of_file += len(batch)
                done.n_rows += len(batch)
                n_unsaved += batch.rows.size
                advance(len(batch))
                if state is not None and n_unsaved >= SAVE_VALUES:
                    save_statistics(state, statistics, asked=asked, done=asdict(done))
                    n_unsaved = 0
            done = _Progress(done.n_files + 1, n_rows=done.n_rows)
    if state is not None and n_unsaved:
        save_statistics(state, statistics, asked=asked, done=asdict(done))
    return statistics


def _check_one_width(files: Sequence[EmbeddingFile]) -> None:
    for file in files:
        if file.n_features != files[0].n_features:
            raise ValueError(
                f"{files[0].path} has {files[0].n_features} features, {file.path} has {file.n_features}: rows of one "
                "space have as many"
            )


def _identity(path: Path) -> dict[str, Any]:
    """What tells that a file is still the one it was."""
    found = path.stat()
    return {"path": str(path.resolve()), "n_bytes": found.st_size, "modified": found.st_mtime_ns}


def _resumed(state: Path, asked: dict[str, Any]) -> tuple[list[Any], _Progress]:
    statistics, facts = load_statistics(state)
    before = facts.get("asked", {})
    other = next((name for name, value in asked.items() if before.get(name) != value), None)
    if other is not None:
        raise ValueError(f"{state} is a state of other {other}: choose another file for the state, or delete that one")
    return statistics, _Progress(**facts["done"])
