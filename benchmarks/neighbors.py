"""The measures of rows beside the products of all pairs: time as a ratio in one process, and extra memory.

    python -m benchmarks.neighbors [--rows 10000] [--many-rows 100000] [--features 768] [--rounds 5]

The floor is what finding neighbours takes in plain numpy: float32 products of 1,000 rows at a time with all rows, and
for each row the 20 nearest by `np.argpartition`. Contestants and floor alternate, and the ratio is the median over
rounds of (contestant / floor of the same round). Extra memory is how much a run raises the peak resident size of a
fresh process that holds the rows and has run the contestant on a small table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.second_moments import peak_megabytes, seconds
from isotropy_metrics import RowSample, measure, two_nn, uniformity, vasicek_ratio_mse
from isotropy_metrics.statistics.nearest_neighbors import nearest_neighbors

NEIGHBORS = ["two_nn", "local_intrinsic_dimension", "hubness"]
BLOCK_ROWS = 1000
N_CLUSTERS = 50


def isotropic(shape: tuple[int, int]) -> np.ndarray:
    """Isotropic Gaussian rows"""
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def clusters(shape: tuple[int, int]) -> np.ndarray:
    """50 clusters, three times as far apart as they are wide"""
    centres = 3 * np.random.default_rng(1).standard_normal((N_CLUSTERS, shape[1]), dtype=np.float32)
    return isotropic(shape) + centres[np.arange(shape[0]) % N_CLUSTERS]


def all_neighbor_measures(X: np.ndarray) -> None:
    """measure(X, ...): two_nn, local_intrinsic_dimension, hubness and persistent_entropy"""
    measure(X, [*NEIGHBORS, "persistent_entropy"])


def neighbor_measures(X: np.ndarray) -> None:
    """measure(X, ...): two_nn, local_intrinsic_dimension and hubness"""
    measure(X, NEIGHBORS)


def two_nn_alone(X: np.ndarray) -> None:
    """two_nn(X)"""
    two_nn(X)


def twenty_neighbors(X: np.ndarray) -> None:
    """nearest_neighbors(X, 20), as all of these use it"""
    nearest_neighbors(X, min(20, len(X) - 1))


def uniformity_alone(X: np.ndarray) -> None:
    """uniformity(X)"""
    uniformity(X)


def products_alone(X: np.ndarray) -> None:
    """the products of the floor without a choice of neighbours"""
    for start in range(0, len(X), BLOCK_ROWS):
        X[start : start + BLOCK_ROWS] @ X.T


def products_and_partition(X: np.ndarray) -> None:
    """the floor with np.partition for the 2 smallest: distances without indices"""
    squares = np.einsum("ij,ij->i", X, X)
    for start in range(0, len(X), BLOCK_ROWS):
        np.partition(squares - 2 * (X[start : start + BLOCK_ROWS] @ X.T), 2, axis=1)[:, :3].copy()


def floor(X: np.ndarray) -> None:
    """The products, and np.argpartition for the 20 smallest."""
    squares = np.einsum("ij,ij->i", X, X)
    for start in range(0, len(X), BLOCK_ROWS):
        np.argpartition(squares - 2 * (X[start : start + BLOCK_ROWS] @ X.T), 20, axis=1)[:, :21].copy()


def two_nn_of_scikit_dimension(X: np.ndarray) -> None:
    """scikit-dimension: TwoNN().fit(X)"""
    import skdim

    skdim.id.TwoNN().fit(X)


def mle_of_scikit_dimension(X: np.ndarray) -> None:
    """scikit-dimension: MLE().fit(X), with 20 neighbours"""
    import skdim

    skdim.id.MLE().fit(X)


def vasicek_ratio_mse_of_all_rows(X: np.ndarray) -> None:
    """vasicek_ratio_mse of all rows"""
    sample = RowSample(size=None)
    sample.update(X)
    vasicek_ratio_mse(sample)


CONTESTANTS = (
    all_neighbor_measures,
    neighbor_measures,
    two_nn_alone,
    twenty_neighbors,
    uniformity_alone,
    products_alone,
    products_and_partition,
    two_nn_of_scikit_dimension,
    mle_of_scikit_dimension,
)


def extra_megabytes(contestant: Callable[[np.ndarray], None], shape: tuple[int, int]) -> float:
    """How much a run raises the peak of a process that holds the rows and knows the contestant from a small table."""
    ignore_few_rows()
    X = isotropic(shape)
    contestant(X[:100, :8].copy())
    before = peak_megabytes()
    contestant(X)
    return peak_megabytes() - before


def extra_in_a_fresh_process(contestant: Callable[[np.ndarray], None], shape: tuple[int, int]) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(extra_megabytes, (contestant, shape))


def ignore_few_rows() -> None:
    """Small tables only warm up."""
    warnings.filterwarnings("ignore", ".* it wants .* rows", RuntimeWarning)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--many-rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ignore_few_rows()
    shape = (options.rows, options.features)

    print(f"{shape[0]:,} x {shape[1]} float32, numpy {np.__version__}, {platform.processor() or platform.machine()}")
    extra = {contestant: extra_in_a_fresh_process(contestant, shape) for contestant in (floor, *CONTESTANTS)}
    for cloud in (isotropic, clusters):
        X = cloud(shape)
        for contestant in (floor, *CONTESTANTS):
            contestant(X)
        times = np.array([[seconds(each, X) for each in (floor, *CONTESTANTS)] for _ in range(options.rounds)])
        print(f"\n{cloud.__doc__}; floor {np.median(times[:, 0]):.2f} s, {extra[floor]:.0f} MB extra")
        for i, contestant in enumerate(CONTESTANTS, start=1):
            ratio = np.median(times[:, i] / times[:, 0])
            print(f"{ratio:6.2f} x floor  {extra[contestant]:7.0f} MB extra  {contestant.__doc__}")

    shape = (options.many_rows, options.features)
    print(f"\n{shape[0]:,} x {shape[1]} float32")
    X = isotropic(shape)
    times = [seconds(vasicek_ratio_mse_of_all_rows, X) for _ in range(min(options.rounds, 3))]
    del X
    extra_of_all = extra_in_a_fresh_process(vasicek_ratio_mse_of_all_rows, shape)
    print(f"{np.median(times):6.2f} s        {extra_of_all:7.0f} MB extra  {vasicek_ratio_mse_of_all_rows.__doc__}")


if __name__ == "__main__":
    main()
