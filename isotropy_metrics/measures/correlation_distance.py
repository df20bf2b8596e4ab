"""Correlation distance: how far the features are from uncorrelated."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import OfDimension, measure_of, ten_per_dimension
from isotropy_metrics.statistics import Moments

ROWS_AT_ONCE = 128
"""Of the scatter matrix: a copy of all of it takes longer than the squares."""


@measure_of(
    needs=Moments,
    bounds=(0.0, OfDimension("√(d(d−1))", lambda d: math.sqrt(d * (d - 1)))),
    isotropic=0.0,
    invariant_to=("translation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2205.07208",
    citation="""@inproceedings{zhang-etal-2022-fine-tuning,
    title = "Fine-tuning Pre-trained Language Models for Few-shot Intent Detection: Supervised Pre-training and
        Isotropization",
    author = "Zhang, Haode and Liang, Haowen and Zhang, Yuwei and Zhan, Li-Ming and Wu, Xiao-Ming and Lu, Xiaolei and
        Lam, Albert",
    booktitle = "Proceedings of NAACL 2022",
    year = "2022"
}""",
)
def correlation_distance(moments: Moments, *, subtract_floor: bool = False) -> dict[str, float]:
    """Distance of the correlation matrix of the features from the identity (the Cor-Reg of Zhang et al.).

    With R the (n_features, n_features) correlation matrix of the rows,

        correlation_distance = ‖R − I‖ = √(Σ_{i≠j} r_ij²)        (Frobenius norm)

    0 means uncorrelated features, √(d(d − 1)) that all are copies of one. n rows of independent features have about

        floor = √(d(d − 1)/(n − 1))

    which is most of the value for a batch of fewer rows than features. `subtract_floor=True` returns √(value² −
    floor²), 0 where that is negative, so that values of different n can be compared.

    What it does not tell: whether variances are equal, since correlations do not see them; it depends on the axes, so
    that a rotation changes it. A feature that never varies has no correlation and counts as uncorrelated.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        subtract_floor: remove what the finite number of rows adds. With weights, n is (Σw)²/Σw².

    Returns:
        `correlation_distance`, from 0 to √(d(d − 1)).

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(500, 50)) + 0.2 * rng.normal(size=(500, 1))    # r = 0.04/1.04, 50 · 49 times: 1.90
        >>> round(correlation_distance(X)["correlation_distance"], 2)    # by chance alone √(50 · 49/499) = 2.22
        3.01
        >>> round(correlation_distance(X, subtract_floor=True)["correlation_distance"], 2)
        2.03
    """
    scatter = moments.scatter
    d = len(scatter)
    if d == 1:
        return nan_because("correlation_distance", "one feature has nothing to correlate with")
    variances = np.maximum(np.diagonal(scatter), 0.0)  # rounding may leave a constant feature just below zero
    if not variances.any():
        return nan_because("correlation_distance", "all rows are the same")
    over_deviation = np.divide(1, np.sqrt(variances), out=np.zeros(d), where=variances > 0)
    squared = 0.0
    for start in range(0, d, ROWS_AT_ONCE):
        part = np.arange(start, min(start + ROWS_AT_ONCE, d))
        correlations = over_deviation[part, None] * scatter[part]
        correlations *= over_deviation
        correlations[part - start, part] = 0
        squared += float(np.square(correlations, out=correlations).sum())
    if subtract_floor:
        varying = np.count_nonzero(variances)
        squared -= varying * (varying - 1) / (moments.effective_n_rows - 1)
    return {"correlation_distance": math.sqrt(max(squared, 0.0))}
