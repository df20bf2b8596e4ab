"""The core that reading takes: while rows are read ahead in a thread, matrix products leave it one."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from isotropy_metrics.optional_library import optional


def core_for_reading() -> AbstractContextManager[object]:
    """Inside, BLAS has one thread less than there are cores, unless it has fewer anyway.

    Threads of OpenBLAS wait for each other by spinning: where one of them has to share its core with the thread that
    reads, all of them burn time, and a product on two cores takes longer than on one.
    """
    threadpoolctl = optional("threadpoolctl", "threadpoolctl", "reading ahead")
    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    n_threads = max((library["num_threads"] for library in blas.info()), default=1)
    return blas.limit(limits=min(n_threads, max(_n_cores() - 1, 1)))


def _n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
