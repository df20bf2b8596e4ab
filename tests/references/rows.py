"""References of the measures that need the rows themselves."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from references import float64, reference


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
