"""What is computed: one file = one measure, a function of a statistic. A new file here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from isotropy_metrics.measures._measure import Measure, as_statistics, measure_of, statistics_for
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE

MEASURES: dict[str, Measure] = {}
"""Every measure by its name."""

for _file in pkgutil.iter_modules(__path__):
    if not _file.name.startswith("_"):
        MEASURES[_file.name] = getattr(importlib.import_module(f"{__name__}.{_file.name}"), _file.name)
globals().update(MEASURES)


def find_measures(names: str | Measure | Iterable[str | Measure] | None = None) -> list[Measure]:
    """The measures with these names; all of them for None.

    Raises:
        ValueError: a name that no measure has, or no name at all.
    """
    if names is None:
        return list(MEASURES.values())
    names = [names] if isinstance(names, (str, Measure)) else list(names)
    if not names:
        raise ValueError(f"no measure named; there are: {', '.join(MEASURES)}")
    for name in names:
        if not isinstance(name, Measure) and name not in MEASURES:
            raise ValueError(f"there is no measure {name!r}; there are: {', '.join(MEASURES)}")
    return [name if isinstance(name, Measure) else MEASURES[name] for name in names]


def measure(
    embeddings: Any,
    measures: str | Measure | Iterable[str | Measure] | None = None,
    *,
    mask: Any = None,
    weight: Any = None,
    options: dict[str, dict[str, Any]] | None = None,
    sample_size: int | None = DEFAULT_SIZE,
    seed: int = 0,
) -> dict[str, float]:
    """Several measures of the same rows, from one pass over them.

    Args:
        embeddings: rows (n_samples, n_features); or (batch, length, n_features) with a `mask`; or statistics that
            have already seen the rows, as `statistics_for` makes them.
        measures: names or measures; None for all.
        mask: 0 where a token does not count, (batch, length).
        weight: of every row, (n_samples,).
        options: keyword arguments by measure, as in `{"isoscore": {"unbiased": True}}`.
        sample_size: most rows that the measures of rows use (the others use all); None for all rows.
        seed: of that sample.

    Returns:
        One flat dict: the values of all measures, `n_samples`, `n_features`, and `n_sampled` if rows were sampled.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 16)) * 4 + 1
        >>> values = measure(X, ["isoscore", "average_cosine_similarity"])
        >>> round(values["isoscore"], 3), round(values["average_cosine_similarity"], 3), values["n_samples"]
        (0.99, 0.06, 2000)
    """
    chosen = find_measures(measures)
    unknown = sorted(set(options or {}) - {each.name for each in chosen})
    if unknown:
        raise TypeError(f"options are by measure, as in {{'isoscore': {{'unbiased': True}}}}; got {unknown[0]!r}")
    statistics = as_statistics(embeddings, mask, weight)
    if statistics is None:
        statistics = statistics_for(chosen, size=sample_size, seed=seed)
        for statistic in statistics:
            statistic.update(embeddings, mask=mask, weight=weight)
    values: dict[str, float] = {}
    provenance: dict[str, float] = {}
    for each in chosen:
        result = each(statistics, **(options or {}).get(each.name, {}))
        provenance |= {key: result.pop(key) for key in ("n_samples", "n_features", "n_sampled") if key in result}
        values |= result
    return values | provenance


__all__ = ["MEASURES", "Measure", "find_measures", "measure", "measure_of", "statistics_for", *MEASURES]
