"""What comes in: every bad input is refused by name and with a remedy, every good one becomes the same rows."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from isotropy_metrics.arrays import as_rows, squared_norms

X = np.arange(12.0).reshape(4, 3)
BATCH = np.arange(24.0).reshape(2, 4, 3)


def with_value(value, dtype=np.float64, row=2):
    rows = np.ones((4, 3), dtype)
    rows[row, 1] = value
    return rows


def read(embeddings, **companions):
    """What every statistic does with rows before it keeps anything of them."""
    rows, weight = as_rows(embeddings, **companions)
    squared_norms(rows)
    return rows, weight


# name: (arguments, what came, what helps)
BAD = {
    "one row as 1-D": ((X[0],), r"1 dimension.*shape \(3,\)", r"X\[None, :\]"),
    "a scalar": ((3.0,), "0 dimension", r"\(n_samples, n_features\)"),
    "3-D without a mask": ((BATCH,), r"\(2, 4, 3\)", r"mask of shape \(2, 4\).*reshape"),
    "4-D": ((BATCH[None],), r"4 dimension.*\(1, 2, 4, 3\)", r"\(batch, length, n_features\)"),
    "ragged lists": (([[1.0, 2.0], [3.0]],), "ragged", "same number of features"),
    "ragged tensors": (([torch.ones(2), torch.ones(3)],), "ragged", "same number of features"),
    "NaN": ((with_value(np.nan),), "row 2 .*nan", "remove|mask"),
    "inf": ((with_value(np.inf, np.float32),), "row 2 .*inf", "remove|mask"),
    "minus inf": ((with_value(-np.inf, row=0),), "row 0 .*-inf", "remove|mask"),
    "inf in float16": ((with_value(np.inf, np.float16),), "row 2 .*inf", "float16.*bfloat16"),
    "inf in torch float16": ((torch.tensor(with_value(np.inf)).half(),), "row 2 .*inf", "float16.*bfloat16"),
    "too large for float64": ((with_value(1e200),), r"row 2 .*too large.*1e\+200", "rescale"),
    "text": (("a cat",), "text", "data="),
    "bytes": ((b"a cat",), "text", "data="),
    "list of texts": ((["a cat", "a dog"],), "text", "data="),
    "array of texts": ((np.array([["a", "b"]]),), "text", "data="),
    "empty list": (([],), "empty", "no row"),
    "no features": ((np.empty((4, 0)),), "no features", r"\(4, 0\)"),
    "rows without features": (([[], []],), "no features", r"\(2, 0\)"),
    "integers beyond 64 bits": (([[2**70, 1]],), "beyond 64 bits", "numbers"),
    "integers beyond 2**53": ((np.array([[2**60, 1]]),), f"{2**60}", "rescale"),
    "unsigned beyond 2**53": ((np.array([[2**63, 1]], np.uint64),), f"{2**63}", "rescale"),
    "complex": ((X + 1j,), "complex128", "real"),
    "torch complex": ((torch.tensor(X + 1j),), "complex128", "real"),
    "None": ((None,), "objects|None", "numbers"),
    "None entries": (([[1.0, None]],), "None", "numbers"),
    "mask of another shape": ((X, [1, 1, 1]), r"mask must have shape \(4,\)", r"got \(3,\)"),
    "mask of every value": ((BATCH, np.ones(BATCH.shape)), r"mask must have shape \(2, 4\)", r"got \(2, 4, 3\)"),
    "weight of another shape": ((X, None, [1, 1, 1]), r"weight must have shape \(4,\)", r"got \(3,\)"),
    "negative weight": ((X, None, [1, 1, 1, -1]), "weight", "negative"),
    "NaN weight": ((X, None, [1, 1, 1, np.nan]), "weight.*NaN", "finite"),
    "infinite weight": ((X, None, [1, 1, 1, np.inf]), "weight.*inf", "finite"),
    "complex weight": ((X, None, [1j, 1, 1, 1]), "weight.*complex128", "number"),
    "text as mask": ((X, ["a", "b", "c", "d"]), "mask", "number"),
    "text as weight": ((X, None, ["a", "b", "c", "d"]), "weight", "number"),
    "ragged weight": ((X, None, [[1], [1, 2], [1], [1]]), "weight", "shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_what_came_and_what_helps(name):
    arguments, came, helps = BAD[name]
    with pytest.raises(ValueError) as caught:
        read(*arguments[:1], **dict(zip(("mask", "weight"), arguments[1:], strict=False)))
    for pattern in (came, helps):
        assert re.search(pattern, str(caught.value)), str(caught.value)


def test_the_first_bad_row_is_named_and_counted_from_where_the_user_counts():
    rows = np.ones((10, 3), np.float32)
    rows[[4, 7]] = np.nan
    with pytest.raises(ValueError, match="row 4 "):
        squared_norms(rows)
    with pytest.raises(ValueError, match="row 1004 "):
        squared_norms(rows, first_row=1000)


read_only = X.copy()
read_only.setflags(write=False)

GOOD = {
    "float64": X,
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "long double": X.astype(np.longdouble),
    "int8": X.astype(np.int8),
    "uint64": X.astype(np.uint64),
    "big-endian": X.astype(">f4"),
    "nested lists": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "integers in lists": X.astype(int).tolist(),
    "list of arrays": list(X),
    "Fortran order": np.asfortranarray(X),
    "every second row": np.repeat(X, 2, axis=0)[::2],
    "every second column": np.repeat(X, 2, axis=1)[:, ::2],
    "read-only": read_only,
    "torch float32": torch.tensor(X).float(),
    "torch bfloat16": torch.tensor(X).bfloat16(),
    "torch float16": torch.tensor(X).half(),
    "torch int64": torch.tensor(X).long(),
    "torch transposed": torch.tensor(X).T.contiguous().T,
    "torch with gradient": torch.tensor(X, requires_grad=True),
    "list of torch tensors": list(torch.tensor(X)),
    "list of bfloat16 tensors": list(torch.tensor(X).bfloat16()),
    "list of tensors with gradient": list(torch.tensor(X, requires_grad=True)),
}
FLOAT32 = ("float32", "float16", "torch float32", "torch bfloat16", "torch float16", "list of bfloat16 tensors")


@pytest.mark.parametrize("name", GOOD)
def test_good_input_becomes_contiguous_rows_of_the_same_values(name):
    rows, weight = read(GOOD[name])
    assert weight is None
    assert rows.flags.c_contiguous
    np.testing.assert_array_equal(rows, X)
    if name != "big-endian":
        assert rows.dtype == (np.float32 if name in FLOAT32 else np.float64)


def test_booleans_are_zeros_and_ones():
    rows, _ = read(X > 5)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, X > 5)


def test_rows_without_samples_are_no_error():
    assert read(np.empty((0, 3)))[0].shape == (0, 3)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, list])
@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_a_mask_of_any_kind_keeps_rows_and_their_weights(kind, dtype):
    mask = np.array([[1, 1, 0, 0], [1, 0, 1, 0]])
    weight = np.arange(1.0, 9).reshape(2, 4)
    rows, kept = read(BATCH, mask=kind(mask.astype(dtype)), weight=kind(weight))
    np.testing.assert_array_equal(rows, BATCH[mask.astype(bool)])
    np.testing.assert_array_equal(kept, weight[mask.astype(bool)])


def test_masked_rows_may_hold_anything():
    rows = X.copy()
    rows[1] = np.nan
    np.testing.assert_array_equal(read(rows, mask=[1, 0, 1, 1])[0], X[[0, 2, 3]])


def test_rows_of_weight_zero_are_left_out_like_masked_ones():
    rows, weight = read(np.where(np.arange(4)[:, None] == 1, np.nan, X), mask=[0, 1, 1, 1], weight=[1, 0, 0.5, 2])
    np.testing.assert_array_equal(rows, X[2:])
    np.testing.assert_array_equal(weight, [0.5, 2])


def test_weights_in_torch_float64_are_not_rounded():
    weight = np.array([0.1, 0.2, 0.3, 1 / 3])
    np.testing.assert_array_equal(read(X, weight=torch.tensor(weight))[1], weight)


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e-20, 1, 1e18, 1e25, 1e37])
def test_squared_norms_of_float32_rows_neither_overflow_nor_vanish(scale):
    rows = (X[1:] * scale).astype(np.float32)
    np.testing.assert_allclose(squared_norms(rows), (rows.astype(np.float64) ** 2).sum(axis=1), rtol=1e-6)
