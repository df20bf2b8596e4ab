"""Prefetched: the next items of an iterator are made in a thread while the last one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 2
"""Items that wait; so many are held in memory beside the one in hand and the one being made."""


def prefetched(items: Iterable[T], ahead: int = AHEAD) -> Iterator[T]:
    """The same items in the same order, made in a thread: reading and computing take place at the same time.

    An error of the iterator is raised where its item would have come. The thread ends when the generator is closed.

    Example:
        >>> list(prefetched(range(5)))
        [0, 1, 2, 3, 4]
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=ahead)
    closed = threading.Event()

    def hand_over(kind: str, value: Any) -> None:
        while not closed.is_set():
            try:
                waiting.put((kind, value), timeout=0.1)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                hand_over("item", item)
                if closed.is_set():
                    return
            hand_over("end", None)
        except BaseException as error:
            hand_over("error", error)

    thread = threading.Thread(target=make, name="prefetched", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        closed.set()
        thread.join()
