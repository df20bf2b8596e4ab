"""Hugging Face's .safetensors with one tensor, written block by block, its header at the end.

The package `safetensors` writes whole tensors only. The format:
https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

KINDS = {"float16": "F16", "float32": "F32", "float64": "F64"}

ROOM = 64
"""Bytes of the header for numbers that grow with the file."""


class SafetensorsWriter:
    """Rows appended to a tensor called `name`."""

    def __init__(self, path: Path, n_features: int, dtype: np.dtype, name: str = "embeddings") -> None:
        self._file = open(path, "wb")
        self._n_features = n_features
        self._dtype = dtype
        self._name = name
        self._n_rows = 0
        size = len(self._header()) + ROOM
        self._header_bytes = size + -size % 8  # numbers begin at a multiple of 8
        self._write_header()

    def write(self, rows: np.ndarray) -> None:
        """Append rows (n, n_features)."""
        self._file.write(np.ascontiguousarray(rows, self._dtype.newbyteorder("<")))
        self._n_rows += len(rows)

    def close(self) -> None:
        """Put the number of rows and bytes into the header."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _header(self) -> bytes:
        shape = [self._n_rows, self._n_features]
        n_bytes = self._n_rows * self._n_features * self._dtype.itemsize
        tensor = {"dtype": KINDS[self._dtype.name], "shape": shape, "data_offsets": [0, n_bytes]}
        return json.dumps({self._name: tensor}).encode()

    def _write_header(self) -> None:
        header = self._header().ljust(self._header_bytes)  # the format allows spaces behind the header
        self._file.write(len(header).to_bytes(8, "little") + header)
