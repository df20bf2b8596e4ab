"""Tridiagonal form: the eigenvalues of a symmetric matrix, and of the same matrix plus v vᵀ, for the work of one."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack


class TridiagonalForm:
    """A symmetric matrix S as Qᵀ S Q = T, tridiagonal, where Q e₁ is v / ‖v‖ up to its sign.

    So Qᵀ (S + v vᵀ) Q is T with ‖v‖² more in its first place: both spectra follow from T, in O(n²). Nearly all the
    work is in T itself (Householder's reduction, Golub & Van Loan 2013, section 8.3.1), which leaves the first basis
    vector alone: a reflection before it takes v there.

    Args:
        matrix: S, (n, n).
        vector: v, (n,).

    Example:
        >>> import numpy as np
        >>> form = TridiagonalForm(np.diag([4.0, 1.0, 0.0]), np.array([0.0, 0.0, 3.0]))
        >>> form.eigenvalues().round(12).tolist(), form.eigenvalues(plus_vector=True).round(12).tolist()
        ([4.0, 1.0, 0.0], [9.0, 4.0, 1.0])
    """

    def __init__(self, matrix: np.ndarray, vector: np.ndarray) -> None:
        work = np.array(matrix.T, dtype=np.float64, order="F")  # of a symmetric matrix either triangle will do
        length = np.linalg.norm(vector)
        self._square = length**2
        if length:
            mirror = vector / length
            mirror[0] += np.copysign(1.0, mirror[0])
            mirror /= np.linalg.norm(mirror)
            image = 2 * (matrix @ mirror)
            image -= (mirror @ image) * mirror
            work = blas.dsyr2(-1.0, mirror, image, lower=1, a=work, overwrite_a=1)
        size, _ = lapack.dsytrd_lwork(len(work), lower=1)
        _, self._diagonal, self._beside, _, _ = lapack.dsytrd(work, lower=1, lwork=int(size), overwrite_a=1)

    def eigenvalues(self, plus_vector: bool = False) -> np.ndarray:
        """Of S, or of S + v vᵀ, largest first, (n,)."""
        diagonal = self._diagonal.copy()
        diagonal[0] += self._square if plus_vector else 0.0
        if len(diagonal) == 1:
            return diagonal
        values, info = lapack.dsterf(diagonal, self._beside)
        if info:
            raise np.linalg.LinAlgError("the eigenvalues of a tridiagonal matrix did not converge")
        return values[::-1]
