"""Average cosine similarity: the anisotropy baseline, exact over all pairs."""

from __future__ import annotations

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.measures._words import ETHAYARAJH_2019
from isotropy_metrics.statistics import UnitSums


@measure_of(
    needs=UnitSums,
    bounds=(-1.0, 1.0),
    isotropic=0.0,
    invariant_to=("rotation", "scale"),
    rows_wanted=lambda d: 30,
    paper="1909.00512",
    citation=ETHAYARAJH_2019,
)
def average_cosine_similarity(sums: UnitSums, *, contributions: bool = False) -> dict[str, float]:
    """Mean cosine between two different rows, exact over all pairs.

    With x̂ = x/‖x‖ and weights w (1 if none are given), over the rows that are not zero,

        average_cosine_similarity = (‖Σ w x̂‖² − Σ w²) / ((Σ w)² − Σ w²)  =  mean of cos(xᵢ, xⱼ) over i ≠ j

    in one pass, where papers sample a thousand pairs. Values above 0.5 are what users see as "everything is similar".
    The cosine is a sum over the features, and so is its mean; the part of feature i is (Timkey & van Schijndel 2021)

        cᵢ = ((Σ w x̂ᵢ)² − Σ w² x̂ᵢ²) / ((Σ w)² − Σ w²)

    The cosine regulariser of Gao et al. (2019), divided by n² in I-STAR, is this value times (n − 1)/n.

    What it does not tell: how isotropic a space is. An isotropic space has 0, and so has every space whose unit
    vectors have mean zero, however anisotropic: this is mostly a measure of the offset of the cloud from the origin,
    and a few large dimensions decide it.

    Args:
        sums: statistics of the rows, or the rows themselves (n_samples, n_features).
        contributions: add the part of every feature.

    Returns:
        `average_cosine_similarity`, from −1/(n − 1) to 1, and `n_zero_rows`, the rows left out because they are zero;
        with `contributions`, `cosine_contributions`, a list of n_features numbers that sum to the value, and
        `largest_cosine_contribution`, the share of the largest in that sum; NaN unless the value is positive.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.tile([[1.0, 0.0], [0.0, 2.0]], (20, 1)) + [0.0, 1.0]
        >>> result = average_cosine_similarity(X, contributions=True)
        >>> round(result["average_cosine_similarity"], 3), np.round(result["cosine_contributions"], 3).tolist()
        (0.85, [0.122, 0.728])
    """
    extra_keys = ("cosine_contributions", "largest_cosine_contribution") if contributions else ()
    total, squares = sums.unit_weight_sum, sums.unit_weight_square_sum
    n_zero_rows = {"n_zero_rows": sums.n_zero_rows}
    if not total**2 > squares:
        reason = "fewer than 2 rows are not zero"
        return nan_because("average_cosine_similarity", reason, *extra_keys) | n_zero_rows
    pairs = total**2 - squares
    result = {"average_cosine_similarity": float((sums.unit_sum @ sums.unit_sum - squares) / pairs)} | n_zero_rows
    if contributions:
        of_features = (sums.unit_sum**2 - sums.unit_square_sum) / pairs
        result["cosine_contributions"] = of_features.tolist()
        total = float(of_features.sum())
        result["largest_cosine_contribution"] = float(of_features.max()) / total if total > 0 else float("nan")
    return result
