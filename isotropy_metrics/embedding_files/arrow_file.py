"""Arrow's own files (.arrow, .feather), and folders that `datasets` saved, which are made of them: memory-mapped."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotropy_metrics.embedding_files.arrow_messages import check_messages
from isotropy_metrics.embedding_files.dataset_rows import one_split
from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile, without_rows
from isotropy_metrics.embedding_files.limits import NO_LIMITS, Limits
from isotropy_metrics.embedding_files.table import Table, errors_of, import_pyarrow, open_table

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"ARROW1"
"""At both ends of the file format, and padded to 8 bytes; the stream format has none."""

CONTINUATION = b"\xff\xff\xff\xff"
"""Before every message of a stream."""


def open_arrow(path: Path, columns: Columns, limits: Limits) -> EmbeddingFile:
    """An IPC file or stream; a record batch that is compressed is decompressed as a whole."""
    return open_table(arrow_table(path, [path], limits), columns)


def open_datasets_folder(path: Path, columns: Columns, split: str | None) -> EmbeddingFile:
    """What `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    if (path / "dataset_dict.json").is_file():
        path = path / one_split(path, _facts(path / "dataset_dict.json", "splits"), split)
    elif split is not None:
        raise ValueError(f"{path} has no splits: leave out {split!r}")
    if not (path / "state.json").is_file():
        raise ValueError(f"{path} is a folder, and not one that Dataset.save_to_disk wrote: it has no state.json")
    parts = [path / part["filename"] for part in _facts(path / "state.json", "_data_files")]
    missing = [part for part in parts if not part.is_file()]
    if missing or not parts:
        raise ValueError(f"{path} lacks the file {missing[0].name!r}" if missing else f"{path} holds no rows")
    file = open_table(arrow_table(path, parts, NO_LIMITS), columns)
    return replace(file, fingerprint=_facts(path / "state.json", "_fingerprint"))


def _facts(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))[name]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: it has no {name!r}") from error


def arrow_table(path: Path, parts: list[Path], limits: Limits) -> Table:
    """The table in the files `parts` of `path`, one after the other."""
    import_pyarrow(path)

    def batches(names: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        for part in parts:
            with errors_of(part):
                yield from _record_batches(part, names, batch_rows)

    def read(names: list[str], batch_rows: int, first_row: int) -> Iterator[pa.RecordBatch]:
        return without_rows(first_row, batches(names, batch_rows))

    with errors_of(path):
        for part in parts if limits.any else []:
            check_messages(part, _stream(_map(part)), limits)
        schema = _reader(_map(parts[0])).schema
    return Table(path, schema, None, read, limits=limits)


def _record_batches(part: Path, names: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    mapped = _map(part)
    schema = _reader(mapped).schema
    wanted = [index for name in names for index in schema.get_all_field_indices(name)]
    for records in _reader(mapped, wanted):
        for start in range(0, len(records), batch_rows):
            yield records.slice(start, batch_rows)
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)  # pages that have been read do not stay in memory


def _map(part: Path) -> mmap.mmap:
    with open(part, "rb") as file:
        if not part.stat().st_size:
            raise ValueError(f"{part} is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _reader(mapped: mmap.mmap, fields: list[int] | None = None) -> pa.RecordBatchStreamReader:
    """The batches of a file or stream, without copies, whichever their fields."""
    import pyarrow as pa

    options = pa.ipc.IpcReadOptions(included_fields=fields or [])
    return pa.ipc.open_stream(pa.BufferReader(_stream(mapped)), options=options)


def _stream(mapped: mmap.mmap) -> pa.Buffer:
    """A file is a stream between two magics."""
    import pyarrow as pa

    buffer = pa.py_buffer(mapped)
    if mapped[: len(MAGIC)] == MAGIC:
        if mapped[-len(MAGIC) :] != MAGIC:
            raise pa.ArrowInvalid("it is cut off, its footer is missing")
        buffer = buffer.slice(8)
    elif mapped[:4] != CONTINUATION:
        raise pa.ArrowInvalid("it is neither an Arrow file nor an Arrow stream")
    return buffer
