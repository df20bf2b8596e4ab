"""Stable rank: total variance over the largest."""

from __future__ import annotations

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(1.0, D),
    isotropic=D,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="https://doi.org/10.1145/1255443.1255449",
    citation="""@article{rudelson2007sampling,
    title = "Sampling from large matrices: An approach through geometric functional analysis",
    author = "Rudelson, Mark and Vershynin, Roman",
    journal = "Journal of the ACM",
    volume = "54",
    number = "4",
    year = "2007"
}""",
)
def stable_rank(moments: Moments, *, centered: bool = True) -> dict[str, float]:
    """Total variance over the variance of the largest direction, as a number of dimensions.

    With X the matrix of rows, centred or raw, and λ its squared singular values,

        stable_rank = ‖X‖² / ‖X‖₂² = Σλ / λ₁

    (Frobenius norm over spectral norm.) An isotropic space gives d = n_features, a line gives 1. Its inverse is the
    share of the first direction, `explained_variance` with k = 1.

    What it does not tell: anything of the directions after the first. One dominant direction on top of an isotropic
    cloud gives the same value as a cloud with that few dimensions.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        centered: subtract the mean of the rows first; False takes the raw rows, whose mean is then a direction.

    Returns:
        `stable_rank`, from 1 to n_features.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.tile(np.concatenate([np.diag([2.0, 1.0, 1.0]), -np.diag([2.0, 1.0, 1.0])]), (5, 1))
        >>> round(stable_rank(X)["stable_rank"], 6)
        1.5
    """
    values = moments.eigenvalues if centered else moments.raw_eigenvalues
    if not values[0] > 0:
        return nan_because("stable_rank", "all rows are the same" if centered else "all rows are zero")
    return {"stable_rank": float((values / values[0]).sum())}
