"""The partition function F(u) = Σ exp(uᵀ w) on chosen directions, and I(W) from it, whole and resampled by texts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import logsumexp

BLOCK_DIRECTIONS = 64
"""Directions at once, which bounds the memory."""


def log_partition(projections: np.ndarray) -> np.ndarray:
    """log F(u) and log F(−u) of each direction, (2, n_directions), from uᵀ w of every row, (n_rows, n_directions)."""
    return np.stack([logsumexp(sign * projections, axis=0) for sign in (1, -1)])


def log10_isotropy(log_f: np.ndarray) -> float:
    """log10 I(W) = log10 of smallest over largest F."""
    return float(log_f.min() - log_f.max()) / math.log(10)


def isotropy_without_top(projections: np.ndarray) -> np.ndarray:
    """log10 I(W) after the removal of the first d principal directions, for every d from 0 to all but one.

    The eigenvectors of what remains are the principal directions that remain, and those removed, on which F = n_rows.
    One pass over the rows therefore gives every d.

    Args:
        projections: (n_rows, n_features), of the centred rows on their own principal directions, longest first.
    """
    log_f = log_partition(projections)
    from_last = slice(None, None, -1)
    least = np.minimum.accumulate(log_f.min(axis=0)[from_last])[from_last]
    most = np.maximum.accumulate(log_f.max(axis=0)[from_last])[from_last]
    of_removed = math.log(len(projections))
    least[1:], most[1:] = np.minimum(least[1:], of_removed), np.maximum(most[1:], of_removed)
    return (least - most) / math.log(10)


def isotropy_of_part(coordinates: np.ndarray, n_features: int) -> float:
    """log10 I(W), as `partition_isotropy` gives it, of rows that lie in a subspace.

    Args:
        coordinates: (n_rows, n_dimensions), in an orthonormal basis of the subspace.
        n_features: of the whole space: if it is larger, F = n_rows on the directions that the rows do not have.
    """
    coordinates = coordinates.astype(np.float64)
    axes = np.linalg.eigh(coordinates.T @ coordinates)[1]
    log_f = np.concatenate([log_partition(coordinates @ block).ravel() for block in _blocks(axes)])
    if coordinates.shape[1] < n_features:
        log_f = np.append(log_f, math.log(len(coordinates)))
    return log10_isotropy(log_f)


def resampled_isotropy(rows: np.ndarray, texts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """log10 I(W) of resampled texts, (n_resamples,).

    The eigenvectors are those of all rows and are held fixed: F of a resample is then the sum of the F of its texts.

    Args:
        rows: (n_rows, n_features).
        texts: (n_rows,), number of the text of each row; every number from 0 to the largest has a row.
        counts: (n_resamples, n_texts), how often each text is drawn; see `resampled_counts`.
    """
    order = np.argsort(texts, kind="stable")
    rows, texts = rows[order].astype(np.float64), texts[order]
    starts = np.flatnonzero(np.diff(texts, prepend=-1))
    least, most = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    for block in _blocks(np.linalg.eigh(rows.T @ rows)[1]):
        projections = rows @ block
        for sign in (1, -1):
            log_f = _log_sums(counts, _log_partition_by_text(sign * projections, texts, starts))
            least, most = np.minimum(least, log_f.min(axis=1)), np.maximum(most, log_f.max(axis=1))
    return (least - most) / math.log(10)


def _blocks(axes: np.ndarray) -> Iterator[np.ndarray]:
    """Some columns at a time."""
    for start in range(0, axes.shape[1], BLOCK_DIRECTIONS):
        yield axes[:, start : start + BLOCK_DIRECTIONS]


def _log_partition_by_text(projections: np.ndarray, texts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """log F of the rows of each text, (n_texts, n_directions)."""
    largest = np.maximum.reduceat(projections, starts)
    return largest + np.log(np.add.reduceat(np.exp(projections - largest[texts]), starts))


def _log_sums(counts: np.ndarray, log_f: np.ndarray) -> np.ndarray:
    """log Σ counts · exp(log_f), (n_resamples, n_directions)."""
    largest = log_f.max(axis=0)
    sums = counts @ np.exp(log_f - largest)
    vanished = np.flatnonzero((sums == 0).any(axis=0))  # a resample without the texts that outweigh all others
    sums[:, vanished] = 1.0
    result = largest + np.log(sums)
    for j in vanished:
        result[:, j] = logsumexp(log_f[:, j], b=counts, axis=1)
    return result
