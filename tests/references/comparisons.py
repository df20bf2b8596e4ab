"""References of the comparisons of two spaces."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from references import float64, reference, unit


@reference(debiased=(True, False))
def linear_cka(X, Y, weight=None, debiased=True):
    (X, weight), (Y, _) = float64(X, weight), float64(Y)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)  # rounding only: what follows subtracts any mean
    K, L = X @ X.T, Y @ Y.T
    hsic = hsic_of_different_rows if debiased else hsic_of_all_rows
    return hsic(K, L, weight) / np.sqrt(hsic(K, K, weight) * hsic(L, L, weight))


def hsic_of_all_rows(K, L, weight):
    share = weight / weight.sum()
    centring = np.eye(len(K)) - share
    K, L = centring @ K @ centring.T, centring @ L @ centring.T
    return sum(share[i] * share[j] * K[i, j] * L[i, j] for i in range(len(K)) for j in range(len(K)))


def hsic_of_different_rows(K, L, weight):
    """The kernel of the U-statistic, K_ij (L_ij + L_qr − 2 L_iq), at every four rows of which no two are the same."""
    rows = range(len(K))
    j, q, r = np.ogrid[rows, rows, rows]
    total = 0.0
    for i in rows:
        different = (j != i) & (q != i) & (r != i) & (j != q) & (j != r) & (q != r)
        kernel = K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q])
        total += weight[i] * (different * weight[j] * weight[q] * weight[r] * kernel).sum()
    return total


@reference(squared=(True, False))
def procrustes_distance(X, Y, weight=None, squared=True):
    A, B = (shape(space, weight) for space in (X, Y))
    width = max(A.shape[1], B.shape[1])
    A, B = (np.pad(space, [(0, 0), (0, width - space.shape[1])]) for space in (A, B))
    Q = scipy.linalg.orthogonal_procrustes(A, B)[0]
    distance = ((A @ Q - B) ** 2).sum()
    return distance if squared else np.sqrt(distance)


def shape(X, weight):
    """Centred rows times the root of their weights, of Frobenius norm 1."""
    X, weight = float64(X, weight)
    X = (X - np.average(X, axis=0, weights=weight)) * np.sqrt(weight)[:, None]
    return X / np.sqrt((X**2).sum())


@reference(k=(10, 3))
def neighborhood_overlap(X, Y, weight=None, k=10):
    overlaps = []
    for i in range(len(X)):
        A, B = (set(nearest(np.asarray(space, dtype=np.float64), i, k)) for space in (X, Y))
        overlaps.append(len(A & B) / len(A | B))
    return np.mean(overlaps)


def nearest(X, i, k):
    distances = [((X[i] - X[j]) ** 2).sum() for j in range(len(X))]
    return sorted((j for j in range(len(X)) if j != i), key=lambda j: (distances[j], j))[:k]


@reference(k=(10, 2), between=("rows", "features"))
def subspace_overlap(X, Y, weight=None, k=10, between="rows"):
    A, B = (shape(space, weight) for space in (X, Y))
    k = min(k, np.linalg.matrix_rank(A), np.linalg.matrix_rank(B))
    (U, _, Vt), (U2, _, Vt2) = np.linalg.svd(A), np.linalg.svd(B)
    bases = (U[:, :k], U2[:, :k]) if between == "rows" else (Vt[:k].T, Vt2[:k].T)
    return np.mean(np.cos(scipy.linalg.subspace_angles(*bases)) ** 2)


@reference()
def modality_gap(X, Y, weight=None):
    centres = []
    for space in (X, Y):
        space, of_rows = float64(space, weight)
        kept = np.abs(space).sum(axis=1) > 0
        centres.append(np.average(unit(space), axis=0, weights=of_rows[kept]))
    return np.sqrt(((centres[0] - centres[1]) ** 2).sum())


@reference(alpha=(2.0, 1.0))
def alignment(X, Y, weight=None, alpha=2.0):
    (X, weight), (Y, _) = float64(X, weight), float64(Y)
    total, weights = 0.0, 0.0
    for x, y, w in zip(X, Y, weight, strict=True):
        if x.any() and y.any():
            total += w * np.sqrt(((x / np.sqrt(x @ x) - y / np.sqrt(y @ y)) ** 2).sum()) ** alpha
            weights += w
    return total / weights
