"""Warnings as sentences on stderr, each once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def warnings_as_sentences(*kinds: type[Warning]) -> Iterator[None]:
    """Print warnings of these kinds, and RuntimeWarnings, as they come."""
    said = set()

    def say(message: Warning | str, *where: Any) -> None:
        if str(message) not in said:
            print(f"isotropy-metrics: warning: {message}", file=sys.stderr)
        said.add(str(message))

    with warnings.catch_warnings():
        for kind in (RuntimeWarning, *kinds):
            warnings.simplefilter("always", kind)
        warnings.showwarning = say
        yield
