"""Eigenvalue early enrichment: how much earlier the variance accumulates than it would evenly."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(0.0, 1.0),
    isotropic=0.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2212.08172",
    citation="""@inproceedings{marbut2023reliable,
    title = "Reliable Measures of Spread in High Dimensional Latent Spaces",
    author = "Marbut, Anna and McKinney-Bock, Katy and Wheeler, Travis",
    booktitle = "Proceedings of the 40th International Conference on Machine Learning",
    year = "2023"
}""",
)
def eigenvalue_early_enrichment(moments: Moments) -> dict[str, float]:
    """Area between the cumulative spectrum and an even one, as a share of the largest area.

    With λ the eigenvalues of the covariance of the rows, largest first, and c_j = λ₁ + … + λ_j,

        eigenvalue_early_enrichment = Σ' (c_j − j Σλ/d) / (Σλ · d/2)

    where Σ' is the trapezoidal rule over j = 1 … d. It is 0 for equal variances, ((d − 1)/d)² for one direction that
    holds all of it, and usually called EEE. The authors' code rounds to four digits; this does not. With fewer rows
    than features the missing directions count with variance zero.

    What it does not tell: a few dominant directions from a steady decay, which can have one area. From n rows of an
    isotropic Gaussian it is far from 0 while n is not many times d: 0.40 at n = 2d and 0.13 at n = 20d for d = 768.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).

    Returns:
        `eigenvalue_early_enrichment`, from 0 to ((d − 1)/d)².

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.tile(np.concatenate([np.diag([2.0, 0.0, 0.0]), -np.diag([2.0, 0.0, 0.0])]), (5, 1))
        >>> round(eigenvalue_early_enrichment(X)["eigenvalue_early_enrichment"], 4)    # ((3 - 1)/3)²
        0.4444
    """
    values = moments.eigenvalues
    d = len(values)
    if d == 1:
        return nan_because("eigenvalue_early_enrichment", "one feature has no isotropy")
    if not values[0] > 0:
        return nan_because("eigenvalue_early_enrichment", "all rows are the same")
    above = np.cumsum(values / values.sum()) - np.arange(1, d + 1) / d
    area = above.sum() - (above[0] + above[-1]) / 2
    return {"eigenvalue_early_enrichment": float(max(area, 0.0) / (d / 2))}
