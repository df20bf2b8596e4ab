"""How the experiments on single tokens treat a space: not at all, globally, and by cluster; fitted once for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.spaces.token_space import TokenSpace
from isotropy_metrics.study.treatments.treatment import BASELINE, CLUSTER_BASED, GLOBAL, Treatment, fitting_statistics

TREATMENTS = (BASELINE, GLOBAL, CLUSTER_BASED)

TREATMENT_COLORS = {BASELINE: "#7A7A7A", GLOBAL: "#8A5B93", CLUSTER_BASED: "#4F8A5B"}

Transform = Callable[[np.ndarray], np.ndarray]

_fitted: WeakKeyDictionary[TokenSpace, dict[tuple[Any, ...], dict[str, Transform]]] = WeakKeyDictionary()
"""By fitting space, and then by the settings, what was fitted on it: three experiments ask for the same."""


def token_treatments(case: StudyCase, checkpoint: str) -> dict[str, Transform]:
    """By name, functions of rows (n, n_features), fitted on the tokens of the training texts of this checkpoint."""
    settings, space = case.settings, case.fitting_spaces[checkpoint]
    key = settings.n_clusters, settings.n_directions, settings.seed
    of_space = _fitted.setdefault(space, {})
    if key not in of_space:
        statistics = fitting_statistics(space.rows, settings.seed)
        of_space[key] = {BASELINE: lambda rows: rows} | {
            name: Treatment(name)
            .with_parameters(settings.n_clusters, settings.n_directions)
            .enhancement(settings.seed)
            .fit(statistics)
            .transform
            for name in TREATMENTS[1:]
        }
    return of_space[key]


def treatments_protocol(case: StudyCase) -> dict[str, Any]:
    """What the treatments are, for the report."""
    settings = case.settings
    return {
        "treatments": list(TREATMENTS),
        "treatments_fitted_on": f"tokens of {len(case.fitting)} training items, each checkpoint's own",
        "n_clusters": settings.n_clusters
        or "the default: 27, fewer where that leaves less than 300 tokens to a cluster",
        "n_directions": settings.n_directions
        or "the defaults: n_features/100 globally, n_features/64 in every cluster",
        "seed": settings.seed,
    }
