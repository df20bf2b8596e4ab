"""What all enhancements share, and the simple ones against their formulae, on rows they were not fitted on."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from isotropy_metrics import Moments, RowSample, RowStatistics, isoscore
from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    EnhancementWarning,
    OutlierDimensionRemoval,
    PerGroup,
    QuantileNormalization,
    Standardization,
    Whitening,
)
from isotropy_metrics.statistics.distributed import merge_processes

RNG = np.random.default_rng(0)
FIT = RNG.normal(size=(400, 6)) * [9, 4, 1, 1, 1, 1] + 3
NEW = RNG.normal(size=(50, 6)) * [9, 4, 1, 1, 1, 1] + 3
MORE = RNG.normal(size=(200, 6)) * [1, 9, 4, 1, 1, 1] + 3
PARTS = np.array_split(FIT, 7)
AFFINE = [Centering(), Standardization(), AllButTheTop(2), Whitening("zca"), Whitening("pca", n_components=3)]


def partially_fitted(enhancement, parts):
    enhancement = clone(enhancement)
    for part in parts:
        enhancement.partial_fit(part)
    return enhancement


def test_centering_subtracts_the_mean_of_the_fitting_rows():
    np.testing.assert_allclose(Centering().fit(FIT).transform(NEW), NEW - FIT.mean(axis=0), rtol=1e-12)


def test_standardization_is_that_of_scikit_learn():
    constant = np.column_stack([FIT, np.full(400, 7.7)])
    for rows in (FIT, constant, constant.astype(np.float32)):
        expected = StandardScaler().fit(rows)
        ours = Standardization().fit(rows)
        tolerance = 1e-4 if rows.dtype == np.float32 else 1e-10
        np.testing.assert_allclose(ours.transform(rows), expected.transform(rows), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.inverse_transform(ours.transform(rows)), rows, rtol=1e-5, atol=1e-5)


def test_all_but_the_top_removes_the_first_right_singular_vectors_of_the_fitting_rows():
    top = np.linalg.svd(FIT - FIT.mean(axis=0), full_matrices=False)[2][:2]
    centered = NEW - FIT.mean(axis=0)
    expected = centered - centered @ top.T @ top
    enhancement = AllButTheTop(n_directions=2).fit(FIT)
    np.testing.assert_allclose(enhancement.transform(NEW), expected, atol=1e-12)
    assert isoscore(enhancement.transform(FIT))["isoscore"] > isoscore(FIT)["isoscore"]


def test_no_direction_is_zero_mean_and_every_direction_leaves_nothing():
    np.testing.assert_allclose(AllButTheTop(0).fit(FIT).transform(NEW), Centering().fit(FIT).transform(NEW))
    assert np.abs(AllButTheTop(6).fit(FIT).transform(NEW)).max() < 1e-12


def test_default_number_of_directions_is_a_hundredth_of_the_features():
    assert len(AllButTheTop().fit(RNG.normal(size=(1000, 384))).directions_) == 4


@pytest.mark.parametrize("enhancement", AFFINE, ids=str)
def test_fitting_on_statistics_or_in_parts_is_fitting_on_all_rows(enhancement):
    expected = clone(enhancement).fit(FIT).transform(NEW)
    statistics, sample = RowStatistics(), RowSample()
    for part in PARTS:
        statistics.update(part)
        sample.update(part)
    for each in (statistics, sample):
        np.testing.assert_allclose(clone(enhancement).fit(each).transform(NEW), expected, atol=1e-9)
    streamed = partially_fitted(enhancement, PARTS)
    np.testing.assert_allclose(streamed.transform(NEW), expected, atol=1e-9)
    streamed.partial_fit(MORE)  # and goes on from there
    both = clone(enhancement).fit(np.concatenate([FIT, MORE]))
    np.testing.assert_allclose(streamed.transform(NEW), both.transform(NEW), atol=1e-9)
    assert streamed.n_samples_seen_ == both.n_samples_seen_ == 600


@pytest.mark.parametrize("enhancement", AFFINE, ids=str)
def test_merging_shards_is_fitting_on_all_rows(enhancement):
    expected = clone(enhancement).fit(FIT).transform(NEW)
    first, second = (partially_fitted(enhancement, parts) for parts in (PARTS[:3], PARTS[3:]))
    before = second.transform(NEW)
    np.testing.assert_allclose(first.merge(second).transform(NEW), expected, atol=1e-9)
    np.testing.assert_array_equal(second.transform(NEW), before)
    alone = clone(enhancement).fit(merge_processes(first.statistics_))  # no process group: a copy
    np.testing.assert_allclose(alone.transform(NEW), expected, atol=1e-9)
    with pytest.raises(ValueError, match="call partial_fit in place of fit"):
        clone(enhancement).fit(FIT).merge(second)


@pytest.mark.parametrize(
    "enhancement", [Centering(), Standardization(), AllButTheTop(2), Whitening(shrinkage=0.1)], ids=str
)
def test_moments_alone_suffice(enhancement):
    moments = Moments()
    moments.update(FIT)
    expected = clone(enhancement).fit(FIT).transform(NEW)
    np.testing.assert_allclose(clone(enhancement).fit(moments).transform(NEW), expected, atol=1e-9)


@pytest.mark.parametrize("enhancement", AFFINE, ids=str)
def test_attributes_follow_from_the_rows_when_they_are_asked_for(enhancement):
    whole, streamed = clone(enhancement).fit(FIT), partially_fitted(enhancement, PARTS)
    for name in (*enhancement.FITTED, "mean_", "total_variance_"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name), atol=1e-9)
    with pytest.raises(AttributeError, match="no attribute 'mean_'"):
        getattr(clone(enhancement), "mean_")  # noqa: B009


@pytest.mark.parametrize("enhancement", AFFINE, ids=str)
def test_the_affine_form_is_the_transform(enhancement):
    fitted = clone(enhancement).fit(FIT)
    matrix, shift = fitted.as_affine()
    np.testing.assert_allclose(NEW @ matrix + shift, fitted.transform(NEW), atol=1e-10)


@pytest.mark.parametrize("enhancement", AFFINE, ids=str)
def test_one_row_is_treated_as_it_is_in_a_batch(enhancement):
    fitted = clone(enhancement).fit(FIT)
    for rows, tolerance in ((NEW, 1e-12), (NEW.astype(np.float32), 1e-5)):
        one_by_one = np.concatenate([fitted.transform(row[None]) for row in rows])
        np.testing.assert_allclose(one_by_one, fitted.transform(rows), atol=tolerance)


@pytest.mark.parametrize("enhancement", AFFINE[:3], ids=str)
def test_weights_are_repetitions_where_no_divisor_counts_rows(enhancement):
    count = RNG.integers(0, 4, size=400)
    expected = clone(enhancement).fit(np.repeat(FIT, count, axis=0)).transform(NEW)
    np.testing.assert_allclose(clone(enhancement).fit(FIT, sample_weight=count).transform(NEW), expected, atol=1e-9)


def test_what_the_rows_do_not_suffice_for_is_no_attribute_yet():
    streamed = AllButTheTop(3).partial_fit(FIT[:2])
    assert not hasattr(streamed, "directions_")
    with pytest.raises(ValueError, match="at most 1"):
        streamed.transform(NEW)
    assert streamed.partial_fit(FIT).directions_.shape == (3, 6)


def test_enhancements_compose_in_a_pipeline():
    pipeline = make_pipeline(AllButTheTop(1), Standardization(), Normalizer()).fit(FIT)
    first = AllButTheTop(1).fit(FIT)
    second = Standardization().fit(first.transform(FIT))
    expected = second.transform(first.transform(NEW))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(pipeline.transform(NEW), expected, atol=1e-12)


def test_frames_and_tensors_are_rows():
    frame = pd.DataFrame(NEW, columns=list("abcdef"))
    fitted = Centering().set_output(transform="pandas").fit(pd.DataFrame(FIT, columns=list("abcdef")))
    assert fitted.transform(frame).columns.tolist() == list("abcdef")
    fitted = Centering().fit(torch.from_numpy(FIT))
    np.testing.assert_allclose(fitted.transform(torch.from_numpy(NEW)), NEW - FIT.mean(axis=0), atol=1e-12)
    assert fitted.transform(torch.from_numpy(NEW).to(torch.bfloat16)).dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.float16, np.float32), (np.float32, np.float32), (int, np.float64)]
)
def test_single_precision_stays(dtype, expected):
    assert AllButTheTop(1).fit(FIT).transform(NEW.astype(dtype)).dtype == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Centering().fit(FIT).transform(NEW[:, :4]), "X has 4 features, but Centering is expecting 6"),
        (lambda: Centering().partial_fit(FIT).partial_fit(NEW[:, :4]), "X has 4 features, but Centering is expecting"),
        (lambda: AllButTheTop(7).fit(FIT), "at most 6"),
        (lambda: AllButTheTop(5).fit(FIT[:4]), "at most 3"),
        (lambda: AllButTheTop(-1).fit(FIT), "n_directions=-1"),
        (lambda: Centering().fit(FIT).transform([[np.nan] * 6]), "row 0 of the embeddings holds nan"),
        (lambda: Centering().fit(FIT).transform(np.vstack([NEW[:3], np.full(6, np.inf)])), "row 3 .* holds inf"),
        (lambda: Centering().fit([[0.0, np.nan]]), "row 0 of the embeddings holds nan"),
        (lambda: Centering().fit(Moments()), "no row to fit on: these statistics are empty"),
        (lambda: Centering().fit(FIT, sample_weight=np.zeros(400)), "every sample_weight is zero"),
        (lambda: Centering().fit(RowStatistics(), sample_weight=[1.0]), "give them to update"),
        (lambda: Centering().fit(FIT[:, 0]), "Reshape your data"),
        (
            lambda: Whitening(n_components=2).fit(FIT).inverse_transform(NEW),
            "transform gives 2 features, got rows of 6",
        ),
    ],
)
def test_wrong_use_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("enhancement", AFFINE, ids=str)
def test_unfitted_use_is_refused(enhancement):
    for method in ("transform", "inverse_transform", "as_affine"):
        if hasattr(enhancement, method):
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                getattr(clone(enhancement), method)(*([] if method == "as_affine" else [NEW]))


def test_a_bad_batch_leaves_the_fit_as_it_was():
    streamed = partially_fitted(Whitening(), PARTS)
    before = streamed.transform(NEW)
    with pytest.raises(ValueError, match="row 2 .* holds nan"):
        streamed.partial_fit(np.vstack([NEW[:2], np.full(6, np.nan)]))
    np.testing.assert_array_equal(streamed.transform(NEW), before)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("enhancement", [*AFFINE, PerGroup(Centering())], ids=str)
def test_refused_rows_of_another_width_leave_the_fit_as_it_was(enhancement, method):
    fitted = clone(enhancement).fit(FIT)
    before = fitted.transform(NEW)
    with pytest.raises(ValueError, match="row 2 .* holds nan"), warnings.catch_warnings():
        warnings.simplefilter("ignore", EnhancementWarning)  # partial_fit begins anew
        getattr(fitted, method)(np.vstack([NEW[:2, :4], np.full(4, np.nan)]))
    assert fitted.n_features_in_ == 6
    np.testing.assert_array_equal(fitted.transform(NEW), before)


@pytest.mark.parametrize(
    ("enhancement", "parameter", "value"),
    [
        (AllButTheTop(), "n_directions", -2),
        (Whitening(), "method", "mahalanobis"),
        (Whitening("zca"), "n_components", 3),
        (Whitening(), "n_components", 7),
        (Whitening(), "eps", -0.1),
        (QuantileNormalization(), "n_quantiles", 1),
        (OutlierDimensionRemoval(), "method", "luo"),
    ],
)
def test_parameters_that_are_set_after_partial_fit_are_checked(enhancement, parameter, value):
    streamed = clone(enhancement).partial_fit(FIT).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=f"{parameter}={value}|{parameter}='{value}'"):
        streamed.transform(NEW)


def test_names_of_features_are_not_those_of_an_older_fit():
    moments = Moments()
    moments.update(FIT[:, :3])
    fitted = Centering().fit(pd.DataFrame(FIT, columns=list("abcdef"))).fit(moments)
    assert fitted.get_feature_names_out().tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize(
    "wrong",
    [
        AllButTheTop(7),
        AllButTheTop(1.5),
        ClusterBased(0),
        ClusterBased(n_directions=7),
        ClusterBased(compat="cai"),
        QuantileNormalization("gaussian"),
        OutlierDimensionRemoval("luo"),
        Whitening("mahalanobis"),
        Whitening(n_components=7),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused_with_the_first_rows(wrong):
    with pytest.raises(ValueError, match="=|at most"):
        clone(wrong).partial_fit(PARTS[0])
    assert "statistics_" not in vars(wrong)


@pytest.mark.parametrize("fitted", [Centering(), PerGroup(Centering())], ids=str)
def test_partial_fit_after_fit_begins_anew_and_says_so(fitted):
    fitted = clone(fitted).fit(FIT)
    with pytest.warns(EnhancementWarning, match="the rows of fit are forgotten"):
        fitted.partial_fit(MORE)
    np.testing.assert_allclose(fitted.transform(NEW), NEW - MORE.mean(axis=0), atol=1e-12)
    fitted.partial_fit(FIT)
    np.testing.assert_allclose(fitted.transform(NEW), NEW - np.concatenate([MORE, FIT]).mean(axis=0), atol=1e-12)


def topics(n_topics, n, seed=0):
    rng = np.random.default_rng(seed)
    which = rng.integers(n_topics, size=n)
    return np.random.default_rng(9).normal(size=(64, 32))[which] + 0.3 * rng.normal(size=(n, 32)), which


def test_rows_of_every_topic_in_any_order_are_fitted_without_a_word():
    rows, _ = topics(64, 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for enhancement in (*AFFINE, AllButTheTop()):
            clone(enhancement).fit(rows).transform(topics(64, 500, seed=1)[0])


def test_ordered_rows_are_told():
    rows, which = topics(64, 3000)
    with pytest.warns(EnhancementWarning, match="look ordered"):
        Centering().fit(rows[np.argsort(which)])
    with pytest.warns(EnhancementWarning, match="look ordered"):
        partially_fitted(Centering(), np.array_split(rows[np.argsort(which)], 5)).transform(
            NEW @ RNG.normal(size=(6, 32))
        )


def test_rows_of_few_topics_are_told():
    with pytest.warns(EnhancementWarning, match="lie in 3 tight clusters"):
        Whitening().fit(topics(3, 3000)[0])


def test_copies_of_one_row_are_neither_ordered_nor_clustered():
    row = FIT[:1] / 3
    np.testing.assert_allclose(
        Centering().fit(np.repeat(row, 300, axis=0)).transform(row), np.zeros((1, 6)), atol=1e-12
    )


@pytest.mark.parametrize("n_outliers", [1, 30])
def test_a_few_rows_far_off_are_no_clusters(n_outliers):
    rows, _ = topics(64, 3000)
    rows[:: 3000 // n_outliers, 3] += 500
    Centering().fit(rows)


def test_few_rows_are_told():
    with pytest.warns(EnhancementWarning, match="20 rows of 32 features: it wants 32 rows"):
        Whitening().fit(topics(64, 20)[0])
    with pytest.warns(EnhancementWarning, match="100 rows of 32 features: it wants 128 rows"):
        Whitening(shrinkage=None).fit(topics(64, 100)[0])
    with pytest.warns(EnhancementWarning, match="it wants 32 rows"):
        AllButTheTop().fit(topics(64, 20)[0])
    with pytest.warns(EnhancementWarning, match="it wants 32 rows"):
        ClusterBased().fit(topics(64, 20)[0])


def test_rows_unlike_the_fitting_rows_are_told():
    rows, _ = topics(64, 3000)
    fitted = Centering().fit(rows)
    with pytest.warns(EnhancementWarning, match=r"not like the fitting rows.*queries and documents"):
        fitted.transform(rows[:200] + 1)
