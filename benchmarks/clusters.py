"""Cluster-based enhancement beside one run of k-means, and a loop over the clusters with scikit-learn.

Ours starts k-means four times on about 10,000 of the rows, and goes on with all of them from the best; of no more rows
the loop does the same. By default scikit-learn starts it once, and finds a few directions of few rows by a randomized
method.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.contest import Agreement, Contestant, Size, Task
from benchmarks.rows import CLUSTERS, rows_of
from isotropy_metrics.enhancement import ClusterBased

N_CLUSTERS, N_DIRECTIONS, N_STARTS = 20, 12, 4


def k_means(X: np.ndarray, n_starts: int = 1) -> np.ndarray:
    """The cluster of each row."""
    from sklearn.cluster import KMeans

    return KMeans(N_CLUSTERS, n_init=n_starts, random_state=0).fit(X).labels_


def fit_transform(X: np.ndarray) -> np.ndarray:
    return ClusterBased(N_CLUSTERS, N_DIRECTIONS, sample_size=None).fit_transform(X)


def fit_transform_by_a_sample(X: np.ndarray) -> np.ndarray:
    return ClusterBased(N_CLUSTERS, N_DIRECTIONS).fit_transform(X)


def exact_loop(X: np.ndarray) -> np.ndarray:
    """As often started, and exact directions: the same result as ours."""
    return loop_with_scikit_learn(X, N_STARTS, "covariance_eigh")


def loop_with_scikit_learn(X: np.ndarray, n_starts: int = 1, svd_solver: str = "auto") -> np.ndarray:
    """Rajaee & Pilehvar 2021: centre every cluster, and remove its first principal directions."""
    from sklearn.decomposition import PCA

    labels, enhanced = k_means(X, n_starts), np.empty_like(X)
    for cluster in range(N_CLUSTERS):
        rows = X[labels == cluster]
        pca = PCA(N_DIRECTIONS, svd_solver=svd_solver, random_state=0).fit(rows)
        rows = rows - pca.mean_
        enhanced[labels == cluster] = rows - rows @ pca.components_.T @ pca.components_
    return enhanced


def agreements(X: np.ndarray) -> Iterator[Agreement]:
    ours, peer = (float(np.square(f(X)).mean(dtype=np.float64)) for f in (fit_transform, exact_loop))
    yield Agreement("mean square of the enhanced rows, the exact loop", ours, peer)


MAIN = Size(10_000, 768, CLUSTERS)

TASKS = (
    Task(
        name="clusters",
        title="Cluster-based enhancement, fit and transform",
        prepare=rows_of,
        floor=Contestant(f"scikit-learn: KMeans({N_CLUSTERS}), one start", k_means),
        ours=(
            Contestant(f"ClusterBased({N_CLUSTERS}, {N_DIRECTIONS}) of all rows", fit_transform),
            Contestant(f"ClusterBased({N_CLUSTERS}, {N_DIRECTIONS}), fitted on 50,000", fit_transform_by_a_sample),
        ),
        peers=(
            Contestant("scikit-learn: KMeans, and PCA of each cluster in a loop", loop_with_scikit_learn),
            Contestant(f"the same, {N_STARTS} starts and exact directions, as ours", exact_loop),
        ),
        sizes=(
            Size(5000, 768, CLUSTERS),
            MAIN,
            Size(100_000, 768, CLUSTERS),
            Size(10_000, 384, CLUSTERS),
            Size(10_000, 1024, CLUSTERS),
        ),
        main=MAIN,
        quick_sizes=(Size(4000, 64, CLUSTERS), Size(6000, 64, CLUSTERS)),
        small=Size(2000, 16, CLUSTERS),
        agreements=agreements,
        absent={
            "cluster_based() of clusterbased_isotropy_enhancement": "768 features only, and a ragged array that numpy "
            "refuses since 1.24"
        },
    ),
)
