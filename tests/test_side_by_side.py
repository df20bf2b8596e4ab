"""Side by side: the same values as one after the other, and BLAS has its threads again whatever happens."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from isotropy_metrics.enhancement import cluster_based
from isotropy_metrics.statistics import Moments, UnitMoments, UnitSums, moments, side_by_side, unit_sums
from isotropy_metrics.statistics.side_by_side import MOST_WORKERS

BLAS = ThreadpoolController().select(user_api="blas")
CLOUD = np.random.default_rng(0).normal(size=(5000, 40)) * np.arange(1, 41)


def n_threads():
    return {library["num_threads"] for library in BLAS.info()}


@pytest.fixture
def two_threads(monkeypatch):
    """BLAS with two threads, and so little rows that they are worth them."""
    monkeypatch.setattr(moments, "WORKER_VALUES", 1000)
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.parametrize("n", [1, 2, MOST_WORKERS, MOST_WORKERS + 1])
def test_workers_are_as_many_as_threads_of_blas_unless_these_are_many(n, two_threads, monkeypatch):
    monkeypatch.setattr(side_by_side, "_blas", lambda: FakeBlas(n))
    expected = n if 1 < n <= MOST_WORKERS else 1
    with side_by_side.side_by_side(most=100) as (map_, n_workers):
        assert n_workers == expected
        assert list(map_(lambda x: x + 1, range(20))) == list(range(1, 21))
    for most, expected in ((0, 1), (1, 1), (2, 2 if 1 < n <= MOST_WORKERS else 1)):
        with side_by_side.side_by_side(most) as (_, n_workers):
            assert n_workers == expected


class FakeBlas:
    def __init__(self, n):
        self.n = n

    def info(self):
        return [{"num_threads": self.n}]

    def limit(self, limits):
        assert limits == 1
        return BLAS.limit(limits=limits)


def test_they_are_two_at_a_time_with_a_thread_each(two_threads):
    meeting = threading.Barrier(2, timeout=60)

    def meet(_):
        meeting.wait()
        return n_threads()

    with side_by_side.side_by_side(2) as (map_, n_workers):
        assert n_workers == 2 and list(map_(meet, range(2))) == [{1}, {1}]
        with side_by_side.side_by_side(2) as (_, n_inside):
            assert n_inside == 1
    assert n_threads() == {2}


def test_what_has_not_begun_is_dropped_after_an_interrupt(two_threads):
    begun = []

    def work(i):
        begun.append(i)
        time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt), side_by_side.side_by_side(2) as (map_, _):
        results = map_(work, range(200))
        next(results)
        raise KeyboardInterrupt
    assert len(begun) < 20 and n_threads() == {2}


def test_another_thread_meanwhile_leaves_the_setting_alone(two_threads):
    found = []

    def other():
        with threadpool_limits(2, user_api="blas"), side_by_side.side_by_side(2) as (_, n_workers):
            found.append(n_workers)

    with side_by_side.side_by_side(2):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [1] and n_threads() == {2}
    with side_by_side.side_by_side(2) as (_, n_workers):
        assert n_workers == 2


@pytest.mark.parametrize("kind", [Moments, UnitMoments])
@pytest.mark.parametrize("dtype, rel", [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1, 2, 999, 5000])
def test_moments_are_those_of_one_block_after_the_other(two_threads, kind, dtype, rel, offset, weighted, n):
    rows = (CLOUD[:n] + offset).astype(dtype)
    weight = np.random.default_rng(1).random(n) if weighted else None
    beside, after = kind(block_values=40 * 300), kind(block_values=40 * 300)
    beside.update(rows, weight=weight)
    with threadpool_limits(1, user_api="blas"):
        after.update(rows, weight=weight)
    assert beside.n_rows == after.n_rows == n
    for name in ("mean", "scatter", "unit_sum", "unit_square_sum", "eigenvalues", "raw_eigenvalues"):
        ours, theirs = getattr(beside, name), getattr(after, name)
        assert np.abs(ours - theirs).max() <= rel * max(np.abs(theirs).max(), 1e-300), name


@pytest.mark.parametrize("d", [1, 2, 8, 40])
def test_unit_sums_are_those_of_all_rows(monkeypatch, two_threads, d):
    monkeypatch.setattr(unit_sums, "WORKER_VALUES", 1000)
    monkeypatch.setattr(unit_sums, "BLOCK_ROWS", 700)
    weight = np.random.default_rng(1).random(5000)
    rows = (CLOUD[:, :d] + 3).astype(np.float32)
    rows[17] = 0
    found = UnitSums()
    found.update(rows, weight=weight)
    rows, weight = np.delete(rows.astype(float), 17, axis=0), np.delete(weight, 17)
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    np.testing.assert_allclose(found.unit_sum, weight @ units, rtol=1e-7, atol=1e-7 * weight.sum())
    np.testing.assert_allclose(found.unit_square_sum, weight**2 @ units**2, rtol=1e-7, atol=1e-7 * weight.sum())
    rows[4900, d - 1] = np.inf
    with pytest.raises(ValueError, match="row 4900 of the embeddings holds inf"):
        found.update(rows)
    assert (found.n_rows, found.n_zero_rows) == (5000, 1)


@pytest.mark.parametrize("n", [600, 3000], ids=["fewer rows than features", "more"])
def test_clusters_are_solved_as_one_after_the_other(monkeypatch, n):
    rows = np.random.default_rng(0).normal(size=(n, 100)) + 30 * np.eye(100)[np.arange(n) % 10]
    fitted = []
    for n_of_blas, worker_values in ((1, cluster_based.WORKER_VALUES), (2, 1000)):
        monkeypatch.setattr(cluster_based, "WORKER_VALUES", worker_values)
        with threadpool_limits(n_of_blas, user_api="blas"):
            fitted.append(cluster_based.ClusterBased(10, 5, min_cluster_size=5).fit(rows))
    one, two = fitted
    np.testing.assert_allclose(one.cluster_means_, two.cluster_means_, rtol=1e-12)
    for first, second in zip(one.cluster_directions_, two.cluster_directions_, strict=True):
        np.testing.assert_allclose(np.abs(first @ second.T), np.eye(5), atol=1e-9)


def test_the_same_rows_give_the_same_bits_again(two_threads):
    first, again = Moments(block_values=40 * 300), Moments(block_values=40 * 300)
    for each in (first, again):
        each.update(CLOUD.astype(np.float32))
    assert (first.scatter == again.scatter).all()


def test_a_bad_row_is_named_and_changes_nothing(two_threads):
    statistic = Moments(block_values=40 * 300)
    statistic.update(CLOUD)
    before = statistic.scatter.copy()
    bad = CLOUD.copy()
    bad[[4321, 4900], 3] = np.nan
    with pytest.raises(ValueError, match="row 4321 of the embeddings holds nan"):
        statistic.update(bad)
    assert statistic.n_rows == len(CLOUD) and (statistic.scatter == before).all()
    assert n_threads() == {2}
