"""Hubness: a few rows are among the nearest neighbours of very many."""

from __future__ import annotations

import math

import numpy as np

from isotropy_metrics.measures._degenerate import nan_because
from isotropy_metrics.measures._measure import measure_of
from isotropy_metrics.statistics import RowSample

HUB = 2
"""A hub is a neighbour of at least so many times k rows."""


@measure_of(
    needs=RowSample,
    bounds=(-math.inf, math.inf),
    isotropic=None,
    invariant_to=("translation", "rotation", "scale"),
    rows_wanted=lambda d, k=10: max(1000, 100 * k),  # it is a third moment: fewer rows scatter more
    weighted=False,
    paper="https://jmlr.org/papers/v11/radovanovic10a.html",
    citation="""@article{radovanovic2010hubs,
    title = "Hubs in Space: Popular Nearest Neighbors in High-Dimensional Data",
    author = "Radovanovi{\\'c}, Milo{\\v{s}} and Nanopoulos, Alexandros and Ivanovi{\\'c}, Mirjana",
    journal = "Journal of Machine Learning Research",
    volume = "11",
    year = "2010"
}""",
)
def hubness(sample: RowSample, *, k: int = 10, hubs: int = 0) -> dict[str, float]:
    """Skewness of how often a row is among the k nearest neighbours of others.

    With N the number of rows that have a row among their k nearest neighbours, by Euclidean distance,

        hubness = mean of (N − k)³ / (mean of (N − k)²)^(3/2)

    since the mean of N is k. It grows with the dimension, with n, and where the rows lie at unequal distances from
    their mean: 10,000 isotropic rows in 768 dimensions have 11 to 26 from draw to draw, in 3 dimensions about 0. So an
    isotropic space has no value of its own: see the null. Hubs turn up in every search, and rows that are nobody's
    neighbour in none.

    All rows count. Many copies of one row are hubs among themselves: read `duplicate_share` beside it.

    What it does not tell: whether hubs do harm. They do in a search by nearest neighbours; in other uses they are only
    the rows nearest to the mean.

    Args:
        sample: the rows (n_samples, n_features), or a `RowSample` of them; more rows than its size are sampled.
        k: neighbours, at least 1.
        hubs: how many of the rows with the largest N to name.

    Returns:
        `hubness`; `antihub_share`, the share of rows with N = 0; `hub_share`, that with N ≥ 2k; and `duplicate_share`,
        that of the rows that equal an earlier one. With `hubs`, also `hub_rows`, counted from 0 in the order in which
        the rows came, and `hub_counts`, their N, largest first. NaN unless there are more than k rows, or if all rows
        have the same N.

    Raises:
        ValueError: fewer than 2 rows, k < 1, or hubs < 0.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(1000, 50))
        >>> X[123] = 0
        >>> result = hubness(X, hubs=1)
        >>> result["hub_rows"], result["hub_counts"]
        ([123], [999])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1 neighbour, got {k}")
    if hubs < 0:
        raise ValueError(f"hubs must be 0 or a number of rows to name, got {hubs}")
    n = len(sample.rows)
    duplicates = {"duplicate_share": 1 - float(sample.is_first_copy.mean())}
    if n <= k:
        nothing = {"hub_rows": [], "hub_counts": []} if hubs else {}
        reason = f"{k} neighbours need at least {k + 1} rows, got {n}"
        return nan_because("hubness", reason, "antihub_share", "hub_share") | duplicates | nothing
    counts = np.bincount(sample.neighbors(k)[1].ravel(), minlength=n)
    deviation = counts - k
    variance = (deviation**2).mean()
    if variance > 0:
        result = {"hubness": float((deviation**3).mean() / variance**1.5)}
    else:
        result = nan_because("hubness", "all rows are neighbours of equally many")
    shares = {"antihub_share": float((counts == 0).mean()), "hub_share": float((counts >= HUB * k).mean())}
    result |= shares | duplicates
    if hubs:
        largest = np.argsort(-counts, kind="stable")[:hubs]
        result |= {"hub_rows": sample.positions[largest].tolist(), "hub_counts": counts[largest].tolist()}
    return result
