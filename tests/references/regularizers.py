"""The terms of moments once more, by their definitions, in float64, without thrift. Imports nothing of the package."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import sqrtm

from references import covariance, unit


def i_star(X, shrinkage=0.2, c0=None, scale_matched=True):
    """One minus the seven steps of IsoScore, on the singular values of the shrunk covariance."""
    d = X.shape[1]
    S = covariance(X) * len(X) / (len(X) - 1)
    c0 = np.eye(d) if c0 is None else np.asarray(c0)
    if scale_matched:
        c0 = c0 * np.trace(S) / np.trace(c0)
    variances = np.linalg.svd((1 - shrinkage) * S + shrinkage * c0, compute_uv=False)
    variances = math.sqrt(d) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(variances - 1) / math.sqrt(2 * (d - math.sqrt(d)))
    fraction = (d - defect**2 * (d - math.sqrt(d))) ** 2 / d**2
    return 1 - (d * fraction - 1) / (d - 1)


def cos_reg(X, unbiased=False):
    X = unit(X)
    n = len(X)
    total = sum(float(x @ y) for x in X for y in X)
    return (total - n) / (n * (n - 1) if unbiased else n * n)


def cor_reg(X, squared=False, normalized=False):
    X = X[:, np.ptp(X, axis=0) > 0]
    n, d = X.shape
    total = sum(float(np.corrcoef(X[:, i], X[:, j])[0, 1]) ** 2 for i in range(d) for j in range(d) if i != j)
    if normalized:
        rank = min(d, n - 1)
        floor = rank * (d / rank) ** 2 - d  # Σ λ² − d of a correlation matrix with `rank` equal eigenvalues λ
        total = (total - floor) / (d * (d - 1) - floor)
    return total if squared else math.sqrt(total)


def bures_isotropy(X):
    """W₂² between N(μ, Σ) and N(0, T), T = I/d: ‖μ‖² + tr(Σ + T − 2 (T^½ Σ T^½)^½)."""
    X = unit(X)
    d = X.shape[1]
    mean, S, T = X.mean(axis=0), covariance(X), np.eye(d) / d
    root = sqrtm(T)
    return float(mean @ mean + np.trace(S + T - 2 * np.real(sqrtm(root @ S @ root))))


def vicreg(X, variance_weight=25.0, covariance_weight=1.0, gamma=1.0, eps=1e-4):
    n, d = X.shape
    C = covariance(X) * n / (n - 1)
    hinge = sum(max(0.0, gamma - math.sqrt(C[j, j] + eps)) for j in range(d)) / d
    covariances = sum(C[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return variance_weight * hinge + covariance_weight * covariances
