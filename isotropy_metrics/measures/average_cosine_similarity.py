"""Average cosine similarity: the anisotropy baseline, exact over all pairs."""

from __future__ import annotations

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(-1.0, 1.0),
    isotropic=0.0,
    invariant_to=("rotation", "scale"),
    paper="1909.00512",
    citation="""@inproceedings{ethayarajh-2019-contextual,
    title = "How Contextual are Contextualized Word Representations? Comparing the Geometry of {BERT}, {ELM}o, and
        {GPT}-2 Embeddings",
    author = "Ethayarajh, Kawin",
    booktitle = "Proceedings of EMNLP-IJCNLP 2019",
    year = "2019"
}""",
)
def average_cosine_similarity(moments: Moments) -> dict[str, float]:
    """Mean cosine between two different rows, exact over all pairs.

    With x̂ = x/‖x‖ and weights w (1 if none are given), over the rows that are not zero,

        average_cosine_similarity = (‖Σ w x̂‖² − Σ w²) / ((Σ w)² − Σ w²)  =  mean of cos(xᵢ, xⱼ) over i ≠ j

    in one pass, where papers sample a thousand pairs. An isotropic space has 0, and so has every space whose unit
    vectors have mean zero, however anisotropic: this is mostly a measure of the offset of the cloud from the origin,
    and a few large dimensions decide it. Values above 0.5 are what users see as "everything is similar".

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).

    Returns:
        `average_cosine_similarity`, from −1/(n − 1) to 1, and `n_zero_rows`, the rows left out because they are zero.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> average_cosine_similarity([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])["average_cosine_similarity"].__round__(4)
        0.4714
    """
    total, squares = moments.unit_weight_sum, moments.unit_weight_square_sum
    n_zero_rows = {"n_zero_rows": moments.n_zero_rows}
    if not total**2 > squares:
        return nan_because("average_cosine_similarity", "fewer than 2 rows are not zero") | n_zero_rows
    unit_sum = moments.unit_sum
    return {"average_cosine_similarity": float((unit_sum @ unit_sum - squares) / (total**2 - squares))} | n_zero_rows
