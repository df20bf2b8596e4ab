"""Matrix entropy: the entropy of the spectrum of normalised rows."""

from __future__ import annotations

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.measures._spectrum import entropy, without_rounding
from isotropy_metrics.statistics import RowSample

CHUNK_ROWS = 4096


@measure_of(
    needs=RowSample,
    bounds=(0.0, 1.0),
    isotropic=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="2401.17139",
    citation="""@inproceedings{wei2024differank,
    title = "{D}iff-e{R}ank: A Novel Rank-Based Metric for Evaluating Large Language Models",
    author = "Wei, Lai and Tan, Zhiquan and Li, Chenghai and Wang, Jindong and Huang, Weiran",
    booktitle = "Advances in Neural Information Processing Systems",
    year = "2024"
}""",
)
def matrix_entropy(sample: RowSample, *, centered: bool = True) -> dict[str, float]:
    """Entropy of the spectrum of rows that are centred and brought to length 1, over the largest possible.

    With x̂ the rows less their mean, divided by their length, and p the eigenvalues of Σ x̂ x̂ᵀ divided by their sum,

        matrix_entropy = −Σ p log p / log d

    1 is isotropic. `matrix_entropy_nats` is not divided by log d; its exponential is the eRank of Wei et al. With
    `centered=False` rows are only brought to length 1: then it is the von Neumann entropy (order 1) of the Gram matrix
    of Skean et al. (2502.02013), in nats. Since all rows count alike whatever their length, massive activations in a
    few rows do not decide the value, as they do in `effective_rank`.

    What it does not tell: whether rows differ in length, and which directions carry meaning. A low entropy of an early
    layer of a language model is mostly its attention sink: leave such tokens out first.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        centered: subtract the mean of the rows before they are brought to length 1.

    Returns:
        `matrix_entropy`, from 0 to 1, and `matrix_entropy_nats`, from 0 to log d.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 20)) / np.arange(1, 21)
        >>> {key: round(value, 3) for key, value in matrix_entropy(X).items()}
        {'matrix_entropy': 0.62, 'matrix_entropy_nats': 1.856, 'n_samples': 2000, 'n_features': 20}
    """
    rows, d = sample.rows, sample.n_features
    if d == 1:
        return nan_because("matrix_entropy", "one feature has no isotropy", "matrix_entropy_nats")
    if (rows == rows[0]).all() and (centered or not rows.any()):
        reason = "all rows are the same" if centered else "all rows are zero"
        return nan_because("matrix_entropy", reason, "matrix_entropy_nats")
    weight = np.ones(len(rows)) if sample.weight is None else sample.weight
    scale = np.abs(rows).max()
    mean = np.average(rows / scale, axis=0, weights=weight) if centered else 0.0
    gram = np.zeros((d, d))
    for start in range(0, len(rows), CHUNK_ROWS):
        x = rows[start : start + CHUNK_ROWS].astype(np.float64) / scale - mean
        squares = np.einsum("ij,ij->i", x, x)
        share = np.divide(weight[start : start + CHUNK_ROWS], squares, out=np.zeros(len(x)), where=squares > 0)
        gram += (x * share[:, None]).T @ x
    nats = entropy(without_rounding(np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)))
    return {"matrix_entropy": nats / float(np.log(d)), "matrix_entropy_nats": nats}
