"""Participation ratio: how many directions share the variance."""

from __future__ import annotations

import math

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(1.0, D),
    isotropic=D,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="https://doi.org/10.1101/214262",
    citation="""@article{gao2017theory,
    title = "A theory of multineuronal dimensionality, dynamics and measurement",
    author = "Gao, Peiran and Trautmann, Eric and Yu, Byron and Santhanam, Gopal and Ryu, Stephen and Shenoy, Krishna
        and Ganguli, Surya",
    journal = "bioRxiv 214262",
    year = "2017"
}""",
)
def participation_ratio(moments: Moments) -> dict[str, float]:
    """Number of directions that would share the variance if they shared it equally.

    With λ the eigenvalues of the covariance of the rows,

        participation_ratio = (Σλ)² / Σλ²

    k equal variances give k; an isotropic space gives d = n_features, a line gives 1. `isoscore` is the same number
    on a scale from 0 to 1. From n rows of an isotropic Gaussian it is about nd/(n + d).

    What it does not tell: how the variance is spread over small directions, which hardly count, and whether the
    directions in use carry meaning.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).

    Returns:
        `participation_ratio`, from 1 to n_features.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.tile(np.concatenate([np.diag([3.0, 3.0, 0.0]), -np.diag([3.0, 3.0, 0.0])]), (5, 1))
        >>> round(participation_ratio(X)["participation_ratio"], 6)
        2.0
    """
    if math.isnan(moments.purity):
        return nan_because("participation_ratio", "all rows are the same")
    return {"participation_ratio": 1 / moments.purity}
