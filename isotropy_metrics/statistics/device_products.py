"""Products of rows on a device of torch, such as a GPU: what `Products` does on the processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from isotropy_metrics.statistics.full_precision import full_precision
from isotropy_metrics.statistics.products import centre_and_scale, rounding_errors

BLOCK_ENTRIES = 50_000_000
"""Products held at once."""

PAIRS_AT_ONCE = 2**16
"""Differences of rows held at once."""


class DeviceProducts:
    """Products of the centred rows in one precision, formed on a device; only candidates come back. See `Products`.

    Args:
        device: of torch, such as "cuda".
    """

    def __init__(self, rows: np.ndarray, order: np.ndarray, labels: np.ndarray, dtype: type, device: Any) -> None:
        import torch

        n, d = rows.shape
        self.block_rows = max(BLOCK_ENTRIES // n, 1)
        self.order = order
        self._given = torch.from_numpy(rows).to(device)
        mean, scale = centre_and_scale(rows)
        mean = torch.from_numpy(mean).to(device)
        self._rows = torch.empty((n, d), dtype=getattr(torch, np.dtype(dtype).name), device=device)
        squares = torch.empty(n, dtype=torch.float64, device=device)
        order_there = torch.from_numpy(order).to(device)
        for start in range(0, n, self.block_rows):
            block = slice(start, start + self.block_rows)
            self._rows[block] = (self._given[order_there[block]] - mean) * scale
            squares[block] = self._rows[block].double().square().sum(dim=1)
        self._squares = squares.to(self._rows.dtype)
        self._label = torch.from_numpy(np.unique(labels[order], return_inverse=True)[1]).to(device)
        self._relative_error, self._absolute_error = rounding_errors(d, dtype)

    def candidates(
        self, places: np.ndarray, k: int, most: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """See `Products.candidates`."""
        import torch

        at = torch.from_numpy(places).to(self._rows.device)
        with full_precision(self._rows.device):
            nearness = (-2 * self._rows[at]) @ self._rows.T
        nearness += self._squares
        nearness.masked_fill_(self._label[at][:, None] == self._label, torch.inf)
        bound = nearness.topk(k, largest=False).values[:, -1]
        own = self._squares[at]
        reach = 2 * own + 2 * (bound + own).clamp(min=0)
        bound += 2 * (self._relative_error * (own + reach) + self._absolute_error)
        is_candidate = nearness <= bound.clamp(max=torch.finfo(bound.dtype).max)[:, None]
        n_candidates = is_candidate.sum(dim=1)
        decided = n_candidates <= most
        row, place = is_candidate[decided].nonzero(as_tuple=True)
        return tuple(each.cpu().numpy() for each in (decided, n_candidates[decided], row, place))

    def distances(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Products.distances`."""
        import torch

        found = np.empty(len(first))
        for start in range(0, len(first), PAIRS_AT_ONCE):
            pairs = slice(start, start + PAIRS_AT_ONCE)
            of_pair = (torch.from_numpy(each[pairs]).to(self._given.device) for each in (first, second))
            difference = torch.sub(*(self._given[indices].double() for indices in of_pair))
            found[pairs] = difference.square().sum(dim=1).sqrt().cpu().numpy()
        return found
