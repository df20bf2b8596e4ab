"""One contract for every measure, and the published and exact values of each.

A new measure is tested as soon as its file exists; it needs a function in references.py and nothing here.
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
from hypothesis import given, settings
from hypothesis import strategies as st
from references import OPTIONS, REFERENCES

import isotropy_metrics.measures
from isotropy_metrics.measures import (
    MEASURES,
    average_cosine_similarity,
    effective_rank,
    find_measures,
    isoscore,
    measure,
    participation_ratio,
    partition_isotropy,
    statistics_for,
)
from isotropy_metrics.statistics import Moments, RowSample

each_measure = pytest.mark.parametrize("measured", MEASURES.values(), ids=MEASURES)
PROVENANCE = {"n_samples", "n_features", "n_sampled"}


def gaussian(n, variances, seed=0):
    return np.random.default_rng(seed).normal(size=(n, len(variances))) * np.sqrt(variances)


CLOUDS = {
    "isotropic": gaussian(120, np.ones(8)),
    "offset": gaussian(120, np.ones(8)) + np.arange(8) / 4,
    "anisotropic": gaussian(120, 1 / np.arange(1, 9)),
    "outlier dimension": gaussian(120, [1, 1, 100, 1, 1, 1]) + [0, 0, 5, 0, 0, 0],
    "duplicates": np.repeat(gaussian(20, 1 / np.arange(1, 7)), 5, axis=0),
    "zero rows": np.concatenate([np.zeros((3, 5)), gaussian(60, [3, 2, 1, 1, 1]) + 1]),
    "fewer rows than features": gaussian(9, 1 / np.arange(1, 21)),
}
CLOUD = CLOUDS["anisotropic"] + 0.2
SPLITS = ([120], [1] * 120, [7] * 17 + [1], [0, 50, 0, 69, 1], [1, 119])


def options_of(measured):
    grid = OPTIONS.get(measured.name, {})
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


MEASURES_AND_OPTIONS = [
    pytest.param(m, o, id="-".join([m.name, *map(str, o.values())])) for m in MEASURES.values() for o in options_of(m)
]


def value(measured, rows, **arguments):
    """The value alone; with few rows a measure may warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* rows in d = .* dimensions", category=RuntimeWarning)
        return measured(rows, **arguments)[measured.name]


def statistic_of(measured, *batches, **arguments):
    statistic = measured.needs()
    for batch in batches:
        statistic.update(batch, **arguments)
    return statistic


# The contract


@each_measure
def test_every_measure_has_a_reference_for_all_of_its_options(measured):
    assert measured.name in REFERENCES
    assert set(OPTIONS.get(measured.name, {})) == set(measured.options)
    for name, default in measured.options.items():
        assert default == OPTIONS[measured.name][name][0]


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_value_equals_the_reference(measured, options, cloud, weighted):
    rows = CLOUDS[cloud]
    weight = np.random.default_rng(1).integers(0, 4, len(rows)) / 2 if weighted else None
    expected = REFERENCES[measured.name](rows, weight, **options)
    assert value(measured, rows, weight=weight, **options) == pytest.approx(expected, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_value_is_within_its_bounds(measured, options):
    lowest, highest = measured.bounds
    slack = 0.05 if options.get("unbiased") else 1e-12
    for rows in [*CLOUDS.values(), gaussian(100, [1, 0, 0]), 1e3 * CLOUD, np.array([[1.0, 1], [-1, -1], [2, 2]])]:
        assert lowest - slack <= value(measured, rows, **options) <= highest + slack


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_a_large_gaussian_has_the_isotropic_value(measured, options):
    rows = gaussian(20_000, np.ones(6))
    isotropic = 6 if measured.isotropic == "d" else measured.isotropic
    assert value(measured, rows, **options) == pytest.approx(isotropic, rel=0.1, abs=0.01)


ROTATION = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))[0]
CHANGES = {
    "translation": lambda rows: rows + np.linspace(-2, 5, 8),
    "rotation": lambda rows: rows @ ROTATION,
    "scale": lambda rows: rows * 3.7,
}


@each_measure
@pytest.mark.parametrize("change", CHANGES)
def test_exactly_the_declared_invariances_hold(measured, change):
    assert set(measured.invariant_to) <= set(CHANGES)
    before, after = value(measured, CLOUD), value(measured, CHANGES[change](CLOUD))
    if change in measured.invariant_to:
        assert after == pytest.approx(before, rel=1e-9)
    else:
        assert abs(after - before) > 0.01 * abs(before)


@each_measure
@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_scale_invariant_measures_bear_any_scale(measured, scale):
    if "scale" in measured.invariant_to:
        assert value(measured, CLOUD * scale) == pytest.approx(value(measured, CLOUD), rel=1e-9)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_any_split_into_batches_gives_the_same_value(measured, options, dtype, tolerance):
    rows = CLOUD.astype(dtype)
    expected = REFERENCES[measured.name](rows, **options)
    for sizes in SPLITS:
        batches = np.split(rows, np.cumsum(sizes)[:-1])
        assert value(measured, statistic_of(measured, *batches), **options) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_directions_without_rows_add_nothing(measured, options, dtype, tolerance):
    """The root of a rounding error of 1e-16 is 1e-8, and of one of 1e-7 it is 3e-4, in each of 350 directions."""
    rows = (gaussian(50, 1 / np.arange(1, 401)) + 0.1).astype(dtype)
    expected = REFERENCES[measured.name](rows, **options)
    assert value(measured, rows, **options) == pytest.approx(expected, rel=tolerance)


def test_directions_that_repeated_rows_never_take_add_nothing():
    rows = gaussian(50, 1 / np.arange(1, 401)) + 0.1
    for options in options_of(effective_rank):
        expected = value(effective_rank, rows, **options)
        assert value(effective_rank, np.repeat(rows, 10, axis=0), **options) == pytest.approx(expected, rel=1e-9)


@each_measure
def test_float32_rows_far_from_the_origin_lose_nothing(measured):
    rows = (gaussian(3000, 1 / np.arange(1, 9)) + 1000).astype(np.float32)
    for options in options_of(measured):
        given = value(measured, rows, **options)
        expected = value(measured, rows.astype(np.float64), **options)
        # F of raw rows at 1000 is of the size exp(1000 · √d): compare the logarithm, which the rounding is relative to
        if measured is partition_isotropy and not options["centered"]:
            given = measured(rows, **options)["partition_isotropy_log10"]
            expected = measured(rows.astype(np.float64), **options)["partition_isotropy_log10"]
        assert given == pytest.approx(expected, rel=1e-5)


@each_measure
def test_merges_in_any_order_and_with_empty_ones_give_the_same_value_and_leave_their_sources(measured):
    expected = value(measured, CLOUD)
    for order in itertools.permutations(range(3)):
        parts = [statistic_of(measured, batch) for batch in np.split(CLOUD, [10, 70])]
        before = [pickle.dumps(part.state_dict()) for part in parts]
        merged = measured.needs().merge(measured.needs())
        for i in order:
            merged.merge(parts[i]).merge(measured.needs())
        assert value(measured, merged) == pytest.approx(expected, rel=1e-10)
        assert value(measured, merged) == value(measured, merged)
        assert [pickle.dumps(part.state_dict()) for part in parts] == before


@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=6))
@settings(max_examples=30)
def test_any_mixture_of_updates_and_merges_gives_the_same_values(cuts):
    cuts = sorted(cuts)
    statistics, others = statistics_for(MEASURES.values()), statistics_for(MEASURES.values())
    for batch, aside in zip(np.split(CLOUD, [at for at, _ in cuts]), [a for _, a in cuts] + [False], strict=True):
        for statistic in others if aside else statistics:
            statistic.update(batch)
    for statistic, other in zip(statistics, others, strict=True):
        statistic.merge(other)
    assert measure(statistics) == pytest.approx(measure(CLOUD), rel=1e-10)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_measuring_twice_gives_the_same_and_changes_nothing(measured, options):
    statistic = statistic_of(measured, CLOUD)
    before = pickle.dumps(statistic.state_dict())
    assert measured(statistic, **options) == measured(statistic, **options) == measured(CLOUD, **options)
    assert pickle.dumps(statistic.state_dict()) == before


@each_measure
@pytest.mark.parametrize("garbage", [0.0, 1e6, np.nan, np.inf])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_part_in_the_value(measured, garbage, side):
    lengths = [20, 35, 1, 0, 40, 24]
    padded, mask = np.full((6, 40, 8), garbage), np.zeros((6, 40), int)
    for text, (length, rows) in enumerate(zip(lengths, np.split(CLOUD, np.cumsum(lengths)[:-1]), strict=True)):
        where = slice(0, length) if side == "right" else slice(40 - length, 40)
        padded[text, where], mask[text, where] = rows, 1
    assert measured(padded, mask=mask) == measured(CLOUD)
    assert measured(torch.tensor(padded), mask=torch.tensor(mask)) == measured(CLOUD)
    assert measured(padded.reshape(-1, 8), mask=mask.reshape(-1)) == measured(CLOUD)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_integer_weights_equal_repeated_rows(measured, options):
    """Where the definition has it so. Not in the mean cosine, where a repeated row is a pair with itself, and not in
    the unbiased isoscore, which takes repeated rows for as many independent ones."""
    times = np.random.default_rng(1).integers(0, 4, len(CLOUD))
    weighted, repeated = value(measured, CLOUD, weight=times, **options), np.repeat(CLOUD, times, axis=0)
    if measured is average_cosine_similarity or options.get("unbiased"):
        assert abs(weighted - value(measured, repeated, **options)) > 1e-4
    else:
        assert weighted == pytest.approx(value(measured, repeated, **options), rel=1e-9)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_the_unit_of_the_weights_does_not_matter(measured, options):
    weight = np.random.default_rng(1).random(len(CLOUD))
    expected = value(measured, CLOUD, weight=weight, **options)
    for factor in (1e-6, 100.0):
        assert value(measured, CLOUD, weight=weight * factor, **options) == pytest.approx(expected, rel=1e-9)
    ones = value(measured, CLOUD, weight=np.full(len(CLOUD), 0.1), **options)
    assert ones == pytest.approx(value(measured, CLOUD, **options), rel=1e-9)


@each_measure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_torch_gives_what_numpy_gives(measured, dtype):
    tensor = torch.tensor(CLOUD, dtype=dtype, requires_grad=True)
    same = tensor.detach().numpy() if dtype != torch.bfloat16 else tensor.detach().float().numpy()
    assert measured(tensor) == measured(same)
    expected = REFERENCES[measured.name](tensor.detach().double().numpy())
    assert value(measured, tensor) == pytest.approx(expected, rel=1e-6)
    weight = np.random.default_rng(1).random(len(CLOUD))
    assert measured(tensor, weight=torch.tensor(weight)) == measured(same, weight=weight)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_pickle_and_state_dict_keep_the_value(measured, options):
    statistic = statistic_of(measured, CLOUD, weight=np.random.default_rng(1).random(len(CLOUD)))
    expected = measured(statistic, **options)
    for again in (
        pickle.loads(pickle.dumps(statistic)),
        type(statistic).from_state_dict(statistic.state_dict()),
        pickle.loads(pickle.dumps(statistic)).merge(measured.needs()),
    ):
        assert measured(again, **options) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("measured", "options"), MEASURES_AND_OPTIONS)
def test_results_are_plain_numbers_and_say_of_how_many_rows(measured, options):
    for rows in (CLOUD, CLOUD.astype(np.float32), torch.tensor(CLOUD)):
        result = measured(rows, **options)
        assert all(type(number) in (int, float) for number in result.values()), result
        assert json.loads(json.dumps(result)) == result
        assert list(result)[0] == measured.name
        assert (result["n_samples"], result["n_features"]) == (120, 8)
        assert "n_sampled" not in result


def test_keys_of_different_measures_never_collide():
    keys = [set(measured(CLOUD)) - PROVENANCE for measured in MEASURES.values()]
    assert sum(map(len, keys)) == len(set.union(*keys))


@each_measure
def test_input_that_is_no_cloud_is_refused(measured):
    for n in (0, 1):
        with pytest.raises(ValueError, match=f"{measured.name} needs at least 2 rows, got {n}"):
            measured(np.ones((n, 3)))
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        measured(np.ones((3, 3)), mask=[0, 1, 0])
    with pytest.raises(ValueError, match="row 1 .*nan"):
        measured([[1.0, 2.0], [np.nan, 1.0]])
    with pytest.raises(ValueError, match="text"):
        measured(["a cat", "a dog"])
    with pytest.raises(ValueError, match="mask of shape"):
        measured(np.ones((2, 3, 4)))


@each_measure
def test_an_option_that_the_measure_does_not_have_is_a_type_error_that_lists_those_it_has(measured):
    with pytest.raises(TypeError, match=f"{measured.name} has no option 'nonsense'; its options: ") as caught:
        measured(CLOUD, nonsense=1)
    assert all(name in str(caught.value) for name in measured.options)


@pytest.mark.parametrize(("measured", "option"), [(effective_rank, "spectrum"), (partition_isotropy, "signs")])
def test_an_option_with_a_value_it_does_not_know_is_refused(measured, option):
    with pytest.raises(ValueError, match=f"{option} must be one of .*nonsense"):
        measured(CLOUD, **{option: "nonsense"})


@each_measure
def test_a_measure_takes_the_statistic_it_needs_from_a_collection_and_refuses_another(measured):
    statistics = statistics_for(MEASURES.values())
    for statistic in statistics:
        statistic.update(CLOUD)
    assert measured(statistics) == measured(CLOUD)
    other = RowSample() if measured.needs is Moments else Moments()
    with pytest.raises(TypeError, match=f"needs {measured.needs.__name__}, got {type(other).__name__}"):
        measured(other)


@each_measure
def test_the_facts_of_a_measure_are_complete(measured):
    assert measured.paper_url.startswith(("https://huggingface.co/papers/", "https://"))
    assert " " not in measured.paper_url
    assert measured.summary.endswith(".") and "\n" not in measured.summary and len(measured.summary) < 120
    assert measured.citation.startswith("@") and measured.citation.endswith("}")
    assert measured.citation.count("{") == measured.citation.count("}")
    assert measured.needs in (Moments, RowSample)
    assert measured.bounds[0] < measured.bounds[1]
    if measured.isotropic != "d":
        assert measured.bounds[0] <= measured.isotropic <= measured.bounds[1]
    assert MEASURES[measured.name] is measured is getattr(isotropy_metrics, measured.name)
    assert measured.__module__ == f"isotropy_metrics.measures.{measured.name}"
    for section in ("Args:", "Returns:", "Raises:", "Example:", *(f"{name}: " for name in measured.options)):
        assert section in measured.__doc__


DOCUMENTED = {m.name: m for m in MEASURES.values()} | {"Moments": Moments, "RowSample": RowSample, "measure": measure}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_in_the_docstring_are_true(name):
    names = {**DOCUMENTED}
    example = doctest.DocTestParser().get_doctest(DOCUMENTED[name].__doc__, names, name, None, 0)
    assert example.examples
    report = []
    assert doctest.DocTestRunner(verbose=False).run(example, out=report.append).failed == 0, "".join(report)


# Degenerate data: NaN and the reason, never a number that looks like a finding

FLAT, ZERO, LINE = np.full((50, 3), 0.1), np.zeros((50, 3)), gaussian(50, [2.0])
DEGENERATE = [
    (isoscore, {}, FLAT, "all rows are the same"),
    (isoscore, {"unbiased": True}, FLAT, "all rows are the same"),
    (isoscore, {}, ZERO, "all rows are the same"),
    (isoscore, {}, LINE, "one feature has no isotropy"),
    (participation_ratio, {}, FLAT, "all rows are the same"),
    (participation_ratio, {}, ZERO, "all rows are the same"),
    (participation_ratio, {}, LINE, 1.0),
    (effective_rank, {}, FLAT, "all rows are the same"),
    (effective_rank, {"spectrum": "singular_values"}, FLAT, "all rows are the same"),
    (effective_rank, {"centered": False}, FLAT, 1.0),
    (effective_rank, {"centered": False}, ZERO, "all rows are zero"),
    (effective_rank, {}, LINE, 1.0),
    (average_cosine_similarity, {}, FLAT, 1.0),
    (average_cosine_similarity, {}, ZERO, "fewer than 2 rows are not zero"),
    (average_cosine_similarity, {}, np.eye(3)[[0]] * [[1], [0], [0]], "fewer than 2 rows are not zero"),
    (partition_isotropy, {"centered": True}, FLAT, "all rows are the same"),
    (partition_isotropy, {}, FLAT, "all rows are the same"),
    (partition_isotropy, {}, ZERO, "all rows are zero"),
    (partition_isotropy, {}, LINE, "one feature has no isotropy"),
    (partition_isotropy, {"signs": "as_is"}, LINE, "one feature has no isotropy"),
]


@pytest.mark.parametrize(("measured", "options", "rows", "expected"), DEGENERATE)
def test_degenerate_data_give_nan_and_a_warning_that_says_why(measured, options, rows, expected):
    if isinstance(expected, float):
        assert value(measured, rows, **options) == pytest.approx(expected, rel=1e-9)
        return
    with pytest.warns(RuntimeWarning, match=f"^{measured.name} is NaN: {expected}") as warned:
        result = measured(rows, **options)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert set(result) == set(measured(CLOUD))
    assert all(math.isnan(v) for k, v in result.items() if k not in PROVENANCE | {"n_zero_rows"})
    assert (result["n_samples"], result["n_features"]) == rows.shape


@pytest.mark.parametrize("constant", [0.1, -7.7, 1 / 3, 1e-5, 1000.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_are_never_mistaken_for_a_cloud_of_rounding_errors(constant, dtype):
    for n in (2, 3, 7, 1000, 20_000):
        rows = np.tile(np.array([constant, 0.7, -2 * constant], dtype), (n, 1))
        for arguments in ({}, {"weight": np.full(n, 0.1)}):
            for measured in (isoscore, participation_ratio, effective_rank):
                with pytest.warns(RuntimeWarning, match="all rows are the same"):
                    measured(rows, **arguments)


@each_measure
def test_weights_of_which_fewer_than_two_count_leave_nothing_to_measure(measured):
    for options in options_of(measured):
        for weight in (np.zeros(len(CLOUD)), np.arange(len(CLOUD)) == 7):
            with pytest.raises(ValueError, match=f"at least 2 rows, got {sum(weight):.0f}"):
                measured(CLOUD, weight=weight, **options)


@pytest.mark.parametrize("n", [7, 8])
def test_fewer_rows_than_features_are_warned_of_where_the_value_is_then_one_of_n(n):
    warned_of = set()
    for measured in MEASURES.values():
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            measured(CLOUD[:n])
        for warning in warned:
            assert f"of n = {n} rows in d = 8 dimensions" in str(warning.message)
            assert "transpose" in str(warning.message)
            assert (warning.category, warning.filename) == (RuntimeWarning, __file__)
            warned_of.add(measured.name)
    assert warned_of == ({"isoscore", "participation_ratio", "effective_rank"} if n < 8 else set())
    isoscore(CLOUD[:n], unbiased=True)


def test_the_unbiased_isoscore_needs_three_rows():
    with pytest.raises(ValueError, match="at least 3 rows, got 2"):
        isoscore(CLOUD[:2], unbiased=True)
    assert math.isfinite(isoscore(CLOUD[:3], unbiased=True)["isoscore"])


# measure: all of them at once


def test_measuring_all_at_once_equals_measuring_one_by_one():
    one_by_one = {}
    for measured in MEASURES.values():
        one_by_one |= measured(CLOUD)
    assert measure(CLOUD) == measure(CLOUD, MEASURES) == measure(CLOUD, list(MEASURES.values())) == one_by_one
    assert list(measure(CLOUD))[-2:] == ["n_samples", "n_features"]
    assert measure(CLOUD, "isoscore") == measure(CLOUD, isoscore) == isoscore(CLOUD)


def test_measuring_all_at_once_makes_one_pass(monkeypatch):
    calls = []
    for kind in (Moments, RowSample):

        def counted(self, *arguments, _update=kind.update, **keywords):
            calls.append(type(self))
            _update(self, *arguments, **keywords)

        monkeypatch.setattr(kind, "update", counted)
    measure(CLOUD)
    assert sorted(kind.__name__ for kind in calls) == ["Moments", "RowSample"]
    calls.clear()
    measure(CLOUD, [isoscore, "effective_rank"])
    assert calls == [Moments]


def test_masks_and_weights_reach_every_measure():
    mask, weight = np.arange(120) % 3 > 0, np.random.default_rng(1).random(120)
    assert measure(CLOUD, mask=mask, weight=weight) == measure(CLOUD[mask], weight=weight[mask])
    statistics = statistics_for(MEASURES.values())
    for statistic in statistics:
        statistic.update(CLOUD, mask=mask, weight=weight)
    assert measure(statistics) == measure(CLOUD, mask=mask, weight=weight)


def test_a_value_from_a_sample_says_of_how_many_rows():
    rows = gaussian(500, 1 / np.arange(1, 9))
    result = measure(rows, sample_size=100, seed=3)
    assert (result["n_samples"], result["n_sampled"]) == (500, 100)
    assert result == measure(rows, sample_size=100, seed=3) != measure(rows, sample_size=100, seed=4)
    assert "n_sampled" not in measure(rows, sample_size=None) and "n_sampled" not in measure(rows, sample_size=500)
    assert result["isoscore"] == isoscore(rows)["isoscore"]
    assert partition_isotropy(gaussian(10_001, np.ones(2)))["n_sampled"] == 10_000


def test_names_that_no_measure_has_are_refused_with_those_that_there_are():
    for names in ("isoscor", ["isoscore", "isoscor"]):
        with pytest.raises(ValueError, match="there is no measure 'isoscor'; there are: .*isoscore"):
            measure(CLOUD, names)
    with pytest.raises(ValueError, match="no measure named; there are: "):
        measure(CLOUD, [])
    assert find_measures() == list(MEASURES.values())
    assert list(MEASURES) == sorted(MEASURES)


# Published and exact values


def golden_cloud():
    """X[i, j] = sin(0.7 (i + 1) (j + 1)^1.3) (j + 1)^-0.5 + 0.3, (240, 24): no random numbers in it."""
    i, j = np.arange(1, 241)[:, None], np.arange(1, 25)
    return np.sin(0.7 * i * j**1.3) * j**-0.5 + 0.3


SINGULAR = {"spectrum": "singular_values"}
GOLDEN = [  # evaluated by an independent script, in part equal to the packages named
    (isoscore, {}, 0.341769853412, "7 steps of Rudman et al. 2022; the package IsoScore 2.0.1"),
    (isoscore, {"unbiased": True}, 0.357898616379, "unbiased for Gaussian rows"),
    (participation_ratio, {}, 8.860706628466, "Gao et al. 2017"),
    (average_cosine_similarity, {}, 0.531428019161, "mean over all pairs"),
    (partition_isotropy, {}, 0.053122742801, "Mu & Viswanath 2018, u and -u"),
    (partition_isotropy, {"centered": True}, 0.792612787678, "the same of centred rows"),
    (effective_rank, {}, 14.230525275260, "Roy & Vetterli 2007"),
    (effective_rank, {**SINGULAR, "centered": False}, 18.276281918041, "RankMe, Garrido et al. 2023"),
    (effective_rank, {**SINGULAR, "centered": True}, 21.373236813324, "the same of centred rows"),
]


@pytest.mark.parametrize(("measured", "options", "expected", "source"), GOLDEN)
def test_the_golden_cloud_has_its_golden_values(measured, options, expected, source):
    assert value(measured, golden_cloud(), **options) == pytest.approx(expected, rel=0, abs=1e-7), source
    assert value(measured, golden_cloud()[::-1], **options) == pytest.approx(expected, rel=0, abs=1e-7), source


@pytest.mark.parametrize("shape", [(50, 3), (300, 24), (1000, 64), (40, 100), (240, 24)])
def test_isoscore_equals_the_authors_package(shape):
    from IsoScore.IsoScore import IsoScore

    rows = golden_cloud() if shape == (240, 24) else gaussian(shape[0], 1 / np.arange(1, shape[1] + 1)) + 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.tensor(tensor)
        theirs = float(IsoScore(torch.tensor(rows)))
    assert value(isoscore, rows) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("spectrum", ["isotropic", "power law"])
def test_the_unbiased_isoscore_of_256_gaussian_rows_in_768_dimensions_is_that_of_the_distribution(spectrum):
    variances = np.ones(768) if spectrum == "isotropic" else 1 / np.arange(1, 769)
    truth = (variances.sum() ** 2 / (variances**2).sum() - 1) / 767
    unbiased = [value(isoscore, gaussian(256, variances, seed), unbiased=True) for seed in range(4)]
    assert unbiased == pytest.approx([truth] * 4, abs=0.02)
    assert np.mean(unbiased) == pytest.approx(truth, rel=0.02 if spectrum == "isotropic" else 0.1)
    if spectrum == "isotropic":
        assert value(isoscore, gaussian(256, variances)) == pytest.approx(256 / (256 + 768), abs=0.01)


@given(st.integers(2, 12).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d))), st.floats(1e-3, 1e3))
def test_k_equal_variances_are_k_dimensions(dk, scale):
    d, k = dk
    rows = scale * np.concatenate([np.eye(d)[:k], -np.eye(d)[:k]]) + 0.5
    assert value(isoscore, rows) == pytest.approx((k - 1) / (d - 1), abs=1e-9)
    for measured, options in ((participation_ratio, {}), (effective_rank, {}), (effective_rank, SINGULAR)):
        assert value(measured, rows, **options) == pytest.approx(k, rel=1e-9)


def test_isoscore_and_participation_ratio_are_one_number():
    for rows in CLOUDS.values():
        expected = (value(participation_ratio, rows) - 1) / (rows.shape[1] - 1)
        assert value(isoscore, rows) == pytest.approx(expected, abs=1e-12)
    result = isoscore(CLOUD)
    assert result["dimensions_used"] == pytest.approx(value(participation_ratio, CLOUD), rel=1e-12)


def test_the_mean_cosine_of_few_rows_is_that_of_their_pairs():
    assert value(average_cosine_similarity, [[1.0, 0.0], [-2.0, 0.0]]) == -1.0
    assert value(average_cosine_similarity, np.eye(5)) == pytest.approx(0, abs=1e-15)
    with_zeros = average_cosine_similarity([[1.0, 0.0], [0.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    assert (with_zeros["average_cosine_similarity"], with_zeros["n_zero_rows"]) == (1.0, 2)


@pytest.mark.parametrize("variances", [[1, 1, 1], [3, 2, 1], [4, 1, 0.5]])
def test_partition_isotropy_of_gaussian_rows_tends_to_its_law(variances):
    rows = gaussian(200_000, variances)
    sample = RowSample(size=None)
    sample.update(rows)
    expected = np.exp(-(max(variances) - min(variances)) / 2)
    assert value(partition_isotropy, sample, centered=True) == pytest.approx(expected, rel=0.05)


def test_partition_isotropy_is_a_logarithm_where_the_number_underflows():
    for rows in (1e3 * CLOUD, 1e3 * golden_cloud(), 1e6 * gaussian(100, [4, 1])):
        for options in options_of(partition_isotropy):
            result = partition_isotropy(rows, **options)
            assert 0.0 <= result["partition_isotropy"] <= 1.0
            assert -math.inf < result["partition_isotropy_log10"] < -50
    result = partition_isotropy(CLOUD)
    assert 10 ** result["partition_isotropy_log10"] == pytest.approx(result["partition_isotropy"])


@pytest.mark.parametrize("seed", range(3))
def test_a_collapsed_cloud_is_not_isotropic_as_two_common_mistakes_have_it(seed):
    """5000 x 64, three directions with the variance at which the Gaussian law is 0.001, and little noise."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(64, 3)))[0]
    deviation = np.sqrt(2 * np.log(1000))
    X = deviation * rng.normal(size=(5000, 3)) @ directions.T + 0.01 * rng.normal(size=(5000, 64))
    eigenvectors = np.linalg.eigh(X.T @ X)[1]
    rows_of_it = [np.exp(X @ u).sum() for u in eigenvectors]  # rows in place of columns: mirror-bert
    elementwise = [np.exp(X * u).sum() for u in eigenvectors]  # and a product by element: existing_scores.py
    assert 0.0005 < value(partition_isotropy, X) < 0.002
    assert value(partition_isotropy, X) == pytest.approx(REFERENCES["partition_isotropy"](X), rel=1e-6)
    assert min(rows_of_it) / max(rows_of_it) > 0.2
    assert min(elementwise) / max(elementwise) > 0.99
