"""UnitSums: the sums of the directions of rows, which is all that their mean cosine needs."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.statistics.device_sums import DeviceSums, device_sums
from isotropy_metrics.statistics.linear_sums import (
    LEAST_SINGLE,
    MOST_SINGLE,
    SCALARS,
    Float32RangeError,
    LinearSums,
    linear_sums,
)
from isotropy_metrics.statistics.side_by_side import WORKER_VALUES, equal_blocks, side_by_side

if TYPE_CHECKING:
    from typing import Self

    import torch

BLOCK_ROWS = 8192
"""Rows that are summed in one go."""


class UnitSums:
    """Count and unit-vector sums of a stream of rows, kept in float64: O(n_features) memory, and no product.

    For rows x with weights w (1 if none are given) and x̂ = x / ‖x‖ it holds

        unit_sum = Σ w x̂ over the non-zero rows     (n_features,)
        unit_square_sum = Σ w² x̂² of each feature   (n_features,)

    `Moments` hold the same and more.

    Example:
        >>> sums = UnitSums()
        >>> sums.update([[2.0, 0.0], [0.0, 5.0], [0.0, 0.0]])
        >>> sums.unit_sum.tolist(), sums.n_rows, sums.n_zero_rows
        ([1.0, 1.0], 3, 1)
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("unit_sum", "unit_square_sum")

    INCLUDES: ClassVar[tuple[type, ...]] = ()
    """Kinds of statistics in whose place this one serves."""

    def __init__(self) -> None:
        self._scalars: dict[str, float] = dict.fromkeys(SCALARS, 0)
        self._unit_sum: np.ndarray | None = None
        self._unit_square_sum: np.ndarray | None = None

    def update(self, rows: Any, mask: Any = None, weight: Any = None) -> None:
        """Add rows (n_samples, n_features), or (batch, length, n_features) with a `mask`; see `arrays.as_rows`.

        Raises:
            ValueError: what `as_rows` refuses, a row that is not finite, or another number of features than before.
                The statistics are then as they were.
        """
        rows, weight = as_rows(rows, mask, weight, on_device=True)
        if self.n_features not in (None, rows.shape[1]):
            raise ValueError(f"these rows have {rows.shape[1]} features, the rows so far had {self.n_features}")
        if not isinstance(rows, np.ndarray):
            self._add_on_device(rows, weight)
            return
        try:
            self._add(rows, weight)
        except Float32RangeError:
            self._add(rows.astype(np.float64), weight)

    def merge(self, other: Self) -> Self:
        """Add the rows that `other` has seen; `other` keeps its value. Returns self."""
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} merge with {type(self).__name__}, got {type(other).__name__}")
        if None not in (self.n_features, other.n_features) and self.n_features != other.n_features:
            raise ValueError(f"cannot merge {other.n_features} features into {self.n_features}")
        self._join(other)
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers and numpy arrays."""
        return self._scalars | {name: copy.copy(getattr(self, name)) for name in self.ARRAYS}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The statistics that `state_dict` described."""
        missing = [name for name in (*SCALARS, *cls.ARRAYS) if name not in state]
        if missing:
            raise ValueError(f"not a state of {cls.__name__}: {', '.join(missing)} missing")
        statistic = cls()
        statistic._scalars = {name: state[name] for name in SCALARS}
        if state["unit_sum"] is not None:
            statistic._restore({name: np.array(state[name], dtype=np.float64) for name in cls.ARRAYS})
        return statistic

    @property
    def n_features(self) -> int | None:
        """Number of features, or None before the first row."""
        return None if self._unit_sum is None else len(self._unit_sum)

    @property
    def n_rows(self) -> int:
        """Number of rows seen, without those that a mask left out."""
        return self._scalar("n_rows")

    @property
    def n_zero_rows(self) -> int:
        """Number of rows of length zero: they have no direction and no part in `unit_sum`."""
        return self._scalar("n_zero_rows")

    @property
    def n_single_rows(self) -> int:
        """Number of rows that were multiplied in float32, which leaves an error of about 1e-7 of the largest value."""
        return self._scalar("n_single_rows")

    @property
    def weight_sum(self) -> float:
        """Σ w."""
        return self._scalar("weight_sum")

    @property
    def effective_n_rows(self) -> float:
        """(Σ w)² / Σ w² (Kish): the number of rows when all weights are equal."""
        return self.weight_sum**2 / self._scalar("weight_square_sum") if self.n_rows else 0.0

    @property
    def unit_weight_sum(self) -> float:
        """Σ w over the rows that are not zero."""
        return self._scalar("unit_weight_sum")

    @property
    def unit_weight_square_sum(self) -> float:
        """Σ w² over the rows that are not zero."""
        return self._scalar("unit_weight_square_sum")

    @property
    def unit_sum(self) -> np.ndarray | None:
        """Σ w x / ‖x‖ over the rows that are not zero, (n_features,)."""
        return self._unit_sum

    @property
    def unit_square_sum(self) -> np.ndarray | None:
        """Σ w² (x / ‖x‖)² of each feature, over the rows that are not zero, (n_features,)."""
        return self._unit_square_sum

    def _scalar(self, name: str) -> float:
        return self._scalars[name]

    def _add(self, rows: np.ndarray, weight: np.ndarray | None) -> None:
        with side_by_side(rows.size // WORKER_VALUES) as (map_of_blocks, n_workers):
            blocks = equal_blocks(len(rows), BLOCK_ROWS, n_workers)
            of_blocks = list(map_of_blocks(partial(_of_block, rows, weight), blocks))
        for of_block in of_blocks:
            self._add_linear(of_block)

    def _add_on_device(self, rows: torch.Tensor, weight: np.ndarray | None) -> None:
        """Add rows that lie on a device, without bringing them to the host."""
        if len(rows):
            sums = self._sums_on_device(rows, weight, BLOCK_ROWS, with_gram=False)
            for of_block in sums.linear:
                self._add_linear(of_block)

    def _sums_on_device(
        self, rows: torch.Tensor, weight: np.ndarray | None, block_rows: int, with_gram: bool
    ) -> DeviceSums:
        """The sums of rows on a device; in float64 where float32 would overflow or vanish."""
        sums = device_sums(rows, weight, block_rows, with_gram)
        largest, smallest = sums.square_range
        if not largest < np.inf:
            squared_norms(rows)  # says which row
        if rows.element_size() == 4 and (largest > MOST_SINGLE or smallest < LEAST_SINGLE):
            return device_sums(rows.double(), weight, block_rows, with_gram)
        return sums

    def _add_linear(self, sums: LinearSums) -> None:
        for name, value in sums.scalars.items():
            self._scalars[name] += value
        if self._unit_sum is None:
            self._unit_sum, self._unit_square_sum = np.zeros((2, len(sums.unit_sum)))
        self._unit_sum = self._unit_sum + sums.unit_sum
        self._unit_square_sum = self._unit_square_sum + sums.unit_square_sum

    def _join(self, other: Self) -> None:
        if other.n_features is not None:
            self._add_linear(LinearSums(other._scalars, other._unit_sum, other._unit_square_sum, np.empty(0)))

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the arrays of a state."""
        self._unit_sum, self._unit_square_sum = arrays["unit_sum"], arrays["unit_square_sum"]

    def __reduce__(self) -> tuple:
        return type(self).from_state_dict, (self.state_dict(),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_rows={self.n_rows}, n_features={self.n_features})"


def _of_block(rows: np.ndarray, weight: np.ndarray | None, part: slice) -> LinearSums:
    """The sums of some of the rows."""
    return linear_sums(rows[part], None if weight is None else weight[part], part.start, only_units=True)
