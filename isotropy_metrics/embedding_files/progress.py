"""Progress on stderr for what takes longer than two seconds, where tqdm is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

DELAY = 2.0


@contextmanager
def progress_bar(total: int | None, what: str, unit: str, show: bool) -> Iterator[Callable[[int], object]]:
    """A function to call with the number of units that have been done."""
    if show:
        try:
            from tqdm import tqdm
        except ImportError:
            show = False
    if not show:
        yield lambda n: None
        return
    with tqdm(total=total, desc=what, unit=f" {unit}", unit_scale=unit == "rows", delay=DELAY, leave=False) as bar:
        yield bar.update
