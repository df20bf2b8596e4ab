"""One contract for every comparison of two spaces, and the published and exact values of each.

A new comparison is tested as soon as its file exists; it needs a function in references/comparisons.py and nothing
here.
"""

from __future__ import annotations

import collections
import doctest
import itertools
import json
import math
import pickle
import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
import torch
from clouds import CLOUD, gaussian, golden_cloud, ids_for
from references import OPTIONS, REFERENCES

from isotropy_metrics.measures import MEASURES, measure
from isotropy_metrics.measures.comparisons import (
    COMPARISONS,
    alignment,
    compare,
    find_comparisons,
    linear_cka,
    modality_gap,
    neighborhood_overlap,
    procrustes_distance,
    statistics_for,
    subspace_overlap,
)
from isotropy_metrics.statistics import Moments, PairSample, RowSample, TwoMoments

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")

each_comparison = pytest.mark.parametrize("compared", COMPARISONS.values(), ids=COMPARISONS)
N, D = 40, 8
ROTATION = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0]
WEIGHT = np.random.default_rng(1).random(N)
SPLITS = ([N], [1] * N, [7] * 5 + [5], [0, 13, 0, 26, 1], [1, N - 1])


def noisy_copy(X, noise=0.5, seed=1):
    return X @ ROTATION + noise * np.random.default_rng(seed).normal(size=X.shape) + 0.3


X = gaussian(N, 1 / np.arange(1, D + 1)) + 0.2
Y = noisy_copy(X)
PAIRS = {
    "noisy copy": (X, Y),
    "unrelated": (X, gaussian(N, np.ones(D), seed=5)),
    "wider": (X[:, :5], noisy_copy(X)),
    "narrower": (gaussian(30, np.ones(12)), gaussian(30, np.ones(12))[:, :2] ** 3),
    "same": (X, X),
    "permuted": (X, np.random.default_rng(3).permutation(X)),
    "far from the origin": ((X + 1000).astype(np.float32), (Y - 1000).astype(np.float32)),
    "few rows": (gaussian(12, 1 / np.arange(1, 41)), gaussian(12, np.ones(50), seed=1)),
    "zero rows": (np.r_[np.zeros((2, D)), X], np.r_[Y[:1], np.zeros((1, D)), Y]),
}


def options_of(compared):
    grid = OPTIONS.get(compared.name, {})
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


COMPARISONS_AND_OPTIONS = [
    pytest.param(c, o, id="-".join([c.name, *map(str, o.values())]))
    for c in COMPARISONS.values()
    for o in options_of(c)
]
WEIGHTED = [each for each in COMPARISONS_AND_OPTIONS if each.values[0].weighted]
PROVENANCE = {"n_samples", "n_samples1", "n_samples2", "n_features1", "n_features2", "n_sampled"}


def value(compared, first, second, **arguments):
    """The value alone."""
    return compared(first, second, **arguments)[compared.name]


def expected_of(compared, first, second, weight=None, **options):
    return REFERENCES[compared.name](first, second, weight, **options)


def statistic_of(compared, *batches, **arguments):
    statistic = compared.needs()
    for first, second in batches:
        statistic.update(first, second, **arguments)
    return statistic


def fits(compared, first, second, options):
    same_width = compared.same_width or options.get("between") == "features"
    return not same_width or first.shape[1] == second.shape[1]


def root(options):
    """The root of a rounding error is larger than the error."""
    return options.get("squared") is False


# The contract


@each_comparison
def test_every_comparison_has_a_reference_for_all_of_its_options(compared):
    assert compared.name in REFERENCES
    assert set(OPTIONS[compared.name]) == set(compared.options)
    for name, default in compared.options.items():
        assert default == OPTIONS[compared.name][name][0]


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
@pytest.mark.parametrize("pair", PAIRS)
def test_value_equals_the_reference(compared, options, pair):
    first, second = PAIRS[pair]
    if not fits(compared, first, second, options):
        with pytest.raises(ValueError, match=r"the same number of features.*, got \d+ and \d+"):
            compared(first, second, **options)
        return
    # unit sums of float32 rows are float32 products
    tolerance = (
        1e-7 if root(options) else 1e-6 if first.dtype == np.float32 and compared.needs is TwoMoments else 1e-10
    )
    given = value(compared, first, second, **options)
    assert given == pytest.approx(expected_of(compared, first, second, **options), rel=1e-9, abs=tolerance)


@pytest.mark.parametrize(("compared", "options"), WEIGHTED)
@pytest.mark.parametrize("pair", PAIRS)
def test_weighted_value_equals_the_reference(compared, options, pair):
    first, second = PAIRS[pair]
    if fits(compared, first, second, options):
        weight = np.random.default_rng(1).random(len(first))
        tolerance = 1e-7 if root(options) else 1e-6 if first.dtype == np.float32 else 1e-10
        given = value(compared, first, second, weight=weight, **options)
        assert given == pytest.approx(expected_of(compared, first, second, weight, **options), rel=1e-9, abs=tolerance)


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_rows_of_weight_zero_are_not_there_and_the_unit_of_weights_does_not_matter(compared, options):
    if not compared.weighted:
        with pytest.raises(ValueError, match=f"{compared.name} has no meaning for weights"):
            compared(X, Y, weight=np.ones(N), **options)
        return
    weight = WEIGHT * (np.arange(N) % 3 > 0)
    expected = value(compared, X[weight > 0], Y[weight > 0], weight=weight[weight > 0], **options)
    for factor in (1, 1e-100, 1e-6, 100.0):
        assert value(compared, X, Y, weight=factor * weight, **options) == pytest.approx(expected, rel=1e-9)
    even = value(compared, X, Y, weight=np.full(N, 0.1), **options)
    assert even == pytest.approx(value(compared, X, Y, **options), rel=1e-9)


@pytest.mark.parametrize(("compared", "options"), [each for each in WEIGHTED if "debiased" not in each.values[1]])
def test_integer_weights_equal_repeated_rows(compared, options):
    times = np.random.default_rng(1).integers(0, 4, N)
    repeated = value(compared, np.repeat(X, times, axis=0), np.repeat(Y, times, axis=0), **options)
    assert value(compared, X, Y, weight=times, **options) == pytest.approx(repeated, rel=1e-9)


def test_integer_weights_equal_repeated_rows_in_the_plain_cka_only_as_copies_are_no_new_rows():
    times = np.random.default_rng(1).integers(0, 4, N)
    for debiased in (False, True):
        arguments = {"debiased": debiased}
        repeated = value(linear_cka, np.repeat(X, times, axis=0), np.repeat(Y, times, axis=0), **arguments)
        weighted = value(linear_cka, X, Y, weight=times, **arguments)
        assert (abs(weighted - repeated) < 1e-10) is not debiased


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_value_is_within_its_bounds(compared, options):
    lowest, highest = compared.bounds
    for first, second in [*PAIRS.values(), (X, -X), (X, np.ones((N, D)) + np.eye(N, D)), (1e3 * X, 1e-3 * Y)]:
        if fits(compared, first, second, options):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".* is NaN: ", RuntimeWarning)
                given = value(compared, first, second, **options)
            assert math.isnan(given) or lowest - 1e-12 <= given <= highest + 1e-12


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_a_space_compared_with_itself_has_the_value_of_the_same(compared, options):
    for space in [X, X.astype(np.float32), X.astype(np.float32) + 1000, PAIRS["few rows"][0], np.repeat(X, 3, axis=0)]:
        given = value(compared, space, space.copy(), **options)
        assert given == pytest.approx(compared.same, abs=1e-7 if root(options) else 1e-12)
        if compared.weighted:
            weight = np.random.default_rng(1).random(len(space))
            given = value(compared, space, space.copy(), weight=weight, **options)
            assert given == pytest.approx(compared.same, abs=2e-7 if root(options) else 1e-12)


CHANGES = {
    "translation": lambda rows: rows + np.linspace(-2, 5, D),
    "rotation": lambda rows: rows @ ROTATION,
    "scale": lambda rows: rows * 3.7,
}


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", ["first", "second"])
def test_exactly_the_declared_invariances_hold(compared, options, change, which):
    assert set(compared.invariant_to) <= set(CHANGES)
    changed = (CHANGES[change](X), Y) if which == "first" else (X, CHANGES[change](Y))
    before, after = value(compared, X, Y, **options), value(compared, *changed, **options)
    if options.get("between") == "features" and options["k"] >= D:
        assert before == pytest.approx(1, abs=1e-12)  # the subspaces are the whole space
    elif change in compared.invariant_to and not (change == "rotation" and options.get("between") == "features"):
        assert after == pytest.approx(before, rel=1e-9, abs=1e-12)
    else:
        assert abs(after - before) > 0.01 * abs(before)


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_scale_invariant_comparisons_bear_any_scale(compared, options, scale):
    if "scale" in compared.invariant_to:
        expected = value(compared, X, Y, **options)
        assert value(compared, X * scale, Y, **options) == pytest.approx(expected, rel=1e-9)
        assert value(compared, X * scale, Y * scale, **options) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_both_spaces_count_alike(compared, options):
    for first, second in PAIRS.values():
        if fits(compared, first, second, options):
            forth, back = value(compared, first, second, **options), value(compared, second, first, **options)
            assert forth == pytest.approx(back, rel=1e-9, abs=1e-7 if root(options) else 1e-12)


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_any_split_into_batches_gives_the_same_value(compared, options, dtype, tolerance):
    first, second = X.astype(dtype), Y.astype(dtype)
    expected = expected_of(compared, first, second, **options)
    for sizes in SPLITS:
        at = np.cumsum(sizes)[:-1]
        batches = zip(np.split(first, at), np.split(second, at), strict=True)
        given = compared(statistic_of(compared, *batches), **options)[compared.name]
        assert given == pytest.approx(expected, rel=tolerance)


@each_comparison
def test_merges_in_any_order_and_with_empty_ones_give_the_same_value_and_leave_their_sources(compared):
    expected = value(compared, X, Y)
    for order in itertools.permutations(range(3)):
        cuts = [4, 23]
        batches = zip(np.split(X, cuts), np.split(Y, cuts), strict=True)
        parts = [statistic_of(compared, batch) for batch in batches]
        before = [pickle.dumps(part.state_dict()) for part in parts]
        merged = compared.needs().merge(compared.needs())
        for i in order:
            merged.merge(parts[i]).merge(compared.needs())
        first = compared(merged)[compared.name]
        assert first == pytest.approx(expected, rel=1e-10)
        assert compared(merged)[compared.name] == first
        assert [pickle.dumps(part.state_dict()) for part in parts] == before


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_comparing_twice_gives_the_same_and_changes_nothing(compared, options):
    statistic = statistic_of(compared, (X, Y))
    before = pickle.dumps(statistic.state_dict())
    asked = {"interval": 0.9, "null": True, "n_resamples": 10} if compared.paired else {"null": True}
    given = compared(statistic, **options)
    assert given == compared(X, Y, **options)
    compared(statistic, **asked, **options)
    assert compared(statistic, **options) == given
    assert pickle.dumps(statistic.state_dict()) == before
    first, second = X.copy(), Y.copy()
    compared(first, second, **asked, **options)
    assert (first == X).all() and (second == Y).all()


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_pickle_and_state_dict_keep_the_value(compared, options):
    statistic = statistic_of(compared, (X, Y), **({"weight": WEIGHT} if compared.weighted else {}))
    expected = compared(statistic, **options)
    for again in (
        pickle.loads(pickle.dumps(statistic)),
        type(statistic).from_state_dict(statistic.state_dict()),
        pickle.loads(pickle.dumps(statistic)).merge(compared.needs()),
    ):
        assert compared(again, **options) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [PairSample, TwoMoments])
def test_a_state_is_plain_and_a_state_with_missing_parts_is_refused(kind):
    for statistic in (kind(), statistic_of_kind(kind, (X, Y[:, :3]))):
        state = statistic.state_dict()
        for name, entry in state.items():
            assert entry is None or type(entry) in (int, float, bool, np.ndarray), name
            with pytest.raises(ValueError, match=f"not a state of {kind.__name__}: {name} missing"):
                kind.from_state_dict({key: entry for key, entry in state.items() if key != name})
        assert kind.from_state_dict(state).widths == statistic.widths


def statistic_of_kind(kind, *batches, **arguments):
    statistic = kind()
    for first, second in batches:
        statistic.update(first, second, **arguments)
    return statistic


@each_comparison
@pytest.mark.parametrize("garbage", [0.0, 1e6, np.nan, np.inf])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_part_in_the_value(compared, garbage, side):
    lengths = [10, 15, 1, 0, 14]
    padded, mask = np.full((2, 5, 20, D), garbage), np.zeros((5, 20), int)
    start = 0
    for text, length in enumerate(lengths):
        where = slice(0, length) if side == "right" else slice(20 - length, 20)
        rows = slice(start, start + length)
        padded[0, text, where], padded[1, text, where], mask[text, where] = X[rows], Y[rows], 1
        start += length
    expected = compared(X, Y)
    assert compared(*padded, mask=mask) == expected
    assert compared(*torch.tensor(padded), mask=torch.tensor(mask)) == expected
    assert compared(*padded.reshape(2, -1, D), mask=mask.reshape(-1)) == expected


@each_comparison
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_torch_gives_what_numpy_gives(compared, dtype):
    tensors = [torch.tensor(space, dtype=dtype, requires_grad=True) for space in (X, Y)]
    same = [t.detach().numpy() if dtype != torch.bfloat16 else t.detach().float().numpy() for t in tensors]
    assert compared(*tensors) == compared(*same)
    assert value(compared, *tensors) == pytest.approx(
        expected_of(compared, *(t.detach().double().numpy() for t in tensors)), rel=1e-6
    )
    assert value(compared, tensors[0], same[1].tolist()) == pytest.approx(value(compared, *same), rel=1e-6)
    if compared.weighted:
        assert compared(*tensors, weight=torch.tensor(WEIGHT)) == compared(*same, weight=WEIGHT)


@pytest.mark.parametrize(("compared", "options"), COMPARISONS_AND_OPTIONS)
def test_results_are_plain_numbers_and_say_of_what_they_are(compared, options):
    for first, second in [(X, Y), (X.astype(np.float32), torch.tensor(Y)), PAIRS["wider"]]:
        if fits(compared, first, second, options):
            result = compared(first, second, **options)
            assert all(type(number) in (int, float) for number in result.values()), result
            assert json.loads(json.dumps(result)) == result
            assert list(result)[0] == compared.name
            assert (result["n_features1"], result["n_features2"]) == (first.shape[1], second.shape[1])
            names = ["n_samples"] if compared.paired else ["n_samples1", "n_samples2"]
            assert [result[name] for name in names] == [N] * len(names)
            assert set(result) & {"n_samples", "n_samples1", "n_samples2", "n_sampled"} == set(names)


def test_keys_of_different_comparisons_never_collide_nor_with_those_of_measures():
    keys = []
    for compared in COMPARISONS.values():
        results = [compared(X, Y, **options) for options in options_of(compared)]
        keys.append({key for result in results for key in result} - PROVENANCE)
    keys.append({key for measured in MEASURES.values() for key in measured(CLOUD, **ids_for(measured, len(CLOUD)))})
    assert sum(map(len, keys)) == len(set.union(*keys))


# Intervals and chance


@each_comparison
def test_intervals_and_nulls_come_on_request_for_rows_and_for_streams(compared):
    first = gaussian(150, 1 / np.arange(1, D + 1)) + 0.2
    second = noisy_copy(first)
    asked = {"interval": 0.9, "n_resamples": 20, "null": True, "seed": 3}
    result = compared(first, second, **asked)
    name = compared.name
    assert list(result)[0] == name and {f"{name}_low", f"{name}_high", f"{name}_null"} <= set(result)
    low, high = result[f"{name}_low"], result[f"{name}_high"]
    assert low < result[name] < high
    assert result == compared(first, second, **asked)
    assert result[f"{name}_null"] != compared(first, second, **asked | {"seed": 4})[f"{name}_null"]
    streamed = statistics_for([compared], interval=True, seed=3)
    for start in range(0, 150, 37):
        streamed[0].update(first[start : start + 37], second[start : start + 37])
    given = compared(streamed, **asked)
    assert given[name] == pytest.approx(result[name], rel=1e-10)
    assert given[f"{name}_low"] == pytest.approx(low, rel=1e-6)
    assert given[f"{name}_high"] == pytest.approx(high, rel=1e-6)


@each_comparison
def test_an_interval_has_a_level_and_enough_resamples_and_needs_rows_or_buckets(compared):
    with pytest.raises(ValueError, match="interval must be a level between 0 and 1, as in 0.95; got 95"):
        compared(X, Y, interval=95)
    with pytest.raises(ValueError, match="n_resamples must be at least 10, got 3"):
        compared(X, Y, interval=0.5, n_resamples=3)
    statistic = statistic_of(compared, (X, Y))
    if compared.paired:
        assert f"{compared.name}_low" in compared(statistic, interval=0.95, n_resamples=10)
    else:
        with pytest.raises(ValueError, match=r"statistics_for\(..., interval=True\)"):
            compared(statistic, interval=0.95)


@each_comparison
def test_an_interval_covers_the_mean_of_its_value_over_draws_at_about_its_level(compared):
    draws = []
    for seed in range(40):
        first = gaussian(200, 1 / np.arange(1, D + 1), seed=100 + seed) + 0.3
        draws.append(compared(first, noisy_copy(first, seed=seed), interval=0.8, n_resamples=30, seed=seed))
    name = compared.name
    mean = np.mean([draw[name] for draw in draws])
    covered = np.mean([draw[f"{name}_low"] <= mean <= draw[f"{name}_high"] for draw in draws])
    assert 0.6 <= covered <= 0.97


@each_comparison
def test_the_null_is_the_value_of_unrelated_rows(compared):
    unrelated = gaussian(400, np.ones(D)), gaussian(400, np.ones(D), seed=1)
    by_itself = [value(compared, *(gaussian(400, np.ones(D), seed=s + i) for i in (0, 1))) for s in range(10, 30, 2)]
    nulls = [compared(*unrelated, null=True, seed=seed)[f"{compared.name}_null"] for seed in range(10)]
    scatter = np.std(by_itself) + np.std(nulls)
    assert 0 < scatter < 0.1
    assert np.mean(nulls) == pytest.approx(np.mean(by_itself), abs=1.5 * scatter)
    related = compared(unrelated[0], unrelated[0] @ ROTATION if compared.paired else unrelated[0] + 1, null=True)
    if compared is not alignment:  # a rotation turns a row of each pair away from the other
        assert abs(related[compared.name] - related[f"{compared.name}_null"]) > 3 * scatter


def test_the_null_of_weighted_pairs_keeps_the_weights_of_either_space():
    rows = np.r_[np.zeros((1000, 1)), np.ones((1000, 1))] + 1
    weight = np.r_[np.full(1000, 3.0), np.ones(1000)]
    pairs = PairSample(size=None)
    pairs.update(rows, rows, weight=weight)
    shuffled = pairs.shuffled(0)
    for space in (shuffled.first, shuffled.second):
        assert np.average(space[:, 0], weights=shuffled.weight) == pytest.approx(1.25, abs=0.02)
    assert np.corrcoef(shuffled.first[:, 0], shuffled.second[:, 0])[0, 1] == pytest.approx(0, abs=0.1)


# Bad input


@each_comparison
def test_input_that_is_no_pair_of_spaces_is_refused(compared):
    for n in (0, 1):
        got = f"{n} and {n}" if not compared.paired else f"{n}"
        with pytest.raises(ValueError, match=f"{compared.name} needs at least 2 rows.*, got {got}$"):
            compared(np.ones((n, 3)), np.ones((n, 3)))
    with pytest.raises(ValueError, match="at least 2 rows.*, got 1"):
        compared(np.ones((3, 3)), np.ones((3, 3)), mask=[0, 1, 0])
    for which, (first, second) in {"1": (np.full((3, 2), np.nan), X[:3, :2]), "2": ([[1, 2]], [[np.inf, 1]])}.items():
        with pytest.raises(ValueError, match=f"embeddings{which}: row 0 of the embeddings holds (nan|inf)"):
            compared(first, second)
    with pytest.raises(ValueError, match="embeddings2: .*text"):
        compared(X[:2], ["a cat", "a dog"])
    with pytest.raises(ValueError, match="embeddings1: .*mask of shape"):
        compared(np.ones((2, 3, 4)), np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="embeddings1: .*ragged"):
        compared([[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0, 3.0]])
    with pytest.raises(ValueError, match="a comparison needs two spaces: pass embeddings1 and embeddings2"):
        compared(X)
    with pytest.raises(ValueError, match=r"embeddings1: weight must have shape \(40,\) to match .*, got \(3,\)"):
        compared(X, Y, weight=np.ones(3))


@each_comparison
def test_rows_that_must_be_paired_are_refused_if_there_are_more_in_one_space(compared):
    if compared.paired:
        with pytest.raises(ValueError, match="must be paired row by row, got 40 and 39 rows"):
            compared(X, Y[:-1])
    else:
        result = compared(X, Y[:-1])
        assert (result["n_samples1"], result["n_samples2"]) == (40, 39)


@each_comparison
def test_an_option_that_the_comparison_does_not_have_is_a_type_error_that_lists_those_it_has(compared):
    with pytest.raises(TypeError, match=f"{compared.name} has no option 'nonsense'; its options: ") as caught:
        compared(X, Y, nonsense=1)
    assert all(name in str(caught.value) for name in compared.options)


@pytest.mark.parametrize(
    ("compared", "option", "bad", "message"),
    [
        (neighborhood_overlap, "k", 0, "k must be at least 1, got 0"),
        (neighborhood_overlap, "k", 40, "40 neighbours need at least 41 rows, got 40"),
        (subspace_overlap, "k", 0, "k must be at least 1, got 0"),
        (subspace_overlap, "between", "nonsense", "between must be one of rows, features; got 'nonsense'"),
        (alignment, "alpha", 0, "alpha must be larger than 0, got 0"),
        (alignment, "alpha", np.nan, "alpha must be larger than 0, got nan"),
    ],
)
def test_an_option_with_a_value_it_cannot_have_is_refused(compared, option, bad, message):
    with pytest.raises(ValueError, match=message):
        compared(X, Y, **{option: bad})


@each_comparison
def test_a_comparison_takes_the_statistic_it_needs_from_a_collection_and_refuses_another(compared):
    statistics = statistics_for(COMPARISONS.values())
    for statistic in statistics:
        statistic.update(X, Y)
    assert compared(statistics) == compared(tuple(statistics)) == compared(X, Y)
    other = TwoMoments() if compared.paired else PairSample()
    with pytest.raises(TypeError, match=f"needs {compared.needs.__name__}, got {type(other).__name__}"):
        compared(other)
    with pytest.raises(ValueError, match="embeddings2 and mask belong to rows"):
        compared(statistics, Y, mask=np.ones(N))


@each_comparison
def test_few_rows_are_warned_of_with_how_many_it_wants(compared):
    wanted = compared.rows_wanted(D)
    for n in (wanted - 1, wanted):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            compared(
                gaussian(n, np.ones(3)),
                gaussian(n, np.ones(D)) if not compared.same_width else gaussian(n, np.ones(3)),
            )
        messages = [each for each in warned if "it wants" in str(each.message)]
        assert len(messages) == (n < wanted)
        for each in messages:
            assert f"{compared.name} of {n} " in str(each.message) and f"it wants {wanted:,} rows" in str(each.message)
            assert (each.category, each.filename) == (RuntimeWarning, __file__)


FLAT = np.full((N, D), 0.1)
DEGENERATE = [
    (linear_cka, (FLAT, Y), "all rows of the first space are the same"),
    (linear_cka, (X, FLAT), "all rows of the second space are the same"),
    (linear_cka, (FLAT, FLAT), "all rows of the first and of the second space are the same"),
    (linear_cka, (np.r_[FLAT[1:], X[:1]], Y), "too few rows differ from the others"),
    (procrustes_distance, (FLAT, Y), "all rows of the first space are the same"),
    (subspace_overlap, (X, FLAT.astype(np.float32)), "all rows of the second space are the same"),
    (modality_gap, (0 * X, Y), "all rows of a cloud are zero"),
    (alignment, (0 * X, Y), "every pair has a row that is zero"),
]


@pytest.mark.parametrize(("compared", "pair", "reason"), DEGENERATE)
def test_degenerate_data_give_nan_and_a_warning_that_says_why(compared, pair, reason):
    for weight in (None, WEIGHT):
        with pytest.warns(RuntimeWarning, match=f"^{compared.name} is NaN: {reason}") as warned:
            result = compared(*pair, weight=weight)
        assert [each.filename for each in warned if "is NaN" in str(each.message)] == [__file__]
        assert set(result) == set(compared(X, Y))
        counts = {"n_zero_pairs", "n_zero_rows1", "n_zero_rows2"}
        assert all(math.isnan(number) for key, number in result.items() if key not in PROVENANCE | counts)


@each_comparison
def test_the_facts_of_a_comparison_are_complete(compared):
    assert compared.paper_url.startswith(("https://huggingface.co/papers/", "https://"))
    assert " " not in compared.paper_url
    assert compared.summary.endswith(".") and "\n" not in compared.summary and len(compared.summary) < 120
    assert compared.citation.startswith("@") and compared.citation.endswith("}")
    assert compared.citation.count("{") == compared.citation.count("}")
    assert compared.needs in (PairSample, TwoMoments) and compared.paired is (compared.needs is PairSample)
    assert compared.bounds[0] <= compared.same <= compared.bounds[1] and compared.bounds[0] < compared.bounds[1]
    assert compared.module_type == "comparison" and repr(compared) == f"<comparison {compared.name}>"
    assert COMPARISONS[compared.name] is compared
    assert compared.__module__ == f"isotropy_metrics.measures.comparisons.{compared.name}"
    for section in ("Args:", "Returns:", "Raises:", "Example:", *(f"{name}: " for name in compared.options)):
        assert section in compared.__doc__
    assert "not tell" in compared.__doc__
    for key in set(compared(X, Y)) - PROVENANCE:
        assert f"`{key}`" in compared.__doc__


DOCUMENTED = {**COMPARISONS, "compare": compare, "PairSample": PairSample, "TwoMoments": TwoMoments}


@pytest.mark.filterwarnings("default:.* it wants .* rows:RuntimeWarning")
@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_in_the_docstring_are_true_and_warn_of_nothing(name):
    example = doctest.DocTestParser().get_doctest(DOCUMENTED[name].__doc__, {**DOCUMENTED}, name, None, 0)
    assert example.examples
    report = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doctest.DocTestRunner(verbose=False).run(example, out=report.append).failed == 0, "".join(report)


# Published and exact values of each


def golden_pair():
    """The golden cloud and Y = tanh(X C), C[i, j] = cos(i (j + 1)) of eight columns, as in golden.py."""
    rows = golden_cloud()
    return rows, np.tanh(rows @ np.cos(np.arange(24)[:, None] * np.arange(1, 9)[None]))


GOLDEN = [  # evaluated by an independent script
    (linear_cka, {}, golden_pair(), 0.83046494, "Song et al. 2012"),
    (linear_cka, {"debiased": False}, golden_pair(), 0.83228099, "Kornblith et al. 2019"),
    (alignment, {}, (golden_cloud()[::2], golden_cloud()[1::2]), 0.83877866, "Wang & Isola 2020, rows 2i and 2i + 1"),
]


@pytest.mark.parametrize(("compared", "options", "pair", "expected", "source"), GOLDEN)
def test_the_golden_cloud_has_its_golden_values(compared, options, pair, expected, source):
    assert value(compared, *pair, **options) == pytest.approx(expected, rel=0, abs=1e-8), source


def debiased_cka_of_gram_matrices(first, second):
    """Song et al. 2012, equation 5, with matrices of n x n."""

    def hsic(K, L):
        n = len(K)
        K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        total = np.trace(K @ L) + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (K @ L).sum()
        return total / (n * (n - 3))

    K, L = ((space - space.mean(axis=0)) @ (space - space.mean(axis=0)).T for space in (first, second))
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


@pytest.mark.parametrize(("n", "widths"), [(400, (20, 50)), (120, (300, 80)), (60, (500, 700)), (4, (3, 9))])
def test_linear_cka_equals_the_definition_with_gram_matrices(n, widths):
    common = gaussian(n, np.ones(3))
    first, second = (
        np.pad(common, [(0, 0), (0, d - 3)]) * 4 + gaussian(n, 1 / np.arange(1, d + 1), seed=d) + 10 for d in widths
    )
    expected = debiased_cka_of_gram_matrices(first, second)
    assert value(linear_cka, first, second) == pytest.approx(expected, rel=1e-10, abs=1e-10)
    for weight in (np.ones(n), np.full(n, 0.3)):  # the general formula, with equal weights
        assert value(linear_cka, first, second, weight=weight) == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_debiased_cka_of_few_rows_is_on_average_that_of_the_distribution_and_the_plain_one_is_not():
    """Y = X A + noise: HSIC of all rows there are is the squared norm of the covariance."""
    variances, A = 1 / np.arange(1, 31), np.random.default_rng(0).normal(size=(30, 20)) / 5
    cross = variances[:, None] * A
    of_second = A.T @ cross + 0.25 * np.eye(20)
    truth = (cross**2).sum() / (np.linalg.norm(variances) * np.linalg.norm(of_second))
    draws = {True: [], False: []}
    for seed in range(200):
        first = gaussian(40, variances, seed=seed)
        second = first @ A + gaussian(40, np.full(20, 0.25), seed=1000 + seed)
        for debiased, values in draws.items():
            values.append(value(linear_cka, first, second, debiased=debiased))
    standard_error = np.std(draws[True]) / np.sqrt(200)
    assert np.mean(draws[True]) == pytest.approx(truth, abs=0.01 + 3 * standard_error)
    assert np.mean(draws[False]) > truth + 0.1
    covered = [
        (result := linear_cka(first, first @ A + gaussian(200, np.full(20, 0.25), seed=1000 + seed), interval=0.9))[
            "linear_cka_low"
        ]
        <= truth
        <= result["linear_cka_high"]
        for seed in range(40)
        for first in [gaussian(200, variances, seed=seed)]
    ]
    assert 0.75 <= np.mean(covered)


def test_the_debiased_cka_needs_four_rows():
    with pytest.raises(ValueError, match="the debiased linear_cka needs at least 4 rows, got 3"):
        linear_cka(X[:3], Y[:3])
    assert 0 <= value(linear_cka, X[:3], Y[:3], debiased=False) <= 1


def test_procrustes_distance_agrees_with_scipy():
    for first, second in [(X, Y), PAIRS["unrelated"], PAIRS["permuted"]]:
        nuclear_norm = 1 - value(procrustes_distance, first, second) / 2
        assert scipy.spatial.procrustes(first, second)[2] == pytest.approx(1 - nuclear_norm**2, abs=1e-12)
        result = procrustes_distance(first, second, squared=False)
        assert result["procrustes_distance"] ** 2 == pytest.approx(2 - 2 * nuclear_norm, abs=1e-12)
        assert math.cos(math.radians(result["procrustes_angle"])) == pytest.approx(nuclear_norm, abs=1e-12)


def test_the_root_and_the_angle_of_procrustes_obey_the_triangle_inequality_and_the_square_does_not():
    angle = np.linspace(0, np.pi, 50)
    line, mixed, other = (np.stack([np.cos(angle + a), np.zeros(50)], 1) for a in (0, np.pi / 8, np.pi / 4))
    sides = {}
    for key, options in {"squared": {}, "root": {"squared": False}, "angle": {}}.items():
        name = "procrustes_angle" if key == "angle" else "procrustes_distance"
        sides[key] = [
            procrustes_distance(*pair, **options)[name] for pair in [(line, mixed), (mixed, other), (line, other)]
        ]
    for key in ("root", "angle"):
        assert sides[key][2] <= sides[key][0] + sides[key][1] + 1e-9
    assert sides["squared"][2] > sides["squared"][0] + sides["squared"][1] + 0.01


def test_neighbours_shared_by_chance_are_as_many_as_the_docstring_says():
    n, k = 200, 10
    rows = gaussian(n, np.ones(D))
    shares = [neighborhood_overlap(rows, np.random.default_rng(seed).permutation(rows)) for seed in range(30)]
    by_chance = scipy.stats.hypergeom(n - 1, k, k)
    common = np.arange(k + 1)
    jaccard = (by_chance.pmf(common) * common / (2 * k - common)).sum()
    error = 4 * np.std([each["neighborhood_overlap"] for each in shares]) / np.sqrt(30)
    assert np.mean([each["mutual_knn"] for each in shares]) == pytest.approx(k / (n - 1), abs=2 * error)
    assert np.mean([each["neighborhood_overlap"] for each in shares]) == pytest.approx(jaccard, abs=error)
    assert jaccard == pytest.approx(k / (2 * (n - 1) - k), rel=0.06)


def test_mutual_knn_counts_common_neighbours_and_copies_go_by_their_index():
    line = np.array([[0.0], [1.0], [2.1], [3.3], [4.6]])
    swapped = line[[1, 0, 2, 3, 4]]
    result = neighborhood_overlap(line, swapped, k=1)
    # nearest in line: 1, 0, 1, 2, 3; in swapped: 1, 0, 0, 2, 3
    assert result["mutual_knn"] == result["neighborhood_overlap"] == pytest.approx(4 / 5)
    result = neighborhood_overlap(line, line[::-1] ** 2, k=2)
    assert result["neighborhood_overlap"] < result["mutual_knn"]
    copies = np.repeat(X, 4, axis=0)
    assert value(neighborhood_overlap, copies, 2 * copies[:, ::-1]) == 1


def test_subspace_angles_agree_with_scipy():
    for (first, second), k in itertools.product([(X, Y), PAIRS["wider"], PAIRS["few rows"]], (1, 2, 4)):
        bases = []
        for space in (first, second):
            bases.append(np.linalg.svd(space - space.mean(axis=0))[0][:, :k])
        angles = np.degrees(scipy.linalg.subspace_angles(*bases))
        result = subspace_overlap(first, second, k=k)
        assert result["largest_principal_angle"] == pytest.approx(angles.max(), abs=1e-5)
        assert result["smallest_principal_angle"] == pytest.approx(angles.min(), abs=1e-5)
        assert result["subspace_dimensions"] == k


def test_a_subspace_has_no_more_dimensions_than_either_space():
    flat = gaussian(N, [1, 1, 1]) @ gaussian(3, np.ones(D))
    assert subspace_overlap(X, flat)["subspace_dimensions"] == 3
    assert subspace_overlap(flat.astype(np.float32).astype(float) * 1e5 + 7, X, k=3)["subspace_dimensions"] == 3
    assert subspace_overlap(X[:5], Y[:5])["subspace_dimensions"] == 4
    assert subspace_overlap(X, X @ ROTATION, k=3, between="features")["subspace_overlap"] < 0.9
    orthogonal = subspace_overlap(X * [9, 9, 1, 1, 1, 1, 1, 1], X[:, ::-1] * [1, 1, 1, 1, 1, 1, 99, 99], k=2)
    assert orthogonal["subspace_overlap"] > 0.9
    between_features = subspace_overlap(X * [9, 9, 0, 0, 0, 0, 0, 0], Y * [0, 0, 1, 1, 0, 0, 0, 0], between="features")
    assert between_features["subspace_overlap"] == pytest.approx(0, abs=1e-12)
    assert between_features["smallest_principal_angle"] == pytest.approx(90, abs=1e-5)


def test_subspaces_overlap_by_chance_as_much_as_the_docstring_says():
    rng = np.random.default_rng(0)
    values = {"rows": [], "features": []}
    for _ in range(200):
        rotation = np.linalg.qr(rng.normal(size=(D, D)))[0]
        values["rows"].append(value(subspace_overlap, X, rng.permutation(Y), k=3))
        values["features"].append(value(subspace_overlap, X, Y @ rotation, k=3, between="features"))
    for between, expected in {"rows": 3 / (N - 1), "features": 3 / D}.items():
        error = 4 * np.std(values[between]) / np.sqrt(200)
        assert np.mean(values[between]) == pytest.approx(expected, abs=error) and error < expected / 4


def test_modality_gap_of_clouds_of_other_sizes_and_with_weights_of_each():
    first, second = X[:17] + 1, Y
    weights = np.random.default_rng(0).random(17), np.random.default_rng(1).random(N)

    def centre(rows, weight):
        return np.average(rows / np.linalg.norm(rows, axis=1)[:, None], axis=0, weights=weight)

    gap = np.linalg.norm(centre(first, weights[0]) - centre(second, weights[1]))
    assert value(modality_gap, first, second, weight=weights) == pytest.approx(gap, rel=1e-12)
    assert value(modality_gap, first, second, weight=(None, weights[1])) == pytest.approx(
        np.linalg.norm(centre(first, None) - centre(second, weights[1])), rel=1e-12
    )
    mask = np.arange(17) % 2, np.arange(N) % 5 > 0
    assert modality_gap(first, second, mask=mask) == modality_gap(first[mask[0] == 1], second[mask[1]])
    with pytest.raises(ValueError, match=r"embeddings2: weight must have shape \(40,\)"):
        modality_gap(first, second, weight=np.ones(17))


def test_cosines_across_and_within_are_exact_means_over_all_pairs_and_give_the_gap_without_bias():
    first, second = np.r_[X[:15] + 1, np.zeros((2, D))], Y
    result = modality_gap(first, second)
    units = [space / np.linalg.norm(space, axis=1)[:, None] for space in (first[:15], second)]
    assert result["cross_cosine"] == pytest.approx((units[0] @ units[1].T).mean(), rel=1e-12)
    for i, unit in enumerate(units, start=1):
        cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
        assert result[f"within_cosine{i}"] == pytest.approx(cosines.mean(), rel=1e-12)
    assert (result["n_zero_rows1"], result["n_zero_rows2"]) == (2, 0)

    def squares(seed):
        values = modality_gap(
            gaussian(20, np.ones(3), seed) + [2, 0, 0], gaussian(20, np.ones(3), seed + 1) + [0, 1, 0]
        )
        unbiased = values["within_cosine1"] + values["within_cosine2"] - 2 * values["cross_cosine"]
        return values["modality_gap"] ** 2, unbiased

    plain, unbiased = np.mean([squares(seed) for seed in range(0, 600, 2)], axis=0)
    truth = value(
        modality_gap, gaussian(400_000, np.ones(3)) + [2, 0, 0], gaussian(400_000, np.ones(3), 1) + [0, 1, 0]
    )
    assert unbiased == pytest.approx(truth**2, abs=0.01) and plain > truth**2 + 0.02
    lonely = modality_gap(np.r_[X[:1], np.zeros((3, D))], Y)
    assert math.isnan(lonely["within_cosine1"]) and lonely["modality_gap"] > 0


def test_the_gap_of_isotropic_clouds_is_that_of_their_numbers():
    gaps = [value(modality_gap, gaussian(200, np.ones(64), s), gaussian(50, np.ones(64), s + 1)) for s in range(20)]
    assert np.mean(gaps) == pytest.approx(np.sqrt(1 / 200 + 1 / 50), rel=0.05)
    assert value(modality_gap, np.ones((3, 2)), -np.ones((5, 2))) == pytest.approx(2)


def test_alignment_is_two_less_twice_the_cosine_and_counts_zero_rows():
    cosines = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    assert value(alignment, X, Y) == pytest.approx(2 - 2 * cosines.mean(), rel=1e-12)
    with_zeros = alignment(*PAIRS["zero rows"])
    assert with_zeros["n_zero_pairs"] == 2
    assert with_zeros["alignment"] == pytest.approx(value(alignment, X, Y), rel=1e-12)
    assert value(alignment, X, -X, alpha=3.0) == pytest.approx(8)


# compare: all of them at once


def test_comparing_all_at_once_equals_comparing_one_by_one():
    one_by_one = {}
    for compared in COMPARISONS.values():
        one_by_one |= compared(X, Y)
    assert compare(X, Y) == compare(X, Y, COMPARISONS) == compare(X, Y, list(COMPARISONS.values())) == one_by_one
    assert compare(X, Y, "linear_cka") == compare(X, Y, linear_cka) == linear_cka(X, Y)
    asked = {"interval": 0.9, "null": True, "n_resamples": 10, "seed": 3}
    result = compare(X, Y, **asked)
    for name, compared in COMPARISONS.items():
        alone = compared(X, Y, **asked)
        assert {key: result[key] for key in alone} == pytest.approx(alone, rel=1e-9)
        assert {f"{name}_low", f"{name}_high", f"{name}_null"} <= set(result)


def test_comparing_all_at_once_makes_one_pass(monkeypatch):
    calls = []
    for kind in (PairSample, TwoMoments):

        def counted(self, *arguments, _update=kind.update, **keywords):
            calls.append(type(self))
            _update(self, *arguments, **keywords)

        monkeypatch.setattr(kind, "update", counted)
    compare(X, Y)
    assert sorted(kind.__name__ for kind in calls) == ["PairSample", "TwoMoments"]
    calls.clear()
    compare(X, Y, [linear_cka, "procrustes_distance"])
    assert calls == [PairSample]


def test_what_is_compared_by_default_is_what_the_shapes_allow():
    def compared_by_default(*spaces, **arguments):
        return set(compare(*spaces, **arguments)) & set(COMPARISONS)

    assert compared_by_default(X, Y) == set(COMPARISONS)
    assert compared_by_default(X.tolist(), torch.tensor(Y)) == set(COMPARISONS)
    unpaired = {name for name, each in COMPARISONS.items() if not each.paired}
    any_width = {name for name, each in COMPARISONS.items() if not each.same_width}
    assert compared_by_default(X, Y[:20]) == unpaired == {"modality_gap"}
    assert compared_by_default(X, Y[:, :5]) == any_width
    weighted = {name for name, each in COMPARISONS.items() if each.weighted}
    assert compared_by_default(X, Y, weight=WEIGHT) == weighted == set(COMPARISONS) - {"neighborhood_overlap"}
    with pytest.raises(ValueError, match="no comparison of spaces that differ both in the number of rows and"):
        compare(X, Y[:20, :5])
    with pytest.raises(ValueError, match="a comparison needs two spaces"):
        compare(X)


def test_statistics_are_compared_in_place_of_rows():
    statistics = statistics_for(COMPARISONS.values(), size=20, seed=5)
    for rows in (slice(0, 13), slice(13, N)):
        for statistic in statistics:
            statistic.update(X[rows], Y[rows], mask=None, weight=None)
    result = compare(statistics)
    assert result == pytest.approx(compare(X, Y, sample_size=20, seed=5), rel=1e-9)
    assert result["n_sampled"] == 20 and result["n_samples"] == N
    options = {"linear_cka": {"debiased": False}}
    for names in (["linear_cka", "modality_gap"], "linear_cka", linear_cka):
        expected = compare(X, Y, names, options=options, sample_size=20, seed=5)
        assert compare(statistics, names, options=options) == pytest.approx(expected, rel=1e-9)
        assert compare(statistics, None, names, options=options) == compare(statistics, names, options=options)
    assert set(compare(statistics[0])) & set(COMPARISONS) == {n for n, c in COMPARISONS.items() if c.paired}
    with pytest.raises(ValueError, match="weight belong to rows"):
        compare(statistics, weight=WEIGHT)
    with pytest.raises(ValueError, match="embeddings2 belong to rows"):
        compare(statistics, Y, "linear_cka")
    weighted = statistic_of_kind(PairSample, (X, Y[:, :5]), weight=WEIGHT)
    assert set(compare(weighted)) & set(COMPARISONS) == {"linear_cka", "procrustes_distance", "subspace_overlap"}


def test_a_value_from_a_sample_says_of_how_many_pairs():
    first = gaussian(500, 1 / np.arange(1, D + 1))
    second = noisy_copy(first)
    result = compare(first, second, sample_size=100, seed=3)
    assert (result["n_samples"], result["n_sampled"]) == (500, 100)
    assert result == compare(first, second, sample_size=100, seed=3)
    assert result["linear_cka"] != compare(first, second, sample_size=100, seed=4)["linear_cka"]
    assert result["modality_gap"] == modality_gap(first, second)["modality_gap"]
    for size in (None, 500):
        assert "n_sampled" not in compare(first, second, sample_size=size)
    assert alignment(np.ones((10_001, 2)), np.ones((10_001, 2)))["n_sampled"] == 10_000


def test_options_and_names_go_to_the_comparison_they_name():
    result = compare(X, Y, ["subspace_overlap"], options={"subspace_overlap": {"k": 3, "between": "features"}})
    assert result == subspace_overlap(X, Y, k=3, between="features")
    with pytest.raises(TypeError, match="options are by comparison.*'k'"):
        compare(X, Y, "subspace_overlap", options={"k": 3})
    for names in ("linear_ck", ["linear_cka", "linear_ck"]):
        with pytest.raises(ValueError, match="there is no comparison 'linear_ck'; there are: .*linear_cka"):
            compare(X, Y, names)
    with pytest.raises(ValueError, match="no comparison named; there are: "):
        compare(X, Y, [])
    assert find_comparisons() == list(COMPARISONS.values())
    assert list(COMPARISONS) == sorted(COMPARISONS)


# The statistics


@pytest.mark.parametrize("kind", [PairSample, TwoMoments])
@pytest.mark.parametrize("bad", ["first nan", "second inf", "first width", "second width", "swapped"])
def test_a_refused_batch_leaves_the_statistic_as_it_was(kind, bad):
    statistic = statistic_of_kind(kind, (X, Y[:, :5]))
    before = pickle.dumps(statistic.state_dict())
    first, second = X[:9].copy(), Y[:9, :5].copy()
    match bad:
        case "first nan":
            first[4, 2] = np.nan
            message = "embeddings1: row 4 .* holds nan"
        case "second inf":
            second[7, 2] = np.inf
            message = "embeddings2: row 7 .* holds inf"
        case "first width":
            first, message = first[:, :7], "embeddings1: these rows have 7 features, the rows so far had 8"
        case "second width":
            second, message = second[:, :4], "embeddings2: these rows have 4 features, the rows so far had 5"
        case "swapped":
            first, second, message = second, first, "embeddings1: these rows have 5 features, the rows so far had 8"
    with pytest.raises(ValueError, match=message):
        statistic.update(first, second)
    assert pickle.dumps(statistic.state_dict()) == before


@pytest.mark.parametrize("kind", [PairSample, TwoMoments])
def test_a_statistic_merges_with_its_like_only(kind):
    statistic = statistic_of_kind(kind, (X, Y[:, :5]))
    before = pickle.dumps(statistic.state_dict())
    for other in (Moments(), RowSample(), TwoMoments() if kind is PairSample else PairSample()):
        with pytest.raises(TypeError, match="merge"):
            statistic.merge(other)
    for other in [(Y[:, :5], X), (X, Y[:, :4]), (X[:, :7], Y[:, :6])]:
        with pytest.raises(ValueError, match="features"):
            statistic.merge(statistic_of_kind(kind, other))
    assert pickle.dumps(statistic.state_dict()) == before
    assert statistic.widths == (8, 5)


@pytest.mark.parametrize("kind", [PairSample, TwoMoments])
def test_an_empty_statistic_has_no_width_and_an_empty_batch_does_not_give_it_one(kind):
    empty = statistic_of_kind(kind, (np.empty((0, 3)), np.empty((0, 4))))
    assert (empty.n_rows, empty.widths) == (0, (None, None))
    empty.merge(statistic_of_kind(kind, (X, Y[:, :5])))
    assert empty.widths == (8, 5)
    restored = kind.from_state_dict(kind().state_dict())
    assert (restored.n_rows, restored.widths) == (0, (None, None))
    assert "0" in repr(restored)


def test_buckets_of_two_moments_keep_pairs_together_and_merge():
    parts = [TwoMoments(buckets=True, seed=2, stream=stream) for stream in (0, 1)]
    parts[0].update(X[:25], X[:25])
    parts[1].update(X[25:], X[25:])
    merged = parts[0].merge(parts[1])
    assert merged.n_rows == 2 * N and merged.widths == (8, 8)
    np.testing.assert_allclose(merged.whole.first.mean, X.mean(axis=0), atol=1e-12)
    for half in merged.halves(5, seed=1):
        np.testing.assert_array_equal(half.first.mean, half.second.mean)
        assert 5 < half.first.n_rows < 35
    assert modality_gap(pickle.loads(pickle.dumps(merged))) == modality_gap(merged)
    with pytest.raises(TypeError, match="merge with their like"):
        merged.merge(TwoMoments())
    again = TwoMoments.from_state_dict(merged.state_dict())
    assert modality_gap(again, interval=0.9) == modality_gap(merged, interval=0.9)
    with pytest.raises(ValueError, match="not a state of TwoMoments: second_parts missing"):
        TwoMoments.from_state_dict({key: value for key, value in merged.state_dict().items() if key != "second_parts"})


def test_pairs_of_a_sample_stay_pairs_in_halves_and_subsets():
    rows = np.arange(100.0)[:, None] * np.ones(2)
    pairs = PairSample(size=50, seed=1)
    for at in range(0, 100, 30):
        pairs.update(rows[at : at + 30], 10 * rows[at : at + 30, :1])
    samples = [pairs, *pairs.halves(3), pairs.subset(np.arange(7)), pickle.loads(pickle.dumps(pairs))]
    for sample in samples:
        assert (sample.second == 10 * sample.first[:, :1]).all()
    counts = collections.Counter(len(sample.rows) for sample in samples)
    assert counts == {50: 2, 25: 3, 7: 1}


def test_sentences_keep_their_pairs_together_and_widen_the_interval_of_what_depends_within_them():
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=(60, 6)), 10, axis=0)
    X = shared + 0.1 * rng.normal(size=shared.shape)
    Y = np.repeat(rng.normal(size=(60, 6)), 10, axis=0) + shared + 0.1 * rng.normal(size=shared.shape)
    sentences = np.repeat(np.arange(60), 10)
    asked = {"interval": 0.9, "n_resamples": 60}
    widths = []
    for ids in ({}, {"sentences": sentences}):
        result = COMPARISONS["linear_cka"](X, Y, **asked, **ids)
        assert compare(X, Y, ["linear_cka"], **asked, **ids) == result
        widths.append(result["linear_cka_high"] - result["linear_cka_low"])
    assert widths[1] > 2 * widths[0]
    pairs = PairSample(size=100)
    pairs.update(X, Y, sentences=sentences)
    assert len(pairs.rows) == 100 and set(np.unique(pairs.sentences, return_counts=True)[1]) == {10}
    with pytest.raises(ValueError, match="modality_gap has no use for sentences"):
        COMPARISONS["modality_gap"](X, Y, sentences=sentences)
    with pytest.raises(ValueError, match="linear_cka compares two spaces: use compare"):
        measure(X, [COMPARISONS["linear_cka"]])
