"""IsoScore: the share of dimensions that the variance uses isotropically."""

from __future__ import annotations

import math

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(0.0, 1.0),
    isotropic=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, unbiased=False: 30 if unbiased else ten_per_dimension(d),
    paper="2108.07344",
    citation="""@inproceedings{rudman-etal-2022-isoscore,
    title = "{I}so{S}core: Measuring the Uniformity of Embedding Space Utilization",
    author = "Rudman, William and Gillman, Nate and Rayne, Taylor and Eickhoff, Carsten",
    booktitle = "Findings of the Association for Computational Linguistics: ACL 2022",
    year = "2022"
}""",
)
def isoscore(moments: Moments, *, unbiased: bool = False) -> dict[str, float]:
    """Share of the dimensions that the variance uses isotropically.

    With λ the eigenvalues of the covariance Σ of the rows and d = n_features,

        isoscore = (PR − 1) / (d − 1),    PR = (Σλ)² / Σλ² = tr(Σ)² / ‖Σ‖²

    which equals the seven steps of the paper's algorithm. 1 is isotropic, 0 is a line; k equal variances give
    (k − 1)/(d − 1). It reads off the same number as `participation_ratio`: never report both as two findings.

    What it does not tell: whether the space is good for a task (less isotropic ones often are), how far the cloud lies
    from the origin, and which directions are large.

    From n rows of a d-dimensional isotropic Gaussian the plain value is about n/(n + d), not 1. `unbiased=True`
    replaces tr(Σ)² and tr(Σ²) by their unbiased estimates for Gaussian rows (S the sample covariance, n = rows − 1):

        q = n²/((n − 1)(n + 2)) · (‖S‖² − tr(S)²/n),    t = tr(S)² − 2q/n,    isoscore = (t/q − 1)/(d − 1)

    which may fall outside [0, 1], and scatters the more the fewer rows there are. It takes the rows as independent:
    tokens of one sentence are not.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        unbiased: return the value corrected for the finite number of rows. With weights, n is (Σw)²/Σw² − 1.

    Returns:
        `isoscore`, and `dimensions_used` = isoscore · (d − 1) + 1.

    Raises:
        ValueError: fewer than 2 rows; with `unbiased`, fewer than 3.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(256, 768))
        >>> round(isoscore(X, unbiased=True)["isoscore"], 2)
        0.98
        >>> X = np.tile(np.concatenate([np.diag([3.0, 3.0, 0.0]), -np.diag([3.0, 3.0, 0.0])]), (5, 1))
        >>> {key: round(value, 3) for key, value in isoscore(X).items()}
        {'isoscore': 0.5, 'dimensions_used': 2.0, 'n_samples': 30, 'n_features': 3}
    """
    d = moments.n_features
    if d == 1:
        return nan_because("isoscore", "one feature has no isotropy", "dimensions_used")
    t, q = 1.0, moments.purity  # tr(S)² and tr(S²), both over tr(S)²
    if math.isnan(q):
        return nan_because("isoscore", "all rows are the same", "dimensions_used")
    n = moments.effective_n_rows - 1
    if unbiased:
        if n <= 1:
            raise ValueError(f"the unbiased isoscore needs at least 3 rows, got {moments.n_rows}")
        q = n**2 / ((n - 1) * (n + 2)) * (q - t / n)
        if q <= 0:
            return nan_because("isoscore", f"{moments.n_rows} rows are too few to estimate tr(Σ²)", "dimensions_used")
        t = t - 2 / n * q
    score = (t / q - 1) / (d - 1)
    return {"isoscore": score, "dimensions_used": score * (d - 1) + 1}
