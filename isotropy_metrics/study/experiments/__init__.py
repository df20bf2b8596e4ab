"""The experiments of the study, in the order of the report: one file = one experiment."""

from __future__ import annotations

from collections.abc import Sequence

from isotropy_metrics.study.experiments import (
    classes,
    clusters,
    contextuality,
    dominant_directions,
    drift,
    elongated_directions,
    groups,
    layers,
    senses_and_tenses,
    token_types,
    training_trace,
    treatments,
    word_frequency,
)
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome

EXPERIMENTS: dict[str, Experiment] = {
    each.EXPERIMENT.name: each.EXPERIMENT
    for each in (
        treatments,
        layers,
        training_trace,
        token_types,
        senses_and_tenses,
        word_frequency,
        elongated_directions,
        dominant_directions,
        clusters,
        drift,
        contextuality,
        classes,
        groups,
    )
}
"""Every experiment by its name."""


def find_experiments(names: str | Sequence[str] = "all") -> list[Experiment]:
    """The experiments with these names or codes, in the order of the report; for "all" every one.

    Raises:
        ValueError: a name that no experiment has, or none at all.
    """
    if names == "all":
        return list(EXPERIMENTS.values())
    wanted = [names] if isinstance(names, str) else list(names)
    known = {**EXPERIMENTS, **{each.code.lower(): each for each in EXPERIMENTS.values() if each.code}}
    unknown = [name for name in wanted if name.lower() not in known]
    if unknown or not wanted:
        listed = ", ".join(f"{each.name} ({each.code})" if each.code else each.name for each in EXPERIMENTS.values())
        raise ValueError(
            (f"there is no experiment {unknown[0]!r}" if unknown else "no experiment named") + f"; there are: {listed}"
        )
    chosen = {known[name.lower()].name for name in wanted}
    return [each for each in EXPERIMENTS.values() if each.name in chosen]


__all__ = ["EXPERIMENTS", "Experiment", "Outcome", "find_experiments"]
