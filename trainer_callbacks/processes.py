"""The processes of a run as torch.distributed connects them; alone, each function is what one process would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from isotropy_metrics.statistics.distributed import are_connected, rank, world_size

__all__ = ["are_connected", "from_main", "raise_together", "raised_together", "rank", "world_size"]


def raise_together(error: Exception | None) -> None:
    """Raise on all processes if one of them has an error: its own there, a word about the others elsewhere.

    Every process must call it; without it, those without an error would wait for ever in the next exchange.
    """
    if are_connected():
        device = torch.device("cuda", torch.cuda.current_device()) if _uses_nccl() else torch.device("cpu")
        failed = torch.tensor([rank() + 1 if error is not None else 0], device=device)
        torch.distributed.all_reduce(failed, torch.distributed.ReduceOp.MAX)
        if error is None and failed.item():
            raise RuntimeError(f"it failed on process {int(failed.item()) - 1}, whose own message says why")
    if error is not None:
        raise error


@contextmanager
def raised_together() -> Iterator[None]:
    """What goes wrong inside on one process is raised on all; every process must come here."""
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    raise_together(error)


def from_main(value: Any) -> Any:
    """The value that process 0 passes, on all processes."""
    if not are_connected():
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def _uses_nccl() -> bool:
    return torch.distributed.get_backend() == "nccl"
