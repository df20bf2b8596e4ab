"""What a comparison is: a function of one statistic of two spaces, and the facts that go with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from isotropy_metrics.measures._interval import N_RESAMPLES, check_level
from isotropy_metrics.measures._measure import Measure, text_of
from isotropy_metrics.measures._statistics import statistics_for
from isotropy_metrics.statistics.isotropic_null import isotropic_null
from isotropy_metrics.statistics.pair_sample import PairSample
from isotropy_metrics.statistics.two_moments import TwoMoments

Statistic = PairSample | TwoMoments

TWO_SPACES = "a comparison needs two spaces: pass embeddings1 and embeddings2"


class Comparison(Measure):
    """A measure of two spaces: call it on the rows of both, or on the statistic that it needs.

    Attributes (further ones are those of `Measure`; there is no isotropic value):
        needs: `PairSample` if row i of the first space belongs to row i of the second, `TwoMoments` if rows are not
            paired.
        same: the value of a space compared with itself.
        same_width: whether both spaces must have the same number of features.
        invariant_to: which of "translation", "rotation", "scale" of one of the two spaces leave the value as it is.
        rows_wanted: how many rows it wants, a function of d, the number of features of the wider space.
    """

    module_type = "comparison"

    def __init__(
        self, function: Callable[..., dict[str, float]], *, same: float, same_width: bool = False, **facts: Any
    ) -> None:
        self.same = same
        self.same_width = same_width
        super().__init__(function, isotropic=None, **facts)

    def _facts_of_kind(self) -> list[str]:
        unchanged = ", ".join(self.invariant_to) or "nothing"
        return [f"A space compared with itself: {text_of(self.same)}.", f"Unchanged by, of either space: {unchanged}."]

    @property
    def paired(self) -> bool:
        """Whether row i of the first space belongs to row i of the second."""
        return self.needs is PairSample

    def __call__(
        self,
        embeddings1: Any,
        embeddings2: Any = None,
        *,
        mask: Any = None,
        weight: Any = None,
        sentences: Any = None,
        interval: float | None = None,
        null: bool = False,
        n_resamples: int = N_RESAMPLES,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, float]:
        """The comparison's values: `{name: value, ..., "n_samples": ..., "n_features1": ..., "n_features2": ...}`.

        Args:
            embeddings1, embeddings2: rows (n_samples, n_features) of each space, which may differ in width; or (batch,
                length, n_features) with a `mask`. Or, in place of `embeddings1` alone, a statistic or a collection of
                statistics, as they come out of `statistics_for`.
            mask, weight: see `PairSample.update` and, for rows that are not paired, `TwoMoments.update`.
            sentences: which sentence each pair of rows comes from; an interval then resamples whole sentences.
            interval: level of a bootstrap interval, as in 0.95; adds `name_low` and `name_high`. See `interval_of`.
            null: add `name_null`, the value by chance: of the same rows paired at random; or, where rows are not
                paired, of as many isotropic Gaussian rows.
            n_resamples: of the interval.
            seed: of the sample of pairs, the interval and the null.
            **options: the keyword arguments in the comparison's docstring.

        Raises:
            ValueError: fewer than two rows, spaces that do not fit together, rows that are not finite, of the wrong
                shape, or not numbers.
            TypeError: an option that the comparison does not have.
        """
        self.check_options(options)
        check_level(interval)
        statistics = as_statistics(embeddings1, embeddings2, mask, weight, sentences)
        if statistics is None:
            statistics = statistics_for([self], interval=interval is not None, seed=seed)
            if sentences is not None and not self.paired:
                raise ValueError(f"{self.name} has no use for sentences, as its rows are not paired: leave them out")
            update_statistics(statistics, embeddings1, embeddings2, mask, weight, sentences)
        statistic = self._own(statistics)
        self._check_rows(statistic, options)
        whole = getattr(statistic, "whole", statistic)
        result = self.function(whole, **options)
        if interval is not None:
            result |= self._interval(statistic, options, result, level=interval, n_resamples=n_resamples, seed=seed)
        if null:
            result |= self._values(by_chance(whole, seed), options, self._keys(result), "_null")
        return result | _provenance(whole)

    def _check_rows(self, statistic: Statistic, options: dict[str, Any]) -> None:
        n, seen = _n_kept(statistic), _n_seen(statistic)
        if n < 2:
            got = " and ".join(map(str, seen))
            raise ValueError(f"{self.name} needs at least 2 rows{'' if self.paired else ' of each space'}, got {got}")
        widths = statistic.widths
        if self.same_width and widths[0] != widths[1]:
            raise ValueError(
                f"{self.name} compares rows of one space: embeddings1 and embeddings2 must have the same number of "
                f"features, got {widths[0]} and {widths[1]}"
            )
        if not self.weighted and getattr(statistic, "weight", None) is not None:
            raise ValueError(f"{self.name} has no meaning for weights of rows: leave them out")
        d = max(widths)
        wanted = self.rows_wanted(
            d, **{name: options[name] for name in self._options_of_rows_wanted if name in options}
        )
        if n < wanted:
            what = "pairs of rows" if self.paired else "rows"
            chance = "random pairs" if self.paired else "isotropic rows"
            warnings.warn(
                f"{self.name} of {n:,} {what} in {d} dimensions: it wants {wanted:,} rows. Compare values of equal n "
                f"only, see with null=True what {chance} would give",
                RuntimeWarning,
                stacklevel=3,
            )


def comparison_of(**facts: Any) -> Callable[[Callable[..., dict[str, float]]], Comparison]:
    """Decorator: the function of a statistic of two spaces becomes a `Comparison`."""

    def decorate(function: Callable[..., dict[str, float]]) -> Comparison:
        return Comparison(function, **facts)

    return decorate


def update_statistics(
    statistics: Iterable[Statistic],
    embeddings1: Any,
    embeddings2: Any,
    mask: Any = None,
    weight: Any = None,
    sentences: Any = None,
) -> None:
    """Show the rows of both spaces to all statistics, and the sentences to those of pairs."""
    if embeddings2 is None:
        raise ValueError(TWO_SPACES)
    for statistic in statistics:
        ids = {"sentences": sentences} if isinstance(statistic, PairSample) else {}
        statistic.update(embeddings1, embeddings2, mask=mask, weight=weight, **ids)


def as_statistics(
    embeddings1: Any, embeddings2: Any, mask: Any, weight: Any, sentences: Any
) -> list[Statistic] | None:
    """The statistics, if that is what was given in place of rows; then what belongs to rows comes too late."""
    if not are_statistics(embeddings1):
        return None
    of_rows = {"embeddings2": embeddings2, "mask": mask, "weight": weight, "sentences": sentences}
    late = [name for name, value in of_rows.items() if value is not None]
    if late:
        raise ValueError(f"{' and '.join(late)} belong to rows: pass them to the update of the statistics")
    return list(embeddings1) if isinstance(embeddings1, (list, tuple)) else [embeddings1]


def are_statistics(given: Any) -> bool:
    """Whether this is a statistic of two spaces, or a collection of them."""
    first = given[0] if isinstance(given, (list, tuple)) and len(given) else given
    return isinstance(first, (PairSample, TwoMoments))


def by_chance(statistic: Statistic, seed: int) -> Statistic:
    """The statistic without what is to be found: rows paired at random, or isotropic clouds of the same sizes."""
    if isinstance(statistic, PairSample):
        return statistic.shuffled(seed)
    return TwoMoments.of(isotropic_null(statistic.first, seed), isotropic_null(statistic.second, seed + 1))


def _n_seen(statistic: Statistic) -> tuple[int, ...]:
    if isinstance(statistic, PairSample):
        return (statistic.n_rows,)
    return statistic.first.n_rows, statistic.second.n_rows


def _n_kept(statistic: Statistic) -> int:
    """Number of pairs, or of rows of the smaller cloud, that the value is of."""
    if isinstance(statistic, PairSample):
        return len(statistic.rows) if statistic.n_rows else 0
    return min(_n_seen(statistic))


def _provenance(statistic: Statistic) -> dict[str, float]:
    names = ("n_samples",) if isinstance(statistic, PairSample) else ("n_samples1", "n_samples2")
    provenance = dict(zip(names, _n_seen(statistic), strict=True))
    provenance |= dict(zip(("n_features1", "n_features2"), statistic.widths, strict=True))
    if isinstance(statistic, PairSample) and not statistic.is_complete:
        provenance["n_sampled"] = len(statistic.rows)
    return provenance
