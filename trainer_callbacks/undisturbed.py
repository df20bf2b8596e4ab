"""undisturbed: look at a model while it trains, so that the training goes on as if nobody had looked."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from isotropy_metrics.hidden_states import evaluating


@contextmanager
def undisturbed(model: torch.nn.Module, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Eval mode without gradients; afterwards every module has its mode, and every random generator its state, again.

    Compiled code is not run, since it would not see the hooks by which transformers takes hidden states.

    Args:
        model: that is looked at.
        dtype: of autocast, as the training has it; None for none.
    """
    device = next(model.parameters()).device
    with ExitStack() as stack:
        stack.enter_context(unmoved_generators(device))
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(device.type, dtype=dtype, enabled=dtype is not None))
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def unmoved_generators(device: torch.device) -> Iterator[None]:
    """Python's, numpy's and torch's global generators come out as they went in."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    accelerators = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(accelerators):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
