"""A comparison with the interface of `evaluate.Comparison`; imports evaluate, so import it only when needed."""

from __future__ import annotations

from functools import partial
from typing import Any

import datasets
import evaluate

from isotropy_metrics.evaluate_streaming import ASKED, StreamingModule, one_row
from isotropy_metrics.measures.comparisons import compare, find_comparisons, statistics_for, update_statistics

SPACES = ("embeddings1", "embeddings2")

INPUTS = f"""
Args:
    embeddings1, embeddings2: rows (n_samples, n_features) of either space: numpy array, torch tensor or nested lists;
        or (batch, length, n_features) together with `mask`. Row i of the one belongs to row i of the other, unless the
        comparison is of rows that are not paired.
    mask: (batch, length), 0 where a token does not count.
    weight: weight of every pair of rows, (n_samples,).
{ASKED.format(null="the value by chance: of random pairs, or of isotropic rows where rows are not paired")}"""


class EmbeddingComparison(StreamingModule, evaluate.Comparison):
    """Comparisons of two spaces as an `evaluate` comparison; see `StreamingModule`."""

    _find = staticmethod(find_comparisons)

    def _info(self) -> evaluate.ComparisonInfo:
        spaces = {name: datasets.Sequence(datasets.Value("float32")) for name in SPACES}
        return self._info_of(evaluate.ComparisonInfo, INPUTS, spaces)

    def _statistics(self, **arguments: Any) -> list[Any]:
        return statistics_for(self.records, **arguments)

    def _values(self, statistics: list[Any], **arguments: Any) -> dict[str, float]:
        return compare(statistics, comparisons=self.records, **arguments)

    def add_batch(
        self, *, embeddings1: Any = None, embeddings2: Any = None, mask: Any = None, weight: Any = None, **kwargs: Any
    ) -> None:
        """Add a batch of rows of both spaces to the statistics.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> linear_cka = isotropy_metrics.load("linear_cka")
        >>> linear_cka.add_batch(embeddings1=[[1.0, 2.0], [3.0, 1.0]], embeddings2=[[2.0], [1.0]])

        ```
        """
        self._refuse(list(kwargs))
        _show(self.statistics, embeddings1, embeddings2, mask, weight)

    def add(self, *, embeddings1: Any = None, embeddings2: Any = None, weight: Any = None, **kwargs: Any) -> None:
        """Add one row of each space to the statistics.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> linear_cka = isotropy_metrics.load("linear_cka")
        >>> linear_cka.add(embeddings1=[1.0, 2.0], embeddings2=[2.0])

        ```
        """
        spaces = {"embeddings1": embeddings1, "embeddings2": embeddings2}
        rows = {name: None if row is None else one_row(row) for name, row in spaces.items()}
        self.add_batch(**rows, weight=None if weight is None else [weight], **kwargs)

    def compute(
        self,
        *,
        predictions: None = None,
        references: None = None,
        embeddings1: Any = None,
        embeddings2: Any = None,
        mask: Any = None,
        weight: Any = None,
        interval: float | None = None,
        null: bool | None = None,
        n_resamples: int | None = None,
        **options: Any,
    ) -> dict[str, float]:
        """Compute the comparison of all rows added so far, and of those given here; then forget them.

        Usage of positional arguments is not allowed to prevent mistakes.

        Return:
            `dict` with the comparison under its name, the number of rows and the numbers of features.

        Example:

        ```py
        >>> import numpy as np
        >>> import isotropy_metrics
        >>> linear_cka = isotropy_metrics.load("linear_cka")
        >>> X = np.random.default_rng(0).normal(size=(1000, 8))
        >>> round(linear_cka.compute(embeddings1=X, embeddings2=2 * X[:, ::-1])["linear_cka"], 6)
        1.0

        ```
        """
        inputs = {"predictions": predictions, "references": references}
        self._refuse([name for name, value in inputs.items() if value is not None])
        of_rows = {"embeddings1": embeddings1, "embeddings2": embeddings2, "mask": mask, "weight": weight}
        show = None
        if any(value is not None for value in of_rows.values()):
            show = partial(_show, **of_rows)
        return self._answer(show, {"interval": interval, "null": null, "n_resamples": n_resamples}, options)


def _show(statistics: list[Any], embeddings1: Any, embeddings2: Any, mask: Any, weight: Any) -> None:
    missing = [name for name, rows in zip(SPACES, (embeddings1, embeddings2), strict=True) if rows is None]
    if missing:
        raise ValueError(f"a comparison needs the rows of two spaces: pass {' and '.join(missing)}")
    update_statistics(statistics, embeddings1, embeddings2, mask=mask, weight=weight)
