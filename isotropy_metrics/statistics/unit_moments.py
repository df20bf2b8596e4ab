"""UnitMoments: the moments of rows that are divided by their length first."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.arrays import as_rows, squared_norms
from isotropy_metrics.statistics.moments import Moments, block_rows_of


class UnitMoments(Moments):
    """`Moments` of x̂ = x / ‖x‖ in place of x: mean direction, and scatter of the directions. Zero rows stay zero.

    They have the directions of the rows, so that they, too, serve in place of `UnitSums`.

    Example:
        >>> moments = UnitMoments()
        >>> moments.update([[2.0, 0.0], [0.0, 5.0]])
        >>> moments.mean.tolist(), moments.scatter.tolist()
        ([0.5, 0.5], [[0.5, -0.5], [-0.5, 0.5]])
    """

    def update(self, rows: Any, mask: Any = None, weight: Any = None) -> None:
        """Add rows; see `Moments.update`."""
        rows, weight = as_rows(rows, mask, weight, on_device=True)
        lengths = np.sqrt(squared_norms(rows))
        lengths[lengths == 0] = 1.0
        extreme = rows.itemsize == 4 and bool(((lengths > 1e30) | (lengths < 1e-30)).any())
        if not isinstance(rows, np.ndarray):
            rows = rows.double() if extreme else rows
            super().update(rows / rows.new_tensor(lengths)[:, None], weight=weight)
            return
        lengths = lengths if extreme else lengths.astype(rows.dtype)
        block_rows = block_rows_of(rows.shape[1], self._block_values)
        for start in range(0, len(rows), block_rows):
            block = slice(start, start + block_rows)
            super().update(rows[block] / lengths[block, None], weight=None if weight is None else weight[block])
