"""Wiring: events call handlers, which take turns, and whose refusals become sentences; and what is there at first."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from isotropy_space.one_at_a_time import one_at_a_time, step_by_step
from isotropy_space.opening import opening
from isotropy_space.page_errors import in_sentences, steps_in_sentences

COMPUTING = {"concurrency_id": "compute", "concurrency_limit": 3}

Components = list[gr.components.Component]

FIT_TO_WIDTH = "() => { setTimeout(() => window.dispatchEvent(new Event('resize')), 100); }"
"""Pictures of a tab that was hidden while a phone was turned learn of the new width."""


def wire(
    triggers: list[Callable], handler: Callable, inputs: Components, outputs: Components, *, in_steps: bool = False
) -> None:
    """Let events call a handler, which is a tool of the API by its own name too."""
    run = steps_in_sentences(step_by_step(handler)) if in_steps else in_sentences(one_at_a_time(handler))
    gr.on(triggers, run, inputs, outputs, api_name=handler.__name__, trigger_mode="always_last", **COMPUTING)


def open_with(page: gr.Blocks, handler: str, outputs: Components) -> None:
    """Show the answer for the example, which is computed before anybody comes."""
    answer = opening(handler)
    page.load(lambda: answer, None, outputs, queue=False, show_progress="hidden", api_visibility="private")


def fit_when_shown(tab: gr.Tab) -> None:
    """Let the pictures of a tab fill it when it is chosen."""
    tab.select(None, js=FIT_TO_WIDTH)
