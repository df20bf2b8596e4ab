"""Terms of the loss that need the rows themselves, by their definition, in float64, without thrift."""

from __future__ import annotations

import itertools

import numpy as np

from references.rows import tree_lengths


def cosine(x, y):
    """0 if a row is zero."""
    lengths = np.sqrt((x**2).sum() * (y**2).sum())
    return (x * y).sum() / lengths if lengths > 0 else 0.0


def cl_reg(first, second, temperature=0.05):
    losses = []
    for i in range(len(first)):
        potentials = [np.exp(cosine(first[i], h) / temperature) for h in second]
        losses.append(-np.log(potentials[i] / sum(potentials)))
    return np.mean(losses)


def uniformity(X, t=2.0):
    X = [x / np.sqrt((x**2).sum()) for x in X if (x**2).sum() > 0]
    return np.log(np.mean([np.exp(-t * ((x - y) ** 2).sum()) for x, y in itertools.combinations(X, 2)]))


def sigreg(X, directions, t_max=5.0, n_points=17):
    """Algorithm 1 of LeJEPA: complex numbers, both halves of the interval."""
    t = np.linspace(-t_max, t_max, n_points)
    gaussian = np.exp(-0.5 * t**2)
    statistics = []
    for direction in np.asarray(directions).T:
        empirical = np.exp(1j * np.outer(X @ direction, t)).mean(axis=0)
        error = np.abs(empirical - gaussian) ** 2 * gaussian
        statistics.append(len(X) * np.sum((error[1:] + error[:-1]) / 2 * np.diff(t)))
    return np.mean(statistics)


def epps_pulley(x):
    """The statistic of numbers with the integral over all t, in closed form."""
    n = len(x)
    pairs = sum(np.exp(-((a - b) ** 2) / 2) for a in x for b in x)
    return np.sqrt(2 * np.pi) * pairs / n - 2 * np.sqrt(np.pi) * np.exp(-(x**2) / 4).sum() + n * np.sqrt(2 * np.pi / 3)


def persistent_entropy(X, normalized=False):
    """Minus the entropy."""
    lengths = tree_lengths(np.unique(X, axis=0))
    share = lengths / lengths.sum()
    value = (share * np.log(share)).sum()
    return value / np.log(len(share)) if normalized else value
