"""IsoScore*: IsoScore of a covariance that is shrunk towards another."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.statistics import Moments


@measure_of(
    needs=Moments,
    bounds=(0.0, 1.0),
    isotropic=1.0,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, shrinkage=0.2: 2 * d if shrinkage else 10 * d,
    paper="2305.19358",
    citation="""@inproceedings{rudman2024stable,
    title = "Stable Anisotropic Regularization",
    author = "Rudman, William and Eickhoff, Carsten",
    booktitle = "The Twelfth International Conference on Learning Representations",
    year = "2024"
}""",
)
def isoscore_star(
    moments: Moments, *, shrinkage: float = 0.2, c0: Any = None, scale_c0: bool = True
) -> dict[str, float]:
    """IsoScore of the covariance shrunk towards a second one, which steadies it when rows are few.

    With S the covariance of the rows (divisor n − 1), ζ = `shrinkage`, C₀ = `c0` (None: the identity),

        Σ = (1 − ζ) S + ζ C₀,    isoscore_star = (tr(Σ)²/‖Σ‖² − 1) / (d − 1)

    ζ = 0 is `isoscore`, ζ = 1 looks at C₀ alone. With `scale_c0` C₀ is first brought to the trace of S, so that ζ
    means the same at any scale of the rows; as published (`scale_c0=False`) it is taken as it is, and rows of small
    norm then read as isotropic because the identity outweighs them. With weights the divisor is
    Kish's effective number of rows less one.

    What it does not tell: how isotropic the space is, for any ζ that is not small: the value lies between that of the
    rows and that of C₀. It is made for the loss of I-STAR, where few rows must give a steady gradient.

    Args:
        moments: statistics of the rows, or the rows themselves (n_samples, n_features).
        shrinkage: ζ, from 0 to 1; 0.2 is the default of the authors' code.
        c0: (n_features, n_features), the covariance to shrink to; symmetric. None for the identity.
        scale_c0: give C₀ the trace of S first.

    Returns:
        `isoscore_star`, from 0 to 1.

    Raises:
        ValueError: fewer than 2 rows, `shrinkage` outside [0, 1], or a `c0` of another shape.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(1000, 3)) * [2.0, 1.0, 1.0]
        >>> round(isoscore_star(X, shrinkage=0.0)["isoscore_star"], 2), round(isoscore_star(X)["isoscore_star"], 2)
        (0.5, 0.64)
    """
    d = moments.n_features
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must be from 0 to 1, got {shrinkage}")
    target = None if c0 is None else np.asarray(c0, dtype=np.float64)
    if target is not None and not (
        target.shape == (d, d) and np.isfinite(target).all() and np.allclose(target, target.T) and np.trace(target) > 0
    ):
        raise ValueError(f"c0 must be a symmetric covariance of shape {(d, d)} with a trace, got shape {target.shape}")
    if d == 1:
        return nan_because("isoscore_star", "one feature has no isotropy")
    trace = float(np.trace(moments.scatter))
    if not trace > 0:
        return nan_because("isoscore_star", "all rows are the same")
    n = moments.effective_n_rows
    size = trace / moments.weight_sum * (n / (n - 1))  # tr(S); below, all is divided by it
    target_trace = d if target is None else float(np.trace(target))
    target_square = d if target is None else float(np.vdot(target, target))
    product = 1.0 if target is None else float(np.vdot(moments.scatter, target)) / trace
    own, other = 1 - shrinkage, shrinkage / (target_trace if scale_c0 else size)
    mixed_trace = own + other * target_trace
    mixed_square = own**2 * moments.purity + 2 * own * other * product + other**2 * target_square
    return {"isoscore_star": (mixed_trace**2 / mixed_square - 1) / (d - 1)}
