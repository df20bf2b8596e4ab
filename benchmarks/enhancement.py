"""Enhancements beside the matrix product that each cannot do without: time as a ratio in one process, and memory.

    python -m benchmarks.enhancement [--rows 1000000] [--applied-rows 200000] [--peer-rows 100000] [--rounds 5]

Fitting: a stream of rows in blocks of 8,192, cut from one array of 65,536 random rows (200 MB, no cache holds it) that
is gone through again and again: no disk takes part. The floor reads the very same blocks: float32 `X.T @ X` of each
and one `np.linalg.eigh` of their sum. Applying: the floor is one float32 `X @ W` into a fresh array. Peers fit on rows
in memory, and the floor is that of fitting.

Floor and contestants run in a new random order in every round, so that a busy machine favours none. The ratio is the
median over rounds of (contestant / floor of the same round): of wall time, and of the processor's time, which other
processes disturb less. Below 1 it is noise where the contestant does all that the floor does: it takes more rounds or
a quieter machine then. Memory is how much a run raises the peak resident size of a fresh process that holds the array
and has run the contestant on a small one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.second_moments import peak_megabytes, rows_of, seconds
from isotropy_metrics import RowStatistics
from isotropy_metrics.enhancement import AllButTheTop, Centering, Standardization, Whitening

ARRAY_ROWS = 65_536
BLOCK_ROWS = 8192
SMALL_BLOCK_ROWS = 1000
FITTING_ROWS = 10_000


class Stream:
    """n rows in blocks, cut from one array that is gone through again and again."""

    def __init__(self, array: np.ndarray, n_rows: int) -> None:
        self.array = array
        self.n_rows = n_rows

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        first = 0
        for start in range(0, self.n_rows, size):
            first = 0 if first + size > len(self.array) else first
            yield self.array[first : first + min(size, self.n_rows - start)]
            first += size


def product_and_eigh(stream: Stream) -> None:
    """X.T @ X of every block, and one eigh."""
    scatter = np.zeros((stream.array.shape[1],) * 2)
    for block in stream.blocks(BLOCK_ROWS):
        scatter += block.T @ block
    np.linalg.eigh(scatter)


def statistics_then_fit(stream: Stream) -> None:
    """Whitening().fit(statistics), RowStatistics in blocks of 8,192"""
    statistics = RowStatistics()
    for block in stream.blocks(BLOCK_ROWS):
        statistics.update(block)
    Whitening().fit(statistics)


def partial_fit(stream: Stream) -> None:
    """Whitening().partial_fit(block), in blocks of 8,192"""
    _partial_fit(Whitening(), stream, BLOCK_ROWS)


def partial_fit_of_small_blocks(stream: Stream) -> None:
    """Whitening().partial_fit(block), in blocks of 1,000"""
    _partial_fit(Whitening(), stream, SMALL_BLOCK_ROWS)


def partial_fit_of_all_but_the_top(stream: Stream) -> None:
    """AllButTheTop().partial_fit(block), in blocks of 8,192"""
    _partial_fit(AllButTheTop(), stream, BLOCK_ROWS)


def _partial_fit(enhancement: Whitening | AllButTheTop, stream: Stream, block_rows: int) -> None:
    for block in stream.blocks(block_rows):
        enhancement.partial_fit(block)
    enhancement.fit(enhancement.statistics_)


FITS = (statistics_then_fit, partial_fit, partial_fit_of_small_blocks, partial_fit_of_all_but_the_top)


def product_of_all_and_eigh(X: np.ndarray) -> None:
    """X.T @ X of all rows, and one eigh."""
    np.linalg.eigh((X.T @ X).astype(np.float64))


def whitening_fit(X: np.ndarray) -> None:
    """Whitening().fit(X)"""
    Whitening().fit(X)


def scikit_learn_pca(X: np.ndarray) -> None:
    """scikit-learn: PCA(whiten=True).fit(X)"""
    from sklearn.decomposition import PCA

    PCA(whiten=True).fit(X)


def scikit_learn_incremental_pca(X: np.ndarray) -> None:
    """scikit-learn: IncrementalPCA(whiten=True).fit(X)"""
    from sklearn.decomposition import IncrementalPCA

    IncrementalPCA(whiten=True).fit(X)


def bert_whitening(X: np.ndarray) -> None:
    """The recipe of Su et al. 2021 (bojone/BERT-whitening): np.cov and svd"""
    X.mean(axis=0, keepdims=True)
    u, s, _ = np.linalg.svd(np.cov(X.T))
    np.linalg.inv(np.dot(u, np.diag(s**0.5)).T)


PEERS = (whitening_fit, scikit_learn_pca, scikit_learn_incremental_pca, bert_whitening)

APPLIED = {
    "Whitening('zca')": lambda: Whitening("zca"),
    "Whitening()": lambda: Whitening(),
    "AllButTheTop()": lambda: AllButTheTop(),
    "Centering()": lambda: Centering(),
    "Standardization()": lambda: Standardization(),
}


def transforms(X: np.ndarray) -> list[tuple[str, Callable[[np.ndarray], object]]]:
    """The `transform` of each affine enhancement, fitted on the first rows."""
    return [(f"{name}.transform(X)", make().fit(X[:FITTING_ROWS]).transform) for name, make in APPLIED.items()]


def product(X: np.ndarray) -> Callable[[np.ndarray], object]:
    """X @ W into a fresh array."""
    matrix = np.random.default_rng(1).standard_normal((X.shape[1],) * 2, dtype=np.float32)
    return lambda rows: rows @ matrix


def print_ratios(
    floor: Callable, contestants: Sequence[tuple[str, Callable]], given: object, rounds: int, notes: Sequence[str] = ()
) -> None:
    """Run floor and contestants in a random order each round, and print the medians."""
    calls = [floor, *(call for _, call in contestants)]
    times = np.array([_round(calls, given, seed) for seed in range(rounds + 1)])[1:]  # the first warms up
    wall, cpu = times[:, :, 0], times[:, :, 1]
    print(f"  floor {np.median(wall[:, 0]):.3f} s ({wall[:, 0].min():.3f} to {wall[:, 0].max():.3f})")
    for i, (name, _) in enumerate(contestants, start=1):
        ratios = wall[:, i] / wall[:, 0]
        of_processor = np.median(cpu[:, i] / cpu[:, 0])
        note = notes[i - 1] if notes else ""
        print(
            f"{np.median(ratios):6.2f} x floor ({ratios.min():.2f} to {ratios.max():.2f}), processor "
            f"{of_processor:.2f} x  {note}{name}"
        )


def _round(calls: Sequence[Callable], given: object, seed: int) -> np.ndarray:
    """Wall and processor time of each call, (len(calls), 2)."""
    times = np.empty((len(calls), 2))
    for i in np.random.default_rng(seed).permutation(len(calls)):
        before = time.process_time()
        times[i, 0] = seconds(calls[i], given)
        times[i, 1] = time.process_time() - before
    return times


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def extra_of_fit(fit: Callable[[Stream], None], n_rows: int, n_features: int) -> float:
    """How much a fit on a stream raises the peak of a process that holds the array."""
    array = rows_of((ARRAY_ROWS, n_features), 0.0)
    fit(Stream(array[:300, :8].copy(), 300))
    forget_peak()
    before = peak_megabytes()
    fit(Stream(array, n_rows))
    return peak_megabytes() - before


def extra_of_transform(name: str, shape: tuple[int, int]) -> float:
    """How much a transform raises the peak of a process that holds the rows; the result is a part of it."""
    X = rows_of(shape, 0.0)
    enhancement = APPLIED[name]().fit(X[:FITTING_ROWS])
    enhancement.transform(X[:300])
    forget_peak()
    before = peak_megabytes()
    enhanced = enhancement.transform(X)
    return peak_megabytes() - before - enhanced.nbytes / 1e6


def in_a_fresh_process(call: Callable[..., float], *arguments: object) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(call, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--applied-rows", type=int, default=200_000)
    parser.add_argument("--peer-rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    d = options.features
    print(f"{d} features, float32, numpy {np.__version__}, {platform.processor() or platform.machine()}")

    few, many = options.rows // 10, options.rows
    extra = {fit: [in_a_fresh_process(extra_of_fit, fit, n, d) for n in (few, many)] for fit in FITS}
    notes = [f"{extra[fit][0]:4.0f} MB for {few:,} rows, {extra[fit][1]:4.0f} MB for {many:,}  " for fit in FITS]
    for offset in (0.0, 5.0):
        print(f"\nfit on {many:,} rows, mean {offset:g} standard deviations from the origin (goal 1.5)")
        stream = Stream(rows_of((ARRAY_ROWS, d), offset), many)
        print_ratios(product_and_eigh, [(fit.__doc__, fit) for fit in FITS], stream, options.rounds, notes)

    shape = (options.applied_rows, d)
    print(f"\ntransform of {shape[0]:,} rows (goal 1.2); memory beyond the rows and the result")
    notes = [f"{in_a_fresh_process(extra_of_transform, name, shape):4.0f} MB  " for name in APPLIED]
    X = rows_of(shape, 1.0)
    print_ratios(product(X), transforms(X), X, options.rounds, notes)

    X = X[: options.peer_rows]
    print(f"\nfit on {len(X):,} rows in memory")
    print_ratios(product_of_all_and_eigh, [(peer.__doc__, peer) for peer in PEERS], X, min(options.rounds, 3))


if __name__ == "__main__":
    main()
