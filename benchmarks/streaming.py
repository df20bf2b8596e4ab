"""Rows of any number from parquet on disk: throughput beside reading alone and computing alone, memory, and a kill.

    python -m benchmarks.streaming [--rows 10000000] [--features 384] [--folder FOLDER]

The file is made first, of Gaussian float32 rows, in row groups of 2^16 rows; it is deleted at the end. Reading alone
goes through all batches and drops them; computing alone updates the statistics as often with one batch in memory;
together is `measure_files`, with a state that is saved on the way. Each runs in a process of its own, twice, in turn;
the quicker run counts, and the first one has read the file into whatever memory the system has left for it. The share
is that of the throughput together in the lower of the two alone. Then a run is killed with SIGKILL after a time drawn
at random, and the same command goes on: its values are compared with those of the run that was not cut short.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fresh_process import peak_megabytes
from isotropy_metrics import MEASURES, Moments, UnitSums, statistics_for, update_statistics
from isotropy_metrics.embedding_files import measure_files, open_embeddings

NAMES = [name for name, each in MEASURES.items() if each.needs in (UnitSums, Moments)]
GROUP_ROWS = 2**16
STATE = "state.safetensors"


def make(path: Path, n_rows: int, n_features: int) -> None:
    """Gaussian rows with a mean, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(0)
    schema = pa.schema([("embedding", pa.list_(pa.float32(), n_features))])
    with parquet.ParquetWriter(path, schema, compression="NONE", use_dictionary=False) as writer:
        for start in range(0, n_rows, GROUP_ROWS):
            rows = rng.standard_normal((min(GROUP_ROWS, n_rows - start), n_features), dtype=np.float32) + 1
            column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), n_features)
            writer.write_table(pa.table({"embedding": column}, schema=schema))


def reading(path: Path) -> None:
    """All batches of the file, dropped."""
    for _ in open_embeddings(path).batches():
        pass


def computing(path: Path) -> None:
    """The statistics of as many batches as the file has, all of them one and the same in memory."""
    file = open_embeddings(path)
    batch = next(file.batches())
    statistics = statistics_for([MEASURES[name] for name in NAMES])
    for _ in range(-(-file.n_rows // len(batch))):
        update_statistics(statistics, batch.rows)


def together(path: Path) -> dict[str, float]:
    """The measures of the file, with a state."""
    path.with_name(STATE).unlink(missing_ok=True)
    return measure_files([path], NAMES, state=path.with_name(STATE))


def go_on(path: Path) -> dict[str, float]:
    """The measures of the file, from the state that is there."""
    return measure_files([path], NAMES, state=path.with_name(STATE))


def timed(task: Callable[[Path], object], path: Path) -> tuple[float, float, object]:
    """Seconds, peak memory in MB, and what came of it."""
    start = time.perf_counter()
    result = task(path)
    return time.perf_counter() - start, peak_megabytes(), result


def in_a_process(task: Callable[[Path], object], path: Path) -> tuple[float, float, object]:
    """`timed` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(timed, (task, path))


def killed(path: Path, after: float) -> bool:
    """Start the measures anew and kill them after so many seconds; whether they were still at work."""
    path.with_name(STATE).unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=go_on, args=(path,))
    process.start()
    process.join(after)
    is_at_work = process.exitcode is None
    if is_at_work:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return is_at_work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--folder", help="where the file is made; default: that of temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "rows.parquet"
        start = time.perf_counter()
        make(path, options.rows, options.features)
        size = path.stat().st_size / 1e9
        took = time.perf_counter() - start
        print(f"{options.rows:,} x {options.features} float32, {size:.1f} GB, made in {took:.0f} s")
        print(f"{len(NAMES)} measures of the rows")
        runs = [{task: in_a_process(task, path) for task in (reading, computing, together)} for _ in range(2)]
        best = {task: min((run[task] for run in runs), key=lambda found: found[0]) for task in runs[0]}
        for task, (seconds, peak, _) in best.items():
            print(
                f"{seconds:7.1f} s  {size / seconds:5.2f} GB/s  peak {peak:5.0f} MB  {task.__name__}: {task.__doc__}"
            )
        slower = max(best[reading][0], best[computing][0])
        print(f"together: {slower / best[together][0]:.0%} of the slower of the two alone")
        after = random.Random(time.time_ns()).uniform(0.2, 0.9) * best[together][0]
        was_at_work = killed(path, after)
        print(f"killed after {after:.1f} s{'' if was_at_work else ', when it was done'}")
        seconds, _, values = in_a_process(go_on, path)
        whole = best[together][2]
        worst = max(abs(values[key] - whole[key]) / max(abs(whole[key]), 1e-300) for key in whole)
        print(f"gone on with for {seconds:.1f} s: largest relative difference of a value {worst:.1e}")


if __name__ == "__main__":
    main()
