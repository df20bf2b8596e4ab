"""All second-moment measures beside numpy's float32 `X.T @ X`: time as a ratio in one process, and extra memory.

    python -m benchmarks.second_moments [--rows 100000] [--features 768] [--rounds 9]

The floor is the matrix product that no second-moment measure can do without; numpy runs it as a syrk. Contestants and
floor alternate, and the ratio is the median over rounds of (contestant / floor of the same round). Extra memory is the
peak resident size of a fresh process that has the rows and the floor behind it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from isotropy_metrics import MEASURES, Moments, UnitMoments, load, measure, register

OF_ROWS = [name for name, each in MEASURES.items() if each.needs is Moments]
OF_ROWS_AND_DIRECTIONS = [name for name, each in MEASURES.items() if each.needs in (Moments, UnitMoments)]
BATCH = 1000


def rows_of(shape: tuple[int, int], offset: float) -> np.ndarray:
    """Gaussian rows, whose mean lies `offset` standard deviations from the origin in every feature."""
    X = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    X += np.float32(offset)
    return X


def floor(X: np.ndarray) -> None:
    """The float32 matrix product."""
    X.T @ X


def measures_of_array(X: np.ndarray) -> None:
    """measure(X, ...): all measures of the moments of the rows."""
    measure(X, OF_ROWS)


def measures_of_array_and_directions(X: np.ndarray) -> None:
    """measure(X, ...): also those of the moments of the directions, a second product."""
    measure(X, OF_ROWS_AND_DIRECTIONS)


def measures_of_batches(X: np.ndarray) -> None:
    """isotropy_metrics.load([...]): all of the first through evaluate, in batches of 1,000."""
    module = load(OF_ROWS)
    for start in range(0, len(X), BATCH):
        module.add_batch(embeddings=X[start : start + BATCH])
    module.compute()


def isoscore_through_evaluate(X: np.ndarray) -> None:
    """evaluate.load("isoscore"), in batches of 1,000."""
    import evaluate

    register()
    module = evaluate.load("isoscore")
    for start in range(0, len(X), BATCH):
        module.add_batch(embeddings=X[start : start + BATCH])
    module.compute()


def isoscore_package(X: np.ndarray) -> None:
    """The PyPI package isoscore, for its one number."""
    import warnings

    import torch
    from IsoScore.IsoScore import IsoScore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        IsoScore(torch.from_numpy(X))


CONTESTANTS = (
    measures_of_array,
    measures_of_array_and_directions,
    measures_of_batches,
    isoscore_through_evaluate,
    isoscore_package,
)


def seconds(contestant: Callable[[np.ndarray], None], X: np.ndarray) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    contestant(X)
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Highest resident size of this process so far (Linux; ru_maxrss would count the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def extra_megabytes(contestant: Callable[[np.ndarray], None], shape: tuple[int, int], offset: float) -> float:
    """How much a run raises the peak of a process that has run the floor, and the contestant on a small table."""
    X = rows_of(shape, offset)
    contestant(X[:300, :8].copy())
    floor(X)
    before = peak_megabytes()
    contestant(X)
    return peak_megabytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    shape = (options.rows, options.features)

    print(f"{shape[0]:,} x {shape[1]} float32, numpy {np.__version__}, {platform.processor() or platform.machine()}")
    print(f"{len(OF_ROWS)} measures of the rows, {len(OF_ROWS_AND_DIRECTIONS)} with those of their directions")
    for offset in (0.0, 5.0):
        X = rows_of(shape, offset)
        for contestant in (floor, *CONTESTANTS):
            contestant(X)
        rounds = [[seconds(contestant, X) for contestant in (floor, *CONTESTANTS)] for _ in range(options.rounds)]
        times = np.array(rounds)
        print(f"\nmean {offset:g} standard deviations from the origin; floor {np.median(times[:, 0]) * 1e3:.0f} ms")
        for i, contestant in enumerate(CONTESTANTS, start=1):
            ratio = np.median(times[:, i] / times[:, 0])
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                extra = fresh.apply(extra_megabytes, (contestant, shape, offset))
            print(f"{ratio:6.2f} x floor  {extra:7.0f} MB extra  {contestant.__doc__}")


if __name__ == "__main__":
    main()
