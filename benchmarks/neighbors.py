"""Measures of nearest neighbours beside the products of all pairs, scikit-dimension and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.contest import Agreement, Contestant, Size, Target, Task
from benchmarks.rows import CLUSTERS, rows_of
from isotropy_metrics import measure
from isotropy_metrics.statistics.nearest_neighbors import nearest_neighbors

K = 20
MEASURES_OF_NEIGHBORS = ["two_nn", "local_intrinsic_dimension", "hubness", "persistent_entropy"]
BLOCK_ROWS = 1000


def products_and_partition(X: np.ndarray) -> None:
    """Without any distance in order, or in full precision."""
    squares = np.einsum("ij,ij->i", X, X)
    for start in range(0, len(X), BLOCK_ROWS):
        np.argpartition(squares - 2 * (X[start : start + BLOCK_ROWS] @ X.T), K, axis=1)[:, : K + 1].copy()


def products_and_topk(X: np.ndarray) -> None:
    """The same, with a choice of the nearest that uses all cores."""
    import torch

    rows = torch.from_numpy(X)
    squares = torch.einsum("ij,ij->i", rows, rows)
    for block in rows.split(BLOCK_ROWS):
        torch.addmm(squares, block, rows.T, alpha=-2).topk(K + 1, largest=False)


def measures_of_neighbors(X: np.ndarray) -> dict[str, float]:
    return measure(X, MEASURES_OF_NEIGHBORS, sample_size=None)


def two_nn_alone(X: np.ndarray) -> dict[str, float]:
    return measure(X, "two_nn", sample_size=None)


def uniformity_alone(X: np.ndarray) -> dict[str, float]:
    return measure(X, "uniformity", sample_size=None)


def neighbors_alone(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return nearest_neighbors(X, K)


def neighbors_of_scikit_learn(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=K, algorithm="brute").fit(X).kneighbors()


def two_nn_of_scikit_dimension(X: np.ndarray) -> float:
    from skdim.id import TwoNN

    return float(TwoNN().fit(X).dimension_)


def mle_of_scikit_dimension(X: np.ndarray) -> float:
    """With its defaults, 20 neighbours and the harmonic mean over the rows, as ours."""
    from skdim.id import MLE

    return float(MLE().fit(X).dimension_)


def agreements(X: np.ndarray) -> Iterator[Agreement]:
    ours = measures_of_neighbors(X)
    distances = [neighbors_alone(X)[0].sum(), neighbors_of_scikit_learn(X)[0].sum()]
    yield Agreement("TwoNN, scikit-dimension", ours["two_nn"], two_nn_of_scikit_dimension(X), 1e-4)
    yield Agreement("MLE, scikit-dimension", ours["local_intrinsic_dimension"], mle_of_scikit_dimension(X), 1e-4)
    yield Agreement(f"sum of distances of {K} neighbours, scikit-learn", *map(float, distances))


OURS = Contestant(f"measure(X, ...): {', '.join(MEASURES_OF_NEIGHBORS)}", measures_of_neighbors)
MAIN, OF_CLUSTERS = Size(10_000, 768), Size(10_000, 768, CLUSTERS)

TASKS = (
    Task(
        name="neighbors",
        title="Measures of nearest neighbours",
        prepare=rows_of,
        floor=Contestant(f"numpy: X @ X.T in blocks, argpartition for {K}", products_and_partition),
        ours=(
            OURS,
            Contestant("two_nn", two_nn_alone),
            Contestant(f"nearest_neighbors(X, {K})", neighbors_alone),
            Contestant("uniformity, of all pairs", uniformity_alone),
        ),
        peers=(
            Contestant(f"scikit-learn: NearestNeighbors({K}, brute)", neighbors_of_scikit_learn),
            Contestant(f"torch: X @ X.T in blocks, topk of {K}", products_and_topk),
            Contestant("scikit-dimension: TwoNN", two_nn_of_scikit_dimension),
            Contestant("scikit-dimension: MLE", mle_of_scikit_dimension),
        ),
        sizes=(
            Size(1000, 768),
            Size(5000, 768),
            MAIN,
            OF_CLUSTERS,
            Size(10_000, 384),
            Size(10_000, 1024),
        ),
        main=MAIN,
        quick_sizes=(Size(500, 16), Size(1000, 16, CLUSTERS), Size(1000, 16)),
        small=Size(300, 8),
        agreements=agreements,
        absent={
            "dadapy": "pins numpy below 2, jax 0.4.30 and flax 0.8.5",
            "scikit-hubness": "pins scikit-learn 0.21.3, whose build fails",
        },
        targets=tuple(
            Target(
                f"all measures of neighbours ≤ 1.5 × floor at {size}",
                size,
                lambda outcome: outcome.ratio(OURS.name),
                1.5,
            )
            for size in (MAIN, OF_CLUSTERS)
        ),
    ),
)
