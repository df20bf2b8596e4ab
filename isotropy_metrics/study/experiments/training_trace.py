"""Experiment E2b: the measures of every layer and the task score at each evaluation during fine-tuning."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome, Table
from isotropy_metrics.study.report.figures import LINE_COLORS, layer_colors, panel, reference_line, whole_numbers
from isotropy_metrics.study.report.tables import display_name, format_number, format_value, heading, number_or_nan
from isotropy_metrics.training_curves import (
    STATE_FILE,
    chosen_names,
    entries_by_step,
    fact_of,
    geometry_points,
    task_points,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS, TASK = "loss", "task"
SCORE = "eval_score"
"""Under which the study's own fine-tuning logs the task score."""

N_LABELLED = 4
"""Layers with a label; the others lie between them in place and colour."""


def missing(case: StudyCase) -> str | None:
    """A second checkpoint that someone else trained may have no log with isotropy in it."""
    if case.after is None or geometry_points(entries_by_step(case.training)):
        return None
    return f"the second checkpoint came without a {STATE_FILE} with isotropy in it, as IsotropyCallback writes it"


def run(case: StudyCase) -> Outcome:
    """A row per logged step with losses and scores, and one per step, layer and measure."""
    by_step = entries_by_step(case.training)
    points = task_points(by_step)
    keys = [key for kind in (LOSS, TASK) for key in points.get(kind, {})]
    values = {key: line for lines in points.values() for key, line in lines.items()}
    steps = sorted({step for key in keys for step in values[key]})
    progress = [
        {"step": int(step), "epoch": by_step[step].get("epoch")} | {key: values[key].get(step) for key in keys}
        for step in steps
    ]
    protocol = {
        "losses": list(points.get(LOSS, {})),
        "scores": list(points.get(TASK, {})),
        "score_name": case.task.score_name,
        "source": "the log of the fine-tuning, written by IsotropyCallback",
        "texts": "those that the callback watched: of development items, or of held-out ones where there are none",
    }
    return Outcome({"progress": progress, "geometry": _geometry(case)}, protocol)


def draw(outcome: Outcome) -> dict[str, Figure]:
    """The score, the loss, and a panel per measure with a line per layer."""
    progress, geometry = outcome.tables["progress"], outcome.tables["geometry"]
    figures = {}
    for kind, keys in {"score": outcome.protocol["scores"], "loss": outcome.protocol["losses"]}.items():
        if keys:
            figures[kind] = _draw_progress(kind, keys, progress, outcome.protocol["score_name"])
    for name in dict.fromkeys(row["measure"] for row in geometry):
        figures[name] = _draw_geometry(name, [row for row in geometry if row["measure"] == name])
    return figures


def tell(outcome: Outcome) -> list[str]:
    """From where to where the score and the last layer went, and how much came in the first part of the training."""
    sentences = []
    key = SCORE if SCORE in outcome.protocol["scores"] else next(iter(outcome.protocol["scores"]), None)
    scored = [row for row in outcome.tables["progress"] if key is not None and row[key] is not None]
    if len(scored) > 1:
        first, last = scored[0], scored[-1]
        name = outcome.protocol["score_name"] if key == SCORE else display_name(key)
        sentences.append(
            f"On the texts watched during training {name} went from {format_number(first[key])} at step "
            f"{format_value(first['step'])} to {format_number(last[key])} at step {format_value(last['step'])}."
        )
    told = []
    for name in dict.fromkeys(row["measure"] for row in outcome.tables["geometry"]):
        path = [
            row for row in _top_layer(outcome.tables["geometry"], name) if np.isfinite(number_or_nan(row["value"]))
        ]
        if len(path) > 1:
            told.append((name, path))
    if told:
        layer, steps = told[0][1][0]["layer"], [told[0][1][i]["step"] for i in (0, -1)]
        changes = ", ".join(
            f"{display_name(name)} went from {format_number(path[0]['value'])} to {format_number(path[-1]['value'])}"
            for name, path in told
            if path[0]["step"] == steps[0]
        )
        where = "the last layer" if layer is None else f"layer {layer}"
        sentences.append(f"In {where}, from step {steps[0]} to step {steps[1]}, {changes}.")
    return sentences


def _geometry(case: StudyCase) -> Table:
    points = geometry_points(entries_by_step(case.training))
    table = []
    for name in chosen_names([name for name, _ in points], None):
        for probe in sorted({each for key, each in points if key == name}, key=lambda each: each or ""):
            for layer, line in points[name, probe].items():
                table += [
                    {"measure": name, "probe": probe, "layer": layer, "step": int(step), "value": value}
                    for step, value in line.items()
                ]
    return table


def _top_layer(geometry: Table, name: str) -> Table:
    """The rows of a measure in the highest layer, on the first probe."""
    rows = [row for row in geometry if row["measure"] == name]
    top = max((row["layer"] for row in rows if row["layer"] is not None), default=None)
    return [row for row in rows if row["layer"] == top and row["probe"] == rows[0]["probe"]]


def _draw_progress(kind: str, keys: list[str], progress: Table, score_name: str) -> Figure:
    own = kind == "score" and SCORE in keys
    keys = [SCORE] if own else keys
    figure, axis = panel(f"{score_name}, watched texts" if own else kind.capitalize(), "training step")
    for key, color in zip(keys, cycle(LINE_COLORS[2:]), strict=False):
        rows = [row for row in progress if row[key] is not None]
        steps, values = [row["step"] for row in rows], [row[key] for row in rows]
        axis.plot(steps, values, "o-", color=color, label=display_name(key))
    whole_numbers(axis)
    if len(keys) > 1:
        axis.legend()
    return figure


def _draw_geometry(name: str, rows: Table) -> Figure:
    fact, word = fact_of(name)
    note = f" ({word}: {format_number(fact)})" if isinstance(fact, float) else ""
    figure, axis = panel(f"{heading(name)}{note}", "training step")
    lines = dict.fromkeys((row["probe"], row["layer"]) for row in rows)
    layers = sorted({layer for _, layer in lines if layer is not None})
    colors = layer_colors(layers)
    labelled = (
        {layers[i] for i in np.linspace(0, len(layers) - 1, N_LABELLED).round().astype(int)} if layers else set()
    )
    for probe, layer in lines:
        own = [row for row in rows if (row["probe"], row["layer"]) == (probe, layer)]
        label = _label(probe, layer) if layer is None or layer in labelled else None
        look = {"color": colors.get(layer), "lw": 2.4 if layers and layer == layers[-1] else 1.4, "label": label}
        axis.plot([row["step"] for row in own], [number_or_nan(row["value"]) for row in own], "o-", ms=3, **look)
    whole_numbers(axis)
    reference_line(axis, fact if isinstance(fact, float) else None)
    if len(axis.get_legend_handles_labels()[1]) > 1:
        axis.legend()
    return figure


def _label(probe: str | None, layer: int | None) -> str:
    where = "last layer" if layer is None else f"layer {layer}"
    return where if probe is None else f"{probe}, {where}"


EXPERIMENT = Experiment(
    name="training_trace",
    code="E2b",
    title="During fine-tuning",
    question="When did the space change, and did the task score change with it?",
    how_to_read="The horizontal axis is the training step; step 0 is the model as it came. Each panel is one measure "
    "with a line per layer, the last one thick; those “to baseline” compare a layer with the same layer before "
    "training. Where a measure has settled and the score has not, or the other way round, the two are not one thing. "
    "The values are of the texts that the callback watched, fewer than in the other experiments, so compare them "
    "along a line, not with the other tables. A single training run: another seed gives another path.",
    run=run,
    draw=draw,
    tell=tell,
    missing=missing,
)
