"""Statistics merged over real processes (gloo) equal those of one process."""

import numpy as np
import pytest
import torch

from isotropy_metrics import COMPARISONS, MEASURES, compare, measure, processes
from isotropy_metrics.enhancement import Whitening
from isotropy_metrics.measures._statistics import statistics_for, update_statistics
from isotropy_metrics.statistics import Buckets, Moments, PairSample, RowSample, RowStatistics, TwoMoments
from isotropy_metrics.statistics.distributed import merge_processes

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
X = (np.random.default_rng(0).normal(size=(900, 12)) * np.linspace(1, 3, 12) + 1).astype(np.float32)
Y = np.tanh(X[:, ::-1]) + 0.1
WORDS, SENTENCES, LABELS = np.arange(900) % 60, np.arange(900) // 9, [f"class {i % 4}" for i in range(900)]
SPLITS = {2: [(0, 350), (350, 900)], 3: [(0, 0), (0, 899), (899, 900)]}
KEPT = {"size": 2000}


def values_of(statistics, pairs):
    with np.errstate(all="raise"):
        values = measure(statistics, list(MEASURES)) | compare(pairs, list(COMPARISONS))
    return np.array([values[name] for name in (*MEASURES, *COMPARISONS)])


def work(rank, world_size, folder):
    import warnings

    warnings.simplefilter("ignore", RuntimeWarning)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    rows = slice(*SPLITS[world_size][rank])
    statistics = statistics_for(MEASURES.values(), stream=rank, **KEPT)
    update_statistics(
        statistics,
        X[rows],
        mask=None,
        weight=None,
        references=np.array(LABELS)[rows],
        words=WORDS[rows],
        sentences=SENTENCES[rows],
    )
    sample, buckets = RowSample(size=100, stream=rank), Buckets(Moments, stream=rank)
    pairs = [PairSample(stream=rank, **KEPT), TwoMoments(), TwoMoments(buckets=True, stream=rank)]
    for statistic in (sample, buckets):
        statistic.update(X[rows])
    for statistic in pairs:
        statistic.update(X[rows], Y[rows])
    fitting_rows = RowStatistics(stream=rank)
    fitting_rows.update(X[rows])
    np.save(f"{folder}/whitening-{rank}.npy", Whitening("zca").fit(merge_processes(fitting_rows)).matrix_)
    everything = [*statistics, *pairs, sample, buckets]
    before = [statistic.n_rows for statistic in everything]
    merged = [merge_processes(statistic) for statistic in everything]
    assert [statistic.n_rows for statistic in everything] == before
    n = len(statistics)
    np.save(f"{folder}/{rank}.npy", values_of(merged[:n], merged[n : n + 2]))
    np.save(f"{folder}/sample-{rank}.npy", merged[-2].rows)
    assert merged[-1].n_rows == merged[n + 2].first.n_rows == 900
    np.save(f"{folder}/buckets-{rank}.npy", merged[-1].whole.scatter)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world_size", SPLITS)
def test_every_process_gets_the_value_of_one_process(world_size, tmp_path):
    torch.multiprocessing.spawn(work, args=(world_size, str(tmp_path)), nprocs=world_size)
    statistics = statistics_for(MEASURES.values(), **KEPT)
    update_statistics(statistics, X, mask=None, weight=None, references=LABELS, words=WORDS, sentences=SENTENCES)
    pairs = [PairSample(**KEPT), TwoMoments()]
    for statistic in pairs:
        statistic.update(X, Y)
    expected = values_of(statistics, pairs)
    moments = next(statistic for statistic in statistics if type(statistic) is Moments)
    first_sample = np.load(tmp_path / "sample-0.npy")
    assert first_sample.shape == (100, 12)
    assert first_sample.dtype == np.float32
    for rank in range(world_size):
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), expected, rtol=1e-6)
        np.testing.assert_array_equal(np.load(tmp_path / f"sample-{rank}.npy"), first_sample)
        whitening = np.load(tmp_path / f"whitening-{rank}.npy")
        np.testing.assert_allclose(whitening, Whitening("zca").fit(X).matrix_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.load(tmp_path / f"buckets-{rank}.npy"), moments.scatter, rtol=1e-5, atol=1e-3)


def fail(rank, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    moments = Moments()
    moments.update(np.ones((3, 4 + rank)))
    with pytest.raises(ValueError, match="processes saw different rows: cannot merge 5 features into 4"):
        merge_processes(moments)
    torch.distributed.destroy_process_group()


def test_processes_with_rows_of_different_widths_all_hear_of_it(tmp_path):
    torch.multiprocessing.spawn(fail, args=(str(tmp_path),), nprocs=2)


def test_without_processes_it_is_a_copy():
    moments = Moments()
    moments.update(X)
    copy = merge_processes(moments)
    copy.update(X)
    assert (moments.n_rows, copy.n_rows) == (900, 1800)
    assert merge_processes(RowSample()).n_rows == 0
    buckets = Buckets(Moments, seed=3)
    buckets.update(X)
    assert merge_processes(buckets).n_rows == 900


@pytest.fixture
def second_of_two(monkeypatch):
    """What `all_gather_object` does on the second of two processes is set by the test."""

    def gather_with(exchange):
        monkeypatch.setattr(torch.distributed, "all_gather_object", exchange)

    for name, value in {"are_connected": True, "world_size": 2, "rank": 1}.items():
        monkeypatch.setattr(processes, name, lambda value=value: value)
    return gather_with


def lose_the_connection(gathered, own):
    raise RuntimeError("connection closed by peer")


def let_the_first_fail(gathered, own):
    gathered[:] = [((ValueError, "said the first"), None), own]


def test_an_error_of_its_own_is_not_lost_with_the_connection(second_of_two):
    second_of_two(lose_the_connection)
    with pytest.raises(ConnectionError, match="another process has ended"), processes.raised_together():
        pass
    with pytest.raises(IndexError, match="its own"), processes.raised_together():
        raise IndexError("its own")
    with pytest.raises(IndexError, match="its own"):
        processes.raise_together(IndexError("its own"))


def test_the_error_of_the_first_is_raised_by_all_and_from_what_else_went_wrong(second_of_two):
    second_of_two(let_the_first_fail)
    for error in (None, IndexError("its own")):
        with pytest.raises(ValueError, match="said the first") as caught:
            processes.raise_together(error)
        assert caught.value.__cause__ is error
