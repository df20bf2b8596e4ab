"""Intervals cover what they should, for independent rows and for tokens of sentences, and nulls are nulls."""

import re
import warnings

import numpy as np
import pytest
from clouds import gaussian

from isotropy_metrics import MEASURES, measure
from isotropy_metrics.measures import average_cosine_similarity, isoscore, partition_isotropy, statistics_for
from isotropy_metrics.measures._statistics import update_statistics
from isotropy_metrics.statistics import Buckets, ClassMoments, Moments, RowSample, UnitMoments
from isotropy_metrics.statistics.isotropic_null import isotropic_null

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
N_DRAWS = 80
VARIANCES = 1 / np.arange(1, 13)


def coverage(draw, names, options=None, **ids):
    """Share of draws whose 90 % interval holds the mean value over all draws."""
    asked = {"interval": 0.9, "n_resamples": 60, "options": options, **ids}
    results = [measure(draw(seed), names, **asked) for seed in range(N_DRAWS)]
    shares = {}
    for name in names:
        truth = np.mean([result[name] for result in results])
        shares[name] = np.mean([result[f"{name}_low"] <= truth <= result[f"{name}_high"] for result in results])
    return shares


@pytest.mark.slow
def test_intervals_of_independent_rows_cover_at_about_their_level():
    names = [
        "isoscore",
        "average_cosine_similarity",
        "effective_rank",
        "partition_isotropy",
        "bures_isotropy",
        "rankme",
    ]
    options = {"isoscore": {"unbiased": True}, "partition_isotropy": {"centered": True}}
    shares = coverage(lambda seed: gaussian(400, VARIANCES, seed) + 0.3, names, options)
    assert all(0.78 <= share for share in shares.values()), shares  # 0.9 less 3.5 standard errors of 80 draws


@pytest.mark.slow
def test_intervals_of_nearest_neighbours_cover_too():
    shares = coverage(lambda seed: gaussian(300, np.ones(4), seed), ["two_nn", "hubness"])
    assert all(0.78 <= share for share in shares.values()), shares


def tokens(seed, n_sentences=60, length=12):
    """Tokens that share most of their vector with their sentence."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(size=(n_sentences, 8)) * np.sqrt(1 / np.arange(1, 9)), length, axis=0)
    return shared + 0.3 * rng.normal(size=shared.shape) + 0.4


def test_tokens_of_sentences_need_intervals_over_sentences():
    names = ["average_cosine_similarity", "participation_ratio", "explained_variance"]
    sentences = np.repeat(np.arange(60), 12)
    of_rows, of_sentences = coverage(tokens, names), coverage(tokens, names, sentences=sentences)
    for name in names:
        assert of_rows[name] < 0.7, of_rows
        assert of_sentences[name] > 0.7, of_sentences


@pytest.mark.parametrize("name", ["isoscore", "effective_rank", "rankme", "correlation_distance", "bures_isotropy"])
def test_intervals_of_few_rows_are_as_wide_as_the_value_scatters(name):
    """Halves of unequal size would count the bias of n/d as noise: up to 19 times the true scatter."""
    results = [
        measure(gaussian(200, 1 / np.arange(1, 151), seed), [name], interval=0.6827, n_resamples=60)
        for seed in range(40)
    ]
    claimed = np.mean([result[f"{name}_high"] - result[f"{name}_low"] for result in results]) / 2
    assert 0.6 < claimed / np.std([result[name] for result in results]) < 1.6


@pytest.mark.slow
def test_sentences_of_unequal_length_do_not_widen_an_interval_by_their_bias():
    lengths = np.random.default_rng(0).integers(3, 60, 60)
    sentences = np.repeat(np.arange(60), lengths)
    asked = {"interval": 0.6827, "n_resamples": 60, "sentences": sentences}
    names = ["isoscore", "matrix_entropy"]
    results = [measure(gaussian(len(sentences), 1 / np.arange(1, 201), seed), names, **asked) for seed in range(25)]
    for name in names:
        claimed = np.mean([result[f"{name}_high"] - result[f"{name}_low"] for result in results]) / 2
        assert claimed / np.std([result[name] for result in results]) < 2, name


def measured_with_warnings(*arguments, **keywords):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measure(*arguments, **keywords)
    return result, " / ".join(str(each.message) for each in caught)


def test_a_half_without_a_value_gives_no_interval_and_says_so():
    options = {"isoscore": {"unbiased": True}}
    result, said = measured_with_warnings(gaussian(5, VARIANCES), ["isoscore"], interval=0.9, options=options)
    assert "no interval: some halves of the rows have no value" in said
    assert np.isnan([result["isoscore_low"], result["isoscore_high"]]).all() and np.isfinite(result["isoscore"])


def test_intervals_of_few_sentences_are_announced_and_of_one_there_is_none():
    rows, names = gaussian(900, VARIANCES), ["isoscore", "partition_isotropy"]
    result, said = measured_with_warnings(rows, names, interval=0.9, sentences=np.zeros(900, int))
    assert np.isnan([result["isoscore_low"], result["partition_isotropy_low"]]).all()
    assert "halves of 1 random parts" in said and "halves of 1 sentences" in said and "no interval" in said
    result, said = measured_with_warnings(rows, names, interval=0.9, sentences=np.arange(900) // 180)
    assert re.search("halves of [345] random parts tell little", said)  # two sentences may share a part
    assert "halves of 5 sentences tell little" in said
    assert result["isoscore_low"] < result["isoscore_high"]
    assert measured_with_warnings(rows, names, interval=0.9, sentences=np.arange(900) // 10)[1] == ""


def test_the_interval_of_a_number_that_underflows_is_that_of_its_logarithm():
    result = partition_isotropy(1e3 * gaussian(400, [4, 1, 1]), interval=0.9)
    assert result["partition_isotropy_log10_low"] < result["partition_isotropy_log10"]
    assert result["partition_isotropy_log10"] < result["partition_isotropy_log10_high"] < -300
    assert 0 <= result["partition_isotropy_low"] <= result["partition_isotropy"] <= result["partition_isotropy_high"]
    plain = partition_isotropy(gaussian(400, [4, 1, 1]), interval=0.9)
    assert plain["partition_isotropy_low"] == pytest.approx(10 ** plain["partition_isotropy_log10_low"])


@pytest.mark.parametrize("scale", [1.0, 1 / np.sqrt(300), 30 / np.sqrt(300)])
def test_the_null_of_a_measure_that_sees_the_scale_has_the_scale_of_the_rows(scale):
    result = partition_isotropy(scale * gaussian(5000, np.ones(300)), null=True)
    null, value = result["partition_isotropy_log10_null"], result["partition_isotropy_log10"]
    assert null == pytest.approx(value, rel=0.25, abs=0.01)


def test_the_null_has_as_many_copies_as_the_rows():
    rows = np.repeat(gaussian(100, np.ones(5)), 10, axis=0)
    result = measure(rows, ["two_nn", "persistent_entropy", "hubness"], null=True)
    assert result["two_nn_copies"] == 900
    assert result["persistent_entropy_null"] == pytest.approx(result["persistent_entropy"], rel=0.05)
    assert result["hubness_null"] == pytest.approx(result["hubness"], abs=1.5)  # 0.4 without copies


def test_all_measures_of_weighted_rows_are_those_that_weights_mean_something_to():
    result = measure(gaussian(300, VARIANCES), weight=np.ones(300))
    assert {each.name for each in MEASURES.values() if each.weighted and not each.ids} == set(result) & set(MEASURES)


def test_an_interval_narrows_with_the_root_of_the_number_of_rows():
    widths = []
    for n in (500, 8000):
        result = isoscore(gaussian(n, VARIANCES), interval=0.95, n_resamples=200)
        widths.append(result["isoscore_high"] - result["isoscore_low"])
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.35)


def test_rows_are_read_once_where_statistics_can_be_resampled(monkeypatch):
    reads = []
    original = Moments.update
    monkeypatch.setattr(
        Moments, "update", lambda self, rows, **k: (reads.append(len(rows)), original(self, rows, **k))
    )
    measure(gaussian(2000, VARIANCES), ["isoscore", "rankme"], interval=0.95)
    assert sum(reads) == 2000


def test_buckets_together_are_the_statistic_of_all_rows_and_keep_sentences_whole():
    rows, sentences, labels = gaussian(600, VARIANCES), np.arange(600) // 10, np.arange(600) % 3
    for kind, ids in ((Moments, {}), (UnitMoments, {}), (ClassMoments, {"references": labels})):
        whole, buckets = kind(), Buckets(kind, seed=1)
        whole.update(rows, **ids)
        for start in range(0, 600, 150):
            part = slice(start, start + 150)
            own = {name: values[part] for name, values in ids.items()}
            buckets.update(rows[part], sentences=sentences[part], **own)
        expected, given = whole.state_dict(), buckets.whole.state_dict()
        for name, value in expected.items():
            np.testing.assert_allclose(given[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
        assert all(part.n_rows % 10 == 0 for part in buckets.parts)
        assert (buckets.n_rows, buckets.n_features) == (600, 12)
        sizes = [half.n_rows for half in buckets.halves(20)]
        assert 200 < min(sizes) and max(sizes) < 400 and len(set(sizes)) > 3
    with pytest.raises(TypeError, match="merge with their like"):
        Buckets(Moments).merge(Buckets(UnitMoments))


def test_halves_of_a_sample_keep_sentences_whole_and_few_of_them_are_announced():
    sample = RowSample()
    sample.update(gaussian(300, VARIANCES), sentences=np.arange(300) // 3)
    for half in sample.halves(10):
        assert len(half.rows) == 150
        assert (np.unique(half.sentences, return_counts=True)[1] == 3).all()
    few = RowSample()
    few.update(gaussian(300, VARIANCES), sentences=np.arange(300) // 60)
    with pytest.warns(RuntimeWarning, match="halves of 5 sentences tell little of all"):
        partition_isotropy(few, interval=0.9, n_resamples=10)


def test_streams_with_intervals_give_the_values_of_one_pass():
    rows = gaussian(1000, VARIANCES) + 0.2
    statistics = statistics_for([isoscore, partition_isotropy, average_cosine_similarity], interval=True)
    for batch in np.split(rows, 10):
        update_statistics(statistics, batch, mask=None, weight=None)
    result = measure(statistics, ["isoscore", "partition_isotropy", "average_cosine_similarity"], interval=0.95)
    expected = measure(rows, ["isoscore", "partition_isotropy", "average_cosine_similarity"])
    assert {key: result[key] for key in expected} == pytest.approx(expected, rel=1e-10)
    assert result["isoscore_low"] < result["isoscore"] < result["isoscore_high"]


def test_the_null_has_the_bias_of_few_rows_and_the_ids_of_the_rows():
    """An isotropic space of 256 rows in 768 dimensions reads 256/1024 = 0.25; so does its null."""
    rows = gaussian(256, np.ones(768))
    result = isoscore(rows, null=True)
    assert result["isoscore"] == pytest.approx(0.25, abs=0.01)
    assert result["isoscore_null"] == pytest.approx(result["isoscore"], abs=0.01)

    sample = RowSample()
    sample.update(rows.astype(np.float32), weight=np.ones(256), words=np.arange(256) % 9)
    null = isotropic_null(sample)
    assert null.rows.shape == (256, 768) and null.rows.dtype == np.float32
    assert (null.words == sample.words).all() and (null.rows != sample.rows).all()
    assert sample.rows[0, 0] == np.float32(rows[0, 0])
    classes = ClassMoments()
    classes.update(rows, references=["a"] * 200 + ["b"] * 56)
    assert sorted(isotropic_null(classes).n_rows_of_class.tolist()) == [56, 200]
    weighted = Moments()
    weighted.update(rows, weight=np.r_[np.ones(128), np.full(128, 1e-9)])
    assert isotropic_null(weighted).n_rows == 128


def test_an_interval_of_few_measures_costs_no_others():
    asked = measure(gaussian(200, VARIANCES), ["isoscore"], interval=0.95)
    names = {key.removesuffix("_low") for key in asked if key.endswith("_low")}
    assert names == {"isoscore"} and not set(MEASURES) - {"isoscore"} & set(asked)
