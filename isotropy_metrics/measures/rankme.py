"""RankMe: the effective rank of the raw matrix of rows."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import D, measure_of, ten_per_dimension
from isotropy_metrics.measures._spectrum import warn_of_single_rounding, without_rounding
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(1.0, D),
    isotropic=D,
    invariant_to=("rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2210.02885",
    citation="""@inproceedings{garrido2023rankme,
    title = "{R}ank{M}e: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
        Rank",
    author = "Garrido, Quentin and Balestriero, Randall and Najman, Laurent and LeCun, Yann",
    booktitle = "Proceedings of the 40th International Conference on Machine Learning",
    year = "2023"
}""",
)
def rankme(moments: Moments, *, centered: bool = False, epsilon: float = 0.0) -> dict[str, float]:
    """Exponential of the entropy of the singular values of the raw rows, as a number of dimensions.

    With σ the singular values of the matrix of rows, (n_samples, n_features),

        p = σ / Σσ + ε,    rankme = exp(−Σ p log p)

    The rows are not centred, as in the paper, so that a large mean is one dominant direction and pulls the value down.
    It is `effective_rank(spectrum="singular_values")` but for the mean. Code that takes eigenvalues (squares of σ), or
    centres, and calls it RankMe gives other numbers. An isotropic space with mean zero gives d = n_features.

    What it does not tell: how good a representation is. The paper compares runs of one method only, and finds 25,600
    rows enough; it says nothing of which directions matter for a task.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        centered: subtract the mean of the rows first.
        epsilon: ε, added to every p after they were normalised. The paper's 1e-7 guards float32 against log 0 and
            makes the value a little too large (by 0.33 for 20,000 isotropic rows in 768 dimensions);
            zero directions count as zero here without it.

    Returns:
        `rankme`, from 1 to n_features.

    Raises:
        ValueError: fewer than 2 rows, or a negative `epsilon`.

    Example:
        >>> import numpy as np
        >>> X = np.tile(np.concatenate([np.diag([2.0, 1.0, 0.0]), -np.diag([2.0, 1.0, 0.0])]), (5, 1))
        >>> round(rankme(X)["rankme"], 4), round(rankme(X + 5)["rankme"], 4)
        (1.8899, 1.6149)
    """
    if epsilon < 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    values = without_rounding(moments.eigenvalues if centered else moments.raw_eigenvalues)
    if not values.sum() > 0:
        return nan_because("rankme", "all rows are the same" if centered else "all rows are zero")
    warn_of_single_rounding("rankme", moments, values)
    values = np.sqrt(values)
    share = values[: moments.n_rows] / values.sum() + epsilon
    share = share[share > 0]
    return {"rankme": float(np.exp(-(share * np.log(share)).sum()))}
