"""Full precision of products on a device, whatever is chosen for training."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_lock = threading.Lock()
_inside = 0
_chosen: Any = None


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 products with all their digits: no TF32 and no autocast.

    torch has one setting of TF32 for all threads: the last one to leave gives it back.
    """
    import torch

    global _inside, _chosen
    matmul = torch.backends.cuda.matmul
    setting, full = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    with _lock:
        if not _inside:
            _chosen = getattr(matmul, setting)
            setattr(matmul, setting, full)
        _inside += 1
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                setattr(matmul, setting, _chosen)
