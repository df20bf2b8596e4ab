"""Spearman's rank correlation of many resamples at once."""

from __future__ import annotations

import numpy as np

RESAMPLES_AT_ONCE = 100


def resampled_spearman(x: np.ndarray, y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The rank correlation of each resample, (n_resamples,); NaN where one side is all the same.

    How often an item was drawn is its weight. The ranks of a resample follow from cumulative counts along the sorted
    values, so that nothing is sorted anew.

    Args:
        x, y: (n_items,).
        draws: (n_resamples, n_items), the numbers of the items drawn.
    """
    found = []
    for start in range(0, len(draws), RESAMPLES_AT_ONCE):
        some = draws[start : start + RESAMPLES_AT_ONCE]
        counts = np.stack([np.bincount(draw, minlength=len(x)) for draw in some]).astype(np.float64)
        middle = (draws.shape[1] + 1) / 2
        first, second = (_average_ranks(values, counts) - middle for values in (x, y))
        product = np.einsum("ij,ij,ij->i", counts, first, second)
        squares = np.einsum("ij,ij->i", counts, first**2) * np.einsum("ij,ij->i", counts, second**2)
        found.append(np.divide(product, np.sqrt(squares), out=np.full(len(some), np.nan), where=squares > 0))
    return np.concatenate(found)


def _average_ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of each item in each resample, (n_resamples, n_items), from 1; equal values share the mean of their ranks."""
    place, sizes = np.unique(values, return_inverse=True, return_counts=True)[1:]
    in_order = counts[:, np.argsort(place, kind="stable")]
    of_values = np.add.reduceat(in_order, np.cumsum(sizes) - sizes, axis=1)
    return (np.cumsum(of_values, axis=1) - (of_values - 1) / 2)[:, place]
