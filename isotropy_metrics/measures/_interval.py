"""Bootstrap intervals of any measure, by random halves of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from isotropy_metrics.measures._measure import Measure

N_RESAMPLES = 100


def interval_of(
    measure: Measure, statistic: Any, options: dict[str, Any], level: float, n_resamples: int, seed: int
) -> tuple[float, float]:
    """Limits of a bootstrap interval for the value of a measure.

    The value θ* of a random half of the rows, drawn without replacement, scatters about that of all rows as that of
    all rows scatters about the truth, since Var(θ* − θ) = σ²(1/(n/2) − 1/n) = σ²/n (half-sampling; Politis & Romano
    1994). The interval is

        value + quantiles of (θ* − mean of θ*)

    so that what a measure owes to the number of rows alone does not shift it, and no row comes twice: a measure of
    nearest neighbours would take the copies for neighbours. Rows with `sentences` are halved by whole sentences;
    `Buckets` are halved by buckets, so that no row is read again.

    Returns:
        low, high; NaN if the measure is NaN for some half.
    """
    if n_resamples < 10:
        raise ValueError(f"n_resamples must be at least 10, got {n_resamples}")
    values = np.array([measure.of(half, options) for half in statistic.halves(n_resamples, seed)])
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values - values.mean(), [tail, 100 - tail])
    value = measure.of(getattr(statistic, "whole", statistic), options)
    return float(value + low), float(value + high)
