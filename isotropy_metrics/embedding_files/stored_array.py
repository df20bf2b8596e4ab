"""An array that lies in a file as plain numbers: its header says where, and a batch of it is mapped at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

BFLOAT16 = "bfloat16"
"""numpy has no such dtype: these arrays are stored as uint16, and become float32."""


@dataclass(frozen=True)
class StoredArray:
    """Where an array lies, and how.

    Attributes:
        path: the file.
        shape, dtype: of the array; dtype None if its numbers are of a kind that numpy does not have.
        offset: bytes of the file before it.
        fortran: whether it is stored column by column.
        kind: the dtype as the file calls it.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype | None
    offset: int = 0
    fortran: bool = False
    kind: str = ""

    @property
    def n_bytes(self) -> int:
        """Size of its numbers in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def n_bytes_in_memory(self) -> int:
        """Size of its numbers or texts when they are read: numpy needs four bytes for a character of text."""
        return self.n_bytes * (4 if self.dtype.kind == "S" else 1)

    def blocks(self, n: int, first: int = 0) -> Iterator[np.ndarray]:
        """The array from index `first` of its first axis on, in blocks of n along it, in C order."""
        length, *inner = self.shape
        item = self.dtype.itemsize
        with open(self.path, "rb") as file:
            for start in range(first, length, n):
                size = min(n, length - start)
                if self.fortran:
                    block = np.empty((math.prod(inner), size), self.dtype)
                    for column, values in enumerate(block):
                        values[:] = self._read(file, self.offset + (column * length + start) * item, size)
                    block = block.T.reshape((size, *inner), order="F")
                else:
                    n_values = math.prod(inner)
                    block = self._read(file, self.offset + start * n_values * item, size * n_values)
                yield self.decoded(block.reshape((size, *inner)))

    def _read(self, file: IO[bytes], offset: int, n_values: int) -> np.ndarray:
        file.seek(offset)
        values = np.fromfile(file, self.dtype, n_values)
        if len(values) < n_values:
            raise ValueError(f"{self.path} became shorter while it was read")
        return values

    def decoded(self, block: np.ndarray) -> np.ndarray:
        """Stored numbers as numpy has them: in the machine's byte order, bfloat16 as float32, bytes as text."""
        if self.kind == BFLOAT16:
            return (np.array(block, dtype=np.uint32, order="C") << 16).view(np.float32)
        if self.dtype.kind == "S":
            try:
                return np.char.decode(np.array(block), "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{self.path} holds text that is not UTF-8: {error}") from error
        block = np.ascontiguousarray(block, dtype=self.dtype.newbyteorder("="))
        if self.dtype.kind == "U" and self.dtype.itemsize and block.view(np.uint32).max(initial=0) > sys.maxunicode:
            raise ValueError(f"{self.path} is damaged: it holds text with characters that there are not")
        return block

    def __str__(self) -> str:
        return f"{self.shape} {self.kind or self.dtype}"
