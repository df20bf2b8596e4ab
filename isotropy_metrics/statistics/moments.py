"""Moments: all that second-moment measures and affine enhancements need, from one pass and O(d²) memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.statistics.linear_sums import LinearSums, linear_sums, scalars_of
from isotropy_metrics.statistics.side_by_side import WORKER_VALUES, equal_blocks, one_thread, side_by_side
from isotropy_metrics.statistics.tridiagonal_form import TridiagonalForm
from isotropy_metrics.statistics.unit_sums import UnitSums

if TYPE_CHECKING:
    import torch

BLOCK_VALUES = 8192 * 768
"""Values per matrix product: in small products the BLAS loses a third of its speed, large ones cost memory."""

DIRECT_ROWS = 32_768
"""Rows that go into one product where they need no copy."""

SHIFT_WHEN_MEAN_SHARE = 0.9
"""A block is centred before it is squared when some feature owes this share of its square to its mean (mean = 3σ)."""

FIRST_ROWS = 16
"""Rows looked at to guess whether the next ones need a shift."""

WIDE = 1536
"""Rows of so many features have both spectra from one tridiagonal form; below, two decompositions take no longer."""

WORKER_FEATURES = 128
"""Features per thread whose two spectra are worth a thread each."""

MOST_PIECES = 256
"""Blocks whose means are remembered before they are joined, so that joining costs one product and not one each."""


class Moments(UnitSums):
    """Count, mean, centred scatter and unit-vector sums of a stream of rows, kept in float64.

    For rows x with weights w (1 if none are given) and x̂ = x / ‖x‖ it holds

        mean     = Σ w x / Σ w                      (n_features,)
        scatter  = Σ w (x − mean)(x − mean)ᵀ        (n_features, n_features)
        unit_sum = Σ w x̂ over the non-zero rows     (n_features,)
        unit_square_sum = Σ w² x̂² of each feature   (n_features,)

    Batches may come in any size and order: a block of rows is squared about a point near its own mean as soon as the
    mean dominates some feature, and blocks are joined by the formula of Chan, Golub & LeVeque (1983). float32 rows are
    multiplied in float32, a block at a time, and added in float64; float64 rows are float64 throughout.

    Args:
        block_values: values per block; smaller ones save memory and cost time.

    Example:
        >>> import numpy as np
        >>> moments = Moments()
        >>> moments.update(np.array([[1.0, 0.0], [3.0, 0.0]]))
        >>> moments.update(np.array([[2.0, 3.0]]))
        >>> moments.n_rows, moments.mean.tolist()
        (3, [2.0, 1.0])
    """

    ARRAYS = ("mean", "scatter", *UnitSums.ARRAYS)
    INCLUDES = (UnitSums,)

    def __init__(self, block_values: int = BLOCK_VALUES) -> None:
        super().__init__()
        self._block_values = block_values
        # scatter = _within + Σ over pieces of mass · (centre − mean)(centre − mean)ᵀ − mass · residual residualᵀ
        self._within: np.ndarray | None = None
        self._pieces: list[tuple[float, np.ndarray, np.ndarray]] = []
        self._buffer: _Buffer | None = None
        self._within_on_device: torch.Tensor | None = None
        self._lock = threading.RLock()
        self._forget()

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays."""
        self._settle()
        return super().state_dict()

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        with self._lock:
            is_waiting = self._unit_sum is None and self._buffer is not None and self._buffer.filled
            return self._buffer.rows.shape[1] if is_waiting else super().n_features

    @property
    def unit_sum(self) -> np.ndarray | None:
        """Σ w x / ‖x‖ over the rows that are not zero, (n_features,)."""
        self._empty_buffer()
        return self._unit_sum

    @property
    def unit_square_sum(self) -> np.ndarray | None:
        """Σ w² (x / ‖x‖)² of each feature, over the rows that are not zero, (n_features,)."""
        self._empty_buffer()
        return self._unit_square_sum

    @property
    def mean(self) -> np.ndarray | None:
        """Σ w x / Σ w, (n_features,)."""
        self._settle()
        return self._pieces[0][2] if self._pieces else None

    @property
    def scatter(self) -> np.ndarray | None:
        """Σ w (x − mean)(x − mean)ᵀ, (n_features, n_features); later rows change this array, do not write to it."""
        self._settle()
        return self._within

    @property
    def purity(self) -> float:
        """tr(scatter²) / tr(scatter)² = Σλ² / (Σλ)², from 1/n_features to 1; NaN if all rows are the same."""
        self._settle()
        if self._purity is None:
            trace = float(np.trace(self._within)) if self.n_rows else 0.0
            if not trace > 0:
                self._purity = float("nan")
            elif 1e-100 < trace < 1e100:
                self._purity = float(np.vdot(self._within, self._within)) / trace**2
            else:
                self._purity = float(np.square(self._within / trace).sum())
        return self._purity

    @property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of `scatter`, largest first; computed once and kept until new rows come.

        None is below zero, and those beyond the rank that n_rows allows are exactly zero.

        Raises:
            ValueError: there are no rows yet.
        """
        return self._spectrum(of_raw_rows=False)

    @property
    def raw_eigenvalues(self) -> np.ndarray:
        """Eigenvalues of Σ w x xᵀ, of rows whose mean is not subtracted; as `eigenvalues`."""
        return self._spectrum(of_raw_rows=True)

    def _spectrum(self, of_raw_rows: bool) -> np.ndarray:
        self._settle()
        if not self.n_rows:
            raise ValueError("there are no rows yet")
        if of_raw_rows not in self._spectra:
            for is_raw, values in self._decomposed(of_raw_rows).items():
                values = np.clip(values, 0, None)
                values[self.n_rows if is_raw else self.n_rows - 1 :] = 0
                self._spectra[is_raw] = values
        return self._spectra[of_raw_rows]

    def _decomposed(self, of_raw_rows: bool) -> dict[bool, np.ndarray]:
        """The spectrum that is asked for, and the other one where that takes no longer."""
        offset = np.sqrt(self.weight_sum) * self.mean
        if self.n_features >= WIDE:
            form = TridiagonalForm(self._within, offset)
            return {is_raw: form.eigenvalues(plus_vector=is_raw) for is_raw in (False, True)}
        with side_by_side(self.n_features // WORKER_FEATURES) as (map_of_spectra, n_workers):
            which = (False, True) if n_workers > 1 else (of_raw_rows,)
            matrices = (self._within + np.outer(offset, offset) if is_raw else self._within for is_raw in which)
            return {
                is_raw: values[::-1]
                for is_raw, values in zip(which, map_of_spectra(np.linalg.eigvalsh, matrices), strict=True)
            }

    def _scalar(self, name: str) -> float:
        with self._lock:
            waiting = self._buffer.scalars.get(name, 0) if self._buffer is not None else 0
            return self._scalars[name] + waiting

    def _forget(self) -> None:
        """Forget what was derived of the rows: others have come."""
        self._spectra: dict[bool, np.ndarray] = {}
        self._purity: float | None = None

    def _add(self, rows: np.ndarray, weight: np.ndarray | None) -> None:
        block_rows = block_rows_of(rows.shape[1], self._block_values)
        if weight is None and len(rows) < block_rows // 2:
            self._append(rows)
        elif len(rows) <= 2 * block_rows:
            for of_block in list(self._blocks(rows, weight)):  # all of them, or none if a row is bad
                self._add_block(*of_block)
        else:
            aside = Moments(self._block_values)  # a bad row among many leaves `self` as it was
            for of_block in aside._blocks(rows, weight):
                aside._add_block(*of_block)
            self._join(aside, is_ours=True)

    def _add_on_device(self, rows: torch.Tensor, weight: np.ndarray | None) -> None:
        """Add rows that lie on a device; their products stay there until the scatter is asked for."""
        if not len(rows):
            return
        sums = self._sums_on_device(rows, weight, block_rows_of(rows.shape[1], self._block_values), with_gram=True)
        for of_block, shift in zip(sums.linear, sums.shift, strict=True):
            self._add_linear(of_block)
            mass = of_block.scalars["weight_sum"]
            residual = of_block.shifted_sum / mass
            self._pieces.append((mass, residual, shift + residual))
        if self._within_on_device is not None and self._within_on_device.device != sums.gram.device:
            self._come_to_host()
        if self._within_on_device is None:
            self._within_on_device = sums.gram
        else:
            self._within_on_device += sums.gram
        self._forget()
        if len(self._pieces) >= MOST_PIECES:
            self._settle()

    def _come_to_host(self) -> None:
        """Add the products that a device holds."""
        if self._within_on_device is not None:
            within = self._within_on_device.cpu().numpy()
            self._within = within if self._within is None else self._within + within
            self._within_on_device = None

    def _blocks(
        self, rows: np.ndarray, weight: np.ndarray | None = None
    ) -> Iterator[tuple[LinearSums, _BlockScatter]]:
        """The sums and the scatter of every block of these rows."""
        with side_by_side(rows.size // WORKER_VALUES) as (map_of_blocks, n_workers):
            blocks = equal_blocks(len(rows), DIRECT_ROWS, n_workers)
            is_direct = weight is None and all(_first_shift(rows[block]) is None for block in blocks)
            if not is_direct:
                blocks = equal_blocks(len(rows), block_rows_of(rows.shape[1], self._block_values), n_workers)
            spaces = [_Workspace() for _ in range(n_workers)]
            for first in range(0, len(blocks), n_workers):
                together = blocks[first : first + n_workers]
                work = partial(_of_block, rows, weight, is_direct)
                others = map_of_blocks(work, together[1:], spaces[1:])
                yield work(together[0], spaces[0])  # in this thread, which would only wait
                yield from others

    def _append(self, rows: np.ndarray) -> None:
        """Gather small batches in the buffer until they fill it."""
        if not len(rows):
            return
        scalars, buffer = scalars_of(rows), self._buffer
        if buffer is None or buffer.rows.dtype != rows.dtype or buffer.filled + len(rows) > len(buffer.rows):
            self._empty_buffer()
        if buffer is None or buffer.rows.dtype != rows.dtype:
            shape = block_rows_of(rows.shape[1], self._block_values), rows.shape[1]
            buffer = self._buffer = _Buffer(np.empty(shape, rows.dtype))
        buffer.rows[buffer.filled : buffer.filled + len(rows)] = rows
        buffer.filled += len(rows)
        buffer.scalars = {name: buffer.scalars.get(name, 0) + value for name, value in scalars.items()}

    def _empty_buffer(self) -> None:
        """Add the rows that wait: all of them, or none if that fails, and once if two threads read a value."""
        with self._lock:
            buffer = self._buffer
            if buffer is None or not buffer.filled:
                return
            of_blocks = list(self._blocks(buffer.rows[: buffer.filled]))
            buffer.filled, buffer.scalars = 0, {}
            for of_block in of_blocks:
                self._add_block(*of_block)

    def _add_block(self, sums: LinearSums, scatter: _BlockScatter) -> None:
        self._add_linear(sums)
        if self._within is None:
            self._within = scatter.gram.astype(np.float64)
        else:
            self._within += scatter.gram
        self._pieces.append((scatter.mass, scatter.residual, scatter.centre))
        self._forget()
        if len(self._pieces) >= MOST_PIECES:
            self._collapse()

    def _settle(self) -> None:
        """Bring `scatter` and `mean` up to date."""
        with self._lock:
            self._empty_buffer()
            self._come_to_host()
            if len(self._pieces) > 1 or (self._pieces and self._pieces[0][1].any()):
                with one_thread():
                    self._collapse()

    def _collapse(self) -> None:
        """Join all pieces into one with no residual (Chan, Golub & LeVeque)."""
        mass, residual, centre = (np.array(column) for column in zip(*self._pieces, strict=True))
        mean = centre[0] + (mass @ (centre - centre[0]) / mass.sum() if mass.sum() else 0)  # exact if all are equal
        deviation = np.concatenate([centre - mean, residual])
        self._within += (np.concatenate([mass, -mass])[:, None] * deviation).T @ deviation
        self._pieces = [(float(mass.sum()), np.zeros_like(mean), mean)]

    def _join(self, other: Moments, is_ours: bool = False) -> None:
        other._settle()
        if other.n_features is None:
            return
        super()._join(other)
        self._forget()
        if self._within is None:
            self._within = other._within if is_ours else other._within.copy()
        else:
            self._within += other._within
        self._pieces += other._pieces
        if len(self._pieces) >= MOST_PIECES:
            self._collapse()

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        super()._restore(arrays)
        mean, self._within = arrays["mean"], arrays["scatter"]
        self._pieces = [(self.weight_sum, np.zeros_like(mean), mean)]


@dataclass
class _Buffer:
    """Rows that wait for their block to fill, and their counts and sums of weights."""

    rows: np.ndarray
    filled: int = 0
    scalars: dict[str, float] = field(default_factory=dict)


@dataclass
class _BlockScatter:
    """Σ w (x − shift)(x − shift)ᵀ of a block as `gram`, Σ w, the mean of x, and how far that is from the shift."""

    mass: float
    residual: np.ndarray
    centre: np.ndarray
    gram: np.ndarray


class _Workspace:
    """Room for a block less its shift, kept for the next block."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), np.float32)

    def like(self, block: np.ndarray) -> np.ndarray:
        """Uninitialised, of the shape and dtype of the block."""
        if self._rows.dtype != block.dtype or len(self._rows) < len(block):
            self._rows = np.empty(block.shape, block.dtype)
        return self._rows[: len(block)]


def _of_block(
    rows: np.ndarray, weight: np.ndarray | None, is_direct: bool, part: slice, space: _Workspace
) -> tuple[LinearSums, _BlockScatter]:
    """All that `Moments` needs of some of the rows; `is_direct` if their first ones are known to need no shift."""
    block, block_weight = rows[part], None if weight is None else weight[part]
    shift = None if is_direct else _first_shift(block)
    shifted = block if shift is None else space.like(block)
    sums = linear_sums(block, block_weight, part.start, shift, shifted)
    return sums, _scatter_of(shifted, shift, sums, block_weight)


def _scatter_of(
    shifted: np.ndarray, shift: np.ndarray | None, sums: LinearSums, weight: np.ndarray | None = None
) -> _BlockScatter:
    """The scatter of one block of rows less `shift`.

    Where the mean still dominates some feature, the block is shifted once more, now by its own mean.
    """
    mass = float(sums.scalars["weight_sum"])
    shift = np.zeros(shifted.shape[1], shifted.dtype) if shift is None else shift
    residual = sums.shifted_sum / mass if mass else np.zeros(shifted.shape[1])
    gram = _gram(shifted, weight)
    owed_to_mean = mass * residual**2 > SHIFT_WHEN_MEAN_SHARE * np.diagonal(gram)
    if (owed_to_mean & (np.abs(residual) > 1e-6 * np.abs(shift))).any():
        step = (shift + residual).astype(shifted.dtype) - shift
        residual, shift = residual - step, shift + step
        gram = _gram(shifted, weight, step, block_rows_of(shifted.shape[1]))
    return _BlockScatter(mass, residual, shift + residual, gram)


def block_rows_of(n_features: int, block_values: int = BLOCK_VALUES) -> int:
    return int(np.clip(block_values // n_features, 256, 8192))


def _first_shift(rows: np.ndarray) -> np.ndarray | None:
    """The mean of the first rows if it dominates some feature: a guess that spares squaring the first block twice."""
    first = rows[:FIRST_ROWS].astype(np.float64)
    if not len(first) or not np.isfinite(first).all():
        return None
    mean = first[0] + (first - first[0]).mean(axis=0)  # exact for a constant feature
    with np.errstate(over="ignore"):  # rows that are too large are refused when their norms are read
        dominated = mean**2 > SHIFT_WHEN_MEAN_SHARE * (mean**2 + first.var(axis=0))
    return mean.astype(rows.dtype) if dominated.any() else None


def _gram(
    rows: np.ndarray, weight: np.ndarray | None, step: np.ndarray | None = None, block_rows: int | None = None
) -> np.ndarray:
    """Σ w (x − step)(x − step)ᵀ; where rows must be copied for it, so many at a time."""
    if step is None and weight is None:
        return rows.T @ rows
    gram = np.zeros((rows.shape[1], rows.shape[1]), rows.dtype)
    block_rows = block_rows or len(rows)
    for start in range(0, len(rows), block_rows):
        part = slice(start, start + block_rows)
        x = rows[part] if step is None else rows[part] - step
        if weight is not None:
            x = x * np.sqrt(weight[part]).astype(x.dtype)[:, None]
        gram += x.T @ x
    return gram
