"""Hugging Face's .safetensors: a JSON header and plain numbers, mapped a batch at a time.

The header is read here and not by the package `safetensors`, whose numpy interface has no bfloat16. The format:
https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.embedding_files.array_choice import open_arrays
from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile
from isotropy_metrics.embedding_files.limits import Limits
from isotropy_metrics.embedding_files.stored_array import BFLOAT16, StoredArray

MAX_HEADER = 100_000_000
"""The limit that the package `safetensors` sets."""

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
INTEGERS = {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
DTYPES = FLOATS | INTEGERS | {"BOOL": "|b1"}


MAX_AXES, MAX_INTEGER = 64, 2**63
"""What numpy can have; a product of much more takes long to compute."""


def open_safetensors(path: Path, columns: Columns, limits: Limits) -> EmbeddingFile:
    """A .safetensors file of embeddings, or of a model whose tensor is named."""
    return open_arrays(path, safetensors_arrays(path, limits), columns, limits)


def safetensors_arrays(path: Path, limits: Limits) -> dict[str, StoredArray]:
    """The tensors of a .safetensors file."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > MAX_HEADER:
            raise ValueError(f"{path} is not a safetensors file: it does not begin with the length of a header")
        if length > size - 8:
            raise ValueError(
                f"{path} is cut off, or not a safetensors file: a header of {length:,} bytes in {size:,} bytes"
            )
        limits.check(path, header_bytes=length)
        text = stream.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_each_once)
        header.pop("__metadata__", None)
        arrays = {name: _stored_array(path, entry, 8 + length) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a safetensors file: its header cannot be read ({error})") from error
    limits.check(path, n_columns=len(arrays))
    for name, array in arrays.items():
        if array.dtype is not None and array.offset + array.n_bytes > size:
            raise ValueError(f"{path} is cut off: tensor {name!r} ends behind the file's {size:,} bytes")
    _check_apart(path, arrays)
    return arrays


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose names are text that can be written, each once."""
    for name, _ in pairs:
        name.encode()  # JSON may escape halves of characters
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name that is there twice")
    return dict(pairs)


def _check_apart(path: Path, arrays: dict[str, StoredArray]) -> None:
    """No byte belongs to two tensors, as the format demands."""
    parts = sorted((array.offset, array.n_bytes, name) for name, array in arrays.items() if array.dtype is not None)
    for (begin, n_bytes, name), (following, n_following, other) in pairwise(parts):
        if begin + n_bytes > following and n_following:
            raise ValueError(f"{path} is damaged: tensors {name!r} and {other!r} overlap")


def _stored_array(path: Path, entry: dict[str, Any], offset: int) -> StoredArray:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(number) is int and 0 <= number < MAX_INTEGER for number in (begin, end, *shape)):
        raise ValueError(f"offsets {begin}, {end} and shape {shape}")
    if len(shape) > MAX_AXES:
        raise ValueError(f"{len(shape)} axes")
    if kind not in DTYPES:
        return StoredArray(path, shape, None, offset + begin, kind=kind)
    dtype = np.dtype(DTYPES[kind])
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"shape {shape} of {kind} in {end - begin} bytes")
    return StoredArray(path, shape, dtype, offset + begin, kind=BFLOAT16 if kind == "BF16" else "")
