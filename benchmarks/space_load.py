"""The Space with many visitors at once, and with a large file: seconds, refusals, and the memory of the server.

    python -m benchmarks.space_load [--users 20] [--minutes 2] [--runs 2]
    python -m benchmarks.space_load --large [--rows 50000] [--features 768]

The Space is served on this machine in a process of its own. Each visitor, by plain HTTP as the page's own script:
opens the page, looks at the example, uploads a small .npy and looks at it, compares it with another, repairs it with a
strength drawn at random and looks at the curves of a training; and begins again with new files, until time is over.
Seconds are from the question to the last answer, with the time in the queue. Who is refused by the queue waits a
second and asks for something else; any other error fails the benchmark. Memory is the resident size of the server and
its children: it is flat if the second run adds next to nothing.

`--large` is one visitor with a large float32 file: seconds of the upload, to the first answer (values and pictures)
and to the last (every interval), of a repair, and of a comparison with another such file.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from space_server import Server, space_server
from space_visitor import QueueFullError, Visitor

SMALL = (400, 64)
MOST_REMOVED = 10
"""Directions that a repair takes away."""

PAUSE = 1.0
"""Seconds until a visitor whom the queue refused asks again."""

SOON = 30
"""Seconds after which memory is told for the first time."""


@dataclass
class Record:
    """What visitors got in one run.

    Attributes:
        seconds: of the answers of each kind.
        refusals: by the queue, of each kind.
        errors: anything else, in words.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refusals: Counter = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


def megabytes(server: Server) -> float:
    """That the server and its children have in memory."""
    process = psutil.Process(server.pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


@contextmanager
def watched_memory(server: Server) -> Iterator[list[tuple[float, float]]]:
    """Seconds since now, and megabytes, twice a second."""
    samples = [(0.0, megabytes(server))]
    began, done = time.perf_counter(), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            samples.append((time.perf_counter() - began, megabytes(server)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()
        samples.append((time.perf_counter() - began, megabytes(server)))


def rows_as_npy(shape: tuple[int, int], seed: int) -> bytes:
    """Rows in a cone, of a few strong directions, as those of a language model."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal(shape, dtype=np.float32)
    rows *= np.linspace(0.5, 3, shape[1], dtype=np.float32)
    rows += generator.standard_normal(shape[1], dtype=np.float32)
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


def visit(url: str, number: int, end: float, record: Record) -> None:
    """One visitor, until time is over."""
    generator = np.random.default_rng(number)
    with Visitor(url) as visitor:
        for question in _questions(visitor, generator):
            if time.perf_counter() > end:
                return
            _ask(question, record)


def _questions(visitor: Visitor, generator: np.random.Generator) -> Iterator[Callable[[], Any]]:
    def open_page() -> None:
        visitor.http.get(visitor.url).raise_for_status()
        visitor.http.get(f"{visitor.url}/config").raise_for_status()

    def look_at_example() -> None:
        visitor.ask("look_at_file")

    def look_at_upload() -> None:
        files.append(visitor.upload(rows_as_npy(SMALL, int(generator.integers(2**31))), "rows.npy"))
        visitor.ask("look_at_file", file=files[-1])

    def compare() -> None:
        files.append(visitor.upload(rows_as_npy(SMALL, int(generator.integers(2**31))), "others.npy"))
        visitor.ask("compare_files", first=files[0], second=files[-1])

    def repair() -> None:
        strength = int(generator.integers(1, MOST_REMOVED))
        visitor.ask("repair_file", enhancement="All but the top", strength=strength, file=files[0])

    def training() -> None:
        visitor.ask("training_curves")

    while True:
        files: list[dict[str, Any]] = []
        yield from (open_page, look_at_example, look_at_upload, compare, repair, training)


def _ask(question: Callable[[], Any], record: Record) -> None:
    kind, began = question.__name__, time.perf_counter()
    try:
        question()
    except QueueFullError:
        record.refusals[kind] += 1
        time.sleep(PAUSE)
    except Exception as error:  # a benchmark of whatever may go wrong
        record.errors.append(f"{kind}: {type(error).__name__}: {error}"[:300])
    else:
        record.seconds[kind].append(time.perf_counter() - began)


def run_visitors(server: Server, n_users: int, minutes: float) -> Record:
    """Let visitors come, and print what they got."""
    record = Record()
    end = time.perf_counter() + 60 * minutes
    with watched_memory(server) as samples, ThreadPoolExecutor(n_users) as pool:
        for done in [pool.submit(visit, server.url, number, end, record) for number in range(n_users)]:
            done.result()
    print(f"  {'answers':>9} {'median s':>9} {'largest s':>9}  refused by the queue")
    for kind in record.seconds | record.refusals:
        seconds = record.seconds.get(kind, [])
        of_time = f"{np.median(seconds):9.2f} {max(seconds):9.2f}" if seconds else " " * 19
        print(f"  {len(seconds):9,} {of_time}  {record.refusals[kind]:7,}  {kind.replace('_', ' ')}")
    print(f"  {len(record.errors)} other errors")
    for error, times in Counter(record.errors).most_common(10):
        print(f"    {times} x {error}")
    soon = min(samples, key=lambda sample: abs(sample[0] - SOON))
    most = max(memory for _, memory in samples)
    print(
        f"  memory: {samples[0][1]:,.0f} MB at the start, {soon[1]:,.0f} after {soon[0]:.0f} s, {samples[-1][1]:,.0f} "
        f"at the end, after {samples[-1][0]:.0f} s; {most:,.0f} at most"
    )
    return record


def run_large(server: Server, shape: tuple[int, int]) -> None:
    """One visitor with a large file; print seconds."""
    with watched_memory(server) as samples, Visitor(server.url) as visitor:
        began = time.perf_counter()

        def told(what: str) -> None:
            nonlocal began
            print(f"  {time.perf_counter() - began:7.1f} s  {what}", flush=True)
            began = time.perf_counter()

        contents = [rows_as_npy(shape, seed) for seed in (0, 1)]
        began = time.perf_counter()
        first = visitor.upload(contents[0], "first.npy")
        told(f"upload of {len(contents[0]) / 1e6:.0f} MB")
        answers = visitor.answers("look_at_file", file=first)
        next(answers)
        told("look_at_file: to the first answer, values and pictures")
        n_more = len(list(answers))
        told(f"look_at_file: from there to the last of {n_more} more, with every interval")
        visitor.ask("repair_file", enhancement="All but the top", strength=3, file=first)
        told("repair_file: all but the top")
        second = visitor.upload(contents[1], "second.npy")
        told("upload of the second")
        visitor.ask("compare_files", first=first, second=second)
        told("compare_files")
        visitor.ask("downloads_of_file", enhancement="All but the top", strength=3, file=first)
        told("downloads_of_file, without the download itself")
    most = max(memory for _, memory in samples)
    print(f"  memory: {samples[0][1]:,.0f} MB before, {most:,.0f} at most, {samples[-1][1]:,.0f} at the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=768)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, load {load:.1f} before the start")
    with tempfile.TemporaryDirectory(prefix="isotropy-space-") as folder:
        began = time.perf_counter()
        with space_server(Path(folder)) as server:
            print(f"{time.perf_counter() - began:.1f} s until the page answers, {megabytes(server):,.0f} MB of memory")
            if options.large:
                print(f"\none visitor, {options.rows:,} x {options.features} float32")
                run_large(server, (options.rows, options.features))
                return
            records = []
            for run in range(1, options.runs + 1):
                print(f"\nrun {run}: {options.users} visitors, {options.minutes:g} minutes")
                records.append(run_visitors(server, options.users, options.minutes))
            if any(record.errors for record in records):
                sys.exit(server.log()[-3000:])


if __name__ == "__main__":
    main()
