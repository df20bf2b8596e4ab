"""Text tables, .csv and .tsv: numbers in columns, or one column of JSON lists; read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotropy_metrics.embedding_files.arrow_columns import is_number
from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile, without_rows
from isotropy_metrics.embedding_files.limits import Limits
from isotropy_metrics.embedding_files.table import Table, errors_of, import_pyarrow, open_table

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = {".csv": ",", ".tsv": "\t"}

BLOCK_BYTES = 2**20
"""Read at once; a line must fit into it, and the first block decides which columns are numbers. Arrow needs memory for
some 35 blocks."""

MISSING = ["", "NA", "N/A", "null", "NULL", "None"]
"""NaN is not among them: it is a number, if a bad one."""


def open_csv(path: Path, columns: Columns, limits: Limits) -> EmbeddingFile:
    """A .csv or .tsv file in UTF-8, with or without a line of names."""
    return open_table(csv_table(path, columns, limits), columns)


def csv_table(path: Path, columns: Columns, limits: Limits) -> Table:
    """The table in a .csv or .tsv file; its first block tells the types."""
    import_pyarrow(path)
    import pyarrow as pa

    headless = _begins_with_numbers(path, limits)
    with errors_of(path), _open(path, headless) as reader:
        guessed = reader.schema
        first = next((records for records in reader if len(records)), None)
    if first is None:
        raise ValueError(f"{path} holds no rows")
    texts = {
        field.name: first.column(i)[0].as_py() for i, field in enumerate(guessed) if pa.types.is_string(field.type)
    }
    json_columns = tuple(name for name, text in texts.items() if text.lstrip().startswith("["))
    as_ids = columns.ids.values()

    def read(names: list[str], batch_rows: int, first_row: int) -> Iterator[pa.RecordBatch]:
        kinds = {name: _kind_to_read(guessed.field(name).type, name in as_ids) for name in names}
        with errors_of(path), _open(path, headless, include_columns=names, column_types=kinds) as reader:
            yield from without_rows(first_row, reader)

    return Table(path, guessed, None, read, json_columns, limits)


def _kind_to_read(guessed: pa.DataType, is_id: bool) -> pa.DataType:
    """Columns of numbers as float64, whatever the first block looked like; ids as they look, or else as text."""
    import pyarrow as pa

    if not is_number(guessed):
        return pa.string()
    return guessed if is_id else pa.float64()


def _open(path: Path, headless: bool, **convert: Any) -> pa.csv.CSVStreamingReader:
    from pyarrow import csv

    return csv.open_csv(
        path,
        csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, autogenerate_column_names=headless),
        csv.ParseOptions(delimiter=DELIMITERS[path.suffix.lower()], newlines_in_values=True),
        csv.ConvertOptions(null_values=MISSING, **convert),
    )


def _begins_with_numbers(path: Path, limits: Limits) -> bool:
    """Whether the first line is data; 0, 1, 2, ... are the names that pandas gives."""
    with open(path, "rb") as file:
        line = file.readline(BLOCK_BYTES)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    if "\0" in text:
        raise ValueError(f"{path} is not text: its first line holds zero bytes")
    if len(line) == BLOCK_BYTES:
        raise ValueError(f"{path} has a first line of more than {BLOCK_BYTES:,} bytes, which is not read")
    limits.check(path, n_columns=text.count(DELIMITERS[path.suffix.lower()]) + 1)
    fields = [field.strip().strip('"') for field in text.rstrip("\r\n").split(DELIMITERS[path.suffix.lower()])]
    return all(map(_is_number, fields)) and fields != [str(i) for i in range(len(fields))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
