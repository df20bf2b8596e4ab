"""Local intrinsic dimension: how fast the number of neighbours grows with the distance."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of
from isotropy_metrics.statistics import RowSample

COMBINATIONS = ("harmonic_mean", "mean", "median")

ROUNDING = 1e-12
"""Logarithms of ratios of equal distances are no larger."""


@measure_of(
    needs=RowSample,
    bounds=(0.0, math.inf),
    isotropic=D,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, k=20: max(1000, 50 * k),  # k neighbours of fewer rows are not near, and lower the value
    weighted=False,
    paper="https://papers.nips.cc/paper/2004/hash/74934548253bcab8490ebd74afed7031-Abstract.html",
    citation="""@inproceedings{levina2004maximum,
    title = "Maximum Likelihood Estimation of Intrinsic Dimension",
    author = "Levina, Elizaveta and Bickel, Peter",
    booktitle = "Advances in Neural Information Processing Systems",
    volume = "17",
    year = "2004"
}""",
)
def local_intrinsic_dimension(sample: RowSample, *, k: int = 20, comb: str = "harmonic_mean") -> dict[str, float]:
    """Intrinsic dimension from the distances of every row to its k nearest neighbours, by maximum likelihood.

    With T₁ ≤ ... ≤ T_k these distances, the dimension about a row is the inverse of

        m⁻¹ = (1/(k − 1)) Σ log(T_k/T_j)    over j = 1 ... k − 1

    and local_intrinsic_dimension = 1 / mean of m⁻¹, the harmonic mean over the rows, which maximises the likelihood of
    one common dimension (MacKay & Ghahramani 2005). Levina & Bickel averaged m itself, which is larger, the more so
    the smaller k is. Isotropic rows tend to n_features, but slowly: beyond about 20 dimensions no number of rows that
    one can have gets near (768 isotropic dimensions read 147 from 10,000 rows). Compare with the null, and at equal n.

    Rows that equal an earlier one are left out first; scikit-dimension's MLE, the same for distinct rows (its
    comb="mle", "mean" and "median"), returns 0 where there are any.

    What it does not tell: whether the variance is spread evenly; and one number cannot tell a space of one dimension
    from a mixture of several.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        k: neighbours, at least 2. Fewer look closer and scatter more.
        comb: how the rows are combined: "harmonic_mean", or the "mean" or "median" of m.

    Returns:
        `local_intrinsic_dimension`, a number of dimensions, and `local_intrinsic_dimension_copies`, the rows left out
        as copies. NaN unless there are more than k different rows.

    Raises:
        ValueError: fewer than 2 rows, k < 2, or another `comb`.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 3)) @ np.random.default_rng(1).normal(size=(3, 50))
        >>> round(local_intrinsic_dimension(X)["local_intrinsic_dimension"], 1)  # 3 dimensions in a space of 50
        3.0
    """
    if comb not in COMBINATIONS:
        raise ValueError(f"comb must be one of {', '.join(COMBINATIONS)}; got {comb!r}")
    if k < 2:
        raise ValueError(f"k must be at least 2 neighbours, got {k}")
    distinct = sample.without_copies()
    n = len(distinct.rows)
    copies = {"local_intrinsic_dimension_copies": len(sample.rows) - n}
    if n <= k:
        reason = f"{k} neighbours need at least {k + 1} different rows, got {n}"
        return nan_because("local_intrinsic_dimension", reason) | copies
    distances, _ = distinct.neighbors(k)
    inverse = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)
    if (inverse.max() if comb == "harmonic_mean" else inverse.min()) < ROUNDING:
        return nan_because("local_intrinsic_dimension", f"the {k} neighbours of a row are equally far") | copies
    dimension = 1 / inverse.mean() if comb == "harmonic_mean" else getattr(np, comb)(1 / inverse)
    return {"local_intrinsic_dimension": float(dimension)} | copies
