"""Statistics of all processes that torch.distributed connects, merged without files and without pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.processes import are_connected

if TYPE_CHECKING:
    import torch

_ARGUMENTS = ("size", "seed")
"""Entries of a state that are the same on all processes and travel nowhere."""

_DTYPES = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int64))


def merge_processes(statistic: Any) -> Any:
    """A statistic of the rows of all processes, equal on all of them; the one given keeps its value.

    Every process must call it, also one that has seen no rows. Each broadcasts its state once, in the order of the
    ranks: no files, no pickles, and memory for two statistics whatever the number of processes. With a single process,
    or before torch.distributed is initialised, it copies.

    Args:
        statistic: of this process; of the same kind on all of them, a `RowSample` of the same size and seed, with the
            rank as its `stream`, or of one stream, where each has skipped the rows that the others have seen.

    Raises:
        ValueError: processes saw rows of different numbers of features.
    """
    if hasattr(statistic, "parts"):
        return statistic.of(*map(merge_processes, statistic.parts))
    merged = _merged(type(statistic), statistic) if are_connected() else None
    merged = type(statistic).from_state_dict(statistic.state_dict()) if merged is None else merged
    if hasattr(statistic, "device"):
        merged.device = statistic.device
    return merged


def _merged(kind: type, statistic: Any) -> Any:
    """From the states of all processes; None if none of them has seen a row."""
    import torch

    own = statistic.state_dict()
    nccl = torch.distributed.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
    numbers = [name for name in own if name not in (*_ARGUMENTS, *kind.ARRAYS)]
    merged = None
    for rank, (n_rows, *layout) in enumerate(_headers(statistic, own, device)):
        if n_rows == 0:
            continue
        arrays = dict(zip(kind.ARRAYS, np.reshape(layout, (-1, 3)), strict=True))
        message = torch.empty(len(numbers) + sum(map(_length, arrays.values())), dtype=torch.float64, device=device)
        if rank == torch.distributed.get_rank():
            parts = [np.array([own[name] for name in numbers], dtype=np.float64)]
            parts += [np.ravel(own[name]).astype(np.float64) for name in kind.ARRAYS if own[name] is not None]
            message.copy_(torch.from_numpy(np.concatenate(parts)))
        torch.distributed.broadcast(message, src=rank)
        state = {name: own[name] for name in _ARGUMENTS if name in own}
        part = kind.from_state_dict(state | _read(numbers, arrays, message.cpu().numpy()))
        try:
            merged = part if merged is None else merged.merge(part)
        except ValueError as error:  # on all processes alike
            raise ValueError(f"processes saw different rows: {error}") from error
    return merged


def _headers(statistic: Any, own: dict[str, Any], device: torch.device) -> list[list[int]]:
    """Per process: number of rows, and rows, columns and dtype of each array of its state (-1: not there)."""
    import torch

    header = [statistic.n_rows]
    for name in statistic.ARRAYS:
        array = own[name]
        shape = (-1, -1) if array is None else (len(array), array.shape[1] if array.ndim == 2 else -1)
        header += [*shape, 0 if array is None else _DTYPES.index(array.dtype)]
    mine = torch.tensor(header, device=device)
    gathered = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(gathered, mine)
    return [each.tolist() for each in gathered]


def _length(layout: np.ndarray) -> int:
    rows, columns, _ = layout
    return 0 if rows < 0 else int(rows * (1 if columns < 0 else columns))


def _read(numbers: list[str], arrays: dict[str, np.ndarray], message: np.ndarray) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, value in zip(numbers, message, strict=False):
        state[name] = int(value) if name.startswith("n_") or name == "stream" else float(value)
    at = len(numbers)
    for name, (rows, columns, dtype) in arrays.items():
        end = at + _length(arrays[name])
        shape = (rows,) if columns < 0 else (rows, columns)
        state[name] = None if rows < 0 else message[at:end].reshape(shape).astype(_DTYPES[dtype])
        at = end
    return state
