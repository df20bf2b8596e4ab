"""Device sums: what `UnitSums` and `Moments` need of rows on a GPU, formed there: no row comes to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.statistics.full_precision import full_precision
from isotropy_metrics.statistics.linear_sums import SCALARS, LinearSums

if TYPE_CHECKING:
    import torch

N_SCALARS = 6


@dataclass(frozen=True)
class DeviceSums:
    """Sums of blocks of rows x with weights w.

    Attributes:
        linear: of each block.
        shift: (n_blocks, n_features), the mean of each block in the precision of its rows.
        square_range: largest squared length of a row, and smallest of one that is not zero; inf or NaN if a row is.
        gram: Σ w (x − shift)(x − shift)ᵀ over all blocks, (n_features, n_features) in float64, on the device; or None.
    """

    linear: list[LinearSums]
    shift: np.ndarray
    square_range: tuple[float, float]
    gram: torch.Tensor | None


def device_sums(rows: torch.Tensor, weight: np.ndarray | None, block_rows: int, with_gram: bool = True) -> DeviceSums:
    """The sums of all blocks of `rows` (n_samples, n_features).

    Products are formed in the precision of the rows and added in float64, as on the host. One message of a few rows
    per block comes to the host, at the end.
    """
    import torch

    gram = torch.zeros((rows.shape[1],) * 2, dtype=torch.float64, device=rows.device) if with_gram else None
    messages = []
    with torch.no_grad(), full_precision(rows.device):
        for start in range(0, len(rows), block_rows):
            part = slice(start, start + block_rows)
            w = torch.ones(len(rows[part])) if weight is None else torch.from_numpy(weight[part])
            w = w.to(rows.device, torch.float64)
            message, shifted = _sums_of_block(rows[part], w)
            messages.append(message)
            if with_gram:
                shifted *= w.sqrt().to(rows.dtype)[:, None]
                gram += shifted.T @ shifted
        message = torch.stack(messages).cpu().numpy()
    scalars, square_range, linear = np.split(message, [N_SCALARS, N_SCALARS + 2], axis=1)
    square_range = float(square_range[:, 0].max()), float(square_range[:, 1].min())
    shift, *sums = np.split(linear, 4, axis=1)
    n_single = scalars[:, 0] * (rows.element_size() == 4)
    of_blocks = [
        LinearSums(dict(zip(SCALARS, (int(n), int(n_zero), int(single), *map(float, weights)), strict=True)), *vectors)
        for (n, n_zero, *weights), single, *vectors in zip(scalars, n_single, *sums, strict=True)
    ]
    return DeviceSums(of_blocks, shift, square_range, gram)


def _sums_of_block(x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Everything but `gram` as one vector, and x − shift."""
    import torch

    length = torch.linalg.vector_norm(x, dim=1, dtype=torch.float64)
    has_length = length > 0
    over_length = torch.where(has_length, w / length, 0.0)
    counted = w * has_length
    scalars = (
        (w > 0).sum(),
        (~has_length).sum(),
        w.sum(),
        w @ w,
        counted.sum(),
        counted @ counted,
        length.max() ** 2,
        torch.where(has_length, length, torch.inf).min() ** 2,
    )
    shift = x.mean(dim=0, dtype=torch.float64).to(x.dtype)
    shifted = x - shift
    linear = (
        shift,
        over_length.to(x.dtype) @ x,
        (over_length**2).to(x.dtype) @ x.square(),
        w.to(x.dtype) @ shifted,
    )
    message = torch.cat([torch.stack([each.double() for each in scalars]), *(each.double() for each in linear)])
    return message, shifted
