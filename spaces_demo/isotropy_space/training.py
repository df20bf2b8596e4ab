"""Training: the curves of a run with IsotropyCallback, from the trainer_state.json that somebody uploads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from isotropy_metrics.training_curves import (
    STATE_FILE,
    Panel,
    alarm_steps,
    entries_by_step,
    parse_history,
    training_panels,
)
from isotropy_space.figures import draw_curves
from isotropy_space.uploads import sentences_about, shown_name

MAX_STATE_BYTES = 20_000_000
MOST_FIGURES = 24
"""A run with a few probes has as many; more are numbers only."""

MOST_LINES = 100
"""Of a picture; a model with more layers shows some of them."""

LONGEST_KEY = 200
"""A Trainer logs no longer ones."""


@dataclass(frozen=True, eq=False)
class Training:
    """What a run logged of its geometry and its task.

    Attributes:
        sentence: what the run is, in words.
        figures: a picture per measure, with a line per layer; then of the drift; then of the losses and the task.
        numbers: a table of all points: curve, line, step, value.
        alarms: a table of the steps at which a collapse alarm was raised.
        notes: what is not shown, a sentence each.
    """

    sentence: str
    figures: tuple[go.Figure, ...]
    numbers: pd.DataFrame
    alarms: pd.DataFrame
    notes: tuple[str, ...]


def training_limits_sentence() -> str:
    """What the file must be, before somebody uploads it."""
    return (
        f"The {STATE_FILE} of a run with IsotropyCallback, from its output_dir or a checkpoint folder, up to "
        f"{MAX_STATE_BYTES // 10**6} MB."
    )


def read_training(path: str) -> Training:
    """The curves in a trainer_state.json.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too large, no state of a Trainer, or one without isotropy.
    """
    name = shown_name(Path(path))
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {name}")
    if Path(path).stat().st_size > MAX_STATE_BYTES:
        raise ValueError(
            f"{name} is larger than {MAX_STATE_BYTES // 10**6} MB: log less often, or draw it at home with "
            "`isotropy-metrics plot`"
        )
    with sentences_about(Path(path)):
        history = parse_history(Path(path).read_bytes(), name)
        _check_keys(history, name)
        by_step = entries_by_step(history)
        panels = training_panels(by_step)
    alarms = alarm_steps(by_step)
    return Training(
        sentence=_sentence(panels, by_step, alarms),
        figures=tuple(_draw(panel) for panel in panels[:MOST_FIGURES]),
        numbers=_numbers(panels),
        alarms=pd.DataFrame({"step": alarms}, dtype=float),
        notes=_notes(panels),
    )


def _check_keys(history: Iterable[dict[str, Any]], name: str) -> None:
    """Refuse what no Trainer logs, and what would take long to search for names of measures."""
    longest = max((len(key) for entry in history for key in entry), default=0)
    if longest > LONGEST_KEY:
        raise ValueError(f"{name} holds a key of {longest:,} letters, which no Trainer logs: it was altered")


def _draw(panel: Panel) -> go.Figure:
    every = -(-len(panel.lines) // MOST_LINES)
    lines = {panel.label_of(line): panel.lines[line] for line in list(panel.lines)[::every]}
    return draw_curves(lines, panel.title, panel.quantity, panel.reference, panel.reference_name)


def _numbers(panels: Iterable[Panel]) -> pd.DataFrame:
    points = [
        (panel.title, panel.label_of(line), step, value)
        for panel in panels
        for line, by_step in panel.lines.items()
        for step, value in by_step.items()
    ]
    return pd.DataFrame(points, columns=["curve", "line", "step", "value"])


def _sentence(panels: Iterable[Panel], by_step: dict[float, dict[str, Any]], alarms: list[float]) -> str:
    of_layers = [panel for panel in panels if panel.is_of_layers]
    n_layers = len({line for panel in of_layers for line in panel.lines})
    steps = sorted({step for panel in of_layers for points in panel.lines.values() for step in points})
    said = (
        f"{_count(len(of_layers), 'curve')} of geometry, {_count(n_layers, 'layer')}, measured at "
        f"{_count(len(steps), 'step')} from {steps[0]:,.15g} to {steps[-1]:,.15g}; the run went on to step "
        f"{max(by_step):,.15g}."
    )
    if not alarms:
        return f"{said} No collapse alarm was raised."
    return (
        f"{said} A collapse alarm was raised at {_count(len(alarms), 'evaluation')}, first at step {alarms[0]:,.15g}."
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _notes(panels: list[Panel]) -> tuple[str, ...]:
    notes = []
    if len(panels) > MOST_FIGURES:
        notes.append(f"{MOST_FIGURES} of {len(panels):,} pictures are drawn; the numbers of all are in the table.")
    n_lines = max(len(panel.lines) for panel in panels)
    if n_lines > MOST_LINES:
        notes.append(f"A picture has at most {MOST_LINES} of {n_lines:,} lines; the table has all.")
    return tuple(notes)
