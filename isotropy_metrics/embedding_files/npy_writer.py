"""numpy's .npy, written block by block: its header, which holds the number of rows, is written again at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class NpyWriter:
    """Rows appended to an .npy file."""

    def __init__(self, path: Path, n_features: int, dtype: np.dtype) -> None:
        self._file = open(path, "wb")
        self._n_features = n_features
        self._dtype = dtype.newbyteorder("<")
        self._n_rows = 0
        self._write_header()

    def write(self, rows: np.ndarray) -> None:
        """Append rows (n, n_features)."""
        self._file.write(np.ascontiguousarray(rows, self._dtype))
        self._n_rows += len(rows)

    def close(self) -> None:
        """Put the number of rows into the header; numpy leaves room for it (`GROWTH_AXIS_MAX_DIGITS`)."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        shape = (self._n_rows, self._n_features)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
