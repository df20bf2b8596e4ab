"""Modality gap: how far apart the centres of two clouds of directions lie."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures.comparisons._comparison import comparison_of
from isotropy_metrics.statistics import Moments, TwoMoments

COSINES = ("cross_cosine", "within_cosine1", "within_cosine2")


@comparison_of(
    needs=TwoMoments,
    bounds=(0.0, 2.0),
    same=0.0,
    same_width=True,
    invariant_to=("scale",),
    rows_wanted=lambda d: 100,
    paper="2203.02053",
    citation="""@inproceedings{liang2022mind,
    title = "Mind the Gap: Understanding the Modality Gap in Multi-modal Contrastive Representation Learning",
    author = "Liang, Weixin and Zhang, Yuhui and Kwon, Yongchan and Yeung, Serena and Zou, James",
    booktitle = "Advances in Neural Information Processing Systems 35",
    year = "2022"
}""",
)
def modality_gap(two: TwoMoments) -> dict[str, float]:
    """Distance between the mean unit vectors of two clouds of one space, as of images and texts or of two languages.

    With x̂ = x/‖x‖ over the rows of the first cloud that are not zero, and ŷ over those of the second,

        modality_gap = ‖mean of x̂ − mean of ŷ‖

    and, exact over all pairs of rows,

        cross_cosine   = mean of cos(xᵢ, yⱼ) over all i, j
        within_cosine1 = mean of cos(xᵢ, xⱼ) over i ≠ j, and within_cosine2 of the second cloud

    0 is one centre for both; 2 is two opposite points. The rows need not be paired, nor as many in either cloud. Two
    clouds of n₁ and n₂ isotropic rows have a gap of about √(1/n₁ + 1/n₂) by chance; within_cosine1 + within_cosine2 −
    2 · cross_cosine estimates its square without that bias. Shukor & Cord (2024) read the cross cosine against those
    within.

    What it does not tell: whether the clouds overlap. It compares centres: two clouds can share theirs and be shaped
    differently, or be well apart in a single direction.

    Args:
        two: rows of both clouds, (n_samples, n_features) each, with the same features, or `TwoMoments` of them.

    Returns:
        `modality_gap`, from 0 to 2, `cross_cosine`, `within_cosine1` and `within_cosine2`, from -1 to 1 (NaN where
        only one row of a cloud is not zero), and `n_zero_rows1` and `n_zero_rows2`, the rows left out because they are
        zero.

    Raises:
        ValueError: other numbers of features in the two clouds, or fewer than 2 rows in one.

    Example:
        >>> import numpy as np
        >>> X, Y = np.random.default_rng(0).normal(size=(2, 1000, 8))
        >>> values = modality_gap(X + [3, 0, 0, 0, 0, 0, 0, 0], Y)
        >>> {key: round(value, 2) for key, value in values.items() if key in ("modality_gap", "cross_cosine")}
        {'modality_gap': 0.72, 'cross_cosine': 0.01}
    """
    n_zero_rows = {f"n_zero_rows{i}": each.n_zero_rows for i, each in ((1, two.first), (2, two.second))}
    if not (two.first.unit_weight_sum > 0 and two.second.unit_weight_sum > 0):
        return nan_because("modality_gap", "all rows of a cloud are zero", *COSINES) | n_zero_rows
    first, second = (each.unit_sum / each.unit_weight_sum for each in (two.first, two.second))
    return {
        "modality_gap": float(np.linalg.norm(first - second)),
        "cross_cosine": float(first @ second),
        "within_cosine1": _mean_cosine(two.first),
        "within_cosine2": _mean_cosine(two.second),
    } | n_zero_rows


def _mean_cosine(moments: Moments) -> float:
    """Mean cosine between two different rows, as in `average_cosine_similarity`."""
    total, squares = moments.unit_weight_sum, moments.unit_weight_square_sum
    if not total**2 > squares:
        return float("nan")
    return float((moments.unit_sum @ moments.unit_sum - squares) / (total**2 - squares))
