"""The one file that knows numpy from torch: shapes, dtypes, masks, finite checks.

Everything behind this door is a C-contiguous numpy array of float32 or float64 with shape (n_samples, n_features); for
callers that say `on_device=True`, rows of a GPU are a tensor of these dtypes and stay where they are.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np

MAX_EXACT_INTEGER = 2**53

DEVICES = ("cuda",)
"""Kinds of devices whose rows need not come to the host: they compute in float64, which Apple's mps does not."""


def as_rows(
    embeddings: Any, mask: Any = None, weight: Any = None, on_device: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn what users hold into rows and their weights.

    Args:
        embeddings: (n_samples, n_features), or (batch, length, n_features) together with `mask`; numpy array,
            torch tensor (copied to the host if it lies elsewhere), or nested lists. float16 and bfloat16 become
            float32, integers float64.
        mask: 0 and 1, of the shape of `embeddings` without its last axis; rows where it is 0 are left out.
        weight: of the same shape as `mask`; non-negative and finite. Rows of weight zero are left out too.
        on_device: leave a tensor of one of `DEVICES` there.

    Returns:
        rows (n_kept, n_features) in float32 or float64, and weights (n_kept,) in float64, or None.

    Raises:
        ValueError: text, ragged lists, wrong number of dimensions, no features, a mask or weight of another shape.

    Finite values are not checked here: `squared_norms` does it in the pass that every statistic makes anyway.
    """
    rows, weight, _ = as_rows_and_ids(embeddings, mask, weight, on_device)
    return rows, weight


def as_rows_and_ids(
    embeddings: Any, mask: Any = None, weight: Any = None, on_device: bool = False, **ids: Any
) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """`as_rows`, and the ids that go with the rows (labels, words, sentences), in int64: see `as_ids`.

    An id array has the shape of `embeddings` without its last axis, as `mask` has; those that are None are left out.
    """
    rows = _as_float_tensor(embeddings) if on_device and lies_on_device(embeddings) else _as_float_array(embeddings)
    shape = tuple(rows.shape)
    if rows.ndim not in (2, 3):
        raise ValueError(
            f"embeddings must have shape (n_samples, n_features), or (batch, length, n_features) with a mask; "
            f"got {rows.ndim} dimension(s), shape {shape}" + (": use X[None, :] for one row" if rows.ndim == 1 else "")
        )
    if rows.ndim == 3 and mask is None:
        raise ValueError(
            f"embeddings of shape {shape} need a mask of shape {shape[:2]} that says which tokens count "
            "(attention_mask), or embeddings.reshape(-1, n_features) if all of them do"
        )
    if shape[-1] == 0:
        raise ValueError(f"embeddings have no features: shape {shape}")
    outer = shape[:-1]
    rows = rows.reshape(-1, rows.shape[-1])
    if weight is not None:
        weight = _as_companion(weight, "weight", outer).astype(np.float64)
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise ValueError("weight must be finite and non-negative: it holds NaN, inf or a negative number")
    given = {name: as_ids(values, name, outer) for name, values in ids.items() if values is not None}
    keep = np.ones(len(rows), dtype=bool) if mask is None else _as_mask(mask, outer)
    if weight is not None:
        keep = keep & (weight > 0)
    if not keep.all():
        rows = take_rows(rows, keep)
        weight = None if weight is None else weight[keep]
        given = {name: values[keep] for name, values in given.items()}
    return np.ascontiguousarray(rows) if isinstance(rows, np.ndarray) else rows, weight, given


def lies_on_device(embeddings: Any) -> bool:
    """Whether this is a dense tensor of numbers on one of `DEVICES`."""
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and isinstance(embeddings, torch.Tensor)
        and embeddings.device.type in DEVICES
        and embeddings.layout is torch.strided
        and embeddings.is_floating_point()
    )


def take_rows(rows: Any, which: np.ndarray) -> Any:
    """Some of the rows that `as_rows` gave, by indices or a mask; they stay where they are."""
    if isinstance(rows, np.ndarray):
        return rows[which]
    import torch

    indices = np.flatnonzero(which) if which.dtype == bool else which
    return rows[torch.from_numpy(indices).to(rows.device)]


def on_host(rows: Any) -> np.ndarray:
    """Rows that `as_rows` gave as an array."""
    return rows if isinstance(rows, np.ndarray) else rows.cpu().numpy()


def as_ids(values: Any, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Labels, words or sentence numbers as int64 of one axis; text becomes a hash of 52 bits.

    The hash needs no list of the texts seen so far, so that batches, processes and machines agree on it, and 52 bits
    survive a journey as float64; two of a million different texts share one with a probability of 1 in 10,000.

    Raises:
        ValueError: missing values, fractions, another shape than `shape`.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: it must have shape {shape} to match the embeddings") from error
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape} to match the embeddings, got {array.shape}")
    array = array.reshape(-1)
    if array.dtype.kind == "O":
        bad = next((value for value in array if not isinstance(value, (str, int, np.integer))), None)
        if bad is not None or any(value is None for value in array):
            raise ValueError(f"{name} must be text or whole numbers, got {bad!r}")
        array = array.astype(str) if any(isinstance(value, str) for value in array) else array.astype(np.int64)
    if array.dtype.kind in "UT":
        texts, which = np.unique(array, return_inverse=True)
        return np.array([_hash(str(text)) for text in texts], dtype=np.int64)[which]
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise ValueError(f"{name} must be text or whole numbers, got {array.dtype} with fractions or NaN")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be text or whole numbers, got {array.dtype}")
    if array.size and np.abs(array.astype(np.float64)).max() >= MAX_EXACT_INTEGER:
        raise ValueError(f"{name} must be below 2**53, got {array.max()}: pass the ids as text")
    return array.astype(np.int64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") >> 4


def squared_norms(rows: np.ndarray, first_row: int = 0) -> np.ndarray:
    """Squared length of every row in float64; a row that is not finite raises ValueError with its index.

    `first_row` is the index that the first of these rows has for the user.
    float32 squares overflow above 1e19 and vanish below 1e-19; the few rows concerned are squared in float64.
    """
    if not isinstance(rows, np.ndarray):
        norms = _squared_norms_on_device(rows)
    else:
        norms = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
    doubtful = np.flatnonzero(~((norms > 1e-30) & (norms < 1e37)))
    if len(doubtful) and rows.dtype == np.float32:  # never so of a tensor
        suspects = rows[doubtful].astype(np.float64)
        norms[doubtful] = np.einsum("ij,ij->i", suspects, suspects)
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise ValueError(f"row {first_row + row} of the embeddings {_why_not_squared(on_host(rows[row]))}")
    return norms


def _squared_norms_on_device(rows: Any) -> np.ndarray:
    import torch

    return np.square(torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).cpu().numpy())


def _why_not_squared(row: np.ndarray) -> str:
    bad = row[~np.isfinite(row)]
    if not len(bad):
        return f"is too large to be squared (largest value {np.abs(row).max():.3g}): rescale the embeddings"
    return (
        f"holds {bad[0]}: remove rows with NaN or inf, or mask them (masked rows are not counted here); float16 "
        "overflows above 65504, then run the model in bfloat16 or float32"
    )


def _as_float_tensor(embeddings: Any) -> Any:
    """A tensor that `lies_on_device` in float32 or float64."""
    return embeddings.detach() if embeddings.element_size() == 8 else embeddings.detach().float()


def _as_float_array(embeddings: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(embeddings, torch.Tensor):
        if embeddings.layout is not torch.strided:
            raise ValueError(f"embeddings must be a dense tensor, got {embeddings.layout}: call to_dense()")
        tensor = embeddings.detach().cpu()
        embeddings = (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()
    if isinstance(embeddings, np.ma.MaskedArray):
        raise ValueError("embeddings are a masked array: pass embeddings.data, and the rows that count as mask=")
    if isinstance(embeddings, (str, bytes)):
        raise ValueError("embeddings must be numbers, got text: pass texts as `data=` together with `model_id=`")
    if (
        torch is not None
        and isinstance(embeddings, (list, tuple))
        and any(isinstance(x, torch.Tensor) for x in embeddings)
    ):
        embeddings = [_as_float_array(x) for x in embeddings]
    try:
        array = np.asarray(embeddings)
    except ValueError as error:
        raise ValueError("embeddings are ragged: every row must have the same number of features") from error
    if array.dtype == object:
        raise ValueError("embeddings hold objects, not numbers: integers beyond 64 bits, ragged rows or None")
    if array.dtype.kind in "USO":
        raise ValueError("embeddings must be numbers, got text: pass texts as `data=` together with `model_id=`")
    if array.size == 0 and array.ndim < 2:
        raise ValueError("embeddings are empty: there is no row to measure")
    if array.dtype.kind in "biu":
        if array.dtype.itemsize == 8 and array.size and np.abs(array.astype(np.float64)).max() >= MAX_EXACT_INTEGER:
            raise ValueError(f"integer embeddings beyond 2**53 overflow float64 (largest {array.max()}): rescale them")
        return array.astype(np.float64)
    if array.dtype.kind in "cmM":
        raise ValueError(f"embeddings must be real numbers, got {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize >= 4:
        return array.astype(np.float32 if array.dtype.itemsize == 4 else np.float64, copy=False)  # of any byte order
    try:
        return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"embeddings must be numbers, got dtype {array.dtype}") from error


def _as_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    mask = _as_companion(mask, "mask", shape)
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            "mask must hold 0 and 1 only: of an additive mask pass mask == 0, and for weights use weight="
        )
    return mask.astype(bool)


def _as_companion(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        values = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: it must have shape {shape} to match the embeddings") from error
    if values.dtype.kind not in "biuf" or np.isnan(values).any():
        raise ValueError(
            f"{name} must be finite numbers, got {values.dtype}" + (" with NaN" if values.dtype.kind == "f" else "")
        )
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {shape} to match the embeddings, got {values.shape}")
    return values.reshape(-1)
