"""What a launched process leaves behind for the test that launched it."""

from __future__ import annotations

import faulthandler
import logging
import os
from pathlib import Path
from typing import Any

import torch

LONGEST_LIFE = 240
"""Seconds after which a launched process ends itself, so that a hang is a failed test and no process stays behind."""


class Said(logging.Handler):
    """Collects what this package logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


def rank() -> int:
    """Number of this process."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes the launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def live_at_most(seconds: float = LONGEST_LIFE) -> None:
    """End this process after so many seconds, with a traceback of where it hangs."""
    faulthandler.dump_traceback_later(seconds, exit=True)


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write numbers, texts and tensors for the test."""
    torch.save(results, folder / f"results-{rank()}.pt")


def read_results(folder: Path, n_processes: int) -> list[dict[str, Any]]:
    """What the processes wrote, in the order of their ranks."""
    return [torch.load(folder / f"results-{number}.pt", weights_only=True) for number in range(n_processes)]
