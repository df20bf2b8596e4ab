"""Merge the statistics of all processes that torch.distributed connects, as the Trainer and Accelerate set it up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.statistics.moments import Moments
from isotropy_metrics.statistics.row_sample import RowSample

if TYPE_CHECKING:
    import torch

_ARGUMENTS = ("size", "seed", "stream")


def merge_processes(statistic: Moments | RowSample) -> Moments | RowSample:
    """A statistic of the rows of all processes, equal on all of them; the one given keeps its value.

    Every process must call it, also one that has seen no rows. Each broadcasts its state once, in the order of the
    ranks: no files, no pickles, and memory for two statistics whatever the number of processes. With a single process,
    or before torch.distributed is initialised, it copies.

    Args:
        statistic: of this process; of the same kind on all of them, a `RowSample` of the same size and seed, with the
            rank as its `stream`.

    Raises:
        ValueError: processes saw rows of different numbers of features.
    """
    torch = sys.modules.get("torch")
    if torch is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return type(statistic).from_state_dict(statistic.state_dict())
    own = statistic.state_dict()
    nccl = torch.distributed.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
    shapes = _gathered_shapes(statistic, device)
    merged = (
        Moments() if isinstance(statistic, Moments) else RowSample(statistic.size, statistic.seed, statistic.stream)
    )
    for rank, (n_kept, n_features, is_float32) in enumerate(shapes):
        if n_features == 0:
            continue
        arrays = _array_shapes(statistic, n_kept, n_features)
        numbers = [name for name, value in own.items() if name not in arrays and name not in _ARGUMENTS]
        length = len(numbers) + sum(int(np.prod(shape)) for shape in arrays.values())
        message = torch.empty(length, dtype=torch.float64, device=device)
        if rank == torch.distributed.get_rank():
            parts = [np.array([own[name] for name in numbers], dtype=np.float64)]
            parts += [np.ravel(own[name]).astype(np.float64) for name in arrays]
            message.copy_(torch.from_numpy(np.concatenate(parts)))
        torch.distributed.broadcast(message, src=rank)
        merged.merge(type(statistic).from_state_dict(_read(own, numbers, arrays, message.cpu().numpy(), is_float32)))
    return merged


def _gathered_shapes(statistic: Moments | RowSample, device: torch.device) -> list[tuple[int, int, bool]]:
    """Per rank: rows kept, number of features (0 without rows), and whether the rows are float32."""
    import torch

    kept = statistic.rows if isinstance(statistic, RowSample) and statistic.n_features else np.empty((0, 0))
    mine = torch.tensor([len(kept), statistic.n_features or 0, int(kept.dtype == np.float32)], device=device)
    all_of_them = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(all_of_them, mine)
    shapes = [(int(kept), int(width), bool(single)) for kept, width, single in all_of_them]
    widths = sorted({width for _, width, _ in shapes if width})
    if len(widths) > 1:
        raise ValueError(f"processes saw rows of different numbers of features: {', '.join(map(str, widths))}")
    return shapes


def _array_shapes(statistic: Moments | RowSample, n_kept: int, d: int) -> dict[str, tuple[int, ...]]:
    if isinstance(statistic, Moments):
        return {"mean": (d,), "scatter": (d, d), "unit_sum": (d,)}
    return {"keys": (n_kept,), "rows": (n_kept, d), "weight": (n_kept,)}


def _read(
    own: dict[str, Any],
    numbers: list[str],
    arrays: dict[str, tuple[int, ...]],
    message: np.ndarray,
    is_float32: bool,
) -> dict[str, Any]:
    state = {name: own[name] for name in _ARGUMENTS if name in own}
    for name, value in zip(numbers, message, strict=False):
        state[name] = int(value) if name.startswith("n_") else bool(value) if name == "weighted" else float(value)
    at = len(numbers)
    for name, shape in arrays.items():
        end = at + int(np.prod(shape))
        state[name] = message[at:end].reshape(shape)
        at = end
    if is_float32:
        state["rows"] = state["rows"].astype(np.float32)
    return state
