"""Side by side: blocks of rows on all cores at once, each with one thread of BLAS.

One product after the other on all threads leaves the cores idle during what numpy does between the products, and its
threads wait for each other by spinning, which costs several times the work where another process takes a core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

WORKER_VALUES = 2**19
"""Values of rows that are worth a thread of their own."""

MOST_WORKERS = 8
"""Each holds a block and its products; more cores than that are left to the threads of BLAS."""

_in_use = threading.Lock()

Map = Callable[..., Iterable[Any]]


@contextmanager
def side_by_side(most: int) -> Iterator[tuple[Map, int]]:
    """A `map` that works on several things at once, and on how many: one per thread of BLAS, `most` at the most.

    Where that is no use, because there is one thing to do, or BLAS has one thread, or more than `MOST_WORKERS`, it is
    the `map` of Python, and 1. So it is where another thread is in here, as BLAS has one setting for all.
    """
    blas = _blas()
    n_threads = max((library["num_threads"] for library in blas.info()), default=1)
    n_workers = min(n_threads, most)
    if not 1 < n_workers <= n_threads <= MOST_WORKERS or not _in_use.acquire(blocking=False):
        yield map, 1
        return
    try:
        with blas.limit(limits=1), ThreadPoolExecutor(n_workers, "side_by_side") as pool:
            try:
                yield pool.map, n_workers
            finally:
                pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C what has not begun is not wanted
    finally:
        _in_use.release()


def equal_blocks(n_rows: int, most: int, at_once: int) -> list[slice]:
    """At most so many rows each, and so many blocks that as many are left for every turn of `at_once`."""
    n_blocks = -(-n_rows // (most * at_once)) * at_once
    bounds = np.linspace(0, n_rows, n_blocks + 1).astype(int)
    return [slice(start, stop) for start, stop in zip(bounds[:-1], bounds[1:], strict=True) if start < stop]


@contextmanager
def one_thread() -> Iterator[None]:
    """Small products in here wake no threads of BLAS: those spin for 0.1 s, on a core of what comes next.

    It does nothing where another thread is in here, or in `side_by_side`.
    """
    if not _in_use.acquire(blocking=False):
        yield
        return
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        _in_use.release()


@lru_cache
def _blas() -> Any:
    """The libraries of BLAS that numpy and scipy have loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
