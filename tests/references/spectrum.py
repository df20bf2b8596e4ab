"""References of the measures of the spectrum."""

from __future__ import annotations

import numpy as np

from references import covariance, float64, reference


@reference(unbiased=(False, True))
def isoscore(X, weight=None, unbiased=False):
    X, weight = float64(X, weight)
    n, d = len(X), X.shape[1]
    S = covariance(X, weight)  # step 1 is X itself
    components = np.linalg.eigh(S)[1]  # step 2: reorient
    reoriented = (X - np.average(X, axis=0, weights=weight)) @ components
    variances = np.diagonal(covariance(reoriented, weight))  # step 3
    if unbiased:
        n = weight.sum() ** 2 / (weight**2).sum() - 1
        S = S * (n + 1) / n
        q = n**2 / ((n - 1) * (n + 2)) * (np.sum(S**2) - np.trace(S) ** 2 / n)
        t = np.trace(S) ** 2 - 2 * q / n
        return (t / q - 1) / (d - 1)
    normalised = np.sqrt(d) * variances / np.linalg.norm(variances)  # step 4
    defect = np.linalg.norm(normalised - 1) / np.sqrt(2 * (d - np.sqrt(d)))  # step 5
    share_used = (d - defect**2 * (d - np.sqrt(d))) ** 2 / d**2  # step 6
    return (d * share_used - 1) / (d - 1)  # step 7


@reference()
def participation_ratio(X, weight=None):
    eigenvalues = np.linalg.eigvalsh(covariance(X, weight))
    return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()


@reference(spectrum=("eigenvalues", "singular_values"))
def effective_rank(X, weight=None, spectrum="eigenvalues"):
    values = singular_values(X, weight, centered=True)
    values = values**2 if spectrum == "eigenvalues" else values
    share = values[values > 1e-12 * values.max()] / values.sum()
    return np.exp(-(share * np.log(share)).sum())


def singular_values(X, weight, centered):
    X, weight = float64(X, weight)
    if centered:
        X = X - np.average(X, axis=0, weights=weight)
    return np.linalg.svd(np.sqrt(weight)[:, None] * X, compute_uv=False)


@reference(shrinkage=(0.2, 0.0, 1.0), c0=(None,), scale_c0=(True, False))
def isoscore_star(X, weight=None, shrinkage=0.2, c0=None, scale_c0=True):
    X, weight = float64(X, weight)
    d, n = X.shape[1], weight.sum() ** 2 / (weight**2).sum()
    S = covariance(X, weight) * n / (n - 1)
    target = np.eye(d) * (np.trace(S) / d if scale_c0 else 1.0)
    eigenvalues = np.linalg.eigvalsh((1 - shrinkage) * S + shrinkage * target)
    return (eigenvalues.sum() ** 2 / (eigenvalues**2).sum() - 1) / (d - 1)


@reference(centered=(False, True), epsilon=(0.0, 1e-7))
def rankme(X, weight=None, centered=False, epsilon=0.0):
    values = singular_values(X, weight, centered)
    values = np.where(values > 1e-10 * values.max(), values, 0)[: np.count_nonzero(float64(X, weight)[1])]
    share = values / values.sum() + epsilon
    share = share[share > 0]
    return np.exp(-(share * np.log(share)).sum())


@reference(centered=(True, False))
def stable_rank(X, weight=None, centered=True):
    values = singular_values(X, weight, centered)
    return (np.linalg.norm(values) / values.max()) ** 2


@reference(k=(1, 3))
def explained_variance(X, weight=None, k=1):
    values = singular_values(X, weight, centered=True) ** 2
    return values[:k].sum() / values.sum()


@reference()
def eigenvalue_early_enrichment(X, weight=None):
    d = np.shape(X)[1]
    values = np.sort(np.linalg.eigvalsh(covariance(X, weight)))[::-1]
    cumulative = np.cumsum(values)
    ramp = np.cumsum(np.full(d, values.sum() / d))
    difference = cumulative - ramp
    area = sum((difference[j] + difference[j + 1]) / 2 for j in range(d - 1))
    return area / (values.sum() * d / 2)


@reference(fit_range=(None, (2, 5)))
def alpha_req(X, weight=None, fit_range=None):
    values = singular_values(X, weight, centered=True) ** 2
    values = values[values > 1e-13 * values.max()]
    if fit_range is None:
        fit_range = (11, 100) if np.shape(X)[1] >= 50 else (1, len(values))
    ranks = np.arange(fit_range[0], min(fit_range[1], len(values)) + 1)
    line = np.polynomial.polynomial.polyfit(np.log(ranks), np.log(values[ranks - 1]), 1, w=np.sqrt(1 / ranks))
    return -line[1]


@reference(centered=(True, False))
def matrix_entropy(X, weight=None, centered=True):
    X, weight = float64(X, weight)
    if centered:
        X = X - np.average(X, axis=0, weights=weight)
    gram = np.zeros((X.shape[1], X.shape[1]))
    for x, w in zip(X, weight, strict=True):
        if np.linalg.norm(x) > 0:
            gram += w * np.outer(x, x) / np.linalg.norm(x) ** 2
    share = np.linalg.eigvalsh(gram)
    share = share[share > 1e-12 * share.max()] / share.sum()
    return -(share * np.log(share)).sum() / np.log(X.shape[1])


@reference(factor=(5.0, 2.0))
def elongated_directions(X, weight=None, factor=5.0):
    X, weight = float64(X, weight)
    values = np.linalg.eigvalsh(covariance(X, weight))
    n = weight.sum() ** 2 / (weight**2).sum() - 1
    return sum(value > values.mean() * (1 + np.sqrt(len(values) / n)) ** 2 for value in values)


@reference(subtract_floor=(False, True))
def correlation_distance(X, weight=None, subtract_floor=False):
    S = covariance(X, weight)
    d, squared = len(S), 0.0
    for i in range(d):
        for j in range(d):
            if i != j and S[i, i] > 0 and S[j, j] > 0:
                squared += S[i, j] ** 2 / (S[i, i] * S[j, j])
    if subtract_floor:
        weight = float64(X, weight)[1]
        d = np.count_nonzero(np.diagonal(S) > 1e-20)
        squared -= d * (d - 1) / (weight.sum() ** 2 / (weight**2).sum() - 1)
    return np.sqrt(max(squared, 0.0))


@reference()
def bures_isotropy(X, weight=None):
    X, weight = float64(X, weight)
    used = np.abs(X).sum(axis=1) > 0
    U = X[used] / np.linalg.norm(X[used], axis=1)[:, None]
    mean, S = np.average(U, axis=0, weights=weight[used]), covariance(U, weight[used])
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(S), 0, None))
    roots[roots < 1e-7] = 0
    return mean @ mean + 1 + np.trace(S) - 2 / np.sqrt(len(S)) * roots.sum()
