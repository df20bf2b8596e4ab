"""numpy's .npy and .npz: mapped, or streamed out of the archive; objects are never unpickled."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from isotropy_metrics.embedding_files.array_choice import open_arrays
from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile
from isotropy_metrics.embedding_files.stored_array import StoredArray

HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

ONLY = "embeddings"
"""How the one array of an .npy file is called in messages."""


def open_npy(path: Path, columns: Columns) -> EmbeddingFile:
    """An .npy file, in C or Fortran order."""
    if columns.embeddings is not None or columns.beside:
        name = columns.embeddings or columns.beside[0]
        raise ValueError(
            f"{path} holds one array without a name, so that there is no {name!r}: an .npz file has names"
        )
    with open(path, "rb") as stream:
        array = _read_header(stream, path, str(path), path.stat().st_size)
    return open_arrays(path, {ONLY: array}, columns)


def open_npz(path: Path, columns: Columns) -> EmbeddingFile:
    """An .npz archive, compressed or not."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            arrays = {member.filename.removesuffix(".npy"): _open_member(path, archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an .npz archive: {error}") from error
    return open_arrays(path, arrays, columns)


def _open_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ZippedArray:
    if member.flag_bits & 1:
        raise ValueError(f"{path} is encrypted")
    with archive.open(member) as stream:
        array = _read_header(stream, path, f"{member.filename} in {path}", member.file_size)
    return ZippedArray(**vars(array), member=member.filename)


@dataclass(frozen=True)
class ZippedArray(StoredArray):
    """An array that is a `member` of a zip archive; `offset` counts from the member's first byte."""

    member: str = ""

    def blocks(self, n: int) -> Iterator[np.ndarray]:
        """The array in blocks of n along its first axis, decompressed as they are read.

        Arrays in Fortran order need all of the file for their first row: they are decompressed into a temporary file.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                yield from self._extracted(stream, n) if self.fortran else self._streamed(stream, n)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ValueError(f"{self.member} in {self.path} is damaged: {error}") from error

    def _streamed(self, stream: IO[bytes], n: int) -> Iterator[np.ndarray]:
        stream.read(self.offset)
        row_bytes = self.n_bytes // self.shape[0]
        for start in range(0, self.shape[0], n):
            shape = (min(n, self.shape[0] - start), *self.shape[1:])
            block = np.frombuffer(stream.read(shape[0] * row_bytes), self.dtype)
            yield self.decoded(block.reshape(shape))

    def _extracted(self, stream: IO[bytes], n: int) -> Iterator[np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="isotropy-metrics-") as folder:
            copy = Path(folder, "array.npy")
            with open(copy, "wb") as target:
                shutil.copyfileobj(stream, target)
            fields = {name: value for name, value in vars(self).items() if name != "member"}
            yield from replace(StoredArray(**fields), path=copy).blocks(n)


def _read_header(stream: IO[bytes], path: Path, name: str, size: int) -> StoredArray:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in HEADER_READERS:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = HEADER_READERS[version](stream)
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{name} is not an array that numpy saved: {reason}") from error
    array = StoredArray(path, shape, dtype, stream.tell(), fortran)
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} is not an array that numpy saved: its shape is {shape}")
    if dtype.kind != "O" and array.offset + array.n_bytes != size:
        what = "cut off" if array.offset + array.n_bytes > size else "longer than one array"
        raise ValueError(
            f"{name} is {what}: its header says {shape} {dtype}, {array.offset + array.n_bytes:,} bytes, "
            f"and there are {size:,}"
        )
    return array
