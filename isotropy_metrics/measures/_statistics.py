"""The statistics that measures need: made, shown rows, and told from rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isotropy_metrics.statistics import Buckets, ClassMoments, RowSample, TwoMoments, UnitSums

Statistic = UnitSums | ClassMoments | RowSample | Buckets

ID_MEANINGS = {
    "references": "one class label per row",
    "words": "which word each row is an occurrence of",
    "sentences": "which sentence each row comes from",
}


def statistics_for(
    measures: Iterable[Any],
    *,
    also: Iterable[type] = (),
    interval: bool = False,
    seed: int = 0,
    stream: int = 0,
    **sample: Any,
) -> list[Statistic]:
    """Fresh statistics, one of each kind that these measures, or comparisons, need, unless another includes it.

    Args:
        measures: measures or comparisons; each has the kind it `needs`.
        also: kinds that are wanted besides.
        interval: keep `Buckets` where the kind does not keep rows, so that intervals can be computed.
        seed, stream: of samples and buckets; see `RowSample`.
        **sample: further arguments of `RowSample`.
    """
    draws = {"seed": seed, "stream": stream}
    statistics = []
    kinds = dict.fromkeys([*(measure.needs for measure in measures), *also])
    included = {part for kind in kinds for part in includes(kind)}
    for kind in (each for each in kinds if each not in included):
        if issubclass(kind, RowSample):
            statistics.append(kind(**draws, **sample))
        elif kind is TwoMoments:
            statistics.append(kind(interval, **draws))
        else:
            statistics.append(Buckets(kind, **draws) if interval else kind())
    return statistics


def includes(kind: type) -> tuple[type, ...]:
    """Kinds of statistics that need not be kept beside this one."""
    return getattr(kind, "INCLUDES", ())


def update_statistics(
    statistics: Iterable[Statistic], embeddings: Any, mask: Any = None, weight: Any = None, **ids: Any
) -> None:
    """Show the rows to all statistics, and to each the ids that it takes."""
    for statistic in statistics:
        own = {name: values for name, values in ids.items() if name in getattr(statistic, "ids", ())}
        statistic.update(embeddings, mask=mask, weight=weight, **own)


def skip_rows(statistics: Iterable[Statistic], n_rows: int, ids: Iterable[str] = ()) -> None:
    """Pass over rows with these ids, which another part of the same stream is shown; see `RowSample.skip`."""
    for statistic in statistics:
        if isinstance(statistic, RowSample) or (isinstance(statistic, Buckets) and "sentences" not in ids):
            statistic.skip(n_rows)


def merge_statistics(parts: Iterable[Iterable[Statistic]]) -> list[Statistic]:
    """The statistics of the rows of all parts together: map-reduce, where `update_statistics` is the map.

    The parts keep their value, so that an engine may merge them again; they are taken one after the other, and two are
    held in memory at a time if they come from a generator.

    Args:
        parts: statistics as `statistics_for` makes them of the same measures, each part with a `stream` of its own.

    Returns:
        Statistics of their own, for `measure`, or to be merged further.

    Raises:
        ValueError: there are no parts, parts of unlike number, or rows of unlike widths.
        TypeError: statistics of unlike kinds.

    Example:
        >>> import numpy as np
        >>> from isotropy_metrics import find_measures, measure
        >>> X = np.random.default_rng(0).normal(size=(2000, 16)) * 4 + 1
        >>> parts = [statistics_for(find_measures("isoscore"), stream=i) for i in range(2)]
        >>> for part, rows in zip(parts, (X[:500], X[500:])):
        ...     update_statistics(part, rows)
        >>> values = measure(merge_statistics(parts), "isoscore")
        >>> round(values["isoscore"], 3), values["n_samples"]
        (0.99, 2000)
    """
    merged: list[Statistic] | None = None
    for part in parts:
        merged = _with_part(merged, list(part))
        del part  # before the next one comes
    if merged is None:
        raise ValueError("there are no parts to merge")
    return merged


def _with_part(merged: list[Statistic] | None, part: list[Statistic]) -> list[Statistic]:
    if merged is None:
        return [copied(each) for each in part]
    if len(part) != len(merged):
        raise ValueError(f"a part has {len(part)} statistics, the first has {len(merged)}: they are no like parts")
    for own, other in zip(merged, part, strict=True):
        own.merge(other)
    return merged


def copied(statistic: Statistic) -> Statistic:
    """One that shares nothing with it, but the device that its rows came from."""
    copy = type(statistic).from_state_dict(statistic.state_dict())
    if isinstance(statistic, RowSample):
        copy.device = statistic.device
    return copy


def as_statistics(embeddings: Any, mask: Any, weight: Any, ids: dict[str, Any]) -> list[Statistic] | None:
    """The statistics, if that is what was given in place of rows; then what belongs to rows comes too late."""
    given = list(embeddings) if isinstance(embeddings, (list, tuple)) else [embeddings]
    if not given or not isinstance(given[0], (UnitSums, ClassMoments, RowSample, Buckets)):
        return None
    late = [name for name, value in {"mask": mask, "weight": weight, **ids}.items() if value is not None]
    if late:
        raise ValueError(f"{' and '.join(late)} belong to rows: pass them to the update of the statistics")
    return given
