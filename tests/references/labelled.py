"""References of the measures of labelled rows."""

from __future__ import annotations

import numpy as np

from references import float64, reference


@reference(metric=("euclidean", "cosine"))
def silhouette(X, weight=None, references=None, metric="euclidean"):
    X, labels = np.asarray(X, dtype=np.float64), np.asarray(references)

    def distance(x, y):
        if metric == "euclidean":
            return np.linalg.norm(x - y)
        lengths = (np.linalg.norm(x) or 1.0) * (np.linalg.norm(y) or 1.0)
        return 1 - x @ y / lengths

    distances = np.array([[distance(x, y) for y in X] for x in X])
    values = []
    for i, label in enumerate(labels):
        own = [distances[i, j] for j in np.flatnonzero(labels == label) if j != i]
        if not own:
            values.append(0.0)
            continue
        a = np.mean(own)
        b = min(distances[i, labels == other].mean() for other in set(labels) - {label})
        values.append((b - a) / max(a, b) if max(a, b) > 0 else 0.0)
    return np.mean(values)


@reference(unbiased=(False, True))
def within_class_isoscore(X, weight=None, references=None, unbiased=False):
    S, n_classes, n = pooled(X, weight, references)
    d = len(S)
    if unbiased:
        n = n - n_classes
        S = S / n
        q = n**2 / ((n - 1) * (n + 2)) * (np.sum(S**2) - np.trace(S) ** 2 / n)
        return ((np.trace(S) ** 2 - 2 * q / n) / q - 1) / (d - 1)
    values = np.linalg.eigvalsh(S)
    return (values.sum() ** 2 / (values**2).sum() - 1) / (d - 1)


@reference()
def neural_collapse(X, weight=None, references=None):
    X, weight = float64(X, weight)
    labels = np.asarray(references)
    kept = weight > 0
    X, weight, labels = X[kept], weight[kept], labels[kept]
    means = np.array([np.average(X[labels == k], axis=0, weights=weight[labels == k]) for k in np.unique(labels)])
    between = sum(np.outer(m, m) for m in means - means.mean(axis=0)) / len(means)
    within = pooled(X, weight, labels)[0] / weight.sum()
    return np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / len(means)


def pooled(X, weight, labels):
    """Scatter within classes, number of classes, effective number of rows."""
    X, weight = float64(X, weight)
    labels = np.asarray(labels)
    scatter = np.zeros((X.shape[1], X.shape[1]))
    classes = {label for label, w in zip(labels, weight, strict=True) if w > 0}
    for k in classes:
        of_class = (labels == k) & (weight > 0)
        mean = np.average(X[of_class], axis=0, weights=weight[of_class])
        for x, w in zip(X[of_class], weight[of_class], strict=True):
            scatter += w * np.outer(x - mean, x - mean)
    return scatter, len(classes), weight.sum() ** 2 / (weight**2).sum()
