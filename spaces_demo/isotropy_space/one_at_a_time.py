"""One at a time: all handlers work in one thread: memory is bounded and used again, and each has both cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="computing")
"""Each thread would keep memory of its own; and the warnings of Python can be collected by one at a time only."""


def one_at_a_time(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler that waits for its turn.

    Example:
        >>> one_at_a_time(max)(3, 5)
        5
    """

    @wraps(handler)
    def in_turn(*arguments: Any, **named: Any) -> Any:
        return _worker.submit(handler, *arguments, **named).result()

    return in_turn


def step_by_step(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The same for a handler that answers in steps: it lets others go first between two of them.

    Example:
        >>> list(step_by_step(lambda n: iter(range(n)))(3))
        [0, 1, 2]
    """

    @wraps(handler)
    def in_turns(*arguments: Any, **named: Any) -> Iterator[Any]:
        steps = handler(*arguments, **named)
        end = object()
        while (step := _worker.submit(next, steps, end).result()) is not end:
            yield step

    return in_turns
