"""Every measure once more, by its definition, in float64, without thrift. Imports nothing from the package.

A new measure needs one function here, and its options in OPTIONS if it has any.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp


def isoscore(X, weight=None, unbiased=False):
    X, weight = _float64(X, weight)
    n, d = len(X), X.shape[1]
    covariance = _covariance(X, weight)  # step 1 is X itself
    components = np.linalg.eigh(covariance)[1]  # step 2: reorient
    reoriented = (X - np.average(X, axis=0, weights=weight)) @ components
    variances = np.diagonal(_covariance(reoriented, weight))  # step 3
    if unbiased:
        n = weight.sum() ** 2 / (weight**2).sum() - 1
        S = covariance * (n + 1) / n
        q = n**2 / ((n - 1) * (n + 2)) * (np.sum(S**2) - np.trace(S) ** 2 / n)
        t = np.trace(S) ** 2 - 2 * q / n
        return (t / q - 1) / (d - 1)
    normalised = np.sqrt(d) * variances / np.linalg.norm(variances)  # step 4
    defect = np.linalg.norm(normalised - 1) / np.sqrt(2 * (d - np.sqrt(d)))  # step 5
    share_used = (d - defect**2 * (d - np.sqrt(d))) ** 2 / d**2  # step 6
    return (d * share_used - 1) / (d - 1)  # step 7


def participation_ratio(X, weight=None):
    eigenvalues = np.linalg.eigvalsh(_covariance(*_float64(X, weight)))
    return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()


def effective_rank(X, weight=None, spectrum="eigenvalues", centered=True):
    X, weight = _float64(X, weight)
    if centered:
        X = X - np.average(X, axis=0, weights=weight)
    singular_values = np.linalg.svd(np.sqrt(weight)[:, None] * X, compute_uv=False)
    values = singular_values**2 if spectrum == "eigenvalues" else singular_values
    share = values[values > 1e-12 * values.max()] / values.sum()
    return np.exp(-(share * np.log(share)).sum())


def average_cosine_similarity(X, weight=None):
    X, weight = _float64(X, weight)
    weighted, weights = 0.0, 0.0
    for i, j in itertools.combinations(np.flatnonzero(np.abs(X).sum(axis=1)), 2):
        cosine = X[i] @ X[j] / np.sqrt((X[i] @ X[i]) * (X[j] @ X[j]))
        weighted += weight[i] * weight[j] * cosine
        weights += weight[i] * weight[j]
    return weighted / weights


def partition_isotropy(X, weight=None, centered=False, signs="both"):
    X, weight = _float64(X, weight)
    if centered:
        X = X - np.average(X, axis=0, weights=weight)
    eigenvectors = list(np.linalg.eigh(X.T @ (weight[:, None] * X))[1].T)
    if signs == "both":
        eigenvectors += [-u for u in eigenvectors]
    log_f = [logsumexp(X @ u, b=weight) for u in eigenvectors]
    return np.exp(min(log_f) - max(log_f))


def _float64(X, weight):
    X = np.asarray(X, dtype=np.float64)
    return X, np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)


def _covariance(X, weight):
    centred = X - np.average(X, axis=0, weights=weight)
    return sum(w * np.outer(x, x) for w, x in zip(weight, centred, strict=True)) / weight.sum()


REFERENCES = {
    function.__name__: function
    for function in (
        isoscore,
        participation_ratio,
        effective_rank,
        average_cosine_similarity,
        partition_isotropy,
    )
}

OPTIONS = {
    "isoscore": {"unbiased": (False, True)},
    "effective_rank": {"spectrum": ("eigenvalues", "singular_values"), "centered": (True, False)},
    "partition_isotropy": {"centered": (False, True), "signs": ("both", "as_is")},
}
