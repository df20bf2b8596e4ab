"""Persistent entropy: how unequal the distances are at which rows join into one cluster."""

from __future__ import annotations

import math

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.measures._spectrum import entropy
from isotropy_metrics.statistics import RowSample
from isotropy_metrics.statistics.row_sample import NEIGHBORS_AT_ONCE
from isotropy_metrics.statistics.spanning_tree import spanning_tree_lengths


@measure_of(
    needs=RowSample,
    bounds=(0.0, math.inf),
    isotropic=None,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d: 1000,  # what it lacks to an even entropy scatters by a tenth of itself
    weighted=False,
    paper="2501.05502",
    citation="""@article{kudriashov2025shrink,
    title = "Shrink the longest: improving latent space isotropy with simplicial geometry",
    author = "Kudriashov, Sergei and Karpik, Olesya and Klyshinsky, Eduard",
    journal = "arXiv preprint arXiv:2501.05502",
    year = "2025"
}""",
)
def persistent_entropy(sample: RowSample) -> dict[str, float]:
    """Entropy of the lengths at which the connected components of the rows merge.

    Let balls grow about the n rows: components merge at the lengths l of the n − 1 edges of the Euclidean minimum
    spanning tree, the bars of the 0-th persistent homology of the Vietoris-Rips complex. With L = Σ l,

        persistent_entropy = −Σ (l/L) log(l/L),    persistent_entropy_normalized = persistent_entropy / log(n − 1)

    The second is 1 if all lengths are equal, and falls as few long edges join clusters and outliers to the rest. An
    isotropic space has no value of its own, as n and d decide it: see the null, and compare at equal n. Rows that
    equal an earlier one are left out first, since their edges have length 0. The regulariser of Kudriashov et al.
    takes the bars of loops and voids too, and of all bars the prominent ones.

    What it does not tell: the shape of the cloud beyond its density, and where the long edges are. In many dimensions
    all edges of any cloud without clusters are of nearly one length.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.

    Returns:
        `persistent_entropy`, from 0 to log(n − 1) for n different rows; `persistent_entropy_normalized`, from 0 to 1;
        and `persistent_entropy_copies`, the rows left out as copies. NaN unless there are 3 different rows.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(1000, 3))
        >>> round(persistent_entropy(X)["persistent_entropy_normalized"], 3)
        0.982
        >>> X[:10] *= 1000
        >>> round(persistent_entropy(X)["persistent_entropy_normalized"], 3)
        0.359
    """
    distinct = sample.without_copies()
    n = len(distinct.rows)
    copies = {"persistent_entropy_copies": len(sample.rows) - n}
    if n < 3:
        reason = f"3 different rows are needed, got {n}"
        return nan_because("persistent_entropy", reason, "persistent_entropy_normalized") | copies
    neighbors = distinct.neighbors(min(NEIGHBORS_AT_ONCE, n - 1))
    value = entropy(spanning_tree_lengths(distinct.rows, *neighbors, device=sample.device))
    return {"persistent_entropy": value, "persistent_entropy_normalized": value / math.log(n - 1)} | copies
