"""Effective rank: the exponential of the entropy of the spectrum."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of, ten_per_dimension
from isotropy_metrics.measures._spectrum import exponential_of_entropy, warn_of_single_rounding, without_rounding
from isotropy_metrics.statistics import Moments

SPECTRA = ("eigenvalues", "singular_values")


@measure_of(
    needs=Moments,
    bounds=(1.0, D),
    isotropic=D,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="https://infoscience.epfl.ch/record/110188/files/RoyV07.pdf",
    citation="""@inproceedings{roy2007effective,
    title = "The effective rank: A measure of effective dimensionality",
    author = "Roy, Olivier and Vetterli, Martin",
    booktitle = "15th European Signal Processing Conference",
    year = "2007"
}""",
)
def effective_rank(moments: Moments, *, spectrum: str = "eigenvalues") -> dict[str, float]:
    """Exponential of the entropy of the spectrum, as a number of dimensions.

    With p the spectrum divided by its sum,

        effective_rank = exp(−Σ p log p)

    The spectrum is that of the covariance matrix (`spectrum="eigenvalues"`, λ), or of the matrix of centred rows
    (`"singular_values"`, √λ, larger). k equal variances give k under both; an isotropic space gives d = n_features. It
    weighs small directions more than `participation_ratio` does. Of raw rows, whose mean is not subtracted, it is
    `rankme`. With `"singular_values"`, float32 rows that span only some of the directions come out too high (by 1 %
    for 50 of 400 directions), since the rounding of a float32 product counts as variance in the others: it warns.

    What it does not tell: whether the directions that carry little variance carry meaning or noise. Below ten rows per
    dimension it tells more of n than of the space.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        spectrum: "eigenvalues" or "singular_values".

    Returns:
        `effective_rank`, from 1 to n_features.

    Raises:
        ValueError: fewer than 2 rows, or another `spectrum`.

    Example:
        >>> import numpy as np
        >>> X = np.tile(np.concatenate([np.diag([2.0, 1.0, 0.0]), -np.diag([2.0, 1.0, 0.0])]), (5, 1))
        >>> round(effective_rank(X)["effective_rank"], 4)
        1.6494
        >>> round(effective_rank(X, spectrum="singular_values")["effective_rank"], 4)
        1.8899
    """
    if spectrum not in SPECTRA:
        raise ValueError(f"spectrum must be one of {', '.join(SPECTRA)}; got {spectrum!r}")
    values = without_rounding(moments.eigenvalues)
    if not values.sum() > 0:
        return nan_because("effective_rank", "all rows are the same")
    if spectrum == "singular_values":
        warn_of_single_rounding("effective_rank", moments, values)
        values = np.sqrt(values)
    return {"effective_rank": exponential_of_entropy(values)}
