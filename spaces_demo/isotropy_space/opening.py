"""Opening: what the page shows before anybody has asked for anything: the answers of its handlers for the example."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from isotropy_space import handlers
from isotropy_space.enhancement_choice import CHOICES
from isotropy_space.example import example

ENHANCEMENT = "All but the top"
"""That the page opens with."""


def opening_strength() -> float:
    """What the library takes for half of the example."""
    n_rows, n_features = example("before").rows.shape
    return CHOICES[ENHANCEMENT].default(n_rows // 2, n_features)


@lru_cache
def opening(handler: str) -> tuple[Any, ...]:
    """The answer of a handler for the example, computed once."""
    if handler == "look_at_file":
        *_, last = handlers.look_at_file()
        return last
    if handler == "repair_file":
        return handlers.repair_file(ENHANCEMENT, opening_strength())
    return getattr(handlers, handler)()
