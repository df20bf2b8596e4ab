"""Two launched processes beside one: the time of the command's work, without the start of Python and its imports.

    python -m benchmarks.launched [--rows 2000000] [--features 384] [--runs 3] [--folder FOLDER]

Gaussian float32 rows lie in an .npy and in a parquet file with row groups of 2^16 rows, which are deleted at the end.
`torchrun` starts one process, or two, of one thread each (OMP_NUM_THREADS=1, as `accelerate launch` sets it), in turn.
In each run the processes connect as the command does, wait for each other, and measure: reading and counting their
shares, merging and computing. The clock of the main one runs from the barrier until it has the values. Given are the
medians of all runs and their ratio. A process reads ahead in a second thread, so that one alone keeps more than one
core busy, all the more where rows are decoded as in parquet. So there are two comparisons: of processes that have a
core each, and of processes that the system puts where it likes. Processor time tells what the ratio of processes with
a core each would be if nothing else ran. Values that differ by more than 1e-6 are an error.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.streaming import NAMES, make
from isotropy_metrics.cli.launched import connected
from isotropy_metrics.embedding_files import measure_files, open_embeddings
from isotropy_metrics.processes import of_all, rank

TOLERANCE = 1e-6
BLOCK_ROWS = 2**16


def make_npy(path: Path, n_rows: int, n_features: int) -> None:
    """Gaussian rows with a mean, a block at a time."""
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_features))
    for start in range(0, n_rows, BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32) + 1
    rows.flush()


def measured(path: Path, own_core: bool) -> None:
    """What each process does; the main one prints seconds, processor time of the busiest process, and values."""
    with connected():
        if own_core:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[rank() % len(cores)]})
        file = open_embeddings(path)
        of_all(lambda: None)
        start, worked_before = time.perf_counter(), time.process_time()
        values = measure_files([file], NAMES)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked_before
        busiest = max(of_all(lambda: worked))
        if rank() == 0:
            print(json.dumps({"seconds": seconds, "busiest": busiest, "values": values}))


def launched(path: Path, n_processes: int, own_core: bool) -> dict[str, Any]:
    """What the main one of so many processes of one thread each prints."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    command = [*launcher, "-m", "benchmarks.launched", "--measure", str(path), *["--own-core"] * own_core]
    output = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def compare(path: Path, n_runs: int, own_core: bool) -> None:
    """One and two processes in turn; prints medians and their ratio."""
    runs = [[launched(path, n_processes, own_core) for n_processes in (1, 2)] for _ in range(n_runs)]
    of_one, of_two = (found["values"] for found in runs[0])
    worst = max(abs(of_two[key] - one) / max(abs(one), 1e-300) for key, one in of_one.items())
    if worst > TOLERANCE:
        raise AssertionError(f"two processes give other values than one: {worst:.1e}")
    print(f"{path.name}, {'a core each' if own_core else 'free'}: largest relative difference of a value {worst:.1e}")
    for what, text in (("seconds", "time"), ("busiest", "processor time of the busiest process")):
        one, two = (statistics.median(run[n][what] for run in runs) for n in (0, 1))
        print(f"    one process {one:7.2f} s   two {two:7.2f} s   ratio {one / two:.2f}   {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", help="where the files are made; default: that of temporary files")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--own-core", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        measured(options.measure, options.own_core)
        return
    print(f"{options.rows:,} x {options.features} float32, {len(NAMES)} measures, one thread per process")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, write in (("rows.npy", make_npy), ("rows.parquet", make)):
            path = Path(folder, name)
            write(path, options.rows, options.features)
            for own_core in (True, False):
                compare(path, options.runs, own_core)
            path.unlink()


if __name__ == "__main__":
    main()
