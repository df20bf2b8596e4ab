"""Per-group enhancement: one of its own for each language, corpus or side."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from isotropy_metrics.arrays import squared_norms
from isotropy_metrics.enhancement._enhancement import Enhancement, unchanged_if_refused
from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning, warn_of_forgetting

ONE_GROUP = "all"
"""The name of the group of rows that come without one."""

EVERY_ROW = slice(None)

UNSEEN = ("error", "all")

MOST_NAMES = 10
"""Groups that an error names."""

MISSING = {"None", "nan", "NaT", "<NA>"}
"""How the values print that stand for a missing name in Python, numpy and pandas."""

QUERY_NAMES = {"query", "queries", "question", "questions", "q"}
DOCUMENT_NAMES = {"document", "documents", "doc", "docs", "passage", "passages", "corpus", "context", "code", "d"}


class PerGroup(Enhancement):
    """Fit one enhancement for each group of rows, and apply to each row that of its group.

    Languages, and corpora, have means and dominant directions of their own, which separate rows of one meaning
    (Hämmerl et al. 2023, https://huggingface.co/papers/2306.00458, treat every language by itself). Rows of different
    groups are then moved by different amounts. That is the purpose where the difference between the groups is noise.
    Where it carries meaning it is lost; and queries and documents that are compared with each other should be treated
    by the one enhancement: groups whose names look like these two sides are warned of.

    Rows without `groups` are one group, named "all".

    Args:
        enhancement: any scikit-learn transformer that is not fitted, and stays so: clones of it are.
        unseen: what `transform` does with rows of a group that it was not fitted on, or of none: "error", or "all" to
            apply an enhancement that is fitted on all rows together.

    Attributes:
        enhancements_: the fitted enhancements by the name of their group, a str.
        enhancement_of_all_: fitted on all rows, with `unseen="all"` only.
        n_features_in_: number of features.

    Raises:
        ValueError: what the enhancement raises, with the name of the group; so are its warnings.

    Example:
        >>> from isotropy_metrics.enhancement import Centering
        >>> X, groups = [[0.0, 1.0], [0.0, 3.0], [9.0, 8.0], [9.0, 6.0]], ["en", "en", "de", "de"]
        >>> per_group = PerGroup(Centering()).fit(X, groups=groups)
        >>> per_group.transform(X, groups=groups).tolist()
        [[0.0, -1.0], [0.0, 1.0], [0.0, 1.0], [0.0, -1.0]]
    """

    def __init__(self, enhancement: Any, unseen: str = "error") -> None:
        self.enhancement = enhancement
        self.unseen = unseen

    def fit(self, X: Any, y: Any = None, groups: Any = None, sample_weight: Any = None) -> PerGroup:
        """Fit on rows (n_samples, n_features); `y` is ignored.

        Args:
            X: rows, numpy or torch.
            groups: (n_samples,), the name or number of the group of each row; None for one group.
            sample_weight: (n_samples,), importance of each row.

        Returns:
            self.
        """
        with unchanged_if_refused(self):
            self._fitted_by("fit", X, groups, sample_weight)
        return self

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit on rows, and enhance them, each group by the `fit_transform` of its enhancement."""
        with unchanged_if_refused(self):
            return _in_order(self._fitted_by("fit_transform", X, groups, sample_weight))

    @available_if(lambda self: hasattr(self.enhancement, "partial_fit"))
    def partial_fit(self, X: Any, y: Any = None, groups: Any = None, sample_weight: Any = None) -> PerGroup:
        """Add rows, of known groups or new ones, to those it was fitted on so far by `partial_fit`. Returns self."""
        with unchanged_if_refused(self):
            first = not getattr(self, "_streams", False)
            if not first:
                self._check_unseen()
            rows, parts, weight = self._checked(X, groups, sample_weight, reset=first)
            if first:
                if self.__sklearn_is_fitted__():
                    warn_of_forgetting()
                self._keep_groups({}, streams=True)
            vars(self).pop("fingerprint_", None)
            new = set(parts) - set(self.enhancements_)
            for name, part in parts.items():
                enhancement = self.enhancements_.get(name) or clone(self.enhancement)
                with _told_of(name, groups):
                    enhancement.partial_fit(rows[part], **_weight_of(weight, part))
                self.enhancements_[name] = enhancement
            if new:
                _warn_of_sides(self.enhancements_)
            if self.unseen == "all":
                of_all = getattr(self, "enhancement_of_all_", None) or clone(self.enhancement)
                self.enhancement_of_all_ = of_all.partial_fit(rows, **_weight_of(weight, EVERY_ROW))
        return self

    def merge(self, other: PerGroup) -> PerGroup:
        """Add the rows that `other` was fitted on by `partial_fit`, group by group; `other` keeps its value."""
        for each in (self, other):
            if not getattr(each, "_streams", False):
                raise ValueError(f"{each} holds no statistics to merge: call partial_fit in place of fit")
        if self.n_features_in_ != other.n_features_in_ or self.unseen != other.unseen:
            raise ValueError(
                f"cannot merge rows of {other.n_features_in_} features with unseen={other.unseen!r} into rows of "
                f"{self.n_features_in_} with unseen={self.unseen!r}"
            )
        for each in (self, other):
            each._check_unseen()
        vars(self).pop("fingerprint_", None)
        for name, enhancement in other.enhancements_.items():
            if name in self.enhancements_:
                self.enhancements_[name].merge(enhancement)
            else:
                self.enhancements_[name] = copy.deepcopy(enhancement)
        if self.unseen == "all":
            self.enhancement_of_all_.merge(other.enhancement_of_all_)
        return self

    def transform(self, X: Any, groups: Any = None) -> np.ndarray:
        """The enhanced rows, in their order.

        Args:
            X: rows (n_samples, n_features), numpy or torch.
            groups: (n_samples,), as in `fit`.

        Raises:
            NotFittedError: not fitted yet.
            ValueError: a group that it was not fitted on, with `unseen="error"`; and what the enhancement raises.
        """
        check_is_fitted(self)
        rows, parts, _ = self._checked(X, groups, None, reset=False)
        return self._applied("transform", rows, parts, groups)

    @available_if(lambda self: hasattr(self.enhancement, "inverse_transform"))
    def inverse_transform(self, X: Any, groups: Any = None) -> np.ndarray:
        """The rows that `transform` makes X of, where the enhancement can be undone."""
        check_is_fitted(self)
        rows = np.asarray(X)
        return self._applied("inverse_transform", rows, parts_of(groups, len(rows)), groups)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the features that come out, as the enhancement names them."""
        check_is_fitted(self)
        names = super().get_feature_names_out(input_features)
        return next(iter(self.enhancements_.values())).get_feature_names_out(names)

    def _fitted_by(self, method: str, X: Any, groups: Any, sample_weight: Any) -> list[tuple[Any, Any]]:
        """What fitting each group by this method returned, with the rows of the group."""
        rows, parts, weight = self._checked(X, groups, sample_weight, reset=True)
        enhancements = {name: clone(self.enhancement) for name in parts}
        done = []
        for name, part in parts.items():
            with _told_of(name, groups):
                done.append((part, getattr(enhancements[name], method)(rows[part], **_weight_of(weight, part))))
        of_all = clone(self.enhancement).fit(rows, **_weight_of(weight, EVERY_ROW)) if self.unseen == "all" else None
        self._keep_groups(enhancements, streams=False)
        if of_all is not None:
            self.enhancement_of_all_ = of_all
        return done

    def _keep_groups(self, enhancements: dict[str, Any], streams: bool) -> None:
        for name in ("enhancement_of_all_", "fingerprint_"):
            vars(self).pop(name, None)
        self.enhancements_ = enhancements
        self._streams = streams
        _warn_of_sides(enhancements)

    def _applied(self, method: str, rows: np.ndarray, parts: dict[str, Any], groups: Any) -> np.ndarray:
        enhancements = {name: self._enhancement_of(name) for name in parts}
        done = []
        for name, part in parts.items():
            with _told_of(name, groups):
                done.append((part, getattr(enhancements[name], method)(rows[part])))
        return _in_order(done)

    def _enhancement_of(self, name: str) -> Any:
        if name in self.enhancements_:
            return self.enhancements_[name]
        self._check_unseen()
        if self.unseen == "all":
            return self.enhancement_of_all_
        known = sorted(self.enhancements_)
        names = ", ".join(known[:MOST_NAMES])
        if len(known) > MOST_NAMES:
            names += f" and {len(known) - MOST_NAMES} more"
        raise ValueError(
            f"group {name!r} is not one it was fitted on, which are: {names}; pass groups=, or use unseen='all'"
        )

    def _check_unseen(self) -> None:
        if self.unseen == "all" and "enhancement_of_all_" not in vars(self):
            raise ValueError("unseen='all' was set after the rows were fitted: fit again, on all of them together")

    def _checked(
        self, X: Any, groups: Any, sample_weight: Any, reset: bool
    ) -> tuple[np.ndarray, dict[str, Any], np.ndarray | None]:
        """The rows, which of them belong to each group, and their weights."""
        if self.unseen not in UNSEEN:
            raise ValueError(f"unseen={self.unseen!r}: must be one of {', '.join(UNSEEN)}")
        rows = self._validated(X, reset)
        if not np.isfinite(rows.sum()):
            squared_norms(rows)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if weight is not None and weight.shape != (len(rows),):
            raise ValueError(f"sample_weight must have shape ({len(rows)},), one for each row; got {weight.shape}")
        if weight is not None and not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise ValueError("sample_weight must be finite and non-negative")
        return rows, parts_of(groups, len(rows)), weight

    def __sklearn_is_fitted__(self) -> bool:
        return "enhancements_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = get_tags(self.enhancement).transformer_tags.preserves_dtype
        return tags


def parts_of(groups: Any, n_rows: int) -> dict[str, Any]:
    """By the name of each group, which rows belong to it: indices in their order, or a slice of all.

    Raises:
        ValueError: missing names, another number of groups than rows.
    """
    if groups is None:
        return {ONE_GROUP: EVERY_ROW}
    groups = np.asarray(groups, dtype=object)
    if groups.shape != (n_rows,):
        raise ValueError(f"groups must have shape ({n_rows},), one for each row; got {groups.shape}")
    if any(not isinstance(group, str) and str(group) in MISSING for group in groups):
        raise ValueError("groups hold None or NaN: name the group of every row")
    names, which = np.unique(groups.astype(str), return_inverse=True)
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(which))[:-1])
    return {str(name): part for name, part in zip(names, parts, strict=True)}


def _weight_of(weight: np.ndarray | None, part: Any) -> dict[str, Any]:
    return {} if weight is None else {"sample_weight": weight[part]}


def _in_order(done: list[tuple[Any, Any]]) -> np.ndarray:
    """One array of the rows of all groups, each at its place."""
    first_part, first = done[0]
    if isinstance(first_part, slice):
        return first
    widths = sorted({rows.shape[1] for _, rows in done})
    if len(widths) > 1:
        raise ValueError(
            f"the enhancements of the groups give {widths[0]} to {widths[-1]} features: ask for one number of them"
        )
    enhanced = np.empty((sum(len(part) for part, _ in done), first.shape[1]), first.dtype)
    for part, rows in done:
        enhanced[part] = rows
    return enhanced


@contextmanager
def _told_of(name: str, groups: Any) -> Iterator[None]:
    """Warnings and errors say which group they are of, if there are groups."""
    if groups is None:
        yield
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except ValueError as error:
            raise ValueError(f"group {name!r}: {error}") from error
    for warning in caught:
        if issubclass(warning.category, EnhancementWarning):
            warnings.warn(f"group {name!r}: {warning.message}", EnhancementWarning, stacklevel=4)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _warn_of_sides(names: dict[str, Any]) -> None:
    queries = [name for name in names if name.lower() in QUERY_NAMES]
    documents = [name for name in names if name.lower() in DOCUMENT_NAMES]
    if queries and documents:
        warnings.warn(
            f"groups {queries[0]!r} and {documents[0]!r} look like two sides that are compared: their rows are moved "
            "by different amounts, which changes every cosine between them; fit one enhancement on both together",
            EnhancementWarning,
            stacklevel=4,
        )
