"""One at a time: handlers take turns, so that memory is bounded and each has both cores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

_turn = threading.Lock()


def one_at_a_time(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler that waits for its turn; the warnings of Python can be collected by one thread only.

    Example:
        >>> one_at_a_time(max)(3, 5)
        5
    """

    @wraps(handler)
    def in_turn(*arguments: Any, **named: Any) -> Any:
        with _turn:
            return handler(*arguments, **named)

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
        while True:
            with _turn:
                step = next(steps, end)
            if step is end:
                return
            yield step

    return in_turns
