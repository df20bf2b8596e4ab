"""Alignment: how near to each other the two rows of a pair are."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures.comparisons._comparison import comparison_of
from isotropy_metrics.statistics import PairSample


@comparison_of(
    needs=PairSample,
    bounds=(0.0, 4.0),
    same=0.0,
    same_width=True,
    invariant_to=("scale",),
    rows_wanted=lambda d: 30,
    paper="2005.10242",
    citation="""@inproceedings{wang2020understanding,
    title = "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere",
    author = "Wang, Tongzhou and Isola, Phillip",
    booktitle = "Proceedings of the 37th International Conference on Machine Learning",
    year = "2020"
}""",
)
def alignment(pairs: PairSample, *, alpha: float = 2.0) -> dict[str, float]:
    """Mean distance between the unit vectors of paired rows, to the power alpha.

    With x̂ = x/‖x‖ and ŷ = y/‖y‖ the rows of a pair (two views of one thing, a question and its answer),

        alignment = mean over the pairs of ‖x̂ − ŷ‖^α

    0 is pairs that point the same way. With α = 2 it is 2 − 2 · the mean cosine of the pairs, so that pairs at right
    angles have 2. Rows are always divided by their length: values of raw rows, which some projects report, are not
    comparable. Papers on sentence embeddings take the pairs of the STS benchmark with a score above 4.

    What it does not tell: whether pairs are nearer than other rows. A collapsed space, where all rows point one way,
    has 0: read it beside `uniformity`, or beside the value of random pairs (`null=True`).

    Args:
        pairs: rows of both sides, (n_samples, n_features) each, with the same features, or a `PairSample` of them;
            more pairs than its size are sampled.
        alpha: the power.

    Returns:
        `alignment`, from 0 to 2^α, and `n_zero_pairs`, the pairs left out because one of their rows is zero.

    Raises:
        ValueError: other numbers of rows or of features in the two, fewer than 2 rows, or an `alpha` of 0 or less.

    Example:
        >>> import numpy as np
        >>> X = np.eye(50)
        >>> alignment(X, 3 * X)["alignment"], alignment(X, -X)["alignment"]
        (0.0, 4.0)
        >>> round(alignment(X, X[::-1])["alignment"], 6)
        2.0
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be larger than 0, got {alpha}")
    first, second = (rows.astype(np.float64) for rows in (pairs.first, pairs.second))
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    kept = (lengths[0] > 0) & (lengths[1] > 0)
    n_zero_pairs = {"n_zero_pairs": int((~kept).sum())}
    if not kept.any():
        return nan_because("alignment", "every pair has a row that is zero") | n_zero_pairs
    first, second = (rows[kept] / length[kept, None] for rows, length in zip((first, second), lengths, strict=True))
    distances = np.linalg.norm(first - second, axis=1) ** alpha
    weight = None if pairs.weight is None else pairs.weight[kept]
    return {"alignment": float(np.average(distances, weights=weight))} | n_zero_pairs
