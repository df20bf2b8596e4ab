"""References of the measures of angles."""

from __future__ import annotations

import itertools

import numpy as np

from references import float64, reference


@reference(contributions=(False, True))
def average_cosine_similarity(X, weight=None, contributions=False):
    X, weight = float64(X, weight)
    weighted, weights = 0.0, 0.0
    for i, j in itertools.combinations(np.flatnonzero(np.abs(X).sum(axis=1)), 2):
        cosine = X[i] @ X[j] / np.sqrt((X[i] @ X[i]) * (X[j] @ X[j]))
        weighted += weight[i] * weight[j] * cosine
        weights += weight[i] * weight[j]
    return weighted / weights


@reference(method=("hammerl", "timkey", "macocco", "massive"), n_std=(3.0, 2.5))
def outlier_dimensions(X, weight=None, method="hammerl", n_std=3.0):
    X, _ = float64(X)
    d = X.shape[1]
    if method == "hammerl":
        m = X.mean(axis=0)
        return sum(abs(m[i]) > m.mean() + n_std * m.std() for i in range(d))
    if method == "timkey":
        parts, pairs = np.zeros(d), 0
        U = [x / np.linalg.norm(x) for x in X if np.linalg.norm(x) > 0]
        for u, v in itertools.combinations(U, 2):
            parts += u * v
            pairs += 1
        parts /= pairs
        return sum(parts > parts.mean() + n_std * parts.std())
    sizes = np.abs(X)
    if method == "macocco":
        return sum(np.median(sizes[:, i]) > np.quantile(sizes, 0.99) for i in range(d))
    return sum(sizes[:, i].max() > 100 and sizes[:, i].max() >= 1000 * np.median(sizes) for i in range(d))
