"""What the messages of an Arrow stream say of themselves: compressed buffers can become larger than any memory.

A message is described by a table of FlatBuffers: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isotropy_metrics.embedding_files.limits import Limits

if TYPE_CHECKING:
    import pyarrow as pa

DICTIONARY, RECORDS = 2, 3
"""Kinds of messages with buffers."""

V5 = 4
"""Number of the version of the format; some writers of V4 told of compression in metadata of their own."""

MESSAGE_BYTES = 100
"""A message is counted as so many bytes of header at least, so that there cannot be millions."""

CONTINUES = b"\xff\xff\xff\xff"
"""Before every message; none has been written without it since 2019."""


def check_messages(path: Path, stream: pa.Buffer, limits: Limits) -> None:
    """Compare what the messages of a stream announce with the limits; `stream` begins with its schema.

    Raises:
        ValueError: they hold more than is read here, or a message that cannot be read.
    """
    data = memoryview(stream).cast("B")
    at = header_bytes = n_rows = unpacked_bytes = 0
    while at + 8 <= len(data) and data[at : at + 4] != bytes(4):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == CONTINUES and length == 0:
            break
        header_bytes += max(length, MESSAGE_BYTES)
        limits.check(path, header_bytes=header_bytes)
        body = at + 8 + length
        try:
            if data[at : at + 4] != CONTINUES:
                raise IndexError
            rows, unpacked, body_length = _read_message(data[at + 8 : body], data[body:])
        except (IndexError, struct.error) as error:
            raise ValueError(f"{path} cannot be read: its message at byte {at:,} is damaged") from error
        n_rows += rows
        unpacked_bytes += unpacked
        limits.check(path, n_rows=n_rows, unpacked_bytes=unpacked_bytes)
        at = body + body_length


def _read_message(header: memoryview, body: memoryview) -> tuple[int, int, int]:
    """Rows of a message, bytes of its compressed buffers when they are unpacked, and bytes of its body."""
    message = _FlatTable(header, _unsigned(header, 0))
    kind, records = message.number(1, "B"), message.inner(2)
    body_length = message.number(3, "q")
    if kind == DICTIONARY and records:
        records = records.inner(1)
    if kind not in (DICTIONARY, RECORDS) or records is None:
        return 0, 0, _not_negative(body_length)
    n_rows = records.number(0, "q") if kind == RECORDS else 0
    is_compressed = records.inner(3) is not None or (message.number(0, "h") < V5 and message.inner(4) is not None)
    unpacked = sum(_unpacked(body, *buffer) for buffer in records.pairs(2)) if is_compressed else 0
    return _not_negative(n_rows), unpacked, _not_negative(body_length)


def _unpacked(body: memoryview, offset: int, length: int) -> int:
    """Bytes of a compressed buffer when it is unpacked: its first number; -1 if it is not compressed."""
    if not length:
        return 0
    unpacked = struct.unpack_from("<q", body, _not_negative(offset))[0]
    return length if unpacked == -1 else _not_negative(unpacked)


@dataclass(frozen=True)
class _FlatTable:
    """A table of FlatBuffers, which begins at a byte of the data."""

    data: memoryview
    at: int

    def number(self, field: int, kind: str) -> int:
        """A number; 0, its default, if it is not there."""
        place = self._place(field)
        return struct.unpack_from(f"<{kind}", self.data, place)[0] if place else 0

    def inner(self, field: int) -> _FlatTable | None:
        """A table, if it is there."""
        place = self._place(field)
        return _FlatTable(self.data, place + _unsigned(self.data, place)) if place else None

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        vector = self.inner(field)
        if vector is None:
            return []
        n_pairs = _unsigned(self.data, vector.at)
        return list(struct.iter_unpack("<qq", self.data[vector.at + 4 : vector.at + 4 + 16 * n_pairs]))

    def _place(self, field: int) -> int:
        vtable = _not_negative(self.at - struct.unpack_from("<i", self.data, self.at)[0])
        if 4 + 2 * field >= struct.unpack_from("<H", self.data, vtable)[0]:
            return 0
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * field)[0]
        return self.at + offset if offset else 0


def _unsigned(data: memoryview, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]


def _not_negative(number: int) -> int:
    if number < 0:
        raise IndexError(number)
    return number
