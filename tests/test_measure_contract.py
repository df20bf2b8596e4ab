"""One contract for every measure.

A new measure is tested as soon as its file exists; it needs a function in references/ and nothing here.
"""

from __future__ import annotations

import doctest
import itertools
import json
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from clouds import CLOUD, CLOUDS, gaussian, ids_for
from hypothesis import given, settings
from hypothesis import strategies as st
from references import OPTIONS, REFERENCES

import isotropy_metrics
from isotropy_metrics.measures import MEASURES, find_measures, measure, statistics_for
from isotropy_metrics.measures._measure import OfDimension
from isotropy_metrics.statistics import ClassMoments, Moments, RowSample, UnitMoments, UnitSums

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")

each_measure = pytest.mark.parametrize("measured", MEASURES.values(), ids=MEASURES)
PROVENANCE = {"n_samples", "n_features", "n_sampled"}
SPLITS = ([120], [1] * 120, [7] * 17 + [1], [0, 50, 0, 69, 1], [1, 119])


OF_SIZE = [("k", 1), ("t", 2.0)]
"""Options that change the isotropic value, and the one at which the record gives it."""


def options_of(measured):
    grid = OPTIONS.get(measured.name, {})
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


MEASURES_AND_OPTIONS = [
    pytest.param(m, o, id="-".join([m.name, *map(str, o.values())])) for m in MEASURES.values() for o in options_of(m)
]
WEIGHTED = [each for each in MEASURES_AND_OPTIONS if each.values[0].weighted]


def result_of(measured, rows, start=0, **arguments):
    """The result, with the ids that the measure needs."""
    return measured(rows, **ids_for(measured, len(rows), start), **arguments)


def value(measured, rows, **arguments):
    """The value alone."""
    return result_of(measured, rows, **arguments)[measured.name]


def expected_of(measured, rows, weight=None, **options):
    return REFERENCES[measured.name](rows, weight, **ids_for(measured, len(rows)), **options)


def alike(given, expected, **tolerance):
    """Whether two results have the same keys and, within the tolerance, the same numbers and lists of numbers."""
    assert list(given) == list(expected)
    return all(given[key] == pytest.approx(expected[key], **tolerance) for key in expected)


def statistic_of(measured, *batches, start=0, **arguments):
    statistic = measured.needs()
    for batch in batches:
        statistic.update(batch, **ids_for(measured, len(batch), start), **arguments)
        start += len(batch)
    return statistic


@each_measure
def test_every_measure_has_a_reference_for_all_of_its_options(measured):
    assert measured.name in REFERENCES
    assert set(OPTIONS[measured.name]) == set(measured.options)
    for name, default in measured.options.items():
        assert default == OPTIONS[measured.name][name][0]


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_value_equals_the_reference(measured, options, cloud):
    rows = CLOUDS[cloud]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is NaN: ", RuntimeWarning)
        given = value(measured, rows, **options)
    assert given == pytest.approx(expected_of(measured, rows, **options), rel=1e-8, abs=1e-10, nan_ok=True)


@pytest.mark.parametrize(("measured", "options"), WEIGHTED)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_weighted_value_equals_the_reference(measured, options, cloud):
    rows = CLOUDS[cloud]
    weight = np.random.default_rng(1).integers(0, 4, len(rows)) / 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is NaN: ", RuntimeWarning)
        given = value(measured, rows, weight=weight, **options)
    assert given == pytest.approx(expected_of(measured, rows, weight, **options), rel=1e-8, abs=1e-10, nan_ok=True)


@each_measure
def test_weights_without_a_meaning_are_refused(measured):
    if not measured.weighted:
        with pytest.raises(ValueError, match=f"{measured.name} has no meaning for weights"):
            result_of(measured, CLOUD, weight=np.ones(len(CLOUD)))


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_value_is_within_its_bounds(measured, options):
    lowest, highest = measured.bounds
    slack = 0.05 if options.get("unbiased") else 1e-9
    for rows in [*CLOUDS.values(), gaussian(100, [1, 0, 0]), 1e3 * CLOUD]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* is NaN: ", RuntimeWarning)
            given = value(measured, rows, **options)
        top = highest.value(rows.shape[1]) if isinstance(highest, OfDimension) else highest
        assert math.isnan(given) or lowest - slack <= given <= top + slack


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_a_large_gaussian_has_the_isotropic_value(measured, options):
    rows = gaussian(20_000, np.ones(6))
    isotropic = measured.isotropic_value(6)
    if isotropic is not None and not any(options.get(name, default) != default for name, default in OF_SIZE):
        assert value(measured, rows, **options) == pytest.approx(isotropic, rel=0.1, abs=0.05)


CHANGES = {
    "translation": lambda rows: rows + np.linspace(-2, 5, rows.shape[1]),
    "rotation": lambda rows: rows @ np.linalg.qr(np.random.default_rng(2).normal(size=(rows.shape[1],) * 2))[0],
    "scale": lambda rows: rows * 3.7,
}
SHOWN_ON = {"outlier_dimensions": gaussian(120, np.ones(32)) + 5 * np.eye(32)[0]}
"""Where the usual cloud has nothing to show."""


@each_measure
@pytest.mark.parametrize("change", CHANGES)
def test_exactly_the_declared_invariances_hold(measured, change):
    assert set(measured.invariant_to) <= set(CHANGES)
    rows = SHOWN_ON.get(measured.name, CLOUD)
    before, after = value(measured, rows), value(measured, CHANGES[change](rows))
    if change in measured.invariant_to:
        assert after == pytest.approx(before, rel=1e-8, abs=1e-12)
    else:
        assert abs(after - before) > 0.01 * abs(before)


@each_measure
@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_scale_invariant_measures_bear_any_scale(measured, scale):
    if "scale" in measured.invariant_to:
        assert value(measured, CLOUD * scale) == pytest.approx(value(measured, CLOUD), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_any_split_into_batches_gives_the_same_value(measured, options, dtype, tolerance):
    rows = CLOUD.astype(dtype)
    expected = expected_of(measured, rows, **options)
    tolerance *= 100 if options.get("subtract_floor") else 1  # a difference of two nearly equal numbers
    for sizes in SPLITS:
        batches = np.split(rows, np.cumsum(sizes)[:-1])
        given = measured(statistic_of(measured, *batches), **options)[measured.name]
        assert given == pytest.approx(expected, rel=tolerance, abs=1e-12 if dtype is np.float64 else tolerance)


@pytest.mark.filterwarnings("ignore:.* is NaN. no word has 5 occurrences:RuntimeWarning")
@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_directions_without_rows_add_nothing(measured, options, dtype, tolerance):
    """The root of a rounding error of 1e-16 is 1e-8, and of one of 1e-7 it is 3e-4, in each of 350 directions."""
    rows = (gaussian(50, 1 / np.arange(1, 401)) + 0.1).astype(dtype)
    expected = expected_of(measured, rows, **options)
    assert value(measured, rows, **options) == pytest.approx(expected, rel=tolerance, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_float32_rows_far_from_the_origin_lose_nothing(measured, options):
    rows = (gaussian(1000, 1 / np.arange(1, 9)) + 1000).astype(np.float32)
    given = result_of(measured, rows, **options)
    expected = result_of(measured, rows.astype(np.float64), **options)
    # F of raw rows at 1000 is of the size exp(1000 · √d): compare the logarithm, which the rounding is relative to
    key = f"{measured.name}_log10" if f"{measured.name}_log10" in given else measured.name
    assert given[key] == pytest.approx(expected[key], rel=1e-5, abs=1e-9)


@each_measure
def test_merges_in_any_order_and_with_empty_ones_give_the_same_value_and_leave_their_sources(measured):
    expected = value(measured, CLOUD)
    for order in itertools.permutations(range(3)):
        parts = [
            statistic_of(measured, batch, start=start)
            for batch, start in zip(np.split(CLOUD, [10, 70]), [0, 10, 70], strict=True)
        ]
        before = [pickle.dumps(part.state_dict()) for part in parts]
        merged = measured.needs().merge(measured.needs())
        for i in order:
            merged.merge(parts[i]).merge(measured.needs())
        first = measured(merged)[measured.name]
        assert first == pytest.approx(expected, rel=1e-10, abs=1e-12)
        assert measured(merged)[measured.name] == first
        assert [pickle.dumps(part.state_dict()) for part in parts] == before


@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=6))
@settings(max_examples=20)
def test_any_mixture_of_updates_and_merges_gives_the_same_values(cuts):
    cuts = sorted(cuts)
    label_free = find_measures()
    statistics, others = statistics_for(label_free), statistics_for(label_free)
    for batch, aside in zip(np.split(CLOUD, [at for at, _ in cuts]), [a for _, a in cuts] + [False], strict=True):
        for statistic in others if aside else statistics:
            statistic.update(batch)
    for statistic, other in zip(statistics, others, strict=True):
        statistic.merge(other)
    assert alike(measure(statistics), measure(CLOUD), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_measuring_twice_gives_the_same_and_changes_nothing(measured, options):
    statistic = statistic_of(measured, CLOUD)
    before = pickle.dumps(statistic.state_dict())
    assert measured(statistic, **options) == measured(statistic, **options) == result_of(measured, CLOUD, **options)
    assert pickle.dumps(statistic.state_dict()) == before


@each_measure
@pytest.mark.parametrize("garbage", [0.0, 1e6, np.nan, np.inf])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_part_in_the_value(measured, garbage, side):
    lengths = [20, 35, 1, 0, 40, 24]
    padded, mask = np.full((6, 40, 8), garbage), np.zeros((6, 40), int)
    ids = {name: np.zeros((6, 40), int) for name in measured.ids}
    own = ids_for(measured, len(CLOUD))
    start = 0
    for text, length in enumerate(lengths):
        where = slice(0, length) if side == "right" else slice(40 - length, 40)
        padded[text, where], mask[text, where] = CLOUD[start : start + length], 1
        for name, values in ids.items():
            values[text, where] = own[name][start : start + length]
        start += length
    expected = result_of(measured, CLOUD)
    assert measured(padded, mask=mask, **ids) == expected
    tensors = {name: torch.tensor(values) for name, values in ids.items()}
    assert measured(torch.tensor(padded), mask=torch.tensor(mask), **tensors) == expected
    flat = {name: values.reshape(-1) for name, values in ids.items()}
    assert measured(padded.reshape(-1, 8), mask=mask.reshape(-1), **flat) == expected


@pytest.mark.parametrize(("measured", "options"), WEIGHTED)
def test_the_unit_of_the_weights_does_not_matter(measured, options):
    weight = np.random.default_rng(1).random(len(CLOUD))
    expected = value(measured, CLOUD, weight=weight, **options)
    for factor in (1e-6, 100.0):
        given = value(measured, CLOUD, weight=weight * factor, **options)
        assert given == pytest.approx(expected, rel=1e-9, abs=1e-12)
    ones = value(measured, CLOUD, weight=np.full(len(CLOUD), 0.1), **options)
    assert ones == pytest.approx(value(measured, CLOUD, **options), rel=1e-9, abs=1e-12)


@each_measure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_torch_gives_what_numpy_gives(measured, dtype):
    tensor = torch.tensor(CLOUD, dtype=dtype, requires_grad=True)
    same = tensor.detach().numpy() if dtype != torch.bfloat16 else tensor.detach().float().numpy()
    assert result_of(measured, tensor) == result_of(measured, same)
    expected = expected_of(measured, tensor.detach().double().numpy())
    assert value(measured, tensor) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    if measured.weighted:
        weight = np.random.default_rng(1).random(len(CLOUD))
        assert result_of(measured, tensor, weight=torch.tensor(weight)) == result_of(measured, same, weight=weight)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_pickle_and_state_dict_keep_the_value(measured, options):
    weight = {"weight": np.random.default_rng(1).random(len(CLOUD))} if measured.weighted else {}
    statistic = statistic_of(measured, CLOUD, **weight)
    expected = measured(statistic, **options)
    for again in (
        pickle.loads(pickle.dumps(statistic)),
        type(statistic).from_state_dict(statistic.state_dict()),
        pickle.loads(pickle.dumps(statistic)).merge(measured.needs()),
    ):
        assert alike(measured(again, **options), expected, rel=1e-12)


def is_plain(item):
    return type(item) in (int, float) or (
        isinstance(item, list) and all(type(entry) in (int, float) for entry in item)
    )


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_results_are_plain_numbers_and_say_of_how_many_rows(measured, options):
    for rows in (CLOUD, CLOUD.astype(np.float32), torch.tensor(CLOUD)):
        result = result_of(measured, rows, **options)
        assert all(map(is_plain, result.values())), result
        assert type(result[measured.name]) in (int, float)
        assert json.loads(json.dumps(result)) == result
        assert list(result)[0] == measured.name
        assert (result["n_samples"], result["n_features"]) == (120, 8)
        assert "n_sampled" not in result


def test_keys_of_different_measures_never_collide():
    keys = []
    for measured in MEASURES.values():
        results = [result_of(measured, CLOUD, **options) for options in options_of(measured)]
        keys.append({key for result in results for key in result} - PROVENANCE)
    assert sum(map(len, keys)) == len(set.union(*keys))


@each_measure
def test_intervals_and_nulls_come_on_request_for_rows_and_for_streams(measured):
    rows = gaussian(300, 1 / np.arange(1, 9)) + 0.2
    asked = {"interval": 0.9, "n_resamples": 20, "null": True, "seed": 3}
    result = result_of(measured, rows, **asked)
    name = measured.name
    assert list(result)[0] == name and {f"{name}_low", f"{name}_high", f"{name}_null"} <= set(result)
    is_count = type(result[name]) is int
    low, high = result[f"{name}_low"], result[f"{name}_high"]
    assert low < high or (is_count and low == high)
    assert low - (high - low) <= result[name] <= high + (high - low)
    assert result == result_of(measured, rows, **asked)
    if not is_count:
        assert result[f"{name}_null"] != result_of(measured, rows, **asked | {"seed": 4})[f"{name}_null"]

    streamed = statistics_for([measured], interval=True, seed=3)[0]
    for start in range(0, 300, 77):
        batch = rows[start : start + 77]
        streamed.update(batch, **ids_for(measured, len(batch), start))
    given = measured(streamed, **asked)
    assert given[name] == pytest.approx(result[name], rel=1e-10)
    assert given[f"{name}_low"] < given[f"{name}_high"] or is_count


@each_measure
def test_nulls_scatter_about_the_value_of_isotropic_rows_of_the_same_scale(measured):
    rows = [1.7 * gaussian(400, np.ones(6), seed) for seed in range(8)]
    results = [result_of(measured, each, null=True, seed=seed) for seed, each in enumerate(rows)]
    values = np.array([[result[measured.name], result[f"{measured.name}_null"]] for result in results], dtype=float)
    difference, error = np.diff(values.mean(axis=0))[0], np.sqrt((values.var(axis=0, ddof=1) / len(values)).sum())
    assert abs(difference) <= 4.5 * error


@each_measure
def test_an_interval_needs_rows_or_buckets(measured):
    statistic = statistic_of(measured, CLOUD)
    if isinstance(statistic, RowSample):
        assert f"{measured.name}_low" in measured(statistic, interval=0.95, n_resamples=10)
    else:
        with pytest.raises(
            ValueError, match=r"needs rows, or statistics from statistics_for\(measures, interval=True"
        ):
            measured(statistic, interval=0.95)
    with pytest.raises(ValueError, match="interval must be a level between 0 and 1, as in 0.95; got 95"):
        result_of(measured, CLOUD, interval=95)
    with pytest.raises(ValueError, match="n_resamples must be at least 10, got 3"):
        result_of(measured, CLOUD, interval=0.5, n_resamples=3)


@each_measure
def test_input_that_is_no_cloud_is_refused(measured):
    for n in (0, 1):
        with pytest.raises(ValueError, match=f"{measured.name} needs at least 2 rows, got {n}"):
            result_of(measured, np.ones((n, 3)))
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        result_of(measured, np.ones((3, 3)), mask=[0, 1, 0])
    with pytest.raises(ValueError, match="row 1 .*nan"):
        result_of(measured, [[1.0, 2.0], [np.nan, 1.0]])
    with pytest.raises(ValueError, match="text"):
        result_of(measured, ["a cat", "a dog"])
    with pytest.raises(ValueError, match="mask of shape"):
        result_of(measured, np.ones((2, 3, 4)))


@each_measure
def test_ids_that_are_missing_or_of_no_use_are_refused(measured):
    for name in measured.ids:
        ids = ids_for(measured, len(CLOUD))
        ids.pop(name)
        with pytest.raises(ValueError, match=f"needs? {name}"):
            measured(CLOUD, **ids)
        with pytest.raises(ValueError, match=rf"{name} must have shape \(120,\) to match the embeddings, got \(5,\)"):
            measured(CLOUD, **ids, **{name: [1, 2, 3, 4, 5]})
    if measured.needs in (UnitSums, Moments, UnitMoments):
        with pytest.raises(ValueError, match=f"{measured.name} has no use for references"):
            measured(CLOUD, references=np.zeros(120, int))
    if measured.ids:
        text = {name: [f"id {i}" for i in values] for name, values in ids_for(measured, 120).items()}
        assert measured(CLOUD, **text)[measured.name] == pytest.approx(value(measured, CLOUD), rel=1e-12)
    with pytest.raises(ValueError, match="belong to rows"):
        measured(statistic_of(measured, CLOUD), words=np.zeros(120, int))


@each_measure
def test_an_option_that_the_measure_does_not_have_is_a_type_error_that_lists_those_it_has(measured):
    with pytest.raises(TypeError, match=f"{measured.name} has no option 'nonsense'; its options: ") as caught:
        result_of(measured, CLOUD, nonsense=1)
    assert all(name in str(caught.value) for name in measured.options)


@pytest.mark.parametrize(
    ("measured", "option"),
    [(m, option) for m in MEASURES.values() for option, default in m.options.items() if isinstance(default, str)],
)
def test_an_option_with_a_value_it_does_not_know_is_refused(measured, option):
    with pytest.raises(ValueError, match=f"{option} must be one of .*nonsense"):
        result_of(measured, CLOUD, **{option: "nonsense"})


@each_measure
def test_a_measure_takes_the_statistic_it_needs_from_a_collection_and_refuses_another(measured):
    statistics = statistics_for(MEASURES.values())
    for statistic in statistics:
        ids = ids_for(measured, 120) if isinstance(statistic, RowSample) else {}
        ids = {"references": np.arange(120) % 3} if isinstance(statistic, ClassMoments) else ids
        statistic.update(CLOUD, **ids)
    expected = result_of(measured, CLOUD)
    is_served_by_another = measured.needs not in {type(statistic) for statistic in statistics}
    assert measured(statistics) == (pytest.approx(expected, rel=1e-12) if is_served_by_another else expected)
    other = RowSample() if measured.needs is not RowSample else ClassMoments()
    with pytest.raises(TypeError, match=f"needs {measured.needs.__name__}, got {type(other).__name__}"):
        measured(other)


@each_measure
def test_few_rows_are_warned_of_with_how_many_it_wants(measured):
    wanted = measured.rows_wanted(8)
    assert 2 < wanted <= 100_000
    rows = gaussian(min(wanted - 1, 200), np.ones(8))
    with pytest.warns(
        RuntimeWarning, match=f"{measured.name} of {len(rows)} rows in 8 dimensions: it wants"
    ) as warned:
        result_of(measured, rows)
    messages = [str(each.message) for each in warned if "it wants" in str(each.message)]
    assert len(messages) == 1 and f"it wants {wanted:,} rows" in messages[0] and "transpose" not in messages[0]
    if wanted <= 5000:
        with warnings.catch_warnings(record=True) as quiet:
            warnings.simplefilter("always")
            result_of(measured, gaussian(wanted, np.ones(8)))
        assert not [each for each in quiet if "it wants" in str(each.message)]
    with pytest.warns(RuntimeWarning, match="or transpose if the rows are the 8"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is NaN: ", RuntimeWarning)
        try:
            result_of(measured, CLOUD[:7])
        except ValueError as error:  # neighbours, that so few rows do not have
            assert "neighbours need at least" in str(error)


@each_measure
def test_the_facts_of_a_measure_are_complete(measured):
    assert measured.paper_url.startswith(("https://huggingface.co/papers/", "https://"))
    assert " " not in measured.paper_url
    assert measured.summary.endswith(".") and "\n" not in measured.summary and len(measured.summary) < 120
    assert measured.citation.startswith("@") and measured.citation.endswith("}")
    assert measured.citation.count("{") == measured.citation.count("}")
    assert measured.needs in (UnitSums, Moments, UnitMoments, ClassMoments, RowSample)
    highest = measured.bounds[1].value(8) if isinstance(measured.bounds[1], OfDimension) else measured.bounds[1]
    assert measured.bounds[0] < highest
    isotropic = measured.isotropic_value(8)
    assert isotropic is None or measured.bounds[0] <= isotropic <= highest
    assert MEASURES[measured.name] is measured is getattr(isotropy_metrics, measured.name)
    assert measured.__module__ == f"isotropy_metrics.measures.{measured.name}"
    for section in (
        "Args:",
        "Returns:",
        "Raises:",
        "Example:",
        "Facts:",
        "Range: ",
        "Rows wanted: ",
        *(f"{name}: " for name in measured.options),
    ):
        assert section in measured.__doc__
    assert "What it does not tell: " in measured.__doc__
    assert f"Source: {measured.paper_url}" in measured.__doc__ and "Unchanged by: " in measured.__doc__


DOCUMENTED = {m.name: m for m in MEASURES.values()} | {"Moments": Moments, "RowSample": RowSample, "measure": measure}


@pytest.mark.filterwarnings("default:.* it wants .* rows:RuntimeWarning")
@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_in_the_docstring_are_true_and_warn_of_nothing(name):
    names = {**DOCUMENTED}
    example = doctest.DocTestParser().get_doctest(DOCUMENTED[name].__doc__, names, name, None, 0)
    assert example.examples
    report = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doctest.DocTestRunner(verbose=False).run(example, out=report.append).failed == 0, "".join(report)


@each_measure
def test_weights_of_which_fewer_than_two_count_leave_nothing_to_measure(measured):
    for options in options_of(measured):
        for weight in (np.zeros(len(CLOUD)), np.arange(len(CLOUD)) == 7):
            with pytest.raises(ValueError, match=f"at least 2 rows, got {sum(weight):.0f}"):
                result_of(measured, CLOUD, weight=weight, **options)


# measure(): several at once


def test_one_call_gives_all_values_and_options_go_to_the_measure_they_name():
    ids = {"references": np.arange(120) % 3, "words": np.arange(120) % 25, "sentences": np.arange(120) // 6}
    result = measure(CLOUD, **ids)
    assert {each.name for each in MEASURES.values()} <= set(result)
    without = measure(CLOUD)
    assert {each.name for each in MEASURES.values() if not each.ids} == set(without) & set(MEASURES)
    for each in find_measures():
        alone = each(CLOUD)
        assert without[each.name] == pytest.approx(alone[each.name], rel=1e-12)
    chosen = measure(CLOUD, ["isoscore"], options={"isoscore": {"unbiased": True}})
    assert chosen == MEASURES["isoscore"](CLOUD, unbiased=True)
    with pytest.raises(TypeError, match="options are by measure.*'unbiased'"):
        measure(CLOUD, ["isoscore"], options={"unbiased": True})


def test_measures_of_rows_say_of_how_many_sampled_rows_they_are():
    rows = gaussian(500, np.ones(4))
    names = ["isoscore", "partition_isotropy"]
    result = measure(rows, names, sample_size=100, seed=3)
    assert (result["n_samples"], result["n_sampled"]) == (500, 100)
    assert result == measure(rows, names, sample_size=100, seed=3)
    assert result != measure(rows, names, sample_size=100, seed=4)
    for size in (None, 500):
        assert "n_sampled" not in measure(rows, names, sample_size=size)
    assert result["isoscore"] == MEASURES["isoscore"](rows)["isoscore"]
    assert MEASURES["partition_isotropy"](gaussian(10_001, np.ones(2)))["n_sampled"] == 10_000


def test_names_that_no_measure_has_are_refused_with_those_that_there_are():
    for names in ("isoscor", ["isoscore", "isoscor"]):
        with pytest.raises(ValueError, match="there is no measure 'isoscor'; there are: .*isoscore"):
            measure(CLOUD, names)
    with pytest.raises(ValueError, match="no measure named; there are: "):
        measure(CLOUD, [])
    assert find_measures() == [each for each in MEASURES.values() if not each.ids]
    assert list(MEASURES) == sorted(MEASURES)
