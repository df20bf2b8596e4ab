"""Rows divided by their lengths."""

from __future__ import annotations

import torch


def unit_rows(rows: torch.Tensor) -> torch.Tensor:
    """The directions of the rows, (n_rows, n_features); a row of no length stays zero, with zero gradient.

    No length has a row that is zero or nearly so, of less than 1e-19 in float32: its square is no number any more.
    """
    largest = rows.detach().abs().amax(dim=1, keepdim=True)
    is_zero = largest <= torch.finfo(rows.dtype).tiny ** 0.5
    scaled = (rows / largest.masked_fill(is_zero, 1)).masked_fill(is_zero, 0)
    lengths = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / lengths.masked_fill(is_zero, 1)
