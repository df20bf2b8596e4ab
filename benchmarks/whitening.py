"""Fitting enhancements beside one product and one eigendecomposition, and applying them beside one product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contest import Agreement, Contestant, Size, Target, Task
from benchmarks.rows import OFFSET, rows_of
from isotropy_metrics.enhancement import AllButTheTop, Centering, Standardization, Whitening

BLOCK_ROWS = 8192
FITTING_ROWS = 10_000

APPLIED = {
    "Whitening": Whitening(),
    "Whitening('zca')": Whitening("zca"),
    "AllButTheTop": AllButTheTop(),
    "Centering": Centering(),
    "Standardization": Standardization(),
}


def product_and_eigh(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.eigh((X.T @ X).astype(np.float64))


def whitening_fit(X: np.ndarray) -> Whitening:
    return Whitening().fit(X)


def whitening_fit_without_shrinkage(X: np.ndarray) -> Whitening:
    return Whitening(shrinkage=None).fit(X)


def partial_fit(X: np.ndarray) -> Whitening:
    """As for rows that come from a stream."""
    whitening = Whitening()
    for start in range(0, len(X), BLOCK_ROWS):
        whitening.partial_fit(X[start : start + BLOCK_ROWS])
    return whitening.fit(whitening.statistics_)


def all_but_the_top_fit(X: np.ndarray) -> AllButTheTop:
    return AllButTheTop().fit(X)


def scikit_learn_fit(X: np.ndarray) -> Any:
    from sklearn.decomposition import PCA

    return PCA(whiten=True).fit(X)


def recipe_fit(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Su et al. 2021 (bojone/BERT-whitening): np.cov and svd."""
    u, s, _ = np.linalg.svd(np.cov(X.T))
    return -X.mean(axis=0, keepdims=True), u @ np.diag(1 / np.sqrt(s))


def agreements_of_fit(X: np.ndarray) -> Iterator[Agreement]:
    """Lengths of whitened rows: no rotation after a whitening changes them."""
    bias, kernel = recipe_fit(X)
    ours = _largest_length(whitening_fit_without_shrinkage(X).transform(X))
    pca = _largest_length(scikit_learn_fit(X).transform(X))
    yield Agreement("largest length of a whitened row, scikit-learn", ours, pca, 1e-4)
    yield Agreement("largest length of a whitened row, the recipe", ours, _largest_length((X + bias) @ kernel), 1e-4)


def _largest_length(rows: np.ndarray) -> float:
    return float(np.linalg.norm(rows, axis=1).max())


@dataclass
class Fitted:
    """Rows, and what was fitted on the first of them."""

    X: np.ndarray
    matrix: np.ndarray
    enhancements: dict[str, Any]
    pca: Any
    recipe: tuple[np.ndarray, np.ndarray]


def fitted(size: Size) -> Fitted:
    X = rows_of(size)
    first = X[:FITTING_ROWS]
    matrix = np.random.default_rng(1).standard_normal((size.features,) * 2, dtype=np.float32)
    bias, kernel = recipe_fit(first)
    enhancements = {name: enhancement.fit(first) for name, enhancement in APPLIED.items()}
    return Fitted(X, matrix, enhancements, scikit_learn_fit(first), (bias, kernel.astype(np.float32)))


def product(given: Fitted) -> np.ndarray:
    return given.X @ given.matrix


def transform(name: str, given: Fitted) -> np.ndarray:
    return given.enhancements[name].transform(given.X)


def scikit_learn_transform(given: Fitted) -> np.ndarray:
    return given.pca.transform(given.X)


def recipe_transform(given: Fitted) -> np.ndarray:
    bias, kernel = given.recipe
    return (given.X + bias) @ kernel


def agreements_of_transform(given: Fitted) -> Iterator[Agreement]:
    ours = _largest_length(whitening_fit_without_shrinkage(given.X[:FITTING_ROWS]).transform(given.X))
    yield Agreement(
        "largest length of a row, scikit-learn", ours, _largest_length(scikit_learn_transform(given)), 1e-4
    )
    yield Agreement("largest length of a row, the recipe", ours, _largest_length(recipe_transform(given)), 1e-4)


OURS = Contestant("Whitening().fit(X), with the shrinkage of Ledoit & Wolf", whitening_fit)
WITHOUT = Contestant("Whitening(shrinkage=None).fit(X)", whitening_fit_without_shrinkage)
MAIN = Size(100_000, 768)
QUICK = (Size(1000, 64), Size(3000, 64))
ABSENT = {
    "BERT-whitening-pytorch": "the same code as the recipe",
    "WhiteningBERT": "part of an old copy of sentence-transformers; its covariance is not divided by the rows",
}

TASKS = (
    Task(
        name="whitening_fit",
        title="Fitting a whitening",
        prepare=rows_of,
        floor=Contestant("numpy: X.T @ X and eigh", product_and_eigh),
        ours=(
            OURS,
            WITHOUT,
            Contestant(f"Whitening().partial_fit(...), {BLOCK_ROWS:,} rows at a time", partial_fit),
            Contestant("AllButTheTop().fit(X)", all_but_the_top_fit),
        ),
        peers=(
            Contestant("scikit-learn: PCA(whiten=True).fit(X)", scikit_learn_fit),
            Contestant("numpy: the recipe of Su et al., cov and svd", recipe_fit),
        ),
        sizes=(
            Size(10_000, 768),
            MAIN,
            Size(1_000_000, 768),
            Size(100_000, 768, OFFSET),
            Size(100_000, 384),
            Size(100_000, 1024),
            Size(10_000, 1024),
            Size(10_000, 4096),
        ),
        main=MAIN,
        quick_sizes=QUICK,
        small=Size(300, 8),
        agreements=agreements_of_fit,
        absent=ABSENT,
        targets=tuple(
            Target(
                f"{each.name} ≤ 1.3 × a product and an eigh",
                MAIN,
                lambda outcome, each=each: outcome.ratio(each.name),
                1.3,
            )
            for each in (OURS, WITHOUT)
        ),
    ),
    Task(
        name="whitening_apply",
        title="Applying an enhancement",
        prepare=fitted,
        floor=Contestant("numpy: X @ W", product),
        ours=tuple(Contestant(f"{name}.transform(X)", partial(transform, name)) for name in APPLIED),
        peers=(
            Contestant("scikit-learn: PCA(whiten=True).transform(X)", scikit_learn_transform),
            Contestant("numpy: the recipe of Su et al., (X + b) @ W", recipe_transform),
        ),
        sizes=(
            Size(10_000, 768),
            MAIN,
            Size(500_000, 768),
            Size(100_000, 384),
            Size(100_000, 1024),
        ),
        main=MAIN,
        quick_sizes=QUICK,
        small=Size(300, 8),
        agreements=agreements_of_transform,
        absent=ABSENT,
    ),
)
