"""TwoNN: the intrinsic dimension that the two nearest neighbours tell."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of
from isotropy_metrics.statistics import RowSample

ROUNDING = 1e-12
"""Logarithms of ratios of equal distances are no larger."""


@measure_of(
    needs=RowSample,
    bounds=(0.0, math.inf),
    isotropic=D,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d: 1000,  # the value scatters by about 1/√n of itself
    weighted=False,
    paper="https://doi.org/10.1038/s41598-017-11873-y",
    citation="""@article{facco2017estimating,
    title = "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
    author = "Facco, Elena and d'Errico, Maria and Rodriguez, Alex and Laio, Alessandro",
    journal = "Scientific Reports",
    volume = "7",
    year = "2017"
}""",
)
def two_nn(sample: RowSample, *, discard: float = 0.1) -> dict[str, float]:
    """Intrinsic dimension from the distances of every row to its two nearest neighbours.

    With r₁ and r₂ these distances and μ₁ ≤ ... ≤ μ_N the ratios r₂/r₁ of all rows in ascending order, the slope of a
    line through the origin, fitted by least squares to the first ⌊N · (1 − discard)⌋ points

        (log μᵢ, −log(1 − i/N)),    two_nn = Σ xᵢ yᵢ / Σ xᵢ²

    Where the density is even over two neighbours, log μ is exponential with the dimension as its rate. Isotropic rows
    tend to n_features, but slowly: beyond about 20 dimensions no number of rows that one can have gets near (768
    isotropic dimensions read 171 from 10,000 rows). Compare with the null, and at equal n.

    Rows that equal an earlier one are left out first, since their r₁ is 0. scikit-dimension's TwoNN gives the same
    value for distinct rows; of equal ones it drops all, and the others count them as several neighbours.

    What it does not tell: whether the variance is spread evenly. A stretched cloud and a curved sheet keep their
    dimension as long as they look flat and round to the nearest neighbours.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        discard: share of the rows with the largest ratios that are left out of the fit; at least the last, for which
            log(1 − i/N) is not finite. 0.1 is that of the paper.

    Returns:
        `two_nn`, a number of dimensions, and `two_nn_copies`, the rows left out as copies. NaN unless there are 3
        different rows, not all with their two nearest neighbours at one distance.

    Raises:
        ValueError: fewer than 2 rows, or `discard` not in [0, 1).

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 3)) @ np.random.default_rng(1).normal(size=(3, 50))
        >>> round(two_nn(X)["two_nn"], 1)  # 3 dimensions in a space of 50
        3.0
    """
    if not 0 <= discard < 1:
        raise ValueError(f"discard must be a share from 0 to less than 1, got {discard}")
    distinct = sample.without_copies()
    n = len(distinct.rows)
    copies = {"two_nn_copies": len(sample.rows) - n}
    n_fitted = min(int(n * (1 - discard)), n - 1)
    if n < 3 or n_fitted < 1:
        return nan_because("two_nn", f"{n} different rows are too few") | copies
    distances, _ = distinct.neighbors(2)
    log_ratio = np.sort(np.log(distances[:, 1] / distances[:, 0]))[:n_fitted]
    if log_ratio[-1] < ROUNDING:
        return nan_because("two_nn", "the two nearest neighbours of every row are equally far") | copies
    exceedance = -np.log1p(-np.arange(1, n_fitted + 1) / n)
    return {"two_nn": float(log_ratio @ exceedance / (log_ratio @ log_ratio))} | copies
