"""What a measure is: a function of one statistic, and the facts that everything else is generated from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from isotropy_metrics.statistics import Moments, RowSample


class Measure:
    """A measure of geometry: call it on rows or on the statistic that it needs.

    Attributes:
        name: of the function, its file, its result key and its `evaluate` module.
        needs: the statistic that the function takes, `Moments` or `RowSample`.
        bounds: smallest and largest value.
        isotropic: the value that an isotropic space has, in the limit of many rows.
        invariant_to: which of "translation", "rotation", "scale" leave the value as it is.
        paper: arXiv id, or address.
        citation: BibTeX.
        options: the keyword arguments of the measure with their defaults.
    """

    def __init__(
        self,
        function: Callable[..., dict[str, float]],
        *,
        needs: type[Moments] | type[RowSample],
        bounds: tuple[float, float],
        isotropic: float | str,
        invariant_to: tuple[str, ...],
        paper: str,
        citation: str,
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.needs = needs
        self.bounds = bounds
        self.isotropic = isotropic
        self.invariant_to = invariant_to
        self.paper = paper
        self.citation = citation
        self.__doc__ = inspect.cleandoc(function.__doc__)
        self.__name__ = self.name
        self.__module__ = function.__module__
        parameters = inspect.signature(function).parameters.values()
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return self.__doc__.split("\n\n")[0].replace("\n", " ")

    @property
    def paper_url(self) -> str:
        """Where to read about it."""
        return self.paper if self.paper.startswith("http") else f"https://huggingface.co/papers/{self.paper}"

    def __call__(self, embeddings: Any, *, mask: Any = None, weight: Any = None, **options: Any) -> dict[str, float]:
        """The measure's values: `{name: value, ..., "n_samples": ..., "n_features": ...}`.

        Args:
            embeddings: rows (n_samples, n_features); or (batch, length, n_features) with a `mask`; or a statistic,
                or a collection of statistics, as they come out of `Moments` and `RowSample`.
            mask, weight: see `Moments.update`; for rows only.
            **options: the keyword arguments in the measure's docstring.

        Raises:
            ValueError: fewer than two rows, rows that are not finite, of the wrong shape, or not numbers.
            TypeError: an option that the measure does not have.
        """
        self.check_options(options)
        statistic = self._statistic(embeddings, mask, weight)
        if statistic.n_rows < 2:
            raise ValueError(f"{self.name} needs at least 2 rows, got {statistic.n_rows}")
        return self.function(statistic, **options) | _provenance(statistic)

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise TypeError if the measure does not have one of these options."""
        unknown = [name for name in options if name not in self.options]
        if unknown:
            known = ", ".join(f"{name}={default!r}" for name, default in self.options.items()) or "none"
            raise TypeError(f"{self.name} has no option {unknown[0]!r}; its options: {known}")

    def _statistic(self, embeddings: Any, mask: Any, weight: Any) -> Moments | RowSample:
        given = as_statistics(embeddings, mask, weight)
        if given is None:
            statistic = self.needs()
            statistic.update(embeddings, mask=mask, weight=weight)
            return statistic
        for statistic in given:
            if isinstance(statistic, self.needs):
                return statistic
        raise TypeError(
            f"{self.name} needs {self.needs.__name__}, got {', '.join(type(item).__name__ for item in given)}: "
            "isotropy_metrics.statistics_for(measures) makes all that some measures need"
        )

    def __repr__(self) -> str:
        return f"<measure {self.name}>"


def measure_of(**facts: Any) -> Callable[[Callable[..., dict[str, float]]], Measure]:
    """Decorator: the function of a statistic becomes a `Measure`."""

    def decorate(function: Callable[..., dict[str, float]]) -> Measure:
        return Measure(function, **facts)

    return decorate


def statistics_for(measures: Iterable[Measure], **sample: Any) -> list[Moments | RowSample]:
    """Fresh statistics, one of each kind that these measures need; `sample` are arguments of `RowSample`."""
    needed = dict.fromkeys(measure.needs for measure in measures)
    return [kind(**sample) if kind is RowSample else kind() for kind in needed]


def as_statistics(embeddings: Any, mask: Any, weight: Any) -> list[Moments | RowSample] | None:
    """The statistics, if that is what was given in place of rows; then a mask or weight comes too late."""
    given = list(embeddings) if isinstance(embeddings, (list, tuple)) else [embeddings]
    if not given or not isinstance(given[0], (Moments, RowSample)):
        return None
    if mask is not None or weight is not None:
        raise ValueError("mask and weight belong to rows: pass them to the update of the statistics")
    return given


def _provenance(statistic: Moments | RowSample) -> dict[str, float]:
    provenance = {"n_samples": statistic.n_rows, "n_features": statistic.n_features}
    if isinstance(statistic, RowSample) and not statistic.is_complete:
        provenance["n_sampled"] = len(statistic.rows)
    return provenance
