"""The study's figures; matplotlib without pyplot, so that nothing global changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isotropy_metrics.measures import Measure
from isotropy_metrics.study.tables import format_number, number_or_nan, value_key

COLORS = {"before": "#4C6A92", "after": "#D1642C"}
LABELS = {"before": "before fine-tuning", "after": "after fine-tuning"}
COLUMNS = 3
NOISE = 1e-8
"""Directions with less than this share of the first one's variance are not drawn."""


def draw_layers(layers: Sequence[dict[str, Any]], measures: Sequence[Measure]) -> Figure:
    """Each measure against the layer, before and after fine-tuning."""
    n_rows = math.ceil(len(measures) / COLUMNS)
    figure, axes = _subplots(n_rows, min(COLUMNS, len(measures)), width=4.0, height=3.0)
    for axis, each in zip(axes, measures, strict=False):
        key = value_key(each, layers[0])
        for checkpoint, color in COLORS.items():
            rows = [row for row in layers if row["checkpoint"] == checkpoint]
            values = [number_or_nan(row[key]) for row in rows]
            axis.plot([row["layer"] for row in rows], values, "o-", color=color, label=LABELS[checkpoint], ms=4)
        isotropic = each.isotropic_value(layers[0]["n_features"])
        note = f"isotropic: {format_number(isotropic)}" if key == each.name else "isotropic: 0"
        axis.set_title(f"{key.replace('_', ' ')} ({note})")
        axis.set_xlabel("layer (0: embeddings)")
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[len(measures) :]:
        axis.remove()
    _legend(figure, axes[0])
    return figure


def draw_spectrum(spectra: Sequence[dict[str, Any]], layer: int) -> Figure:
    """Share of the variance along each principal direction of one layer, and its running sum."""
    figure, (each, running) = _subplots(1, 2, width=5.0, height=3.6)
    for row in spectra:
        if row["layer"] == layer:
            shares = np.array(row["variance_shares"])
            ranks = np.arange(1, len(shares) + 1)
            style = {"color": COLORS[row["checkpoint"]], "label": LABELS[row["checkpoint"]]}
            seen = shares > NOISE * shares[0]  # a LayerNorm leaves one direction without variance
            each.loglog(ranks[seen], shares[seen], **style)
            running.plot(ranks, shares.cumsum(), **style)
            uniform = np.full(len(shares), 1 / len(shares))
    each.loglog(ranks, uniform, ":", color="gray", label="isotropic")
    running.plot(ranks, uniform.cumsum(), ":", color="gray", label="isotropic")
    each.set_title(f"variance along each direction, layer {layer}")
    running.set_title("share of the variance in the first directions")
    running.set_ylim(0, 1.02)
    for axis in (each, running):
        axis.set_xlabel("principal direction")
    _legend(figure, each)
    return figure


def draw_treatments(treatments: Sequence[dict[str, Any]], measure: Measure) -> Figure:
    """Task score, and one measure, after each treatment of each checkpoint."""
    key = value_key(measure, treatments[0])
    figure, (task, geometry) = _subplots(1, 2, width=5.0, height=3.6)
    names = list(dict.fromkeys(row["treatment"] for row in treatments))
    for offset, (checkpoint, color) in zip((-0.2, 0.2), COLORS.items(), strict=True):
        rows = [row for row in treatments if row["checkpoint"] == checkpoint]
        at = np.arange(len(rows)) + offset
        score, low, high = (
            np.array([number_or_nan(row[name]) for row in rows])
            for name in ("spearman", "spearman_low", "spearman_high")
        )
        around = np.maximum([score - low, high - score], 0)
        task.errorbar(at, score, around, fmt="o", color=color, capsize=3, label=LABELS[checkpoint])
        values = [number_or_nan(row[key]) for row in rows]
        geometry.bar(at, values, 0.38, color=color, label=LABELS[checkpoint])
    task.set_title("Spearman × 100 on held-out pairs, 95 % interval")
    geometry.set_title(f"{key.replace('_', ' ')} of the token vectors")
    for axis in (task, geometry):
        axis.set_xticks(range(len(names)), names)
    _legend(figure, geometry)
    return figure


def _subplots(n_rows: int, n_columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * n_columns, height * n_rows), dpi=130, layout="constrained")
    axes = list(np.ravel(figure.subplots(n_rows, n_columns)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize(10)
        axis.grid(alpha=0.25, lw=0.6)
    return figure, axes


def _legend(figure: Figure, axis: Axes) -> None:
    """One legend above all panels, where it hides no data."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
