"""The processes of a run as torch.distributed connects them, as the Trainer and Accelerate set it up.

They share their errors and work in step. Alone, each function does what one process does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

SHARED_ERRORS = (FileNotFoundError, OSError, ImportError, ValueError, TypeError, MemoryError)
"""Errors of one process that the others raise as the same kind; any other becomes a RuntimeError there."""

_END = object()


def are_connected() -> bool:
    """Whether this process is one of several that torch.distributed connects."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()


def rank() -> int:
    """Number of this process; 0 for the main one, and when alone."""
    return sys.modules["torch"].distributed.get_rank() if are_connected() else 0


def world_size() -> int:
    """How many processes there are."""
    return sys.modules["torch"].distributed.get_world_size() if are_connected() else 1


def in_step(work: Iterator[Any]) -> None:
    """Exhaust an iterator on every process, item by item, until none has items left.

    After each item the processes wait for each other: an error of one of them is then raised on all.
    """
    has_items = True
    while has_items:
        has_items = any(of_all(lambda: next(work, _END) is not _END))


def of_main(compute: Callable[[], T]) -> T:
    """What the main process computes, on every process, and so with its error; every process must call it."""
    return of_all(lambda: compute() if rank() == 0 else None)[0]


@contextmanager
def raised_together() -> Iterator[None]:
    """What goes wrong inside on one process is raised on all; every process must come here."""
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    raise_together(error)


def raise_together(error: Exception | None) -> None:
    """Raise on all processes, if one of them has an error, that of the first that has one.

    Every process must call it; without it, those without an error would wait for ever in the next exchange.
    """
    _raise_first(error, _gathered(error, None))


def of_all(compute: Callable[[], T]) -> list[T]:
    """What each process computes, in the order of the ranks; or the error of the first that fails, on all of them."""
    if not are_connected():
        return [compute()]
    value = error = None
    try:
        value = compute()
    except Exception as caught:
        error = caught
    found = _gathered(error, value)
    _raise_first(error, found)
    return [value for _, value in found]


def _gathered(error: Exception | None, value: Any) -> list[tuple[tuple[type, str] | None, Any]]:
    """Errors, as kind and message, and values of all processes."""
    own = None if error is None else (_kind(error), str(error)), value
    if not are_connected():
        return [own]
    import torch

    gathered: list[Any] = [None] * world_size()
    try:
        torch.distributed.all_gather_object(gathered, own)
    except RuntimeError as lost:
        if error is not None:
            raise error from lost
        raise ConnectionError("another process has ended, and this one ends with it") from lost
    return gathered


def _raise_first(own: Exception | None, gathered: list[tuple[tuple[type, str] | None, Any]]) -> None:
    errors = [(number, error) for number, (error, _) in enumerate(gathered) if error is not None]
    if not errors:
        return
    number, (kind, message) = errors[0]
    if number == rank():
        raise own
    raise kind(message) from own


def _kind(error: Exception) -> type:
    return next((kind for kind in SHARED_ERRORS if isinstance(error, kind)), RuntimeError)
