"""What a measure is: a function of one statistic, and the facts that everything else is generated from."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from isotropy_metrics.measures._interval import N_RESAMPLES, check_level, interval_of
from isotropy_metrics.measures._statistics import (
    ID_MEANINGS,
    Statistic,
    as_statistics,
    includes,
    statistics_for,
    update_statistics,
)
from isotropy_metrics.statistics import Buckets, RowSample
from isotropy_metrics.statistics.isotropic_null import isotropic_null


class OfDimension(NamedTuple):
    """A value that depends on the number of features d: how to write it, and how to compute it."""

    text: str
    value: Callable[[int], float]


D = OfDimension("d", float)
"""The number of features."""


def text_of(fact: float | OfDimension | None) -> str:
    """A bound or an isotropic value as one writes it."""
    if fact is None:
        return "–"
    return fact.text if isinstance(fact, OfDimension) else f"{fact:g}".replace("inf", "∞")


class Measure:
    """A measure of geometry: call it on rows or on the statistic that it needs.

    Attributes:
        name: of the function, its file, its result key and its `evaluate` module.
        needs: the statistic that the function takes: `UnitSums`, `Moments`, `UnitMoments`, `ClassMoments`
            or `RowSample`.
        bounds: smallest and largest value; `OfDimension` where that depends on d.
        isotropic: the value that an isotropic space has in the limit of many rows; `OfDimension` where it depends on
            d, None where there is none: the null at the same n and d (`null=True`) takes its place.
        invariant_to: which of "translation", "rotation", "scale" leave the value as it is.
        rows_wanted: how many rows the measure wants, a function of d; below, it warns. A measure whose options matter
            takes them as keywords.
        paper: arXiv id, or address.
        citation: BibTeX.
        ids: the ids of rows that the measure cannot do without: "references", "words", "sentences".
        weighted: whether weights of rows have a meaning for it.
        options: the keyword arguments of the measure with their defaults.
    """

    module_type = "measurement"

    def __init__(
        self,
        function: Callable[..., dict[str, float]],
        *,
        needs: type,
        bounds: tuple[float, float | OfDimension],
        isotropic: float | OfDimension | None,
        invariant_to: tuple[str, ...],
        rows_wanted: Callable[..., int],
        paper: str,
        citation: str,
        ids: tuple[str, ...] = (),
        weighted: bool = True,
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.needs = needs
        self.bounds = bounds
        self.isotropic = isotropic
        self.invariant_to = invariant_to
        self.rows_wanted = rows_wanted
        self.paper = paper
        self.citation = citation
        self.ids = ids
        self.weighted = weighted
        self.__name__ = self.name
        self.__module__ = function.__module__
        parameters = inspect.signature(function).parameters.values()
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        of_options = inspect.signature(rows_wanted).parameters
        self._options_of_rows_wanted = [name for name in self.options if name in of_options]
        self.__doc__ = (
            inspect.cleandoc(function.__doc__) + "\n\nFacts:\n" + "\n".join(f"    {fact}" for fact in self.facts)
        )

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return self.__doc__.split("\n\n")[0].replace("\n", " ")

    @property
    def facts(self) -> list[str]:
        """What the record says, a sentence each; the end of the docstring."""
        facts = [f"Range: {text_of(self.bounds[0])} … {text_of(self.bounds[1])}.", *self._facts_of_kind()]
        if self.options:
            facts.append("These hold with the default options.")
        few, many = self.rows_wanted(384), self.rows_wanted(768)
        wanted = f"{few:,}" if few == many else f"{few:,} for 384 features, {many:,} for 768"
        facts.append(f"Rows wanted: {wanted}; fewer raise a warning.")
        facts.append("Rows may have weights." if self.weighted else "Weights of rows are refused.")
        if any(isinstance(fact, OfDimension) for fact in (*self.bounds, self.isotropic)):
            facts.append("d is the number of features.")
        return [*facts, f"Source: {self.paper_url}"]

    def _facts_of_kind(self) -> list[str]:
        isotropic = "no fixed value, see null=True" if self.isotropic is None else text_of(self.isotropic)
        unchanged = ", ".join(self.invariant_to) or "nothing"
        return [f"An isotropic space: {isotropic}.", f"Unchanged by: {unchanged}."]

    @property
    def paper_url(self) -> str:
        """Where to read about it."""
        return self.paper if self.paper.startswith("http") else f"https://huggingface.co/papers/{self.paper}"

    def isotropic_value(self, n_features: int) -> float | None:
        """The value that an isotropic space of so many dimensions has."""
        return self.isotropic.value(n_features) if isinstance(self.isotropic, OfDimension) else self.isotropic

    def __call__(
        self,
        embeddings: Any,
        *,
        mask: Any = None,
        weight: Any = None,
        references: Any = None,
        words: Any = None,
        sentences: Any = None,
        interval: float | None = None,
        null: bool = False,
        n_resamples: int = N_RESAMPLES,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, float]:
        """The measure's values: `{name: value, ..., "n_samples": ..., "n_features": ...}`.

        Args:
            embeddings: rows (n_samples, n_features); or (batch, length, n_features) with a `mask`; or a statistic,
                or a collection of statistics, as they come out of `statistics_for`.
            mask, weight: see `Moments.update`; for rows only.
            references, words, sentences: class label, word and sentence of every row, as integers or text, where the
                measure needs them; `sentences` also make an interval resample whole sentences.
            interval: level of a bootstrap interval, as in 0.95, for the value of so many rows; adds `name_low` and
                `name_high`. See `interval_of`.
            null: add `name_null`, the value of as many isotropic Gaussian rows of the same width and total variance.
            n_resamples: of the interval.
            seed: of the sample of rows, the interval and the null.
            **options: the keyword arguments in the measure's docstring.

        Raises:
            ValueError: fewer than two rows, rows that are not finite, of the wrong shape, or not numbers; ids that the
                measure needs are missing, or given to one that has no use for them.
            TypeError: an option that the measure does not have.
        """
        self.check_options(options)
        check_level(interval)
        of_rows = {"references": references, "words": words, "sentences": sentences}
        statistics = as_statistics(embeddings, mask, weight, of_rows)
        if statistics is None:
            statistics = statistics_for([self], interval=interval is not None, seed=seed)
            self._check_ids_are_of_use(of_rows, statistics)
            update_statistics(statistics, embeddings, mask=mask, weight=weight, **of_rows)
        statistic = self._own(statistics)
        self._check_rows(statistic, options)
        whole = getattr(statistic, "whole", statistic)
        result = self.function(whole, **options)
        if interval is not None:
            result |= self._interval(statistic, options, result, level=interval, n_resamples=n_resamples, seed=seed)
        if null:
            result |= self._values(isotropic_null(whole, seed), options, self._keys(result), "_null")
        return result | _provenance(whole)

    def _keys(self, result: dict[str, Any]) -> list[str]:
        """The keys that have intervals and nulls: the value, and its logarithm where there is one."""
        return [key for key in (self.name, f"{self.name}_log10") if key in result]

    def _values(self, statistic: Any, options: dict[str, Any], keys: list[str], ending: str = "") -> dict[str, float]:
        """Values without warnings: for resamples and nulls."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            result = self.function(statistic, **options)
        return {f"{key}{ending}": float(result[key]) for key in keys}

    def _interval(
        self, statistic: Any, options: dict[str, Any], result: dict[str, Any], **arguments: Any
    ) -> dict[str, float]:
        if not hasattr(statistic, "halves"):
            raise ValueError(
                f"an interval of {self.name} needs rows, or statistics from statistics_for(measures, interval=True)"
            )
        key = self._keys(result)[-1]
        low, high = interval_of(lambda each: self._values(each, options, [key])[key], statistic, **arguments)
        if key == self.name:
            return {f"{key}_low": low, f"{key}_high": high}
        limits = {f"{key}_low": low, f"{key}_high": high}
        return {f"{self.name}_low": 10.0**low, f"{self.name}_high": 10.0**high} | limits

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise TypeError if the measure does not have one of these options."""
        unknown = [name for name in options if name not in self.options]
        if unknown:
            known = ", ".join(f"{name}={default!r}" for name, default in self.options.items()) or "none"
            raise TypeError(f"{self.name} has no option {unknown[0]!r}; its options: {known}")

    def _own(self, statistics: list[Statistic]) -> Statistic:
        for statistic in statistics:
            kind = statistic.kind if isinstance(statistic, Buckets) else type(statistic)
            if kind is self.needs or self.needs in includes(kind):
                return statistic
        raise TypeError(
            f"{self.name} needs {self.needs.__name__}, got {', '.join(type(item).__name__ for item in statistics)}: "
            "isotropy_metrics.statistics_for(measures) makes all that is needed"
        )

    def _check_ids_are_of_use(self, ids: dict[str, Any], statistics: list[Statistic]) -> None:
        for name, values in ids.items():
            if values is not None and not any(name in getattr(each, "ids", ()) for each in statistics):
                raise ValueError(f"{self.name} has no use for {name}: leave them out")

    def _check_rows(self, statistic: Statistic, options: dict[str, Any]) -> None:
        n, d = statistic.n_rows, statistic.n_features
        if n < 2:
            raise ValueError(f"{self.name} needs at least 2 rows, got {n}")
        missing = [name for name in self.ids if getattr(statistic, name, True) is None]
        if missing:
            raise ValueError(f"{self.name} needs {missing[0]}=: {ID_MEANINGS[missing[0]]}")
        if not self.weighted and getattr(statistic, "weight", None) is not None:
            raise ValueError(f"{self.name} has no meaning for weights of rows: leave them out")
        wanted = self.rows_wanted(
            d, **{name: options[name] for name in self._options_of_rows_wanted if name in options}
        )
        n = len(statistic.rows) if isinstance(statistic, RowSample) else n
        if n < wanted:
            transposed = f", or transpose if the rows are the {d}" if n < d else ""
            warnings.warn(
                f"{self.name} of {n:,} rows in {d} dimensions: it wants {wanted:,} rows. Compare values of equal n "
                f"only, see with null=True what isotropic rows would give{transposed}",
                RuntimeWarning,
                stacklevel=3,
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name}>"


def measure_of(**facts: Any) -> Callable[[Callable[..., dict[str, float]]], Measure]:
    """Decorator: the function of a statistic becomes a `Measure`."""

    def decorate(function: Callable[..., dict[str, float]]) -> Measure:
        return Measure(function, **facts)

    return decorate


def ten_per_dimension(d: int) -> int:
    """Rows wanted by measures of the spectrum: below, the smallest eigenvalues tell of n and not of the space."""
    return 10 * d


def _provenance(statistic: Any) -> dict[str, float]:
    provenance = {"n_samples": statistic.n_rows, "n_features": statistic.n_features}
    if isinstance(statistic, RowSample) and not statistic.is_complete:
        provenance["n_sampled"] = len(statistic.rows)
    return provenance
