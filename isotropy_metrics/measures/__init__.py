"""What is computed: one file = one measure, a function of a statistic. A new file here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

from isotropy_metrics.measures._interval import N_RESAMPLES, check_level
from isotropy_metrics.measures._measure import Measure, measure_of
from isotropy_metrics.measures._statistics import as_statistics, merge_statistics, statistics_for, update_statistics
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE, IDS

MEASURES: dict[str, Measure] = {}
"""Every measure by its name."""

for _file in pkgutil.iter_modules(__path__):
    if not (_file.ispkg or _file.name.startswith("_")):
        MEASURES[_file.name] = getattr(importlib.import_module(f"{__name__}.{_file.name}"), _file.name)
globals().update(MEASURES)


def find_measures(
    names: str | Measure | Iterable[str | Measure] | None = None, ids: Iterable[str] = (), *, weighted: bool = False
) -> list[Measure]:
    """The measures with these names; for None all that rows suffice for that have these ids, and weights or not.

    Raises:
        ValueError: a name that no measure has, or no name at all.
    """
    if names is None:
        return [each for each in MEASURES.values() if set(each.ids) <= set(ids) and (each.weighted or not weighted)]
    names = [names] if isinstance(names, (str, Measure)) else list(names)
    if not names:
        raise ValueError(f"no measure named; there are: {', '.join(MEASURES)}")
    for name in names:
        if isinstance(name, Measure) and name.module_type != Measure.module_type:
            raise ValueError(f"{name.name} compares two spaces: use compare(X, Y, ...)")
        if not isinstance(name, Measure) and name not in MEASURES:
            raise ValueError(f"there is no measure {name!r}; there are: {', '.join(MEASURES)}")
    return [name if isinstance(name, Measure) else MEASURES[name] for name in names]


def measure(
    embeddings: Any,
    measures: str | Measure | Iterable[str | Measure] | None = None,
    *,
    mask: Any = None,
    weight: Any = None,
    references: Any = None,
    words: Any = None,
    sentences: Any = None,
    options: dict[str, dict[str, Any]] | None = None,
    sample_size: int | None = DEFAULT_SIZE,
    interval: float | None = None,
    null: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, float]:
    """Several measures of the same rows, from one pass over them.

    Args:
        embeddings: rows (n_samples, n_features); or (batch, length, n_features) with a `mask`; or statistics that
            have already seen the rows, as `statistics_for` makes them.
        measures: names or measures; None for all that the ids given suffice for.
        mask: 0 where a token does not count, (batch, length).
        weight: of every row, (n_samples,).
        references: class label of every row, as integers or text, (n_samples,); so are
        words: which word a row is an occurrence of, and
        sentences: which sentence it comes from. Sentences, or else words, are then sampled and resampled as a whole.
        options: keyword arguments by measure, as in `{"isoscore": {"unbiased": True}}`.
        sample_size: most rows that the measures of rows use (the others use all); None for all rows.
        interval: level of bootstrap intervals, as in 0.95: adds `<name>_low` and `<name>_high`.
        null: add `<name>_null`, the values of as many isotropic Gaussian rows of the same width and total variance.
        n_resamples: of the intervals.
        seed: of the sample, the intervals and the null.

    Returns:
        One flat dict: the values of all measures, `n_samples`, `n_features`, and `n_sampled` if rows were sampled.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 16)) * 4 + 1
        >>> values = measure(X, ["isoscore", "average_cosine_similarity"])
        >>> round(values["isoscore"], 3), round(values["average_cosine_similarity"], 3), values["n_samples"]
        (0.99, 0.06, 2000)
    """
    ids = {"references": references, "words": words, "sentences": sentences}
    statistics = as_statistics(embeddings, mask, weight, ids)
    given = [name for name in ids if ids[name] is not None] if statistics is None else ids_of(statistics)
    weighted = weight is not None or any(getattr(each, "weight", None) is not None for each in statistics or ())
    chosen = find_measures(measures, given, weighted=weighted)
    unknown = sorted(set(options or {}) - {each.name for each in chosen})
    if unknown:
        raise TypeError(f"options are by measure, as in {{'isoscore': {{'unbiased': True}}}}; got {unknown[0]!r}")
    check_level(interval)
    if statistics is None:
        statistics = statistics_for(chosen, interval=interval is not None, seed=seed, size=sample_size)
        update_statistics(statistics, embeddings, mask=mask, weight=weight, **ids)
    asked = {"interval": interval, "null": null, "n_resamples": n_resamples, "seed": seed}
    values: dict[str, float] = {}
    provenance: dict[str, float] = {}
    for each in chosen:
        result = each(statistics, **asked, **(options or {}).get(each.name, {}))
        provenance |= {key: result.pop(key) for key in ("n_samples", "n_features", "n_sampled") if key in result}
        values |= result
    return values | provenance


def ids_of(statistics: Iterable[Any]) -> list[str]:
    """The ids that the rows came with which these statistics have seen."""
    return [name for name in IDS if any(getattr(statistic, name, None) is not None for statistic in statistics)]


__all__ = [
    "MEASURES",
    "Measure",
    "find_measures",
    "measure",
    "measure_of",
    "merge_statistics",
    "statistics_for",
    "update_statistics",
    *MEASURES,
]
