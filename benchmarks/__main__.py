"""Run tasks beside their peers and floors, and write RESULTS.md and results.json.

    python -m benchmarks [TASK ...] [--quick] [--output FOLDER]

Without a task all of them run, about 45 minutes on two cores. Tasks that are run again replace their figures in the
files of the folder, if these are of the same machine, versions and sizes; otherwise the files begin anew.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # before any import of a Hugging Face library

from benchmarks.contest import Task
from benchmarks.machine import machine, versions
from benchmarks.results import MARKDOWN, markdown, write

MODULES = (
    "second_moments",
    "through_evaluate",
    "partition_isotropy",
    "neighbors",
    "mean_cosine",
    "whitening",
    "clusters",
    "watching",
    "regularizing",
    "gpu",
)


def all_tasks() -> dict[str, Task]:
    """By name, in the order of RESULTS.md."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in MODULES]
    return {task.name: task for module in modules for task in module.TASKS}


def main() -> None:
    tasks = all_tasks()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(tasks)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="few rows and rounds: whether it runs, not how fast")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the files")
    options = parser.parse_args()
    unknown = [name for name in options.tasks if name not in tasks]
    if unknown:
        parser.error(f"there is no task {unknown[0]!r}; there are: {', '.join(tasks)}")
    if options.quick and options.output == Path(__file__).parent:
        parser.error("--quick needs --output FOLDER: its figures are no replacement for those of a whole run")
    began = time.perf_counter()

    def tell(what: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    document = {"machine": machine(), "versions": versions(), "quick": options.quick, "tasks": {}}
    for name in options.tasks or tasks:
        document["tasks"][name] = tasks[name].run(options.quick, tell)
        written = write(options.output, document)  # after every task, so that what was measured is not lost
    print(markdown({**written, "tasks": document["tasks"]}))
    print(f"\nwritten to {options.output / MARKDOWN}", file=sys.stderr)


if __name__ == "__main__":
    main()
