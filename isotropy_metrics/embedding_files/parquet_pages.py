"""What the pages of a Parquet file say of themselves, read from their headers: the footer may say less.

A page of a few bytes can hold a run of 10^9 numbers. The headers are structs of Thrift's compact protocol:
https://parquet.apache.org/docs/file-format/data-pages/ and
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotropy_metrics.embedding_files.limits import Limits

if TYPE_CHECKING:
    from pyarrow import parquet

MAX_HEADER = 2**15
"""Bytes of a page's header: its statistics may hold two long texts."""

INT32, INT64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
"""Types of fields. A field is known by its number and its type: readers skip one of another type."""

UNPACKED, PACKED, PAGE_V1, PAGE_V2 = (2, INT32), (3, INT32), (5, STRUCT), (8, STRUCT)
"""Fields of PageHeader."""

ENCODING = {PAGE_V1: (2, INT32), PAGE_V2: (4, INT32)}
"""The field that tells the encoding, in the header of a data page."""

N_VALUES = (1, INT32)
"""The field that tells the number of values, in the header of a data page."""

DELTA_BYTE_ARRAY = 7
"""Texts that repeat the beginning of the one before: a few bytes can mean any length."""

BEHIND_CHUNKS = re.compile(r"parquet-mr(?! version 1\.([3-9]|\d\d))")
"""Arrow reads up to 100 bytes more than the footer says of files that old versions of parquet-mr wrote."""


@dataclass(frozen=True)
class _Chunk:
    """Where a column of a row group lies, and how many values it has."""

    begin: int
    end: int
    n_values: int
    n_rows: int


def check_pages(path: Path, metadata: parquet.FileMetaData, names: list[str], limits: Limits) -> None:
    """Compare the sizes that the pages of these columns announce with the limits.

    Raises:
        ValueError: they hold more than is read here, or a header that cannot be read.
    """
    if BEHIND_CHUNKS.match(metadata.created_by or ""):
        raise ValueError(f"{path} was written by an old version of parquet-mr: write it again")
    chosen = set(names)
    leaves = map(metadata.schema.column, range(metadata.num_columns))
    wanted = [i for i, leaf in enumerate(leaves) if leaf.path.split(".")[0] in chosen]
    n_values = unpacked = header_bytes = 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for chunk in _chunks(path, mapped, wanted):
            limits.check(path, n_features=-(-chunk.n_values // max(chunk.n_rows, 1)))
            n_before = n_values
            for header, length in _page_headers(path, mapped, chunk):
                n_values += max(header.get(kind, {}).get(N_VALUES, 0) for kind in (PAGE_V1, PAGE_V2))
                unpacked += header[UNPACKED]
                header_bytes += length
                # as many rows twice: the ids are not numbers of the embeddings
                n_embedded = n_values - 2 * metadata.num_rows
                limits.check(path, n_values=n_embedded, unpacked_bytes=unpacked, header_bytes=header_bytes)
                if any(header.get(kind, {}).get(field) == DELTA_BYTE_ARRAY for kind, field in ENCODING.items()):
                    raise ValueError(f"{path} has texts in the encoding DELTA_BYTE_ARRAY: write them as PLAIN")
            if n_values - n_before != chunk.n_values:
                raise ValueError(f"{path} is damaged: its pages and its footer tell different numbers of values")


def _chunks(path: Path, mapped: mmap.mmap, wanted: list[int]) -> Iterator[_Chunk]:
    """The chunks of these columns in every row group.

    The footer is read here, because pyarrow 26 ends the whole process when it is asked for some damaged chunks.
    """
    footer = mapped[-8 - int.from_bytes(mapped[-8:-4], "little") : -8]
    try:
        for row_group in _read_struct(footer, 0, lists=True)[0][4, LIST]:
            for column in (row_group[1, LIST][i] for i in wanted):
                facts = column[3, STRUCT]
                begin, dictionary = facts[9, INT64], facts.get((11, INT64), 0)
                begin = min(begin, dictionary) if dictionary > 0 else begin
                end = begin + facts[7, INT64]
                if not 0 <= begin <= end <= len(mapped):
                    raise IndexError
                yield _Chunk(begin, end, facts[5, INT64], row_group[3, INT64])
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: its footer does not tell where its columns are") from error


def _page_headers(path: Path, mapped: mmap.mmap, chunk: _Chunk) -> Iterator[tuple[dict, int]]:
    """The header of each page of a column chunk, and its length."""
    position = chunk.begin
    while position < chunk.end:
        window = mapped[position : min(position + MAX_HEADER, chunk.end)]
        try:
            header, length = _read_struct(window, 0)
            sizes = header[PACKED], header[UNPACKED]
        except (IndexError, KeyError) as error:
            raise ValueError(f"{path} is damaged: a page at byte {position:,} has no header") from error
        if min(sizes) < 0:
            raise ValueError(f"{path} is damaged: a page at byte {position:,} has a negative size")
        yield header, length
        position += length + sizes[0]


def _read_struct(data: bytes, at: int, depth: int = 0, lists: bool = False) -> tuple[dict, int]:
    """The fields of a struct, by number and type, and where it ends; truth values and doubles are left out.

    Raises:
        IndexError: it does not end in these bytes, or holds what there never is: a field twice, many levels, maps, or
            lists where there are none.
    """
    fields, number, numbers = {}, 0, set()
    while kind := data[at] & 15:
        step = data[at] >> 4
        at += 1
        if step:
            number += step
        else:
            number, at = _read_integer(data, at)
        if number in numbers or depth > 8:
            raise IndexError
        numbers.add(number)
        if kind > 2:  # 1 and 2 are true and false, without bytes of their own
            value, at = _read_value(data, at, kind, depth, lists)
            if value is not None:
                fields[number, kind] = value
    return fields, at + 1


def _read_value(data: bytes, at: int, kind: int, depth: int, lists: bool) -> tuple[Any, int]:
    """A value of this type, None for types of no interest, and where it ends."""
    if kind in (4, INT32, INT64):
        return _read_integer(data, at)
    if kind == STRUCT:
        return _read_struct(data, at, depth + 1, lists)
    if kind == BINARY:
        length, at = _read_varint(data, at)
        return None, at + length
    if kind in (1, 2, 3):  # truth values in lists, bytes
        return None, at + 1
    if kind == 7:  # double
        return None, at + 8
    if kind != LIST or not lists or depth > 8:
        raise IndexError
    length, item = data[at] >> 4, data[at] & 15
    at += 1
    if length == 15:
        length, at = _read_varint(data, at)
    items = []
    for _ in range(length):
        value, at = _read_value(data, at, item, depth + 1, lists)
        items.append(value)
    return items, at


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
