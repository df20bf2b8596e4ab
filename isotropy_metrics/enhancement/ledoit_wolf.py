"""The shrinkage of Ledoit & Wolf (2004), from statistics of the rows."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.statistics import RowStatistics

ROWS_AT_ONCE = 128
"""That are centred and squared while they are in the processor's cache."""


def ledoit_wolf_shrinkage(statistics: RowStatistics) -> float:
    """How far to shrink the covariance S towards (tr S / d)·I, the multiple of the identity that is nearest to it.

        shrinkage = min(1, (Σ p ‖x − μ‖⁴ − ‖S‖²) / (n (‖S‖² − (tr S)²/d))),    S = Σ p (x − μ)(x − μ)ᵀ,  p = w / Σw

    It minimises the expected squared error of the shrunk covariance (Ledoit & Wolf 2004, "A well-conditioned estimator
    for large-dimensional covariance matrices", https://doi.org/10.1016/S0047-259X(03)00096-4). With weights, n is the
    effective number of rows of Kish. The sum of fourth powers is over the sampled rows: all of them up to the size of
    the sample, beyond which the shrinkage is small. Moments without a sample take the rows for Gaussian, of whom
    Σ p ‖x − μ‖⁴ = (tr S)² + 2 ‖S‖².

    Returns:
        From 0, as for many rows, to 1, for isotropic ones.

    Example:
        >>> import numpy as np
        >>> statistics = RowStatistics()
        >>> statistics.update(np.random.default_rng(0).normal(size=(60, 4)) * [3, 1, 1, 1])
        >>> round(ledoit_wolf_shrinkage(statistics), 4)
        0.0873
    """
    moments = statistics.moments
    covariance_trace = float(np.trace(moments.scatter)) / moments.weight_sum
    squared_norm = float(np.vdot(moments.scatter, moments.scatter)) / moments.weight_sum**2
    beyond_identity = squared_norm - covariance_trace**2 / moments.n_features
    if not beyond_identity > 1e-15 * squared_norm:
        return 1.0 if covariance_trace > 0 else 0.0
    fourth = _mean_fourth_power(statistics, covariance_trace**2 + 2 * squared_norm)
    return float(np.clip((fourth - squared_norm) / (moments.effective_n_rows * beyond_identity), 0, 1))


def _mean_fourth_power(statistics: RowStatistics, gaussian: float) -> float:
    sample = statistics.sample
    if not sample.n_rows:
        return gaussian
    squares = np.empty(len(sample.rows))
    for start in range(0, len(squares), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        centered = sample.rows[part] - statistics.moments.mean
        np.einsum("ij,ij->i", centered, centered, out=squares[part])
    return float(np.average(squares**2, weights=sample.weight))
