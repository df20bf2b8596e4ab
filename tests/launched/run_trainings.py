"""What is launched: python run_trainings.py FOLDER MODULE.FUNCTION... leaves the results of each function there."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch
from launched.process_results import live_at_most, write_results

from isotropy_metrics.processes import are_connected


def main() -> None:
    live_at_most()
    folder, *names = sys.argv[1:]
    results = {}
    for name in names:
        module, function = name.split(".")
        results[function] = getattr(importlib.import_module(f"launched.{module}"), function)(Path(folder, function))
    write_results(Path(folder), results)
    if are_connected():  # a process that ends while gloo's threads run can abort
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
