"""Whitening: uncorrelated features of variance one, by any of the five whiteners, hard or soft, with shrinkage."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from isotropy_metrics.enhancement._affine_enhancement import InvertibleEnhancement
from isotropy_metrics.enhancement.ledoit_wolf import ledoit_wolf_shrinkage
from isotropy_metrics.statistics import Moments, RowStatistics
from isotropy_metrics.statistics.principal_axes import principal_axes
from isotropy_metrics.whole_number import whole_number

METHODS = ("pca", "zca", "cholesky", "pca_cor", "zca_cor")
TRUNCATING = ("pca", "pca_cor")
EPS_MODES = ("relative", "absolute")


class Whitening(InvertibleEnhancement):
    """Rotate and scale the rows so that their covariance is the identity.

        transform(x) = (x − mean_) W,    W Wᵀ = C⁻¹,    C = (1 − s) S + s (tr S / d) I + ε I

    with S the covariance of the fitting rows (divisor n − 1), s the shrinkage and ε ≥ 0 the softness. The whiteners
    differ by a rotation after it, which no cosine or distance sees (Kessy, Lewin & Strimmer 2018,
    https://doi.org/10.1080/00031305.2016.1277159). With C = U Λ Uᵀ, V = diag(C), V^-½ C V^-½ = G Θ Gᵀ:

        method      W                    what it is good for
        pca         U Λ^-½               features by falling variance, can be truncated (Su et al. 2021,
                                         https://huggingface.co/papers/2103.15316)
        zca         U Λ^-½ Uᵀ            rows stay as near as they can to the centred ones
        cholesky    L,  L Lᵀ = C⁻¹       triangular
        pca_cor     V^-½ G Θ^-½          as pca, whatever the units of the features
        zca_cor     V^-½ G Θ^-½ Gᵀ       rows stay as near as they can to the standardised ones

    With ε > 0 (soft whitening, Diera, Galke & Scherp 2025, https://huggingface.co/papers/2411.17538) a direction of
    variance λ is left with λ / (λ + ε).

    More isotropic is not better: whitening tends to help the similarities of encoders that were never fine-tuned for
    them, to hurt those of tuned ones, and to hurt classifiers (Forooghi, Sadeghi & Lu 2024,
    https://huggingface.co/papers/2407.12886). Compare a task score before and after, on held-out data. Few rows make
    it worse: without shrinkage, n near d rows whiten to noise, and every isotropy score looks perfect.

    Args:
        method: see above.
        n_components: features to keep, of "pca" and "pca_cor"; None keeps all.
        eps: ε, in units of the mean variance tr S / d for `eps_mode="relative"`, else in squared units of the rows;
            "auto" finds the ε for which the fitting rows end at `target_isoscore`.
        eps_mode: "relative" or "absolute". Unit vectors of 768 features have variances of about 0.0013, so that an
            absolute ε of 0.1 hardly whitens at all.
        shrinkage: "ledoit_wolf", a number from 0 to 1, or None for none; see `ledoit_wolf_shrinkage`.
        target_isoscore: IsoScore of the fitting rows after whitening, for `eps="auto"`.

    Attributes:
        mean_: (n_features_in_,), float64.
        matrix_: W, (n_features_in_, n_components), float64.
        shrinkage_: s.
        eps_: ε, in squared units of the rows.

    Raises:
        ValueError: on fit, without shrinkage or ε: fewer directions of variance than components.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(1000, 3)) @ [[4, 0, 0], [2, 1, 0], [0, 0, 9]] + 5
        >>> whitening = Whitening("zca", shrinkage=None).fit(X)
        >>> np.cov(whitening.transform(X).T).round(6) + 0
        array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]])
        >>> bool(np.allclose(whitening.inverse_transform(whitening.transform(X)), X))
        True
    """

    FITTED = ("matrix_", "shrinkage_", "eps_")

    def __init__(
        self,
        method: str = "pca",
        n_components: int | None = None,
        eps: float | str = 0.0,
        eps_mode: str = "relative",
        shrinkage: str | float | None = "ledoit_wolf",
        target_isoscore: float = 0.9,
    ) -> None:
        self.method = method
        self.n_components = n_components
        self.eps = eps
        self.eps_mode = eps_mode
        self.shrinkage = shrinkage
        self.target_isoscore = target_isoscore

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """`whitening0`, `whitening1` ... of the principal whiteners, the names of the features of the others."""
        names = super().get_feature_names_out(input_features)
        if self.method not in TRUNCATING:
            return names
        return np.array([f"whitening{i}" for i in range(self._n_features_out)], dtype=object)

    def _rows_wanted(self, n_features: int) -> int:
        n_components = self.n_components or n_features
        return n_components if self.shrinkage or self.eps else 4 * n_components

    def _solve(self, statistics: RowStatistics) -> dict[str, Any]:
        moments = statistics.moments
        if moments.n_rows < 2:
            raise ValueError(f"whitening needs at least 2 rows, got n_samples={moments.n_rows}")
        if not moments.effective_n_rows > 1 + 1e-9:
            raise ValueError(f"one of the {moments.n_rows} rows has all the weight: there is no variance to whiten")
        n_components = self.n_components or moments.n_features
        covariance = moments.scatter / _degrees_of_freedom(moments)
        mean_variance = float(np.trace(covariance)) / len(covariance)
        if not mean_variance > 0:
            raise ValueError(f"all {moments.n_rows} rows are equal: there is no variance to whiten")
        shrinkage = self.shrinkage or 0.0
        if self.shrinkage == "ledoit_wolf":
            shrinkage = ledoit_wolf_shrinkage(statistics)
        variances, axes = principal_axes(covariance)
        shrunk = (1 - shrinkage) * variances + shrinkage * mean_variance
        if self.eps == "auto":
            eps = _eps_for(self.target_isoscore, variances[:n_components], shrunk[:n_components], mean_variance)
        else:
            eps = float(self.eps) * (mean_variance if self.eps_mode == "relative" else 1)
        softened = shrunk + eps
        smallest = softened[n_components - 1] if self.method == "pca" else softened[-1]
        if not smallest > _precision(moments) * softened[0]:
            raise ValueError(
                f"{moments.n_rows} rows with {len(variances)} features span too few directions to whiten "
                f"{n_components} components (variances from {softened[0]:.3g} to {smallest:.3g}): use "
                "shrinkage='ledoit_wolf', eps > 0, or method='pca' with fewer n_components"
            )
        if self.method == "pca":
            softened, axes = softened[:n_components], axes[:, :n_components]
        matrix = _whitener(self.method, softened, axes)[:, :n_components]
        return {"matrix_": matrix, "shrinkage_": float(shrinkage), "eps_": eps}

    def check_parameters(self, n_features: int) -> int:
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: must be one of {', '.join(METHODS)}")
        if self.eps_mode not in EPS_MODES:
            raise ValueError(f"eps_mode={self.eps_mode!r}: must be one of {', '.join(EPS_MODES)}")
        if self.eps != "auto" and not (_is_number(self.eps) and 0 <= self.eps < np.inf):
            raise ValueError(f"eps={self.eps!r}: must be a number from 0, or 'auto'")
        is_share = _is_number(self.shrinkage) and 0 <= self.shrinkage <= 1
        if self.shrinkage not in ("ledoit_wolf", None) and not is_share:
            raise ValueError(f"shrinkage={self.shrinkage!r}: must be 'ledoit_wolf', a number from 0 to 1, or None")
        target = self.target_isoscore
        if self.eps == "auto" and not (_is_number(target) and 0 < target <= 1):
            raise ValueError(f"target_isoscore={target!r}: must be a number above 0, up to 1")
        if self.n_components is None:
            return n_features
        whole_number("n_components", self.n_components, least=1)
        if self.method not in TRUNCATING:
            raise ValueError(f"n_components={self.n_components} needs method='pca' or 'pca_cor', got {self.method!r}")
        if self.n_components > n_features:
            raise ValueError(f"n_components={self.n_components} of {n_features} features")
        if self.method == "pca_cor" and self.eps == "auto" and self.n_components < n_features:
            raise ValueError("eps='auto' of some components is for method='pca', got 'pca_cor'")
        return self.n_components

    @property
    def _n_features_out(self) -> int:
        return self.matrix_.shape[1]

    def _linear_map(self, dtype: np.dtype) -> Callable[[np.ndarray, np.ndarray], object]:
        matrix = self.matrix_.astype(dtype)
        return lambda centered, out: np.matmul(centered, matrix, out=out)

    def _inverse_linear(self, rows: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv if self.matrix_.shape[0] == self.matrix_.shape[1] else np.linalg.pinv
        return rows @ inverse(self.matrix_).astype(rows.dtype)


def _degrees_of_freedom(moments: Moments) -> float:
    """n − 1; with weights Σw (1 − 1/n), n the effective number of rows of Kish."""
    return moments.weight_sum * (1 - 1 / moments.effective_n_rows)


def _precision(moments: Moments) -> float:
    """The share of the largest eigenvalue that rounding alone can leave of a direction without variance."""
    return 1e-6 if moments.n_single_rows else moments.n_features * float(np.finfo(np.float64).eps)


def _whitener(method: str, variances: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """W with W Wᵀ = C⁻¹, of C = U diag(variances) Uᵀ with U the axes."""
    if method == "pca":
        return axes / np.sqrt(variances)
    if method == "zca":
        return (axes / np.sqrt(variances)) @ axes.T
    if method == "cholesky":
        return np.linalg.cholesky((axes / variances) @ axes.T)
    covariance = (axes * variances) @ axes.T
    scale = np.sqrt(np.diagonal(covariance))
    values, vectors = principal_axes(covariance / np.outer(scale, scale))
    matrix = vectors / np.sqrt(values) / scale[:, None]
    return matrix if method == "pca_cor" else matrix @ vectors.T


def _eps_for(target: float, variances: np.ndarray, shrunk: np.ndarray, unit: float) -> float:
    """The ε for which variances / (shrunk + ε) have the IsoScore `target`, between the values for ε = 0 and ∞."""
    from scipy.optimize import brentq

    def isoscore(left: np.ndarray) -> float:
        return (left.sum() ** 2 / (left @ left) - 1) / (len(left) - 1)

    if len(variances) < 2:
        raise ValueError("eps='auto' needs at least 2 components: one has no IsoScore")
    smallest, largest = 1e-12 * unit, 1e12 * unit
    highest, lowest = (isoscore(variances / (shrunk + eps)) for eps in (smallest, largest))
    if not lowest <= target <= highest:
        raise ValueError(
            f"target_isoscore={target}: these rows can reach {lowest:.4f} (not whitened) to {highest:.4f} (eps=0)"
            + ("; shrinkage=None reaches higher" if target > highest and not np.array_equal(variances, shrunk) else "")
        )
    exponent = brentq(lambda x: isoscore(variances / (shrunk + np.exp(x))) - target, *np.log([smallest, largest]))
    return float(np.exp(exponent))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
