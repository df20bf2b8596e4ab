"""The statistics that measures need: made, shown rows, and told from rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isotropy_metrics.statistics import Buckets, ClassMoments, Moments, RowSample, TwoMoments

Statistic = Moments | ClassMoments | RowSample | Buckets

ID_MEANINGS = {
    "references": "one class label per row",
    "words": "which word each row is an occurrence of",
    "sentences": "which sentence each row comes from",
}


def statistics_for(
    measures: Iterable[Any], *, interval: bool = False, seed: int = 0, stream: int = 0, **sample: Any
) -> list[Statistic]:
    """Fresh statistics, one of each kind that these measures, or comparisons, need.

    Args:
        measures: measures or comparisons; each has the kind it `needs`.
        interval: keep `Buckets` where the kind does not keep rows, so that intervals can be computed.
        seed, stream: of samples and buckets; see `RowSample`.
        **sample: further arguments of `RowSample`.
    """
    draws = {"seed": seed, "stream": stream}
    statistics = []
    for kind in dict.fromkeys(measure.needs for measure in measures):
        if issubclass(kind, RowSample):
            statistics.append(kind(**draws, **sample))
        elif kind is TwoMoments:
            statistics.append(kind(interval, **draws))
        else:
            statistics.append(Buckets(kind, **draws) if interval else kind())
    return statistics


def update_statistics(
    statistics: Iterable[Statistic], embeddings: Any, mask: Any = None, weight: Any = None, **ids: Any
) -> None:
    """Show the rows to all statistics, and to each the ids that it takes."""
    for statistic in statistics:
        own = {name: values for name, values in ids.items() if name in getattr(statistic, "ids", ())}
        statistic.update(embeddings, mask=mask, weight=weight, **own)


def as_statistics(embeddings: Any, mask: Any, weight: Any, ids: dict[str, Any]) -> list[Statistic] | None:
    """The statistics, if that is what was given in place of rows; then what belongs to rows comes too late."""
    given = list(embeddings) if isinstance(embeddings, (list, tuple)) else [embeddings]
    if not given or not isinstance(given[0], (Moments, ClassMoments, RowSample, Buckets)):
        return None
    late = [name for name, value in {"mask": mask, "weight": weight, **ids}.items() if value is not None]
    if late:
        raise ValueError(f"{' and '.join(late)} belong to rows: pass them to the update of the statistics")
    return given
