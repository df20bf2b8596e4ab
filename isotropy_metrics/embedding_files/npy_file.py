"""numpy's .npy and .npz: mapped, or streamed out of the archive; objects are never unpickled."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from isotropy_metrics.embedding_files.array_choice import open_arrays
from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile
from isotropy_metrics.embedding_files.limits import Limits
from isotropy_metrics.embedding_files.stored_array import StoredArray

HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

HEADER_BYTES = 10_000 + 12
"""The longest header that numpy reads, and what stands before it; it would first read a longer one whole."""

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that numpy writes. The others are unpacked in pieces of any size."""

ONLY = "embeddings"
"""How the one array of an .npy file is called in messages."""


def npy_arrays(path: Path, limits: Limits) -> dict[str, StoredArray]:
    """The one array of an .npy file."""
    with open(path, "rb") as stream:
        return {ONLY: _read_header(stream, path, str(path), path.stat().st_size)}


def open_npy(path: Path, columns: Columns, limits: Limits) -> EmbeddingFile:
    """An .npy file, in C or Fortran order."""
    if columns.embeddings is not None or columns.beside:
        name = columns.embeddings or columns.beside[0]
        raise ValueError(
            f"{path} holds one array without a name, so that there is no {name!r}: an .npz file has names"
        )
    return open_arrays(path, npy_arrays(path, limits), columns, limits)


def npz_arrays(path: Path, limits: Limits) -> dict[str, StoredArray]:
    """The arrays of an .npz archive, compressed or not."""
    try:
        with _Archive(path, limits) as file, zipfile.ZipFile(file) as archive:
            limits.check(path, n_columns=len(archive.namelist()))
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            twice = [name for name, count in Counter(member.filename for member in members).items() if count > 1]
            if twice:
                raise ValueError(f"{path} has more than one array named {twice[0].removesuffix('.npy')!r}")
            return {member.filename.removesuffix(".npy"): _open_member(path, archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an .npz archive: {error}") from error


def open_npz(path: Path, columns: Columns, limits: Limits) -> EmbeddingFile:
    """An .npz archive."""
    return open_arrays(path, npz_arrays(path, limits), columns, limits)


class _Archive(io.FileIO):
    """An archive's file while its directory is read, which `zipfile` reads at once, however long it is."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path)
        self._path = path
        self._limits = limits

    def read(self, size: int | None = -1) -> bytes:
        """As any file, but not more than a header may have."""
        self._limits.check(self._path, header_bytes=size or 0)
        return super().read(-1 if size is None else size)


def _open_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ZippedArray:
    if member.flag_bits & 1:
        raise ValueError(f"{path} is encrypted")
    if member.compress_type not in COMPRESSIONS:
        raise ValueError(f"{member.filename} in {path} is not compressed as numpy does: use numpy.savez_compressed")
    with archive.open(member) as stream:
        array = _read_header(stream, path, f"{member.filename} in {path}", member.file_size)
    return ZippedArray(**vars(array), member=member.filename)


@dataclass(frozen=True)
class ZippedArray(StoredArray):
    """An array that is a `member` of a zip archive; `offset` counts from the member's first byte."""

    member: str = ""

    def blocks(self, n: int, first: int = 0) -> Iterator[np.ndarray]:
        """The array from index `first` of its first axis on, in blocks of n along it, decompressed as they are read.

        Arrays in Fortran order need all of the file for their first row: they are decompressed into a temporary file.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                yield from self._extracted(stream, n, first) if self.fortran else self._streamed(stream, n, first)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ValueError(f"{self.member} in {self.path} is damaged: {error}") from error

    def _streamed(self, stream: IO[bytes], n: int, first: int) -> Iterator[np.ndarray]:
        row_bytes = self.n_bytes // self.shape[0]
        stream.seek(self.offset + first * row_bytes)
        for start in range(first, self.shape[0], n):
            shape = (min(n, self.shape[0] - start), *self.shape[1:])
            block = np.frombuffer(stream.read(shape[0] * row_bytes), self.dtype).copy()  # bytes cannot be written to
            yield self.decoded(block.reshape(shape))

    def _extracted(self, stream: IO[bytes], n: int, first: int) -> Iterator[np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="isotropy-metrics-") as folder:
            copy = Path(folder, "array.npy")
            with open(copy, "wb") as target:
                shutil.copyfileobj(stream, target)
            fields = {name: value for name, value in vars(self).items() if name != "member"}
            yield from replace(StoredArray(**fields), path=copy).blocks(n, first)


def _read_header(stream: IO[bytes], path: Path, name: str, size: int) -> StoredArray:
    header = io.BytesIO(stream.read(HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(header)
        if version not in HEADER_READERS:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = HEADER_READERS[version](header)
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{name} is not an array that numpy saved: {reason}") from error
    array = StoredArray(path, shape, dtype, header.tell(), fortran)
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} is not an array that numpy saved: its shape is {shape}")
    if dtype.kind != "O" and array.offset + array.n_bytes != size:
        what = "cut off" if array.offset + array.n_bytes > size else "longer than one array"
        raise ValueError(
            f"{name} is {what}: its header says {shape} {dtype}, {array.offset + array.n_bytes:,} bytes, "
            f"and there are {size:,}"
        )
    return array
