"""References of the measures that need the rows themselves."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp
from scipy.stats import differential_entropy

from references import float64, reference, unit


@reference(centered=(False, True), signs=("both", "largest_positive"), legacy_rows=(False,))
def partition_isotropy(X, weight=None, centered=False, signs="both", legacy_rows=False):
    X, weight = float64(X, weight)
    if centered:
        X = X - np.average(X, axis=0, weights=weight)
    eigenvectors = [u * np.sign(u[np.abs(u).argmax()]) for u in np.linalg.eigh(X.T @ (weight[:, None] * X))[1].T]
    if legacy_rows:
        eigenvectors = list(np.array(eigenvectors).T)
    if signs == "both":
        eigenvectors += [-u for u in eigenvectors]
    log_f = [logsumexp(X @ u, b=weight) for u in eigenvectors]
    return np.exp(min(log_f) - max(log_f))


def distances_of(X):
    """Of all pairs, infinite from a row to itself; one row after the other."""
    X = np.asarray(X, dtype=np.float64)
    distances = np.array([np.linalg.norm(X - x, axis=1) for x in X])
    np.fill_diagonal(distances, np.inf)
    return distances


def distinct(X):
    return np.unique(np.asarray(X, dtype=np.float64), axis=0)


@reference(discard=(0.1, 0.5))
def two_nn(X, weight=None, discard=0.1):
    nearest = np.sort(distances_of(distinct(X)), axis=1)
    n = len(nearest)
    ratios = np.sort(nearest[:, 1] / nearest[:, 0])
    xy, xx = 0.0, 0.0
    for i in range(1, int(n * (1 - discard)) + 1):
        x, y = np.log(ratios[i - 1]), -np.log(1 - i / n)
        xy, xx = xy + x * y, xx + x * x
    return xy / xx


@reference(k=(20, 5), comb=("harmonic_mean", "mean", "median"))
def local_intrinsic_dimension(X, weight=None, k=20, comb="harmonic_mean"):
    X = distinct(X)
    if len(X) <= k:
        return np.nan
    of_rows = []
    for row in distances_of(X):
        nearest = sorted(row)[:k]
        of_rows.append((k - 1) / sum(np.log(nearest[-1] / distance) for distance in nearest[:-1]))
    if comb == "harmonic_mean":
        return len(of_rows) / sum(1 / m for m in of_rows)
    return np.mean(of_rows) if comb == "mean" else np.median(of_rows)


@reference(k=(10, 3), hubs=(0, 2))
def hubness(X, weight=None, k=10, hubs=0):
    if len(X) <= k:
        return np.nan
    counts = [0] * len(X)
    for row in distances_of(X):
        for j in sorted(range(len(row)), key=lambda j: (row[j], j))[:k]:
            counts[j] += 1
    deviations = [count - sum(counts) / len(counts) for count in counts]
    return np.mean(np.power(deviations, 3)) / np.mean(np.power(deviations, 2)) ** 1.5


def tree_lengths(X):
    """Edges of the minimum spanning tree by Prim's algorithm, (n - 1,)."""
    distances = distances_of(X)
    outside, nearest, lengths = set(range(1, len(distances))), distances[0].copy(), []
    while outside:
        joins = min(outside, key=lambda j: nearest[j])
        outside.remove(joins)
        lengths.append(nearest[joins])
        nearest = np.minimum(nearest, distances[joins])
    return np.array(lengths)


@reference()
def persistent_entropy(X, weight=None):
    share = tree_lengths(distinct(X))
    share = share / share.sum()
    return -(share * np.log(share)).sum()


@reference(t=(2.0, 0.5))
def uniformity(X, weight=None, t=2.0):
    X, weight = float64(X, weight)
    weight = weight[np.abs(X).sum(axis=1) > 0]
    X = unit(X)
    potentials, weights = 0.0, 0.0
    for i, j in itertools.combinations(range(len(X)), 2):
        potentials += weight[i] * weight[j] * (np.exp(-t * ((X[i] - X[j]) ** 2).sum()))
        weights += weight[i] * weight[j]
    return np.log(potentials / weights)


@reference(method=("vasicek", "auto"))
def vasicek_ratio_mse(X, weight=None, method="vasicek"):
    X = np.asarray(X, dtype=np.float64)
    d = X.shape[1]
    _, singular_values, components = np.linalg.svd(X - X.mean(axis=0))
    variances = singular_values**2 / (len(X) - 1)
    ratios = np.zeros(d)
    for k in np.flatnonzero(singular_values > 1e-9 * singular_values[0]):
        projections = (X - X.mean(axis=0)) @ components[k] * np.sqrt(d / variances.sum())
        ratios[k] = np.exp(differential_entropy(projections, method=method)) / np.sqrt(2 * np.pi * np.e)
    return ((1 - ratios) ** 2).mean()
