"""Page errors: what a handler refuses, as a sentence on the page; anything else stays an error of the server's log."""

from __future__ import annotations

import html
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

REFUSALS = (ValueError, OSError, ImportError)
"""What handlers raise with a sentence for the visitor."""


@contextmanager
def _sentences() -> Iterator[None]:
    import gradio as gr

    try:
        yield
    except REFUSALS as error:
        _forget_what_was_read(error)
        # the page shows errors as HTML, and a sentence may quote a stranger's file
        raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from error


def _forget_what_was_read(error: BaseException | None) -> None:
    """Free the memory that a refused file filled; an error holds it until Python looks for cycles."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def in_sentences(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, with its refusals as sentences on the page."""

    @wraps(handler)
    def run(*arguments: Any, **named: Any) -> Any:
        with _sentences():
            return handler(*arguments, **named)

    return run


def steps_in_sentences(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The same for a handler that answers in steps."""

    @wraps(handler)
    def run(*arguments: Any, **named: Any) -> Iterator[Any]:
        with _sentences():
            yield from handler(*arguments, **named)

    return run
