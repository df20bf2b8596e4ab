"""Statistics merged over real processes (gloo) equal those of one process."""

import numpy as np
import pytest
import torch

from isotropy_metrics import MEASURES, Moments, RowSample, measure
from isotropy_metrics.statistics.distributed import merge_processes

X = (np.random.default_rng(0).normal(size=(900, 12)) * np.linspace(1, 3, 12) + 1).astype(np.float32)
SPLITS = {2: [(0, 350), (350, 900)], 3: [(0, 0), (0, 899), (899, 900)]}


def work(rank, world_size, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    start, end = SPLITS[world_size][rank]
    statistics = [Moments(), RowSample(size=2000, stream=rank), RowSample(size=100, stream=rank)]
    for statistic in statistics:
        statistic.update(X[start:end])
    before = [statistic.n_rows for statistic in statistics]
    moments, complete, sampled = (merge_processes(statistic) for statistic in statistics)
    assert [statistic.n_rows for statistic in statistics] == before
    values = measure([moments, complete], list(MEASURES))
    np.save(f"{folder}/{rank}.npy", np.array([values[name] for name in MEASURES]))
    np.save(f"{folder}/sample-{rank}.npy", sampled.rows)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world_size", SPLITS)
def test_every_process_gets_the_value_of_one_process(world_size, tmp_path):
    torch.multiprocessing.spawn(work, args=(world_size, str(tmp_path)), nprocs=world_size)
    values = measure(X, list(MEASURES))
    expected = np.array([values[name] for name in MEASURES])
    first_sample = np.load(tmp_path / "sample-0.npy")
    assert first_sample.shape == (100, 12)
    assert first_sample.dtype == np.float32
    for rank in range(world_size):
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), expected, rtol=1e-6)
        np.testing.assert_array_equal(np.load(tmp_path / f"sample-{rank}.npy"), first_sample)


def test_without_processes_it_is_a_copy():
    moments = Moments()
    moments.update(X)
    copy = merge_processes(moments)
    copy.update(X)
    assert (moments.n_rows, copy.n_rows) == (900, 1800)
    assert merge_processes(RowSample()).n_rows == 0
