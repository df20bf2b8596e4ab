"""Experiment: every measure of every layer, before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isotropy_metrics.measures import Measure, measure
from isotropy_metrics.statistics import Moments
from isotropy_metrics.study.token_space import TokenSpace


def measures_per_layer(spaces: dict[str, TokenSpace], measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """One row per checkpoint and layer: the measures of its token vectors."""
    return [
        {"checkpoint": checkpoint, "layer": layer} | measure(statistics, measures)
        for checkpoint, space in spaces.items()
        for layer, statistics in space.statistics.items()
    ]


def variance_spectra(spaces: dict[str, TokenSpace]) -> list[dict[str, Any]]:
    """One row per checkpoint and layer: the share of the variance along each principal direction, largest first."""
    rows = []
    for checkpoint, space in spaces.items():
        for layer, statistics in space.statistics.items():
            for moments in statistics:
                if isinstance(moments, Moments) and moments.eigenvalues.sum() > 0:
                    shares = moments.eigenvalues / moments.eigenvalues.sum()
                    rows.append({"checkpoint": checkpoint, "layer": layer, "variance_shares": shares.tolist()})
    return rows
