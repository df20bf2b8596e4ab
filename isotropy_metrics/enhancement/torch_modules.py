"""Enhancements as torch modules: imported only where torch is needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer
from torch import Tensor, nn

from isotropy_metrics.enhancement._cluster_enhancement import ClusterEnhancement
from isotropy_metrics.enhancement._steps import called, steps_of
from isotropy_metrics.enhancement.affine_map import as_affine, is_affine
from isotropy_metrics.enhancement.all_but_the_top import AllButTheTop
from isotropy_metrics.enhancement.normal_quantile import normal_quantile
from isotropy_metrics.enhancement.quantile_normalization import SMALLEST_LEVEL, QuantileNormalization

NORMS = {"l1": 1.0, "l2": 2.0, "max": float("inf")}


def module_of(enhancement: Any, dtype: torch.dtype) -> TorchEnhancement:
    """See `as_torch`. Affine steps that follow each other become one product, formed in float64."""
    modules: list[nn.Module] = []
    affine_run: list[Any] = []
    for name, step in steps_of(enhancement):
        if is_affine(step):
            affine_run.append(step)
            continue
        if affine_run:
            modules.append(_module_of_affine(affine_run, dtype))
            affine_run = []
        modules.append(_module_of_step(name, step, dtype))
    if affine_run:
        modules.append(_module_of_affine(affine_run, dtype))
    return TorchEnhancement(modules, dtype)


class TorchEnhancement(nn.Module):
    """Rows (..., in_features) to enhanced rows (..., out_features), in the dtype of the rows; see `as_torch`."""

    def __init__(self, steps: list[nn.Module], dtype: torch.dtype) -> None:
        super().__init__()
        widths = [(step.in_features, step.out_features) for step in steps if step.in_features is not None]
        self.steps = nn.ModuleList(steps)
        self.dtype = dtype
        self.in_features = widths[0][0] if widths else None
        self.out_features = widths[-1][1] if widths else None

    def forward(self, rows: Tensor) -> Tensor:
        if self.in_features is not None and rows.shape[-1] != self.in_features:
            raise ValueError(f"rows have {rows.shape[-1]} features, this enhancement was fitted on {self.in_features}")
        device = rows.device.type
        # autocast would form the products in half precision; the meta device has none
        has_autocast = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if has_autocast else nullcontext():
            enhanced = rows.to(torch.promote_types(rows.dtype, self.dtype))
            for step in self.steps:
                enhanced = step(enhanced)
            return enhanced.to(rows.dtype) if rows.is_floating_point() else enhanced

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype={self.dtype}"


class _Step(nn.Module):
    """A step whose buffers keep their dtype when a model that holds it changes its own."""

    in_features: int | None = None
    out_features: int | None = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def keeping_dtype(buffer: Tensor) -> Tensor:
            applied = fn(buffer)
            return applied if applied.dtype == buffer.dtype else buffer.to(applied.device)

        return super()._apply(keeping_dtype, recurse)

    def _keep(self, name: str, array: np.ndarray, dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.tensor(np.ascontiguousarray(array), dtype=dtype))


class AffineStep(_Step):
    """(x − center) W + shift, with the mean of the fitting rows as center: what is left of the shift is small.

    A diagonal W is kept as a vector.
    """

    def __init__(self, steps: list[Any], dtype: torch.dtype) -> None:
        super().__init__()
        matrix, shift = _composed(steps)
        self.in_features, self.out_features = matrix.shape
        center = steps[0].mean_ if shift.any() else np.zeros(self.in_features)
        diagonal = np.diagonal(matrix)
        self.is_diagonal = bool(matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.diag(diagonal)))
        self._keep("center", center, dtype)
        self._keep("weight", diagonal if self.is_diagonal else matrix, dtype)
        self._keep("shift", center @ matrix + shift, dtype)

    def forward(self, rows: Tensor) -> Tensor:
        center, weight, shift = (it.to(rows.dtype) for it in (self.center, self.weight, self.shift))
        centered = rows - center
        return (centered * weight if self.is_diagonal else centered @ weight) + shift


class DirectionsStep(_Step):
    """x − mean, less its projection on a few directions: two thin products in place of a square one."""

    def __init__(self, step: AllButTheTop, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features = self.out_features = len(step.mean_)
        self._keep("center", step.mean_, dtype)
        self._keep("directions", step.directions_, dtype)

    def forward(self, rows: Tensor) -> Tensor:
        directions = self.directions.to(rows.dtype)
        centered = rows - self.center.to(rows.dtype)
        return centered - (centered @ directions.T) @ directions


class ClusterStep(_Step):
    """x − mean of its cluster, less its projection on the directions of the cluster, if there are any."""

    def __init__(self, step: ClusterEnhancement, dtype: torch.dtype) -> None:
        super().__init__()
        self.n_clusters, self.in_features = step.cluster_centers_.shape
        self.out_features = self.in_features
        # distances are compared as in nearest_center: less a point among the rows
        centers = step.cluster_centers_ - step.mean_
        self._keep("origin", step.mean_, dtype)
        self._keep("centers", centers, dtype)
        self._keep("half_squares", np.einsum("ij,ij->i", centers, centers) / 2, dtype)
        self._keep("means", step.cluster_means_, dtype)
        directions = getattr(step, "cluster_directions_", np.empty((self.n_clusters, 0, self.in_features)))
        self.n_directions = directions.shape[1]
        self._keep("directions", directions.reshape(-1, self.in_features), dtype)

    def forward(self, rows: Tensor) -> Tensor:
        scores = (rows - self.origin.to(rows.dtype)) @ self.centers.to(rows.dtype).T
        nearest = torch.argmax(scores - self.half_squares.to(rows.dtype), dim=-1)
        centered = rows - self.means.to(rows.dtype)[nearest]
        if not self.n_directions:
            return centered
        # the projections on the directions of all clusters, of which all but its own are set to zero: two small
        # products in place of a copy of (n_directions, n_features) for every row
        directions = self.directions.to(rows.dtype)
        of_cluster = torch.arange(len(directions), device=rows.device) // self.n_directions
        projections = (centered @ directions.T).where(of_cluster == nearest.unsqueeze(-1), 0)
        return centered - projections @ directions


class QuantileStep(_Step):
    """The level of each value among the quantiles of its feature, uniform or as a normal value.

    In float64 whatever the rows are in, as `transform` does: quantiles lie close, and normal values near the ends
    change fast.
    """

    def __init__(self, step: QuantileNormalization) -> None:
        super().__init__()
        self.in_features = self.out_features = step.quantiles_.shape[1]
        self.is_normal = step.output == "normal"
        quantiles, levels = step.quantiles_, step.levels_
        if len(levels) == 1:  # of a single row: two quantiles, as of a constant feature
            quantiles, levels = np.repeat(quantiles, 2, axis=0), np.array([0.0, 1.0])
        self.is_repeated = bool((np.diff(quantiles, axis=0) == 0).any())
        self._keep("quantiles", quantiles.T, torch.float64)
        self._keep("levels", levels, torch.float64)
        smallest = SMALLEST_LEVEL - np.spacing(1)
        # a buffer: the ONNX exporter rounds numbers to float32, 1e-7 from 1 is not to be told from 1.2e-7 then
        self._keep("edges", np.array([smallest, 1 - smallest]), torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        smallest, largest = self.quantiles[:, :1], self.quantiles[:, -1:]
        given = rows.reshape(-1, self.in_features).T.to(torch.float64)
        values = given.clamp(smallest, largest).contiguous()
        levels = self._levels(values, highest=True)
        if self.is_repeated:  # of a repeated quantile the middle of its levels
            levels = (levels + self._levels(values, highest=False)) / 2
            levels = levels.where(values < largest, 1).where(values > smallest, 0)
        if self.is_normal:
            enhanced = normal_quantile(levels.clamp(self.edges[0], self.edges[1]))
        else:
            enhanced = levels - 0.5
        enhanced = enhanced.where(smallest < largest, 0)
        return enhanced.T.reshape(rows.shape).to(rows.dtype)

    def _levels(self, values: Tensor, highest: bool) -> Tensor:
        left = (self._count_below(values, highest) - 1).clamp(0, len(self.levels) - 2)
        start, end = self.quantiles.gather(1, left), self.quantiles.gather(1, left + 1)
        share = (values - start) / (end - start).where(end > start, 1)
        share = share.where(end > start, 1)
        return self.levels[left] + share * (self.levels[left + 1] - self.levels[left])

    def _count_below(self, values: Tensor, or_equal: bool) -> Tensor:
        """How many quantiles are below each value (or equal to it)."""
        if not torch.compiler.is_exporting():
            return torch.searchsorted(self.quantiles, values, right=or_equal)
        # ONNX knows no searchsorted: halve the steps from the largest power of two
        count = torch.zeros_like(values, dtype=torch.int64)
        n_quantiles = len(self.levels)
        for exponent in reversed(range(n_quantiles.bit_length())):
            larger = (count + 2**exponent).clamp(max=n_quantiles)
            last = self.quantiles.gather(1, larger - 1)
            count = torch.where(last <= values if or_equal else last < values, larger, count)
        return count


class NormalizerStep(_Step):
    """x / ‖x‖; rows of zeros, and of so small a norm that scikit-learn takes it for zero, stay as they are."""

    def __init__(self, order: float) -> None:
        super().__init__()
        self.order = order

    def forward(self, rows: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(rows, ord=self.order, dim=-1, keepdim=True)
        return rows / norms.where(norms >= 10 * torch.finfo(rows.dtype).eps, 1)


def _composed(steps: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    return as_affine(Pipeline([(str(i), step) for i, step in enumerate(steps)]))


def _module_of_affine(steps: list[Any], dtype: torch.dtype) -> nn.Module:
    if len(steps) == 1 and isinstance(steps[0], AllButTheTop):
        return DirectionsStep(steps[0], dtype)
    return AffineStep(steps, dtype)


def _module_of_step(name: str, step: Any, dtype: torch.dtype) -> nn.Module:
    if isinstance(step, Normalizer):
        return NormalizerStep(NORMS[step.norm])
    if isinstance(step, ClusterEnhancement):
        return ClusterStep(step, dtype)
    if isinstance(step, QuantileNormalization):
        return QuantileStep(step)
    raise ValueError(f"{called(name, step)} has no torch module: export each of its enhancements_")
