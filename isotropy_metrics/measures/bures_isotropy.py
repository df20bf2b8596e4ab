"""Bures distance of the directions from those of an isotropic space."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.measures._spectrum import warn_of_single_rounding, without_rounding
from isotropy_metrics.statistics import UnitMoments


@measure_of(
    needs=UnitMoments,
    bounds=(0.0, 2.0),
    isotropic=0.0,
    invariant_to=("rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="https://aclanthology.org/2023.findings-emnlp.545",
    citation="""@inproceedings{ji-etal-2023-isotropic,
    title = "Isotropic Representation Can Improve Zero-Shot Cross-Lingual Transfer on Multilingual Language Models",
    author = "Ji, Yixin and Wang, Jikai and Li, Juntao and Ye, Hai and Zhang, Min",
    booktitle = "Findings of the Association for Computational Linguistics: EMNLP 2023",
    year = "2023"
}""",
)
def bures_isotropy(unit_moments: UnitMoments) -> dict[str, float]:
    """Squared Wasserstein distance of the directions of the rows from an isotropic Gaussian of the same size.

    With μ and Σ mean and covariance (divisor n) of the rows divided by their length, zero rows left out,

        bures_isotropy = W₂²(N(μ, Σ), N(0, I/d)) = ‖μ‖² + 1 + tr(Σ) − (2/√d) tr(Σ^½) = 2 − (2/√d) Σ√λ

    (the last step since ‖μ‖² + tr(Σ) = 1 for rows of length 1). 0 is isotropic, 2 is a single direction. It sees an
    offset of the cloud from the origin and unequal variances in one number.

    What it does not tell: which of the two it was: a shifted isotropic cloud and a centred anisotropic one can have
    one value. The lengths of the rows have no part in it.

    Args:
        unit_moments: statistics of the rows, or the rows themselves (n_samples, n_features).

    Returns:
        `bures_isotropy`, from 0 to 2.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 20))
        >>> round(bures_isotropy(X)["bures_isotropy"], 3), round(bures_isotropy(X + 1)["bures_isotropy"], 3)
        (0.003, 0.597)
    """
    mass = unit_moments.unit_weight_sum
    if not mass > 0:
        return nan_because("bures_isotropy", "all rows are zero")
    mean, all_mean = unit_moments.unit_sum / mass, unit_moments.mean
    scatter = unit_moments.scatter
    if unit_moments.n_zero_rows:  # zero rows are in the scatter, but have no direction
        scatter = scatter + unit_moments.weight_sum * np.outer(all_mean, all_mean) - mass * np.outer(mean, mean)
    values = without_rounding(np.clip(np.linalg.eigvalsh(scatter / mass)[::-1], 0, None))
    values[unit_moments.n_rows - 1 :] = 0
    warn_of_single_rounding("bures_isotropy", unit_moments, values * mass)
    return {"bures_isotropy": float(max(2 - 2 / np.sqrt(len(values)) * np.sqrt(values).sum(), 0.0))}
