"""Every measure once more, by its definition, in float64, without thrift. Imports nothing from the package.

A new measure needs one function here, under its name. Its arguments are the rows, weights, the ids that the measure
cannot do without, and its options; `@reference(option=(default, another), ...)` names the options and values to test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

REFERENCES: dict[str, Callable[..., float]] = {}
OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {}


def reference(**options: tuple[Any, ...]) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Decorator: this is the reference of the measure of its name; the first value of an option is its default."""

    def enter(function: Callable[..., float]) -> Callable[..., float]:
        REFERENCES[function.__name__] = function
        OPTIONS[function.__name__] = options
        return function

    return enter


def float64(X, weight=None):
    """Rows and weights (1 if none are given)."""
    X = np.asarray(X, dtype=np.float64)
    return X, np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)


def covariance(X, weight=None):
    """Σ w (x − mean)(x − mean)ᵀ / Σ w, one row after the other."""
    X, weight = float64(X, weight)
    centred = X - np.average(X, axis=0, weights=weight)
    return sum(w * np.outer(x, x) for w, x in zip(weight, centred, strict=True)) / weight.sum()


def unit(X):
    """The rows that are not zero, divided by their length."""
    X = np.asarray(X, dtype=np.float64)
    X = X[np.abs(X).sum(axis=1) > 0]
    return X / np.sqrt((X**2).sum(axis=1))[:, None]


from references import angle, comparisons, labelled, rows, spectrum, words  # noqa: E402, F401  (they enter their functions)
