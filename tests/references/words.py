"""References of the measures of contextual words."""

from __future__ import annotations

import itertools

import numpy as np

from references import reference


def cosine(x, y):
    return x @ y / (np.linalg.norm(x) * np.linalg.norm(y))


@reference(min_occurrences=(5, 2))
def self_similarity(X, weight=None, words=None, min_occurrences=5):
    X, words = np.asarray(X, dtype=np.float64), np.asarray(words)
    values = []
    for word in np.unique(words):
        occurrences = [x for x in X[words == word] if x.any()]
        if len(occurrences) >= min_occurrences:
            values.append(np.mean([cosine(x, y) for x, y in itertools.combinations(occurrences, 2)]))
    return np.mean(values) if values else np.nan


@reference()
def intra_sentence_similarity(X, weight=None, sentences=None):
    X, sentences = np.asarray(X, dtype=np.float64), np.asarray(sentences)
    values = []
    for sentence in np.unique(sentences):
        rows = [x for x in X[sentences == sentence] if x.any()]
        if len(rows) >= 2:
            values.append(np.mean([cosine(x, np.mean(rows, axis=0)) for x in rows]))
    return np.mean(values)


@reference(min_occurrences=(5, 2))
def maximum_explainable_variance(X, weight=None, words=None, min_occurrences=5):
    X, words = np.asarray(X, dtype=np.float64), np.asarray(words)
    values = []
    for word in np.unique(words):
        occurrences = X[words == word]
        if len(occurrences) >= min_occurrences and occurrences.any():
            sigma = np.linalg.svd(occurrences, compute_uv=False)
            values.append(sigma[0] ** 2 / (sigma**2).sum())
    return np.mean(values) if values else np.nan
