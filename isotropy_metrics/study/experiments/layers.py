"""Experiment E2: every measure of every layer, before and after fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isotropy_metrics.measures import MEASURES, measure
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.figures import COLORS, LABELS, panel
from isotropy_metrics.study.tables import format_number, number_or_nan, value_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(case: StudyCase) -> Outcome:
    """A row per checkpoint and layer with every measure, and one with its spectrum of variance."""
    layers, spectra = [], []
    for checkpoint, space in case.spaces.items():
        for layer in space.layers:
            at = {"checkpoint": checkpoint, "layer": layer}
            layers.append(at | measure(space.statistics[layer], case.settings.measures))
            eigenvalues = space.moments(layer).eigenvalues
            if eigenvalues.sum() > 0:
                shares = eigenvalues / eigenvalues.sum()
                spectra += [at | {"direction": j, "share": float(share)} for j, share in enumerate(shares, 1)]
    protocol = {
        "rows": "one per sub-word token of the held-out texts, without padding and special tokens",
        "sample": f"measures that need rows: {len(next(iter(case.spaces.values())).sampled)} tokens drawn uniformly",
        "measures": [each.name for each in case.settings.measures],
    }
    return Outcome({"layers": layers, "spectra": spectra}, protocol)


def draw(outcome: Outcome) -> dict[str, Figure]:
    """A panel per measure, and the spectrum of the highest layer."""
    layers = outcome.tables["layers"]
    figures = {}
    for name in outcome.protocol["measures"]:
        each = MEASURES[name]
        key = value_key(each, layers[0])
        isotropic = format_number(each.isotropic_value(layers[0]["n_features"]) if key == name else 0)
        figure, axis = panel(f"{key.replace('_', ' ')} (isotropic: {isotropic})", "layer (0: embeddings)")
        for checkpoint, color in COLORS.items():
            rows = [row for row in layers if row["checkpoint"] == checkpoint]
            values = [number_or_nan(row[key]) for row in rows]
            axis.plot([row["layer"] for row in rows], values, "o-", color=color, label=LABELS[checkpoint])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
        figures[name] = figure
    return figures


def tell(outcome: Outcome) -> list[str]:
    """Which layer changed most."""
    rows = {(row["checkpoint"], row["layer"]): row for row in outcome.tables["layers"]}
    layers = sorted({layer for _, layer in rows})
    name = outcome.protocol["measures"][0]
    key = value_key(MEASURES[name], rows[BEFORE, layers[0]])
    before, after = rows[BEFORE, layers[-1]][key], rows[AFTER, layers[-1]][key]
    label = key.replace("_", " ")
    return [f"In layer {layers[-1]} {label} went from {format_number(before)} to {format_number(after)}."]


EXPERIMENT = Experiment(
    name="layers",
    code="E2",
    title="Every layer",
    question="In which layers did fine-tuning change the space, and how?",
    how_to_read="Each panel is one measure against the layer; the isotropic value is in its title.",
    run=run,
    draw=draw,
    tell=tell,
)
