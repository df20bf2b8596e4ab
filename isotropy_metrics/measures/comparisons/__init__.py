"""What is computed of two spaces: one file = one comparison. A new file here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

import numpy as np

from isotropy_metrics.measures._interval import N_RESAMPLES, check_level
from isotropy_metrics.measures._statistics import statistics_for
from isotropy_metrics.measures.comparisons._comparison import (
    TWO_SPACES,
    Comparison,
    are_statistics,
    as_statistics,
    comparison_of,
    update_statistics,
)
from isotropy_metrics.statistics.pair_sample import PairSample
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE
from isotropy_metrics.statistics.two_moments import TwoMoments

COMPARISONS: dict[str, Comparison] = {}
"""Every comparison by its name."""

for _file in pkgutil.iter_modules(__path__):
    if not (_file.ispkg or _file.name.startswith("_")):
        COMPARISONS[_file.name] = getattr(importlib.import_module(f"{__name__}.{_file.name}"), _file.name)
globals().update(COMPARISONS)

PROVENANCE = ("n_samples", "n_samples1", "n_samples2", "n_features1", "n_features2", "n_sampled")


def find_comparisons(
    names: str | Comparison | Iterable[str | Comparison] | None = None,
    *,
    needs: Iterable[type] = (PairSample, TwoMoments),
    same_width: bool = True,
    weighted: bool = False,
) -> list[Comparison]:
    """The comparisons with these names; for None all that two spaces such as these allow.

    Args:
        names: names or comparisons, or None.
        needs: the statistics that there are, or can be made: `PairSample` only of rows that are paired.
        same_width: there are as many features in the one space as in the other.
        weighted: the rows have weights.

    Raises:
        ValueError: a name that no comparison has, or no name at all.
    """
    if names is None:
        return [
            each
            for each in COMPARISONS.values()
            if each.needs in needs and (same_width or not each.same_width) and (each.weighted or not weighted)
        ]
    names = [names] if isinstance(names, (str, Comparison)) else list(names)
    if not names:
        raise ValueError(f"no comparison named; there are: {', '.join(COMPARISONS)}")
    for name in names:
        if not isinstance(name, Comparison) and name not in COMPARISONS:
            raise ValueError(f"there is no comparison {name!r}; there are: {', '.join(COMPARISONS)}")
    return [name if isinstance(name, Comparison) else COMPARISONS[name] for name in names]


def compare(
    embeddings1: Any,
    embeddings2: Any = None,
    comparisons: str | Comparison | Iterable[str | Comparison] | None = None,
    *,
    mask: Any = None,
    weight: Any = None,
    sentences: Any = None,
    options: dict[str, dict[str, Any]] | None = None,
    sample_size: int | None = DEFAULT_SIZE,
    interval: float | None = None,
    null: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, float]:
    """Several comparisons of the same two spaces, from one pass over them.

    Args:
        embeddings1, embeddings2: rows (n_samples, n_features) of each space; or (batch, length, n_features) with a
            `mask`. Or `compare(statistics, names)`, with statistics that have already seen the rows, as
            `statistics_for` makes them.
        comparisons: names or comparisons; None for all that the two allow: those of pairs need as many rows in one as
            in the other, and some as many features.
        mask: 0 where a token does not count, (batch, length).
        weight: of every pair of rows, (n_samples,).
        sentences: which sentence each pair comes from; sampled and resampled as a whole.
        options: keyword arguments by comparison, as in `{"linear_cka": {"debiased": False}}`.
        sample_size: most pairs that the comparisons of pairs use (the others use all rows); None for all.
        interval: level of bootstrap intervals, as in 0.95: adds `<name>_low` and `<name>_high`.
        null: add `<name>_null`, the values by chance: of random pairs, or of isotropic rows where there are no pairs.
        n_resamples: of the intervals.
        seed: of the sample, the intervals and the null.

    Returns:
        One flat dict: the values of all comparisons, `n_samples` (`n_samples1` and `n_samples2` of rows that are not
        paired), `n_features1`, `n_features2`, and `n_sampled` if pairs were sampled.

    Raises:
        ValueError: the two spaces allow none, or not one that was named.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(2000, 16))
        >>> values = compare(X, 3 * X[:, ::-1] + 1, ["linear_cka", "procrustes_distance"])
        >>> round(values["linear_cka"], 6), round(values["procrustes_distance"], 6), values["n_samples"]
        (1.0, 0.0, 2000)
    """
    if comparisons is None and are_statistics(embeddings1):
        embeddings2, comparisons = None, embeddings2
    statistics = as_statistics(embeddings1, embeddings2, mask, weight, sentences)
    if statistics is None and embeddings2 is None:
        raise ValueError(TWO_SPACES)
    allowed = _allowed_by_rows(embeddings1, embeddings2, weight) if statistics is None else _allowed_by(statistics)
    chosen = find_comparisons(comparisons, **allowed)
    if not chosen:
        raise ValueError(
            "there is no comparison of spaces that differ both in the number of rows and in the number of features"
        )
    unknown = sorted(set(options or {}) - {each.name for each in chosen})
    if unknown:
        raise TypeError(
            f"options are by comparison, as in {{'linear_cka': {{'debiased': False}}}}; got {unknown[0]!r}"
        )
    check_level(interval)
    if statistics is None:
        statistics = statistics_for(chosen, interval=interval is not None, seed=seed, size=sample_size)
        update_statistics(statistics, embeddings1, embeddings2, mask, weight, sentences)
    asked = {"interval": interval, "null": null, "n_resamples": n_resamples, "seed": seed}
    values: dict[str, float] = {}
    provenance: dict[str, float] = {}
    for each in chosen:
        result = each(statistics, **asked, **(options or {}).get(each.name, {}))
        provenance |= {key: result.pop(key) for key in PROVENANCE if key in result}
        values |= result
    return values | provenance


def _allowed_by_rows(embeddings1: Any, embeddings2: Any, weight: Any) -> dict[str, Any]:
    (*rows1, width1), (*rows2, width2) = _shape(embeddings1), _shape(embeddings2)
    return {
        "needs": (PairSample, TwoMoments) if rows1 == rows2 else (TwoMoments,),
        "same_width": width1 == width2,
        "weighted": weight is not None,
    }


def _allowed_by(statistics: list[Any]) -> dict[str, Any]:
    width1, width2 = statistics[0].widths
    return {
        "needs": tuple(map(type, statistics)),
        "same_width": width1 == width2,
        "weighted": any(getattr(each, "weight", None) is not None for each in statistics),
    }


def _shape(rows: Any) -> tuple[int, ...]:
    """Shape as far as it can be told without a conversion; what is ragged is refused when the rows are read."""
    if isinstance(rows, (list, tuple)):
        return (len(rows), *(_shape(rows[0]) if len(rows) else ()))
    return np.shape(rows)


__all__ = [
    "COMPARISONS",
    "Comparison",
    "compare",
    "comparison_of",
    "find_comparisons",
    *COMPARISONS,
]
