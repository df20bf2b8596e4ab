"""Effective rank: the exponential of the entropy of the spectrum."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because, warn_of_few_rows
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.statistics import Moments

SPECTRA = ("eigenvalues", "singular_values")


@measure_of(
    needs=Moments,
    bounds=(1.0, float("inf")),
    isotropic="d",
    invariant_to=("translation", "rotation", "scale"),
    paper="https://infoscience.epfl.ch/record/110188/files/RoyV07.pdf",
    citation="""@inproceedings{roy2007effective,
    title = "The effective rank: A measure of effective dimensionality",
    author = "Roy, Olivier and Vetterli, Martin",
    booktitle = "15th European Signal Processing Conference",
    year = "2007"
}""",
)
def effective_rank(moments: Moments, *, spectrum: str = "eigenvalues", centered: bool = True) -> dict[str, float]:
    """Exponential of the entropy of the spectrum, as a number of dimensions.

    With p the spectrum divided by its sum,

        effective_rank = exp(−Σ p log p)

    The spectrum is that of the covariance matrix (`spectrum="eigenvalues"`, λ), or of the matrix of rows
    (`"singular_values"`, √λ, larger; uncentred it is RankMe without its ε). k equal variances give k under both; an
    isotropic space gives d = n_features. It weighs small directions more than `participation_ratio` does. With
    `"singular_values"`, float32 rows that span only some of the directions can come out too high (by 1 % for 50 of 400
    directions): the rounding of a float32 product counts as variance in the others.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        spectrum: "eigenvalues" or "singular_values".
        centered: subtract the mean of the rows first; False measures the raw rows, whose mean is then a direction.

    Returns:
        `effective_rank`, from 1 to n_features.

    Raises:
        ValueError: fewer than 2 rows, or another `spectrum`.

    Example:
        >>> import numpy as np
        >>> X = np.concatenate([np.diag([2.0, 1.0, 0.0]), -np.diag([2.0, 1.0, 0.0])])
        >>> round(effective_rank(X)["effective_rank"], 4)
        1.6494
        >>> round(effective_rank(X, spectrum="singular_values")["effective_rank"], 4)
        1.8899
    """
    if spectrum not in SPECTRA:
        raise ValueError(f"spectrum must be one of {', '.join(SPECTRA)}; got {spectrum!r}")
    if centered:
        values = moments.eigenvalues
    else:
        second_moment = moments.scatter + moments.weight_sum * np.outer(moments.mean, moments.mean)
        values = np.clip(np.linalg.eigvalsh(second_moment)[::-1], 0, None)[: moments.n_rows]
    # The root of a rounding error is no longer small: 1e-16 in a direction without rows would count as 1e-8.
    values = np.where(values > len(values) * np.finfo(np.float64).eps * values.max(), values, 0)
    values = np.sqrt(values) if spectrum == "singular_values" else values
    if not values.sum() > 0:
        return nan_because("effective_rank", "all rows are the same" if centered else "all rows are zero")
    warn_of_few_rows("effective_rank", moments, "less than n", "compare only values of equal n")
    share = values[values > 0] / values.sum()
    return {"effective_rank": float(np.exp(-(share * np.log(share)).sum()))}
