"""Columns of Arrow as arrays of numpy: vectors, numbers and ids; a missing or ragged row is named by its number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.embedding_files.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    import pyarrow as pa


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one number per row."""
    import pyarrow.types as types

    return types.is_integer(kind) or types.is_floating(kind)


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one list of numbers per row, as far as the type tells."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return is_vector(kind.storage_type)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and is_number(kind.value_type)


def vectors(column: pa.Array, name: str, first_row: int, n_features: int | None) -> np.ndarray:
    """The lists of a column as rows (n, n_features); `first_row` is the number of its first row in the file.

    `name` is what messages call the column, here and below.

    Raises:
        ValueError: a missing row, a missing number, or a row of another length than `n_features`, or the first's.
    """
    import pyarrow as pa

    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _from_json(column, name, first_row)
    if not is_vector(column.type):
        raise ValueError(f"{name} holds {column.type}, one list of numbers per row is needed")
    _check_complete(column, name, first_row)
    if not len(column):
        return np.empty((0, n_features or 0))
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size)
    else:
        lengths = np.diff(column.offsets.to_numpy())
    width = int(lengths[0]) if n_features is None else n_features
    if width == 0:
        raise ValueError(f"row {first_row} of {name} is an empty list")
    ragged = np.flatnonzero(lengths != width)
    if len(ragged):
        row = int(ragged[0])
        raise ValueError(
            f"row {first_row + row} of {name} has {lengths[row]} numbers, the rows before it have {width}"
        )
    flat = column.flatten()
    if flat.null_count:
        row = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0]) // width
        raise ValueError(f"row {first_row + row} of {name} has a missing number")
    return flat.to_numpy(zero_copy_only=False).reshape(-1, width)


def numbers(column: pa.Array, name: str, first_row: int) -> np.ndarray:
    """A column of one number per row, (n,)."""
    if not is_number(column.type):
        kind = getattr(column.type, "value_type", column.type)  # text of Parquet is read as numbers of a dictionary
        raise ValueError(f"{name} holds {kind}, one number per row is needed")
    _check_complete(column, name, first_row)
    return column.to_numpy(zero_copy_only=False)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    import pyarrow.types as types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_id(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one text, number or truth value per row."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return is_text(kind) or is_number(kind) or types.is_boolean(kind)


def ids(
    column: pa.Array, name: str, first_row: int, limits: Limits = NO_LIMITS, may_be_missing: bool = False
) -> np.ndarray:
    """A column of text or whole numbers, (n,); what is missing, if it may be, is None in text and NaN in numbers."""
    import pyarrow as pa

    if not is_id(column.type):
        raise ValueError(f"{name} holds {column.type}, text or whole numbers are needed")
    if may_be_missing:
        column.validate(full=True)
    else:
        _check_complete(column, name, first_row)
    if limits.any:
        limits.check(name, text_bytes=_text_bytes(column))
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.to_numpy(zero_copy_only=False)


def _text_bytes(column: pa.Array) -> int:
    """Bytes of a column of text when each row has its own."""
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_dictionary(column.type):
        if not is_text(column.type.value_type):
            return 0
        lengths = compute.binary_length(column.dictionary.cast(pa.large_string())).take(column.indices)
    elif pa.types.is_string_view(column.type):  # views of 16 bytes, which begin with the length
        views = np.frombuffer(column.buffers()[1], "<i4").reshape(-1, 4)
        return int(views[column.offset : column.offset + len(column), 0].sum(dtype=np.int64))
    elif is_text(column.type):
        lengths = compute.binary_length(column)
    else:
        return 0
    return compute.sum(lengths.cast(pa.int64())).as_py() or 0


def _from_json(column: pa.Array, name: str, first_row: int) -> pa.Array:
    import pyarrow as pa

    _check_complete(column, name, first_row)
    lists = []
    for row, text in enumerate(column.to_pylist(), first_row):
        try:
            lists.append(pa.array(json.loads(text), pa.float64()))
        except (ValueError, TypeError, RecursionError, pa.ArrowException) as error:
            raise ValueError(f"row {row} of {name} is not a JSON list of numbers: {text[:40]!r}") from error
    return pa.array(lists, pa.list_(pa.float64()))


def _check_complete(column: pa.Array, name: str, first_row: int) -> None:
    column.validate(full=True)  # a damaged file may hold offsets that lead out of its buffers
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise ValueError(f"row {first_row + row} of {name} is missing")
