"""Partition isotropy I(W): the ratio of the extremes of the partition function."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of, ten_per_dimension
from isotropy_metrics.statistics import RowSample
from isotropy_metrics.statistics.side_by_side import WORKER_VALUES, equal_blocks, side_by_side

SIGNS = ("both", "largest_positive")

CHUNK_ROWS = 1024
"""Rows whose products are held at once, on every core."""


@measure_of(
    needs=RowSample,
    bounds=(0.0, 1.0),
    isotropic=1.0,
    invariant_to=("rotation",),
    rows_wanted=ten_per_dimension,
    paper="1702.01417",
    citation="""@inproceedings{mu2018allbutthetop,
    title = "All-but-the-Top: Simple and Effective Postprocessing for Word Representations",
    author = "Mu, Jiaqi and Viswanath, Pramod",
    booktitle = "International Conference on Learning Representations",
    year = "2018"
}""",
)
def partition_isotropy(
    sample: RowSample, *, centered: bool = False, signs: str = "both", legacy_rows: bool = False
) -> dict[str, float]:
    """Smallest over largest value of the partition function, over the eigenvectors of WᵀW.

    With the rows w of W and the eigenvectors u of WᵀW (the columns that an eigensolver returns),

        F(u) = Σ exp(uᵀ w),    partition_isotropy = I(W) = min F(u) / max F(u)

    1 is isotropic. For Gaussian rows with mean 0 it tends to exp(−(λ_max − λ_min)/2); it spans hundreds of orders of
    magnitude, so that it is computed and best read as a logarithm. It is the I₁ of Ait-Saada & Nadif (2023); their
    I₂ = std(F)/mean(F), larger for less isotropic spaces, is `partition_variation`. All is computed in float64: in
    float32 the eigenvectors of near-equal eigenvalues turn, and the value with them.

    What it does not tell: anything of the directions between the two extreme ones, and it changes with the scale of
    the rows. It serves comparison with older papers; for the rest see `isoscore`.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        centered: subtract the mean of the rows first. False, as in the papers, measures the raw rows.
        signs: "both" takes u and −u, so that the value is unique; "largest_positive" takes the one of the two whose
            largest entry is positive, where published values take the arbitrary sign that a solver returned.
        legacy_rows: take the rows of the matrix of eigenvectors for the eigenvectors, as the code of several papers
            did by mistake. Only to find out where a published value came from: a collapsed cloud reads 0.3 and more.

    Returns:
        `partition_isotropy`, in [0, 1], `partition_isotropy_log10`, which does not underflow, and
        `partition_variation`, from 0.

    Raises:
        ValueError: fewer than 2 rows, or other `signs`.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(5000, 3)) @ np.diag([2.0, 1.0, 1.0])
        >>> round(partition_isotropy(X)["partition_isotropy"], 2)  # of infinitely many rows: exp(-(4 - 1)/2) = 0.22
        0.2
        >>> round(partition_isotropy(100 * X)["partition_isotropy_log10"])
        -184
    """
    if signs not in SIGNS:
        raise ValueError(f"signs must be one of {', '.join(SIGNS)}; got {signs!r}")
    rows, weight = sample.rows, sample.weight
    reason = _degenerate(rows)
    if reason:
        return nan_because("partition_isotropy", reason, "partition_isotropy_log10", "partition_variation")
    weight = np.ones(len(rows)) if weight is None else weight
    log_weight = np.log(weight)
    mean = np.average(rows.astype(np.float64), axis=0, weights=weight) if centered else np.zeros(rows.shape[1])
    n_signs = 2 if signs == "both" else 1

    def gram_of(chunk: slice) -> np.ndarray:
        x = (rows[chunk] - mean) * np.sqrt(weight[chunk, None])
        return x.T @ x

    def log_f_of(chunk: slice) -> np.ndarray:
        """ln Σ exp(± uᵀ w) over these rows, (n_signs, n_features)."""
        projections = (rows[chunk] - mean) @ eigenvectors
        log_f = np.empty((n_signs, rows.shape[1]))
        for sign, log_f_of_sign in zip((1, -1), log_f, strict=False):
            exponents = sign * projections
            exponents += log_weight[chunk, None]
            largest = exponents.max(axis=0)
            exponents -= largest
            log_f_of_sign[:] = largest + np.log(np.exp(exponents, out=exponents).sum(axis=0))
        return log_f

    with side_by_side(rows.size // WORKER_VALUES) as (map_of_chunks, n_workers):
        chunks = equal_blocks(len(rows), CHUNK_ROWS, n_workers)
        gram = np.zeros((rows.shape[1], rows.shape[1]))
        for first in range(0, len(chunks), n_workers):
            for of_chunk in map_of_chunks(gram_of, chunks[first : first + n_workers]):
                gram += of_chunk
        eigenvectors = np.linalg.eigh(gram)[1]
        largest = eigenvectors[np.abs(eigenvectors).argmax(axis=0), np.arange(rows.shape[1])]
        eigenvectors *= np.sign(largest)
        if legacy_rows:
            eigenvectors = eigenvectors.T
        log_f = np.logaddexp.reduce(list(map_of_chunks(log_f_of, chunks)))
    log10 = float(log_f.min() - log_f.max()) / math.log(10)
    f = np.exp(log_f - log_f.max())
    variation = float(f.std() / f.mean())
    return {
        "partition_isotropy": 10.0**log10,
        "partition_isotropy_log10": log10,
        "partition_variation": variation,
    }


def _degenerate(rows: np.ndarray) -> str | None:
    if rows.shape[1] == 1:
        return "one feature has no isotropy"
    if (rows != rows[0]).any():
        return None
    return "all rows are the same" if rows.any() else "all rows are zero"
