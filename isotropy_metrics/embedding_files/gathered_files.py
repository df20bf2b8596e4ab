"""Statistics of files, gathered in one pass; kept in a file now and then, so that work that was cut short goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isotropy_metrics.embedding_files.embedding_file import EmbeddingFile
from isotropy_metrics.embedding_files.kept_statistics import KeptStatistics, Progress
from isotropy_metrics.embedding_files.prefetched import prefetched
from isotropy_metrics.embedding_files.progress import progress_bar
from isotropy_metrics.embedding_files.reading_core import core_for_reading
from isotropy_metrics.embedding_files.row_errors import rows_of_the_file
from isotropy_metrics.embedding_files.shares import shares
from isotropy_metrics.measures import Measure, statistics_for
from isotropy_metrics.measures._statistics import skip_rows, update_statistics
from isotropy_metrics.processes import in_step, of_all, of_main, raised_together, rank, world_size
from isotropy_metrics.statistics.distributed import merge_processes
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE

SAVE_VALUES = 2**28
"""Numbers between two saves, a few seconds of work. They are counted because a clock would not save at the same
batches again: so a run that was cut short adds the same rows in the same groups as one that was not."""


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

    Where torch.distributed connects several processes all of them must call it. Each counts the rows of its share, and
    all get the statistics of all rows, the same as of one process; an error of one is raised on all. See `shares`.

    Args:
        files: what `open_embeddings` gave, in order, with as many features in each.
        measures: measures of one space.
        state: where the statistics are kept, as `save_statistics` writes them: every `SAVE_VALUES` numbers, and at the
            end. If the file is there the work goes on where it stopped; if it is complete no row is read. Several
            processes keep a file each beside it until the end, and must be as many again to go on; it then lies on a
            disk that all of them see.
        interval: keep what intervals need.
        sample_size, seed, stream: of samples; see `RowSample`.
        progress: show a progress bar on stderr for what takes longer than two seconds.

    Raises:
        ValueError: files of different widths; a state of other files, measures, settings or of another number of
            processes; while reading, a row that is missing, ragged or not finite.
        ConnectionError: another process has ended.
    """
    with raised_together():
        check_one_space(files)
        asked = {
            "files": [] if state is None else [file.identity() for file in files],
            "columns": columns_of(files),
            "measures": [each.name for each in measures],
            "interval": interval,
            "sample_size": sample_size,
            "seed": int(seed),
            "stream": int(stream),
        }
        kept = None if state is None else KeptStatistics(Path(state), asked, rank(), world_size())
        whole = None if kept is None else kept.whole()
        found = None if kept is None or whole is not None else kept.own()
    given = of_all(lambda: [(file.path.name, file.n_rows, file.n_features) for file in files])
    if any(each != given[0] for each in given):
        raise ValueError("the processes have different files: pass all files to each, which reads a share of its own")
    if whole is not None:
        return whole
    fresh = statistics_for(measures, interval=interval, seed=seed, stream=stream, size=sample_size)
    statistics, done = found or (fresh, Progress())
    with core_for_reading(), closing(_adding(files, statistics, done, kept, progress)) as adding:
        in_step(adding)
    if world_size() == 1:
        return statistics
    n_rows = sum(of_all(lambda: done.n_rows))
    merged = [merge_processes(each) for each in statistics]
    if kept is not None:
        of_main(lambda: kept.finish(merged, n_rows))
    return merged


def _adding(
    files: Sequence[EmbeddingFile],
    statistics: list[Any],
    done: Progress,
    kept: KeptStatistics | None,
    progress: bool,
) -> Iterator[None]:
    """Add this process's share of what is not done yet; after every `SAVE_VALUES` others may come to word."""
    own = list(zip(files, shares(files, rank(), world_size()), strict=True))
    left = own[done.n_files :]
    counts = [share.n_rows(file) for file, share in own]
    n_unsaved = 0
    with progress_bar(None if None in counts else sum(counts), files[0].path.name, "rows", progress) as advance:
        advance(done.n_rows)
        for file, share in left:
            if done.n_rows_of_file < share.first:
                skip_rows(statistics, share.first, file.columns.ids)
                done.n_rows_of_file = share.first
            for batch in prefetched(file.batches(first_row=done.n_rows_of_file, stop_row=share.stop)):
                if done.n_batches % share.step == share.turn:
                    with rows_of_the_file(done.n_rows_of_file, (file, batch)):
                        update_statistics(statistics, batch.rows, mask=None, weight=batch.weight, **batch.ids)
                    done.n_rows += len(batch)
                    advance(len(batch))
                else:
                    skip_rows(statistics, batch.n_counted, file.columns.ids)
                done.n_batches += 1
                done.n_rows_of_file += len(batch)
                n_unsaved += batch.rows.size
                if n_unsaved >= SAVE_VALUES:
                    if kept is not None:
                        kept.save(statistics, done)
                    n_unsaved = 0
                    yield
            if share.stop is not None:
                skip_rows(statistics, file.n_rows - share.stop, file.columns.ids)
            done.end_file()
    if kept is not None and left:
        kept.save(statistics, done)


def check_one_space(files: Sequence[EmbeddingFile]) -> None:
    """Refuse files of different widths."""
    for file in files:
        if file.n_features != files[0].n_features:
            raise ValueError(
                f"{files[0].path} has {files[0].n_features} features, {file.path} has {file.n_features}: rows of one "
                "space have as many"
            )


def columns_of(files: Sequence[EmbeddingFile]) -> dict[str, Any] | list[dict[str, Any]]:
    """Which columns of the files are asked for, as JSON has it: once if they are named alike in all."""
    columns = [asdict(file.columns) for file in files]
    return columns[0] if all(each == columns[0] for each in columns) else columns
