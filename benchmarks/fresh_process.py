"""A call in a process of its own, and the memory that such a process takes."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def in_a_fresh_process(call: Callable[..., Any], *arguments: object) -> Any:
    """What a call returns in a new process that has imported nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(call, *arguments).result()


def peak_megabytes() -> float:
    """Highest resident size of this process so far (Linux; ru_maxrss would count the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def extra_megabytes(
    prepare: Callable[[Any], Any], call: Callable[[Any], object], size: object, small: object
) -> float:
    """How much a call raises the peak of a process that holds its inputs and has made the call at a small size."""
    warnings.simplefilter("ignore")
    call(prepare(small))
    given = prepare(size)
    forget_peak()
    before = peak_megabytes()
    call(given)
    return peak_megabytes() - before
