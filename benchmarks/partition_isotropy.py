"""I(W) of all rows, beside the products and the eigendecomposition that it takes, and the recipe of its authors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.contest import Agreement, Contestant, Size, Task
from benchmarks.rows import rows_of
from isotropy_metrics import measure


def products_and_eigh(X: np.ndarray) -> None:
    """Without the exponentials; in float64, as in float32 the eigenvectors of near-equal eigenvalues turn."""
    X = X.astype(np.float64)
    X @ np.linalg.eigh(X.T @ X)[1]


def partition_isotropy_of_all(X: np.ndarray) -> float:
    return measure(X, "partition_isotropy", sample_size=None)["partition_isotropy"]


def partition_isotropy_of_a_sample(X: np.ndarray) -> float:
    return measure(X, "partition_isotropy")["partition_isotropy"]


def recipe(X: np.ndarray) -> float:
    """Mu & Viswanath 2018, section 2.1, with every eigenvector in both directions: its sign is arbitrary."""
    X = X.astype(np.float64)
    projections = X @ np.linalg.eigh(X.T @ X)[1]
    of_partition = np.concatenate([np.exp(projections).sum(axis=0), np.exp(-projections).sum(axis=0)])
    return float(of_partition.min() / of_partition.max())


def agreements(X: np.ndarray) -> Iterator[Agreement]:
    yield Agreement("I(W), the recipe", partition_isotropy_of_all(X), recipe(X))


MAIN = Size(10_000, 768)

TASKS = (
    Task(
        name="partition_isotropy",
        title="Partition isotropy I(W)",
        prepare=rows_of,
        floor=Contestant("numpy: X.T @ X, eigh, X @ U, in float64", products_and_eigh),
        ours=(
            Contestant("partition_isotropy of all rows", partition_isotropy_of_all),
            Contestant("partition_isotropy, of at most 10,000 rows as by default", partition_isotropy_of_a_sample),
        ),
        peers=(Contestant("numpy: the recipe of Mu & Viswanath in float64, both signs of every vector", recipe),),
        sizes=(
            Size(1000, 768),
            MAIN,
            Size(100_000, 768),
            Size(10_000, 384),
            Size(10_000, 1024),
        ),
        main=MAIN,
        quick_sizes=(Size(1000, 64), Size(3000, 64)),
        small=Size(300, 8),
        agreements=agreements,
        absent={
            "isotropy() of clusterbased_isotropy_enhancement": "a notebook for transformers 2.11; its value depends "
            "on the arbitrary signs of the eigenvectors",
            "partition_score of the IsoScore repository": "a SyntaxError in line 54 of its file; it takes the rows "
            "of the matrix of eigenvectors for its columns",
        },
    ),
)
