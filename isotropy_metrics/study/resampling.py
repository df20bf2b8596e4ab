"""Bootstrap over whole groups (texts, words, structures), for sums, means and ratios of sums over their members."""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 1000
LEVEL = 0.95


def resampled_counts(n_groups: int, seed: int) -> np.ndarray:
    """How often each group is drawn in each resample, (1000, n_groups): groups are drawn with replacement.

    The same seed draws the same groups, so that differences between treatments or checkpoints are paired.
    """
    shares = np.full(n_groups, 1 / n_groups)
    return np.random.default_rng(seed).multinomial(n_groups, shares, size=N_RESAMPLES).astype(np.float64)


def sums_by_group(groups: np.ndarray, n_groups: int, *columns: np.ndarray) -> np.ndarray:
    """Sum of each column over the members of each group, (n_groups, n_columns); groups are numbered from 0."""
    return np.stack([np.bincount(groups, weights=column, minlength=n_groups) for column in columns], axis=1)


def with_limits(name: str, value: float, resampled: np.ndarray) -> dict[str, float]:
    """A value, and the percentiles of its resamples that hold 95 % of them; resamples that are NaN are left out."""
    resampled = resampled[np.isfinite(resampled)]
    limits = (np.nan, np.nan)
    if len(resampled):
        limits = np.percentile(resampled, [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return {name: float(value), f"{name}_low": float(limits[0]), f"{name}_high": float(limits[1])}


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient; NaN where the denominator is zero."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator != 0)
