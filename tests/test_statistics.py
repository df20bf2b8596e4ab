"""What is remembered: the same in any batches, in any order and through any merge, and right where float32 is not."""

from __future__ import annotations

import itertools
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotropy_metrics import MEASURES, statistics_for
from isotropy_metrics.statistics import Moments, RowSample, UnitMoments, UnitSums
from isotropy_metrics.statistics import moments as moments_module
from isotropy_metrics.statistics.moments import block_rows_of

CHUNK = 1024
D = 16


def cloud(n_rows, d=D, seed=0, dtype=np.float64):
    rows = np.random.default_rng(seed).normal(size=(n_rows, d)) * np.arange(1, d + 1) ** -0.5
    return (rows + 0.3).astype(dtype)


def moments_of(*batches, weights=None):
    moments = Moments()
    for batch, weight in zip(batches, weights or [None] * len(batches), strict=True):
        moments.update(batch, weight=weight)
    return moments


def two_pass(rows, weight=None):
    """The definition of what Moments holds, in float64."""
    rows = np.asarray(rows, np.float64)
    weight = np.ones(len(rows)) if weight is None else weight
    mean = weight @ rows / weight.sum()
    norms = np.linalg.norm(rows, axis=1)
    nonzero = norms > 0
    return {
        "n_rows": len(rows),
        "n_zero_rows": np.sum(~nonzero),
        "weight_sum": weight.sum(),
        "weight_square_sum": weight @ weight,
        "unit_weight_sum": weight[nonzero].sum(),
        "unit_weight_square_sum": weight[nonzero] @ weight[nonzero],
        "mean": mean,
        "scatter": (weight[:, None] * (rows - mean)).T @ (rows - mean),
        "unit_sum": (weight[nonzero] / norms[nonzero]) @ rows[nonzero],
        "unit_square_sum": (weight[nonzero] / norms[nonzero]) ** 2 @ rows[nonzero] ** 2,
    }


def assert_state(state, expected, tolerance=1e-10):
    """Equal, arrays within `tolerance` of their largest value (unit_sum: of its largest possible value)."""
    state = state.state_dict() if isinstance(state, Moments) else state
    expected = expected.state_dict() if isinstance(expected, Moments) else expected
    state, expected = ({k: v for k, v in each.items() if k != "n_single_rows"} for each in (state, expected))
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        scale = expected["unit_weight_sum"] if name == "unit_sum" else np.abs(value).max()
        np.testing.assert_allclose(state[name], value, rtol=0, atol=tolerance * scale, err_msg=name)


def isoscore_of(scatter):
    d = len(scatter)
    scatter = scatter / np.trace(scatter)
    return (1 / np.sum(scatter**2) - 1) / (d - 1)


# Moments: values

rng = np.random.default_rng(1)
LARGE = (rng.normal(size=(9000, D)) + 1000).astype(np.float32)
SMALL = (1e-3 * (rng.normal(size=(9000, D)) + 1)).astype(np.float32)
HARD = {
    "mean shift 1000": cloud(9000) + 1000,
    "a dimension times 1000": cloud(9000) * np.where(np.arange(D) == 3, 1000, 1),
    "both": cloud(9000) * np.where(np.arange(D) == 3, 1000, 1) + 1000,
    "a massive activation": cloud(9000) + np.where(np.arange(D) == 3, 1e5, 0),
    "first rows at 0, the others at 1000": np.concatenate([cloud(3000), cloud(6000, seed=1) + 1000]),
    "large rows, then small ones": np.concatenate([LARGE, SMALL]),
    "small rows, then large ones": np.concatenate([SMALL, LARGE]),
    "large rows, then rows of almost no length": np.concatenate([LARGE, 1e-12 * SMALL]),
    "a drifting mean": cloud(9000) + np.linspace(0, 1000, 9000)[:, None],
    "a constant feature": np.where(np.arange(D) == 3, 0.1, cloud(9000)),
    "a zero feature and zero rows": cloud(9000) * (np.arange(D) != 3) * (np.arange(9000) % 5 > 0)[:, None],
    "one row of denormal numbers": np.where(np.arange(9000)[:, None] == 70, 1e-40, cloud(9000)),
}

EXACT = ("mean shift 1000", "a dimension times 1000", "both")


@pytest.mark.parametrize("batch", [7, 1000, 9001, None])
@pytest.mark.parametrize("name", HARD)
def test_float32_rows_give_what_two_passes_in_float64_give(name, batch):
    rows = HARD[name].astype(np.float32)
    size = batch or len(rows)
    moments = moments_of(*(rows[i : i + size] for i in range(0, len(rows), size)))
    expected = two_pass(rows)
    # float32 products of thousands of rows are good to 1e-6, of which a mean of just under 3σ in a block costs a digit
    assert_state(moments, expected, tolerance=2e-5)
    floor = 0 if name in EXACT else 1e-6  # one dimension has nearly all: the isoscore itself is below this
    assert isoscore_of(moments.scatter) == pytest.approx(isoscore_of(expected["scatter"]), rel=1e-5, abs=floor)


@pytest.mark.parametrize("name", HARD)
def test_float64_rows_give_what_two_passes_give(name):
    rows = HARD[name].astype(np.float64)
    assert_state(moments_of(rows), two_pass(rows), tolerance=1e-10)


def test_rows_may_arrive_one_by_one():
    rows = np.concatenate([cloud(400), cloud(600) + 1000]).astype(np.float32)
    assert_state(moments_of(*(row[None] for row in rows)), two_pass(rows), tolerance=5e-6)


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e-15, 1e15, 1e18, 1e37])
def test_very_large_and_very_small_float32_values_are_squared_in_float64(scale):
    rows = (cloud(3000) * scale).astype(np.float32)
    batches = np.split(rows, [10, 11, 1500])
    assert_state(moments_of(*batches), two_pass(rows), tolerance=1e-6)
    batches.insert(2, cloud(3000, dtype=np.float32))
    assert_state(moments_of(*batches), two_pass(np.concatenate(batches)), tolerance=1e-6)


def test_float32_and_float64_batches_mix():
    batches = [cloud(700, seed=s, dtype=dtype) for s, dtype in enumerate([np.float32, np.float64] * 4)]
    assert_state(moments_of(*batches), two_pass(np.concatenate(batches)), tolerance=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [0.1, -7.7, 1000.1])
def test_a_constant_feature_has_no_scatter_at_all(constant, dtype):
    rows = cloud(9000, d=3)
    rows[:, 1] = constant
    rows = rows.astype(dtype)
    weight = np.full(1000, 0.1)
    whole = moments_of(rows)
    batches = moments_of(*np.split(rows, 9), weights=[weight, None, None] * 3)
    merged = moments_of(rows[:1]).merge(moments_of(rows[:5])).merge(whole)
    for moments in (whole, batches, merged):
        assert not moments.scatter[1].any()
        assert moments.mean[1] == dtype(constant)


BOUNDARIES = [
    n + step
    for n in (CHUNK // 2, CHUNK, block_rows_of(4) // 2, block_rows_of(4), 2 * block_rows_of(4))
    for step in (-1, 0, 1)
]


@pytest.mark.parametrize("n_rows", BOUNDARIES)
@pytest.mark.parametrize("before", [0, 1])
def test_the_sizes_at_which_blocks_and_chunks_end_are_no_exception(n_rows, before):
    rows = cloud(before + n_rows, d=4) + 3
    assert_state(moments_of(rows[:before], rows[before:]), two_pass(rows))


def test_wide_rows_come_in_blocks_of_fewer_rows():
    blocks = [block_rows_of(n_features) for n_features in (4, 768, 4096, 10**6)]
    assert blocks == [8192, 8192, 1536, 256]
    assert block_rows_of(D, 0) == 256
    rows = cloud(3000) + np.linspace(0, 1000, 3000)[:, None]
    for batches in (rows, *np.split(rows, 10)), [rows], np.split(rows, 10):
        moments = Moments(block_values=0)
        for batch in batches:
            moments.update(batch)
        assert_state(moments, two_pass(np.concatenate(batches)))


def test_rows_multiplied_in_float32_are_counted():
    for dtype, extreme, expected in ((np.float32, 1, 500), (np.float64, 1, 0), (np.float32, 1e20, 0)):
        moments = moments_of(cloud(500).astype(dtype) * dtype(extreme))
        assert moments.n_single_rows == expected
    assert moments_of(cloud(9, dtype=np.float32), cloud(5)).n_single_rows == 9


def test_many_blocks_are_joined_on_the_way():
    batches = np.split(cloud(3000) + np.linspace(0, 50, 3000)[:, None], 300)
    weighted = moments_of(*batches, weights=[np.ones(10)] * 300)
    assert_state(weighted, two_pass(np.concatenate(batches)))


def test_weights_count_like_repeated_rows_in_mean_and_scatter():
    rows, times = cloud(500), np.random.default_rng(0).integers(0, 4, 500)
    weighted, repeated = moments_of(rows, weights=[times]), moments_of(np.repeat(rows, times, axis=0))
    for name in ("mean", "scatter", "unit_sum", "weight_sum"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=0, atol=1e-9, err_msg=name)
    assert_state(weighted, two_pass(rows[times > 0], times[times > 0].astype(float)))
    assert weighted.effective_n_rows == pytest.approx(times.sum() ** 2 / (times**2).sum())
    assert weighted.effective_n_rows < repeated.effective_n_rows == repeated.n_rows


# Moments: updates, merges, states


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    shifts=st.lists(st.sampled_from([0.0, 1.0, 1000.0]), min_size=8, max_size=8),
    weighted=st.lists(st.booleans(), min_size=8, max_size=8),
    parts=st.lists(st.integers(0, 2), min_size=8, max_size=8),
    order=st.permutations(range(3)),
)
@settings(max_examples=100)
def test_any_split_and_any_merge_give_the_same_moments(sizes, shifts, weighted, parts, order):
    rows = [cloud(n, d=3, seed=i) + shifts[i] for i, n in enumerate(sizes)]
    weights = [np.random.default_rng(i).random(n) if weighted[i] else np.ones(n) for i, n in enumerate(sizes)]
    streams = [Moments(), Moments(), Moments()]
    for i, (batch, weight) in enumerate(zip(rows, weights, strict=True)):
        streams[parts[i]].update(batch, weight=weight if weighted[i] else None)
    merged = Moments()
    for i in order:
        merged.merge(streams[i])
    assert merged.n_rows == sum(sizes)
    if sum(sizes):
        assert_state(merged, two_pass(np.concatenate(rows), np.concatenate(weights)), tolerance=1e-9)


def test_merge_leaves_its_argument_alone_and_shares_nothing_with_it():
    a, b = moments_of(cloud(30)), moments_of(cloud(20, seed=1) + 5)
    before = pickle.dumps(b.state_dict())
    a.merge(b)
    a.update(cloud(9, seed=2))
    a.merge(a)
    assert a.n_rows == 118
    assert pickle.dumps(b.state_dict()) == before
    b.update(cloud(9, seed=3))
    assert a.n_rows == 118


@pytest.mark.parametrize("size", [3, 5000, 20000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, "width"])
def test_a_refused_batch_leaves_the_moments_as_they_were_and_names_the_row(size, weighted, bad):
    moments = moments_of(cloud(100), cloud(9, dtype=np.float32))
    before = pickle.dumps(moments.state_dict())
    batch = cloud(size, dtype=np.float32, d=D + 1 if bad == "width" else D)
    row = size - 2
    message = f"have {D + 1} features, the rows so far had {D}"
    if bad != "width":
        batch[row, 3] = bad
        message = f"row {row} of the embeddings holds {bad}"
    with pytest.raises(ValueError, match=message):
        moments.update(batch, weight=np.ones(size) if weighted else None)
    assert pickle.dumps(moments.state_dict()) == before


def test_values_are_read_between_updates_as_often_as_one_likes():
    rows, moments = cloud(50), Moments()
    for i in range(0, 50, 10):
        moments.update(rows[i : i + 10])
        for _ in range(2):
            assert_state(moments, two_pass(rows[: i + 10]))
            largest = np.linalg.eigvalsh(two_pass(rows[: i + 10])["scatter"])[::-1]
            np.testing.assert_allclose(moments.eigenvalues, largest.clip(0), atol=1e-10)


@pytest.mark.parametrize("dtype, rel", [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_unit_sums_are_those_that_moments_hold(dtype, rel):
    rows, weight = cloud(3000).astype(dtype), np.random.default_rng(1).random(3000)
    rows[7] = 0
    sums, first, second, moments = UnitSums(), UnitSums(), UnitSums(), Moments()
    for statistic in (sums, moments):
        statistic.update(rows, weight=weight)
    first.update(rows[:1000], weight=weight[:1000])
    second.update(rows[1000:], weight=weight[1000:])
    expected = {name: moments.state_dict()[name] for name in sums.state_dict()}
    for statistic in (sums, first.merge(second), through_pickle(sums), through_state_dict(first)):
        state = statistic.state_dict()
        assert state.pop("n_zero_rows") == 1 and state.pop("n_rows") == 3000
        for name, value in state.items():
            assert value == pytest.approx(expected[name], rel=rel), name
    assert sums.effective_n_rows == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_unit_sums_refuse_a_batch_whole():
    sums = UnitSums()
    sums.update(cloud(30))
    before, bad = sums.state_dict(), cloud(2000)
    bad[1999, 0] = np.nan
    with pytest.raises(ValueError, match="row 1999 of the embeddings holds nan"):
        sums.update(bad)
    with pytest.raises(ValueError, match="these rows have 3 features"):
        sums.update(np.ones((5, 3)))
    with pytest.raises(TypeError, match="UnitSums merge with UnitSums, got Moments"):
        sums.merge(Moments())
    with pytest.raises(ValueError, match="not a state of UnitSums: unit_sum missing"):
        UnitSums.from_state_dict({name: value for name, value in before.items() if name != "unit_sum"})
    after = sums.state_dict()
    assert all(np.array_equal(after[name], value) for name, value in before.items())


def test_statistics_that_another_includes_are_not_kept_beside_it():
    cosine, isoscore = MEASURES["average_cosine_similarity"], MEASURES["isoscore"]
    kinds = [[type(each) for each in statistics_for(chosen)] for chosen in ([cosine], [cosine, isoscore])]
    assert kinds == [[UnitSums], [Moments]]
    assert [type(each) for each in statistics_for([cosine], also=(RowSample, Moments))] == [RowSample, Moments]
    directions = statistics_for([cosine, MEASURES["bures_isotropy"]])
    assert [type(each) for each in directions] == [UnitMoments]
    directions[0].update(cloud(500))
    assert cosine(directions)[cosine.name] == pytest.approx(cosine(cloud(500))[cosine.name], rel=1e-9)
    (buckets,) = statistics_for([cosine, isoscore], interval=True)
    assert buckets.kind is Moments
    with pytest.raises(TypeError, match="isoscore needs Moments, got UnitSums"):
        isoscore(UnitSums())


def test_moments_without_rows_know_that_they_are_empty():
    empty = Moments()
    empty.update(np.empty((0, 3)))
    empty.merge(Moments())
    assert (empty.n_rows, empty.n_features, empty.weight_sum, empty.n_zero_rows) == (0, None, 0, 0)
    assert (empty.mean, empty.scatter, empty.unit_sum, empty.unit_square_sum) == (None,) * 4
    assert Moments.from_state_dict(empty.state_dict()).n_features is None
    assert repr(empty) == "Moments(n_rows=0, n_features=None)"


def test_moments_merge_only_with_moments_of_the_same_width():
    moments = moments_of(cloud(5))
    with pytest.raises(TypeError, match="Moments merge with Moments, got RowSample"):
        moments.merge(RowSample())
    with pytest.raises(ValueError, match="cannot merge 3 features into 16"):
        moments.merge(moments_of(cloud(5, d=3)))
    assert_state(moments, two_pass(cloud(5)))


# Both


def row_sample_of(*batches):
    sample = RowSample(size=20)
    for batch in batches:
        sample.update(batch)
    return sample


def through_state_dict(statistic):
    return type(statistic).from_state_dict(statistic.state_dict())


def through_pickle(statistic):
    return pickle.loads(pickle.dumps(statistic))


@pytest.mark.parametrize("make", [moments_of, row_sample_of])
@pytest.mark.parametrize("again", [through_state_dict, through_pickle])
def test_a_restored_statistic_goes_on_as_if_it_had_never_stopped(make, again):
    through, restored = make(cloud(30)), again(make(cloud(30)))
    for statistic in (through, restored):
        statistic.update(cloud(40, seed=1))
        statistic.merge(make(cloud(30, seed=2)))
    restored = again(restored)
    for statistic in (through, restored):
        statistic.update(cloud(40, seed=3))
    state = restored.state_dict()
    assert state.keys() == through.state_dict().keys()
    for name, value in through.state_dict().items():
        if value is not None:
            np.testing.assert_allclose(state[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", [Moments, RowSample])
def test_a_state_with_missing_parts_is_refused(kind):
    state = kind().state_dict()
    for name in state:
        with pytest.raises(ValueError, match=f"not a state of {kind.__name__}: {name} missing"):
            kind.from_state_dict({key: value for key, value in state.items() if key != name})


def test_a_state_is_a_copy():
    moments, sample = moments_of(cloud(30)), row_sample_of(cloud(30))
    for statistic in (moments, sample):
        before = pickle.dumps(statistic.state_dict())
        restored = type(statistic).from_state_dict(statistic.state_dict())
        restored.update(cloud(30, seed=1))
        restored.state_dict()
        assert pickle.dumps(statistic.state_dict()) == before


# RowSample


def numbered(n, first=0):
    """Rows that say which they are."""
    return np.arange(first, first + n, dtype=np.float64)[:, None] * np.ones(2)


def kept(sample):
    return sorted(sample.rows[:, 0].astype(int).tolist())


@pytest.mark.parametrize("size", [None, 100, 101])
def test_all_rows_are_kept_in_order_while_they_fit(size):
    sample = RowSample(size)
    for batch in np.split(numbered(100), [1, 40, 40]):
        sample.update(batch)
    np.testing.assert_array_equal(sample.rows, numbered(100))
    assert (sample.is_complete, sample.n_rows, sample.n_features, sample.weight) == (True, 100, 2, None)


def test_at_most_size_rows_are_kept_and_never_many_more_in_memory():
    sample = RowSample(10)
    for start in range(0, 2000, 7):
        sample.update(numbered(7, start))
        assert len(sample.rows) == min(10, start + 7)
        assert sum(len(part["keys"]) for part in sample._parts) <= 2 * 10 + 7
    assert not sample.is_complete
    assert sample.n_rows == 2002
    assert len(set(kept(sample))) == 10


def test_of_one_large_batch_only_the_chosen_rows_are_copied():
    rows = np.random.default_rng(0).normal(size=(20_000, 100))
    in_parts, sample = RowSample(50), RowSample(50)
    for part in np.split(rows, 40):
        in_parts.update(part)
    tracemalloc.start()
    sample.update(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 4
    np.testing.assert_array_equal(sample.rows, in_parts.rows)
    assert sample.state_dict()["threshold"] == in_parts.state_dict()["threshold"] < 1


@pytest.mark.parametrize("weight", [1e20, 1e-25])
def test_weights_beyond_the_squares_of_float32(weight):
    rows = cloud(100)
    single, double = UnitSums(), UnitSums()
    single.update(rows.astype(np.float32), weight=np.full(100, weight))
    double.update(rows, weight=np.full(100, weight))
    np.testing.assert_allclose(single.unit_square_sum, double.unit_square_sum, rtol=1e-6)
    np.testing.assert_allclose(single.unit_sum, double.unit_sum, rtol=1e-6)


def test_a_part_far_away_is_shifted_and_no_more_than_a_block_is_copied():
    rows = cloud(140_000, d=32, dtype=np.float32)
    rows[70_000:] += 1000
    moments = Moments(block_values=32 * 1000)
    tracemalloc.start()
    moments.update(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 4
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-9)


def test_rows_that_wait_are_not_lost_when_their_block_fails(monkeypatch):
    rows = cloud(400)
    found, expected = Moments(), Moments()
    expected.update(rows)
    for part in np.split(rows, 4):
        found.update(part)

    def no_memory(*of_rows):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(moments_module, "_gram", no_memory)
        for read in (lambda: found.mean, lambda: found.unit_sum, lambda: found.update(cloud(8192)[:8000])):
            with pytest.raises(MemoryError, match="no room"):
                read()
            assert found.n_rows == 400 and found.n_features == D
    assert_state(found, expected, 1e-12)


def test_several_threads_may_read_what_waits():
    for _ in range(20):
        moments = Moments()
        for part in np.split(cloud(4000), 40):
            moments.update(part)
        with ThreadPoolExecutor(4) as pool:
            reads = [pool.submit(getattr, moments, name) for name in ("mean", "unit_sum", "scatter", "n_rows") * 2]
        assert [reads[3].result(), reads[7].result()] == [4000, 4000] and reads[1].result() is not None
        np.testing.assert_allclose(moments.mean, cloud(4000).mean(axis=0), rtol=1e-12)


def test_merging_into_empty_sums_shares_nothing():
    full, empty = UnitSums(), UnitSums()
    full.update(cloud(10))
    empty.merge(full).unit_sum[:] = 0
    assert full.unit_sum.any()


def in_parts(seed):
    parts = [RowSample(10, seed=3 * seed + i) for i in range(3)]
    for part, start, n in zip(parts, (0, 5, 40), (5, 35, 60), strict=True):
        part.update(numbered(n, start))
    return parts[0].merge(parts[1]).merge(parts[2])


def in_one(seed):
    sample = RowSample(10, seed=seed)
    for start in range(0, 100, 20):
        sample.update(numbered(20, start))
    return sample


@pytest.mark.parametrize("sample_of", [in_one, in_parts])
def test_every_row_is_kept_equally_often(sample_of):
    counts = np.zeros(100)
    for seed in range(1000):
        counts[kept(sample_of(seed))] += 1
    assert counts.sum() == 10_000
    chi_square = np.sum((counts - 100) ** 2) / (100 * 0.9)
    assert 55 < chi_square < 153  # 99 degrees of freedom: outside once in 2,000 seeds


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 3))
def test_the_batches_in_which_rows_come_do_not_matter(cuts, seed):
    whole, parts = RowSample(10, seed=seed), RowSample(10, seed=seed)
    whole.update(numbered(60))
    for batch in np.split(numbered(60), sorted(cuts)):
        parts.update(batch)
    np.testing.assert_array_equal(whole.rows, parts.rows)


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 0, 0)])
def test_the_order_of_merges_does_not_matter(seeds):
    results = set()
    for order in itertools.permutations(range(3)):
        parts = []
        for i in range(3):
            parts.append(RowSample(11, seed=seeds[i]))
            parts[i].update(np.random.default_rng(i).permuted(np.tile([1.0, 2.0, 4.0], (30, 1)), axis=1))
        merged = RowSample(11)
        for i in order:
            merged.merge(parts[i])
        assert merged.n_rows == 90
        results.add(tuple(sorted(map(tuple, merged.rows.tolist()))))
    assert len(results) == 1


def test_streams_of_equal_length_and_seed_keep_the_same_positions():
    layers = [RowSample(10, seed=4), RowSample(10, seed=4)]
    for start in range(0, 90, 30):
        layers[0].update(numbered(30, start))
        layers[1].update(numbered(30, start + 1000), mask=np.ones(30))
    assert kept(layers[0]) == [i - 1000 for i in kept(layers[1])]
    other = RowSample(10, seed=5)
    other.update(numbered(90))
    assert kept(other) != kept(layers[0])


def test_weights_stay_with_their_rows_and_are_one_where_none_came():
    sample = RowSample(50)
    sample.update(numbered(40))
    sample.update(numbered(60, 40), weight=np.arange(40, 100) / 2)
    assert len(sample.weight) == 50
    expected = np.where(sample.rows[:, 0] < 40, 1, sample.rows[:, 0] / 2)
    np.testing.assert_array_equal(sample.weight, expected)


def test_rows_of_both_precisions_are_kept_as_float64():
    single, double = numbered(40).astype(np.float32), numbered(40, 40) + 1e-12
    for size in (None, 50, 1000):
        sample, expected = RowSample(size), RowSample(size)
        for batch in (single, double):
            sample.update(batch)
        expected.update(np.concatenate([single, double]))
        assert sample.rows.dtype == np.float64
        np.testing.assert_array_equal(sample.rows, expected.rows)


def test_a_refused_batch_leaves_the_sample_as_it_was():
    refused, undisturbed = RowSample(10), RowSample(10)
    for sample in (refused, undisturbed):
        sample.update(numbered(30))
    for bad, message in ((np.full((3, 2), np.nan), "row 0 .*nan"), (np.ones((3, 5)), "5 features.*had 2")):
        with pytest.raises(ValueError, match=message):
            refused.update(bad)
    for sample in (refused, undisturbed):
        sample.update(numbered(30, 30))
    np.testing.assert_array_equal(refused.rows, undisturbed.rows)


def test_a_sample_merges_only_with_one_of_the_same_size_and_width():
    sample = RowSample(10)
    sample.update(numbered(30))
    wide = RowSample(10)
    wide.update(np.ones((3, 5)))
    for other, error, message in (
        (Moments(), TypeError, "got Moments"),
        (RowSample(11), ValueError, "size 11 into one of size 10"),
        (wide, ValueError, "5 features"),
    ):
        with pytest.raises(error, match=message):
            sample.merge(other)
    assert sample.merge(RowSample(10)).n_rows == RowSample(10).merge(sample).n_rows == 30


def test_a_sample_holds_copies_and_its_argument_keeps_its_own():
    rows = numbered(30)
    sample, other = RowSample(10), RowSample(10, seed=1)
    sample.update(rows)
    rows[:] = -1
    assert -1 not in sample.rows
    other.update(numbered(30, 30))
    before = kept(other)
    sample.merge(other)
    sample.update(numbered(30, 60))
    assert (kept(other), other.n_rows) == (before, 30)


@pytest.mark.parametrize("size", [1, 0, -3])
def test_a_sample_too_small_to_measure_is_refused(size):
    with pytest.raises(ValueError, match=f"at least 2 rows.*got {size}"):
        RowSample(size)
