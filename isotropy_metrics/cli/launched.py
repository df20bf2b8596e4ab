"""Several processes that `accelerate launch` or `torchrun` started for one command: connected, and heard as one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta

from isotropy_metrics.optional_library import optional
from isotropy_metrics.processes import of_all

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended."""

LONGEST_WAIT = timedelta(days=7)
"""For another process that is at work; of one that has ended the others hear at once."""


def are_several() -> bool:
    """Whether a launcher has started several processes: it tells them by these variables."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def as_one(run: Callable[[], int]) -> int:
    """The exit code of a command that connected processes run together; what others than the main one print is lost.

    They end together: a launcher ends all processes when one has failed, and the main one has to say why before.
    """
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        what = f"RANK and WORLD_SIZE tell of several processes, {' and '.join(missing)} not where they meet"
        print(f"isotropy-metrics: {what}: start them with torchrun, or unset RANK for one process", file=sys.stderr)
        return 2
    with _heard_as_one(), connected():
        code = run()
        if code != INTERRUPTED:  # then the others may be waiting for something else
            with suppress(ConnectionError):
                of_all(lambda: None)
        return code


@contextmanager
def connected() -> Iterator[None]:
    """Over gloo, as statistics lie on the host."""
    distributed = optional("torch.distributed", "torch", "work on several processes")
    distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        distributed.destroy_process_group()  # a process that ends while gloo's threads run can abort


@contextmanager
def _heard_as_one() -> Iterator[None]:
    if os.environ["RANK"] == "0":
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield
