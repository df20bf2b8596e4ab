"""Enhancement: what all of them share: fitting on rows or on statistics, streaming, merging, checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from isotropy_metrics.arrays import as_rows, lies_on_device, squared_norms
from isotropy_metrics.enhancement._carried import Carried
from isotropy_metrics.enhancement._fitting_rows import check_fitting_rows, warn_if_far_off, warn_of_forgetting
from isotropy_metrics.statistics import Moments, RowSample, RowStatistics
from isotropy_metrics.statistics.full_precision import full_precision

if TYPE_CHECKING:
    import torch

DEVICE_ROWS = 65_536
"""Rows of a GPU that are enhanced at once: what lies between the steps takes memory too."""

NAMES_OF_ALL = ("mean_", "total_variance_", "n_samples_seen_", "n_features_in_")


class Enhancement(Carried, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """A scikit-learn transformer of embeddings that is fitted on rows, or on statistics of rows.

    A kind of enhancement says what it remembers (`FITTED`), how that follows from the statistics (`_solve`), and what
    it does to rows (`_transform`). After `partial_fit` and `merge` the solution is found when it is first needed.

    Attributes:
        mean_: (n_features_in_,), of the fitting rows, float64.
        total_variance_: of the fitting rows, summed over the features.
        n_samples_seen_: number of fitting rows.
        n_features_in_: number of features.
    """

    FITTED: ClassVar[tuple[str, ...]] = ()
    """Attributes that follow from the rows: arrays and numbers, with `NAMES_OF_ALL` all that `transform` needs."""

    NEEDS_SAMPLE: ClassVar[bool] = False
    """Whether moments do not suffice."""

    MINDS_CLUSTERS: ClassVar[bool] = True
    """Whether fitting rows that lie in few clusters are a reason to warn."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Enhancement:
        """Fit on rows (n_samples, n_features), or on `RowStatistics` or `Moments` of them; `y` is ignored.

        Args:
            X: rows, numpy or torch, or statistics. Moments alone hold no rows that could be looked at: no warning of
                ordered or clustered rows can be given then.
            sample_weight: (n_samples,), importance of each row, such as the probability of its word (Zipf).

        Returns:
            self.

        Raises:
            ValueError: no rows, rows that are not finite, fewer rows than this enhancement can be fitted on. It is
                then as it was.
        """
        with unchanged_if_refused(self):
            if isinstance(X, (RowStatistics, Moments, RowSample)):
                if sample_weight is not None:
                    raise ValueError("statistics hold their weights: give them to update(rows, weight=)")
                statistics = self._of(X)
                vars(self).pop("feature_names_in_", None)
            else:
                statistics = self._new_statistics()
                self._update(statistics, X, sample_weight, reset=True)
            self._forget()
            vars(self).update(self._checked_solution(statistics))
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Enhancement:
        """Add rows (n_samples, n_features) to those it was fitted on so far by `partial_fit`. Returns self.

        After `fit`, and of a loaded enhancement, it begins anew, with a warning: neither keeps the statistics that
        rows could be added to.
        """
        first = "statistics_" not in vars(self)
        if first and self.__sklearn_is_fitted__():
            warn_of_forgetting()
        statistics = self._new_statistics() if first else self.statistics_
        with unchanged_if_refused(self):
            self._update(statistics, X, sample_weight, reset=first)
        self._keep(statistics)
        return self

    def merge(self, other: Enhancement) -> Enhancement:
        """Add the rows that `other` was fitted on by `partial_fit`, as on another shard; `other` keeps its value.

        Across processes: `enhancement.fit(merge_processes(enhancement.statistics_))`.
        """
        for each in (self, other):
            if "statistics_" not in vars(each):
                raise ValueError(f"{each} holds no statistics to merge: call partial_fit in place of fit")
        self._keep(self.statistics_.merge(other.statistics_))
        return self

    def transform(self, X: Any) -> np.ndarray | torch.Tensor:
        """The enhanced rows (n_samples, n_features), float32 for rows of single or half precision, else float64.

        An array; of rows on a GPU a tensor there, which steps of scikit-learn do not take: after them in a `Pipeline`
        pass `X.cpu()`, or use `as_torch(pipeline)`.

        Raises:
            NotFittedError: not fitted yet.
            ValueError: another number of features than the fitting rows, or rows that are not finite.
        """
        check_is_fitted(self)
        if lies_on_device(X):
            return self._transform_on_device(X)
        rows = self._validated(X, reset=False)
        self._settle()
        with np.errstate(invalid="ignore", over="ignore"):  # rows that are not finite are refused on the way
            enhanced = self._transform(rows)
        warn_if_far_off(rows, self.mean_, self.total_variance_)
        return enhanced

    def _transform_on_device(self, X: torch.Tensor) -> torch.Tensor:
        import torch

        rows, _ = as_rows(X, on_device=True)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(f"these rows have {rows.shape[1]} features, the fitting rows had {self.n_features_in_}")
        if not len(rows):
            raise ValueError("there is no row to enhance")
        squared_norms(rows)  # finds what is not finite
        self._settle()
        module = self.as_torch(rows.dtype).to(rows.device)
        enhanced = torch.empty(len(rows), self._n_features_out, dtype=rows.dtype, device=rows.device)
        with torch.no_grad(), full_precision(rows.device):
            for start in range(0, len(rows), DEVICE_ROWS):
                part = slice(start, start + DEVICE_ROWS)
                enhanced[part] = module(rows[part])
        warn_if_far_off(rows, self.mean_, self.total_variance_)
        return enhanced

    def check_parameters(self, n_features: int) -> int:
        """Refuse parameters that no rows of so many features could be fitted with; say how many features come out.

        `fit` and `partial_fit` call it before they read rows; what was set in between is checked with the solution.

        Raises:
            ValueError: which parameter, and what it must be.
        """
        return n_features

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        """The values of `FITTED`."""
        raise NotImplementedError

    def _transform(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _rows_wanted(self, n_features: int) -> int:
        """Below so many fitting rows `fit` warns."""
        return 2

    def _new_statistics(self) -> RowStatistics:
        return RowStatistics()

    def _update(self, statistics: RowStatistics, X: Any, sample_weight: Any, reset: bool) -> None:
        rows = as_rows(X, on_device=True)[0] if lies_on_device(X) else self._validated(X, reset)
        if lies_on_device(X) and reset:
            vars(self).pop("feature_names_in_", None)
        self.check_parameters(rows.shape[1])
        statistics.update(rows, weight=sample_weight)
        if not statistics.n_rows:
            raise ValueError("there is no row to fit on" + (": every sample_weight is zero" if len(rows) else ""))

    def _of(self, statistics: RowStatistics | Moments | RowSample) -> RowStatistics:
        if not statistics.n_rows:
            raise ValueError("there is no row to fit on: these statistics are empty")
        self.check_parameters(statistics.n_features)
        if isinstance(statistics, Moments):
            if self.NEEDS_SAMPLE:
                raise ValueError(f"{type(self).__name__} needs rows, or RowStatistics of them: Moments do not suffice")
            return RowStatistics.of(statistics, RowSample())
        if isinstance(statistics, RowSample):
            moments = Moments()
            moments.update(statistics.rows, weight=statistics.weight)
            return RowStatistics.of(moments, statistics)
        return statistics

    def _keep(self, statistics: RowStatistics) -> None:
        self._forget()
        self.statistics_ = statistics
        self.n_features_in_ = statistics.n_features
        self.n_samples_seen_ = statistics.n_rows

    def _forget(self) -> None:
        for name in ("statistics_", *self.FITTED, "mean_", "total_variance_", "fingerprint_"):
            vars(self).pop(name, None)

    def _settle(self) -> None:
        if "mean_" not in vars(self) and "statistics_" in vars(self):
            vars(self).update(self._checked_solution(self.statistics_))

    def _checked_solution(self, statistics: RowStatistics) -> dict[str, Any]:
        moments = statistics.moments
        self.check_parameters(moments.n_features)
        # arrays that a folder gives back lie in C order: products with those fitted here must round alike
        solution = {
            name: np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
            for name, value in self._solve(statistics).items()
        }
        rows_wanted = self._rows_wanted(moments.n_features)
        check_fitting_rows(statistics, rows_wanted, type(self).__name__, self.MINDS_CLUSTERS)
        return solution | {
            "mean_": moments.mean.copy(),
            "total_variance_": float(np.trace(moments.scatter)) / moments.weight_sum,
            "n_samples_seen_": moments.n_rows,
            "n_features_in_": moments.n_features,
        }

    def _validated(self, X: Any, reset: bool) -> np.ndarray:
        if type(X).__module__.partition(".")[0] == "torch" or getattr(X, "dtype", None) == np.float16:
            X, _ = as_rows(X)
        return validate_data(self, X, reset=reset, dtype=(np.float64, np.float32), order="C", ensure_all_finite=False)

    def _validated_enhanced(self, X: Any) -> np.ndarray:
        """Rows that `transform` could have given, for `inverse_transform`."""
        check_is_fitted(self)
        rows = check_array(X, dtype=(np.float64, np.float32))
        if rows.shape[1] != self._n_features_out:
            raise ValueError(f"transform gives {self._n_features_out} features, got rows of {rows.shape[1]}")
        return rows

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def __getattr__(self, name: str) -> Any:
        """Attributes that follow from the rows, after `partial_fit` and `merge`."""
        if name in (*type(self).FITTED, *NAMES_OF_ALL) and "statistics_" in vars(self):
            try:
                self._settle()
            except ValueError as error:  # hasattr asks, and must get an answer
                raise AttributeError(f"{type(self).__name__} has no {name!r} yet: {error}") from error
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "mean_" in vars(self) or "statistics_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@contextmanager
def unchanged_if_refused(enhancement: Any) -> Iterator[None]:
    """Give an enhancement the attributes back that it had, if the block fails."""
    before = dict(vars(enhancement))
    try:
        yield
    except BaseException:
        vars(enhancement).clear()
        vars(enhancement).update(before)
        raise
