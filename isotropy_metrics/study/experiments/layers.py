"""Experiment E2: every measure of every layer, before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.measures import MEASURES, Measure, measure
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome, Table
from isotropy_metrics.study.report.figures import REFERENCE, line_per_checkpoint, panel, reference_line, whole_numbers
from isotropy_metrics.study.report.tables import display_name, format_number, heading, number_or_nan, value_key
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WELL_KNOWN = (
    "average_cosine_similarity",
    "partition_isotropy",
    "isoscore",
    "effective_rank",
    "participation_ratio",
)
"""Their panels come first."""

NOISE = 1e-8
"""Directions with less than this share of the first one's variance are not drawn."""

N_TOLD = 3
BAR_COLOR = "#8A5B93"


def run(case: StudyCase) -> Outcome:
    """A row per checkpoint and layer with every measure, what changed by how much, and the last layer's spectrum."""
    measures = _in_order(case.settings.measures)
    layers, spectra = [], []
    for checkpoint, space in case.spaces.items():
        for layer in space.layers:
            at = {"checkpoint": checkpoint, "layer": layer}
            layers.append(at | measure(space.statistics[layer], measures))
        spectra += _spectrum(checkpoint, space.moments(space.layer).eigenvalues)
    changes = _changes(layers, measures)
    protocol = {
        "rows": "one per sub-word token of the held-out texts, without padding and special tokens",
        "sample": f"measures that need rows: {len(next(iter(case.spaces.values())).sampled)} tokens drawn uniformly",
        "measures": [each.name for each in measures],
        "layer_of_the_spectrum": case.layer,
        "spread": "of a measure: largest minus smallest value over the layers before fine-tuning",
    }
    tables = {"layers": layers, "changes": changes, "change_by_layer": _by_layer(changes), "spectrum": spectra}
    return Outcome(tables, protocol)


def draw(outcome: Outcome) -> dict[str, Figure]:
    """The well-known measures, the change by layer, the spectrum, and then every other measure."""
    layers = outcome.tables["layers"]
    of_measures = {name: _draw_measure(MEASURES[name], layers) for name in outcome.protocol["measures"]}
    first = {name: figure for name, figure in of_measures.items() if name in WELL_KNOWN}
    between: dict[str, Figure] = {}
    if any(row["median_change_in_spreads"] is not None for row in outcome.tables["change_by_layer"]):
        between["change"] = _draw_change(outcome.tables["change_by_layer"])
    if outcome.tables["spectrum"]:
        between |= _draw_spectrum(outcome.tables["spectrum"], outcome.protocol["layer_of_the_spectrum"])
    return first | between | of_measures


def tell(outcome: Outcome) -> list[str]:
    """Which layer changed most, how, and whether away from isotropy."""
    by_layer = [row for row in outcome.tables["change_by_layer"] if _is_number(row["median_change_in_spreads"])]
    sentences = []
    layer = outcome.tables["layers"][-1]["layer"]
    if len(by_layer) > 1:
        least, *_, most = sorted(by_layer, key=lambda row: row["median_change_in_spreads"])
        layer = most["layer"]
        sentences.append(
            f"Layer {layer} changed most: over {most['n_measures']} measures the median change is "
            f"{format_number(most['median_change_in_spreads'], 2)} of the measure's spread over the layers before "
            f"fine-tuning; layer {least['layer']} changed least "
            f"({format_number(least['median_change_in_spreads'], 2)})."
        )
    changes = [row for row in outcome.tables["changes"] if row["layer"] == layer and _is_number(row["change"])]
    told = ", ".join(
        f"{display_name(row['measure'])} went from {format_number(row['before'])} to {format_number(row['after'])}"
        for row in changes[:N_TOLD]
    )
    if told:
        sentences.append(f"In layer {layer} {told}.")
    compared = [row for row in changes if _is_number(row["isotropic"]) and _is_number(row["change"])]
    away = sum(abs(row["after"] - row["isotropic"]) > abs(row["before"] - row["isotropic"]) for row in compared)
    if compared:
        sentences.append(
            f"In that layer {away} of {len(compared)} measures ended farther from their isotropic value than before."
        )
    return sentences


def _in_order(measures: Sequence[Measure]) -> list[Measure]:
    known = [each for name in WELL_KNOWN for each in measures if each.name == name]
    return known + [each for each in measures if each.name not in WELL_KNOWN]


def _spectrum(checkpoint: str, eigenvalues: np.ndarray) -> Table:
    if not eigenvalues.sum() > 0:
        return []
    shares = eigenvalues / eigenvalues.sum()
    return [
        {"checkpoint": checkpoint, "direction": j, "share": float(share), "cumulative_share": float(total)}
        for j, (share, total) in enumerate(zip(shares, shares.cumsum(), strict=True), 1)
    ]


def _changes(layers: Table, measures: Sequence[Measure]) -> Table:
    """A row per layer and measure; the change also in spreads, None where the layers do not differ before."""
    rows = {(row["checkpoint"], row["layer"]): row for row in layers}
    numbers = sorted({row["layer"] for row in layers})
    changes = []
    for layer in numbers:
        for each in measures:
            key = value_key(each, layers[0])
            values = np.array([rows[BEFORE, number][key] for number in numbers], dtype=float)
            values = values[np.isfinite(values)]
            spread = float(np.ptp(values)) if len(values) else 0.0
            before, after = rows[BEFORE, layer][key], rows[AFTER, layer][key]
            changes.append(
                {
                    "layer": layer,
                    "measure": key,
                    "before": before,
                    "after": after,
                    "isotropic": _isotropic_value(each, key, layers[0]["n_features"]),
                    "change": after - before,
                    "change_in_spreads": (after - before) / spread if spread > 0 else None,
                }
            )
    return changes


def _isotropic_value(each: Measure, key: str, n_features: int) -> float | None:
    """The isotropic value of I(W) is 1, of its logarithm 0."""
    value = each.isotropic_value(n_features)
    if value is None or key == each.name:
        return value
    return float(np.log10(value)) if value > 0 else None


def _by_layer(changes: Table) -> Table:
    table = []
    for layer in sorted({row["layer"] for row in changes}):
        sizes = [abs(row["change_in_spreads"]) for row in changes if _is_number(row["change_in_spreads"], row, layer)]
        median = float(np.median(sizes)) if sizes else None
        table.append({"layer": layer, "median_change_in_spreads": median, "n_measures": len(sizes)})
    return table


def _is_number(value: Any, row: dict[str, Any] | None = None, layer: int | None = None) -> bool:
    """Whether a value of this layer is there: a missing one is NaN before JSON and None after it."""
    return value is not None and bool(np.isfinite(value)) and (row is None or row["layer"] == layer)


def _draw_measure(each: Measure, layers: Table) -> Figure:
    key = value_key(each, layers[0])
    isotropic = _isotropic_value(each, key, layers[0]["n_features"])
    note = "" if isotropic is None else f" (isotropic: {format_number(isotropic)})"
    figure, axis = panel(f"{heading(key)}{note}", "layer (0: embeddings)")
    line_per_checkpoint(axis, layers, "layer", key)
    reference_line(axis, isotropic)
    return figure


def _draw_change(by_layer: Table) -> Figure:
    figure, axis = panel("Change by layer (median of measures)", "layer (0: embeddings)", "change in spreads")
    sizes = [number_or_nan(row["median_change_in_spreads"]) for row in by_layer]
    axis.bar([row["layer"] for row in by_layer], sizes, color=BAR_COLOR, width=0.6)
    whole_numbers(axis)
    return figure


def _draw_spectrum(spectrum: Table, layer: int) -> dict[str, Figure]:
    n = max(row["direction"] for row in spectrum)
    largest = max(row["share"] for row in spectrum)
    each, axis = panel(f"Variance along each direction, layer {layer}", "principal direction", "share of the variance")
    axis.set(xscale="log", yscale="log")
    # a LayerNorm leaves one direction without variance
    line_per_checkpoint(axis, [row for row in spectrum if row["share"] > NOISE * largest], "direction", "share", ms=0)
    axis.plot([1, n], [1 / n, 1 / n], label="isotropic", **REFERENCE)
    axis.legend()
    running, axis = panel(f"Variance of the first directions, layer {layer}", "principal directions", "share together")
    line_per_checkpoint(axis, spectrum, "direction", "cumulative_share", ms=0)
    axis.plot([1, n], [1 / n, 1], label="isotropic", **REFERENCE)
    axis.set_ylim(0, 1.02)
    axis.legend()
    return {"spectrum": each, "cumulative_spectrum": running}


EXPERIMENT = Experiment(
    name="layers",
    code="E2",
    title="Every layer",
    question="In which layers did fine-tuning change the space, and how?",
    how_to_read="Each panel is one measure against the layer; layer 0 is the embedding output. The value of an "
    "isotropic space is in the title, and a dotted line where it is in sight. To compare measures of different units, "
    "a change is divided by the spread of its measure: the largest minus the smallest value over the layers before "
    "fine-tuning. So 1 means as much as separates the most different layers of the first model; this yardstick is "
    "ours. The spectrum shows how the variance is shared out: a line that falls steeply means few long directions. "
    "Average cosine is mostly the offset of the cloud from the origin, and I(W) changes with the length of the "
    "vectors and sees only the two extreme directions, so read them beside IsoScore and the ranks. Whether a change "
    "is good these numbers do not tell.",
    run=run,
    draw=draw,
    tell=tell,
)
