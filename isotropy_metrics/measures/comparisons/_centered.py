"""The rows of both spaces as the comparisons of shapes use them."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.statistics.pair_sample import PairSample


def centered(pairs: PairSample) -> tuple[np.ndarray, np.ndarray]:
    """Rows of either space in float64, less their mean, over the largest entry: no product over- or underflows.

    All zeros if the rows of a space are all the same.
    """
    return _centered(pairs.first, pairs.weight), _centered(pairs.second, pairs.weight)


def root_weighted(pairs: PairSample) -> tuple[np.ndarray, np.ndarray]:
    """`centered`, times the root of the weights: the product of two of them is a weighted sum over the rows."""
    root = 1.0 if pairs.weight is None else np.sqrt(pairs.weight / pairs.weight.max())[:, None]
    first, second = centered(pairs)
    return first * root, second * root


def without_shape(first: np.ndarray, second: np.ndarray) -> str | None:
    """Why there is no shape to compare, if so."""
    flat = [name for name, rows in (("first", first), ("second", second)) if not rows.any()]
    return f"all rows of the {' and of the '.join(flat)} space are the same" if flat else None


def _centered(rows: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    if not (rows != rows[0]).any():  # their mean would differ from them by a rounding error
        return np.zeros(rows.shape)
    rows = rows.astype(np.float64)
    rows /= np.abs(rows).max()
    rows -= np.average(rows, axis=0, weights=weight)
    return rows / np.abs(rows).max()
