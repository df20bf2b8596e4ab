"""Hugging Face's .safetensors: a JSON header and plain numbers, mapped a batch at a time.

The header is read here and not by the package `safetensors`, whose numpy interface has no bfloat16. The format:
https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from isotropy_metrics.embedding_files.array_choice import open_arrays
from isotropy_metrics.embedding_files.embedding_file import Columns, EmbeddingFile
from isotropy_metrics.embedding_files.stored_array import BFLOAT16, StoredArray

MAX_HEADER = 100_000_000
"""The limit that the package `safetensors` sets."""

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
INTEGERS = {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
DTYPES = FLOATS | INTEGERS | {"BOOL": "|b1"}


def open_safetensors(path: Path, columns: Columns) -> EmbeddingFile:
    """A .safetensors file of embeddings, or of a model whose tensor is named."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > MAX_HEADER:
            raise ValueError(f"{path} is not a safetensors file: it does not begin with the length of a header")
        if length > size - 8:
            raise ValueError(
                f"{path} is cut off, or not a safetensors file: a header of {length:,} bytes in {size:,} bytes"
            )
        text = stream.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        arrays = {name: _stored_array(path, entry, 8 + length) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a safetensors file: its header cannot be read ({error})") from error
    for name, array in arrays.items():
        if array.dtype is not None and array.offset + array.n_bytes > size:
            raise ValueError(f"{path} is cut off: tensor {name!r} ends behind the file's {size:,} bytes")
    return open_arrays(path, arrays, columns)


def _stored_array(path: Path, entry: dict[str, Any], offset: int) -> StoredArray:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(f"offsets {begin}, {end} and shape {shape}")
    if kind not in DTYPES:
        return StoredArray(path, shape, None, offset + begin, kind=kind)
    dtype = np.dtype(DTYPES[kind])
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"shape {shape} of {kind} in {end - begin} bytes")
    return StoredArray(path, shape, dtype, offset + begin, kind=BFLOAT16 if kind == "BF16" else "")
