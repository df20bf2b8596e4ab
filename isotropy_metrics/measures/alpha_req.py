"""α-ReQ: how fast the eigenvalues decay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.measures._spectrum import warn_of_single_rounding, without_rounding
from isotropy_metrics.statistics import Moments

USUAL_RANGE = (11, 100)
"""Ranks of the fits by the package reptrix."""

FEWEST_FEATURES = 50
"""With fewer the range is all ranks."""

EXTRA_KEYS = ("alpha_req_first", "alpha_req_last")


@measure_of(
    needs=Moments,
    bounds=(0.0, float("inf")),
    isotropic=0.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=ten_per_dimension,
    paper="https://papers.neurips.cc/paper_files/paper/2022/hash/70596d70542c51c8d9b4e423f4bf2736-Abstract-Conference.html",
    citation="""@inproceedings{agrawal2022alphareq,
    title = "{$\\alpha$}-{ReQ}: Assessing Representation Quality in Self-Supervised Learning by measuring eigenspectrum
        decay",
    author = "Agrawal, Kumar K and Mondal, Arnab Kumar and Ghosh, Arna and Richards, Blake",
    booktitle = "Advances in Neural Information Processing Systems",
    year = "2022"
}""",
)
def alpha_req(moments: Moments, *, fit_range: Sequence[int] | None = None) -> dict[str, float]:
    """Exponent of the power law that the eigenvalues follow over a range of ranks.

    With λ the eigenvalues of the covariance of the rows, largest first, it is the α of

        log λ_j = −α log j + b,    fitted by least squares with weights 1/j over first ≤ j ≤ last

    Equal variances give 0; the papers see good representations near 1. The range decides the value, so it is part of
    the result. By default it is ranks 11 to 100, as the package reptrix has it; with fewer than 50 features all ranks.
    It ends where the eigenvalues do: fewer rows than features have n − 1.

    What it does not tell: whether a power law fits at all. A space with a few dominant directions and a flat rest
    gives an α that describes neither: look at the spectrum.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        fit_range: first and last rank, counted from 1; None for the default above.

    Returns:
        `alpha_req`, and the ranks used, `alpha_req_first` and `alpha_req_last`.

    Raises:
        ValueError: fewer than 2 rows, or a `fit_range` that is not 1 ≤ first < last.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(5000, 40)) / np.arange(1, 41)    # λ_j = j⁻²
        >>> {key: round(value, 2) for key, value in alpha_req(X).items()}
        {'alpha_req': 2.0, 'alpha_req_first': 1, 'alpha_req_last': 40, 'n_samples': 5000, 'n_features': 40}
    """
    if fit_range is not None and not (len(fit_range) == 2 and 1 <= fit_range[0] < fit_range[1]):
        raise ValueError(f"fit_range must be a first and a last rank, 1 <= first < last; got {fit_range!r}")
    values = without_rounding(moments.eigenvalues)
    rank = int(np.count_nonzero(values))
    if not rank:
        return nan_because("alpha_req", "all rows are the same", *EXTRA_KEYS)
    first, last = fit_range or (USUAL_RANGE if len(values) >= FEWEST_FEATURES else (1, len(values)))
    last = min(last, rank)
    if last <= first:
        return nan_because("alpha_req", f"fewer than 2 of the {rank} eigenvalues are in the range", *EXTRA_KEYS)
    warn_of_single_rounding("alpha_req", moments, values[:last])
    ranks = np.arange(first, last + 1)
    x, y, weight = np.log(ranks), np.log(values[first - 1 : last] / values[0]), 1 / ranks
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    alpha = float(-(weight * x * y).sum() / (weight * x * x).sum())
    return dict(zip(("alpha_req", *EXTRA_KEYS), (max(alpha, 0.0), int(first), int(last)), strict=True))
