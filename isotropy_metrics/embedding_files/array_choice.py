"""Which of a file's arrays are the embeddings, and the batches that they give with their ids."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isotropy_metrics.embedding_files.embedding_file import Batch, Columns, EmbeddingFile, listed, without_rows
from isotropy_metrics.embedding_files.limits import Limits
from isotropy_metrics.embedding_files.stored_array import StoredArray

REMEDY = {
    "O": "it holds pickled Python objects, which are never read: save it as numbers, or as text of one dtype",
    "V": "save it as float32",
    "c": "save real numbers",
}


def open_arrays(path: Path, arrays: dict[str, StoredArray], columns: Columns, limits: Limits) -> EmbeddingFile:
    """The embeddings among these arrays, with the ids that go with them."""
    for name in [columns.embeddings, *columns.beside]:
        if name is not None and name not in arrays:
            there = listed(f"{own!r} {array}" for own, array in arrays.items())
            raise ValueError(f"{path} has no array {name!r}, it has: {there}")
    name = columns.embeddings or _only_candidate(path, arrays, columns)
    chosen = arrays[name]
    _check(path, name, chosen, columns.mask)
    outer = chosen.shape[:-1]
    for other in columns.beside:
        _check_kind(path, other, arrays[other], "biufUS" if other in columns.ids.values() else "biuf")
        if arrays[other].shape != outer:
            raise ValueError(
                f"{path}: array {other!r} must have shape {outer} to match {name!r}, got {arrays[other].shape}"
            )
        limits.check(path, text_bytes=arrays[other].n_bytes_in_memory)
    limits.check(path, n_rows=math.prod(outer), n_features=chosen.shape[-1], n_values=math.prod(chosen.shape))
    length = outer[1] if len(outer) == 2 else 1

    def batches(batch_rows: int, first_row: int) -> Iterator[Batch]:
        n = max(batch_rows // max(length, 1), 1)
        names = [name, *columns.beside]
        for blocks in zip(*(arrays[each].blocks(n, first_row) for each in names), strict=True):
            yield _batch(path, dict(zip(names, blocks, strict=True)), name, columns)

    def read(batch_rows: int, first_row: int) -> Iterator[Batch]:
        if columns.mask is None:
            return batches(batch_rows, first_row)
        return without_rows(first_row, batches(batch_rows, 0))  # only the mask tells which rows there are

    n_rows = outer[0] if columns.mask is None else None
    return EmbeddingFile(path, f"array {name!r}", n_rows, chosen.shape[-1], columns, read, (name,))


def _only_candidate(path: Path, arrays: dict[str, StoredArray], columns: Columns) -> str:
    n_axes = 2 if columns.mask is None else 3
    others = {name: array for name, array in arrays.items() if name not in columns.beside}
    candidates = {n: a for n, a in others.items() if len(a.shape) == n_axes and a.dtype and a.dtype.kind in "biuf"}
    if len(candidates) == 1:
        return next(iter(candidates))
    if len(candidates) > 1:
        there = listed(f"{name!r} {array}" for name, array in candidates.items())
        raise ValueError(f"{path} has {len(candidates)} arrays that could be the embeddings, name one: {there}")
    if len(others) == 1:
        _check(path, *next(iter(others.items())), columns.mask)
    there = listed(f"{name!r} {array}" for name, array in arrays.items())
    raise ValueError(f"{path} has no array of numbers with {n_axes} axes, it has: {there}")


def _check(path: Path, name: str, array: StoredArray, mask: str | None) -> None:
    _check_kind(path, name, array, "biuf")
    shape = array.shape
    if len(shape) == 3 and mask is None:
        raise ValueError(
            f"{path}: array {name!r} of shape {shape} needs a mask, an array of 0 and 1 of shape {shape[:2]} in the "
            "same .npz or .safetensors file"
        )
    if len(shape) != (2 if mask is None else 3):
        wanted = "(n_samples, n_features)" if mask is None else "(batch, length, n_features) with a mask"
        raise ValueError(f"{path}: array {name!r} must have shape {wanted}, got {shape}")
    if 0 in shape:
        raise ValueError(f"{path}: array {name!r} is empty, its shape is {shape}")


def _check_kind(path: Path, name: str, array: StoredArray, kinds: str) -> None:
    kind = array.dtype.kind if array.dtype is not None else "V"
    if kind not in kinds:
        remedy = REMEDY.get(kind, "numbers are needed")
        raise ValueError(f"{path}: array {name!r} has dtype {array.kind or array.dtype}: {remedy}")


def _batch(path: Path, blocks: dict[str, np.ndarray], name: str, columns: Columns) -> Batch:
    rows = blocks[name]
    ids = {own: blocks[column].reshape(-1) for own, column in columns.ids.items()}
    weight = None if columns.weight is None else blocks[columns.weight].reshape(-1).astype(np.float64)
    batch = Batch(rows.reshape(-1, rows.shape[-1]), ids, weight)
    if columns.mask is None:
        return batch
    mask = blocks[columns.mask].reshape(-1)
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"{path}: the mask {columns.mask!r} must hold 0 and 1 only")
    return batch[mask.astype(bool)]
