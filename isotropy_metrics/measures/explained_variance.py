"""Explained variance: the share of the largest directions."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import OfDimension, measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments

MOST = 0.9


@measure_of(
    needs=Moments,
    bounds=(0.0, 1.0),
    isotropic=OfDimension("1/d", lambda d: 1 / d),
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2311.05928",
    citation="""@inproceedings{razzhigaev-etal-2024-shape,
    title = "The Shape of Learning: Anisotropy and Intrinsic Dimensions in Transformer-Based Models",
    author = "Razzhigaev, Anton and Mikhalchuk, Matvey and Goncharova, Elizaveta and Oseledets, Ivan and
        Dimitrov, Denis and Kuznetsov, Andrey",
    booktitle = "Findings of the Association for Computational Linguistics: EACL 2024",
    year = "2024"
}""",
)
def explained_variance(moments: Moments, *, k: int = 1) -> dict[str, float]:
    """Share of the variance that the k largest directions hold.

    With λ the eigenvalues of the covariance of the rows, largest first,

        explained_variance = (λ₁ + … + λₖ) / Σλ

    k = 1 is the "anisotropy" of Razzhigaev et al. (2024), k = 3 the share of Kudriashov et al. (2501.05502). An
    isotropic space gives k/d. `directions_for_90_percent` is the least k for which the share reaches 0.9: of an
    isotropic space 0.9 d, rounded up.

    What it does not tell: whether many or few directions share the rest, and whether the first ones carry meaning or
    are what every row has in common. Below ten rows per dimension the largest are overestimated.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        k: how many of the largest directions; no more than n_features count.

    Returns:
        `explained_variance`, from 0 to 1, and `directions_for_90_percent`, from 1 to n_features.

    Raises:
        ValueError: fewer than 2 rows, or k below 1.

    Example:
        >>> import numpy as np
        >>> X = np.tile(np.concatenate([np.diag([2.0, 1.0, 1.0]), -np.diag([2.0, 1.0, 1.0])]), (5, 1))
        >>> round(explained_variance(X)["explained_variance"], 4), explained_variance(X)["directions_for_90_percent"]
        (0.6667, 3)
    """
    if not (isinstance(k, (int, np.integer)) and k >= 1):
        raise ValueError(f"k must be a whole number of directions, at least 1; got {k!r}")
    values = moments.eigenvalues
    if not values[0] > 0:
        return nan_because("explained_variance", "all rows are the same", "directions_for_90_percent")
    shares = np.cumsum(values / values.sum())
    enough = int(np.searchsorted(shares, MOST * (1 - 1e-12))) + 1
    return {
        "explained_variance": float(min(shares[min(k, len(shares)) - 1], 1.0)),
        "directions_for_90_percent": enough,
    }
