"""An example of an engine on a local cluster of two workers: undisturbed, and with a worker that is killed midway."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

N_BEFORE = 2
"""Parts that are made before the one whose worker dies."""


def killing(make_part: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """As `make_part`; but one worker, once it has made a part, is gone before it can return it."""

    def part(*arguments: Any, **named: Any) -> Any:
        made = make_part(*arguments, **named)
        (folder / f"made {os.urandom(8).hex()}").touch()
        if len(list(folder.glob("made *"))) > N_BEFORE:
            try:
                (folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                return made
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    return part


@contextmanager
def ray_cluster(folder: Path) -> Iterator[None]:
    import ray.data

    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=2**27, _temp_dir=str(folder))
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@contextmanager
def dask_cluster(folder: Path) -> Iterator[None]:
    import dask
    from distributed import LocalCluster

    dask.config.set({"temporary-directory": str(folder)})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        dask.config.set({"scheduler-address": cluster.scheduler_address})
        yield


CLUSTERS = {"ray": ray_cluster, "dask": dask_cluster}

if __name__ == "__main__":
    faulthandler.dump_traceback_later(240, exit=True)  # seconds: a hang is a failed test, and no process stays behind
    engine, scratch, measures, *folders = sys.argv[1:]
    example = importlib.import_module(f"measure_with_{engine}")
    undisturbed = example.part
    with CLUSTERS[engine](Path(scratch)):
        for folder in folders:
            sys.argv = [engine, folder, "--column", "embedding", "--measures", measures]
            example.part = undisturbed
            example.main()
            example.part = killing(undisturbed, Path(folder))
            example.main()
