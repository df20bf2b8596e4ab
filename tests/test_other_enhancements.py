"""Quantile normalisation, removal of outlier dimensions, and enhancements per group."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, QuantileTransformer

from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    ClusterCentering,
    EnhancementWarning,
    OutlierDimensionRemoval,
    PerGroup,
    QuantileNormalization,
    Standardization,
    Whitening,
)
from isotropy_metrics.measures import outlier_dimensions
from isotropy_metrics.statistics import Moments, RowStatistics

RNG = np.random.default_rng(0)
FIT = np.exp(RNG.normal(size=(500, 4))) * [1, 3, 0.2, 1] - [0, 9, 0, 2]
NEW = np.exp(RNG.normal(size=(300, 4))) * [1, 3, 0.2, 1] - [0, 9, 0, 2]
NEW[::50] *= 3


@pytest.mark.parametrize("n_quantiles", [2, 37, 500, 1000])
@pytest.mark.parametrize(("output", "shift"), [("uniform", 0.5), ("normal", 0)])
@pytest.mark.parametrize("rounded", [False, True])
def test_quantiles_are_those_of_scikit_learn(output, shift, n_quantiles, rounded):
    fitting, new = (np.round(FIT), np.round(NEW)) if rounded else (FIT, NEW)  # rounded: many equal quantiles
    theirs = QuantileTransformer(n_quantiles=min(n_quantiles, 500), output_distribution=output).fit(fitting)
    ours = QuantileNormalization(output, n_quantiles).fit(fitting)
    for rows in (fitting, new):
        np.testing.assert_allclose(ours.transform(rows) + shift, theirs.transform(rows), atol=1e-10)
        back = theirs.inverse_transform(theirs.transform(rows))
        np.testing.assert_allclose(ours.inverse_transform(ours.transform(rows)), back, atol=1e-9)


@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_quantiles_invert_within_the_fitted_range_and_clip_outside(output):
    enhancement = QuantileNormalization(output).fit(FIT)
    clipped = np.clip(NEW, FIT.min(axis=0), FIT.max(axis=0))
    assert (clipped != NEW).any()
    np.testing.assert_array_equal(enhancement.transform(NEW), enhancement.transform(clipped))
    inside = (clipped > np.sort(FIT, axis=0)[0]) & (clipped < np.sort(FIT, axis=0)[-1])
    np.testing.assert_allclose(enhancement.inverse_transform(enhancement.transform(NEW))[inside], NEW[inside])


def test_uniform_output_is_centred_so_that_cosines_are_not_all_positive():
    treated = QuantileNormalization().fit(FIT).transform(FIT)
    np.testing.assert_allclose(treated.mean(axis=0), 0, atol=1e-12)
    assert treated.min() == -0.5 and treated.max() == 0.5


@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_constant_features_become_zero_and_come_back(output):
    fitting = np.column_stack([FIT, np.full(len(FIT), 7.5)])
    enhancement = QuantileNormalization(output).fit(fitting)
    treated = enhancement.transform(np.column_stack([NEW, np.linspace(7, 8, len(NEW))]))
    np.testing.assert_array_equal(treated[:, -1], 0)
    np.testing.assert_array_equal(enhancement.inverse_transform(treated)[:, -1], 7.5)


def test_single_precision_rows_are_looked_up_in_double_precision():
    fitting = 1000 + np.random.default_rng(4).uniform(0, 1e-3, size=(400, 2)) * [1, 2]
    single = np.float32(1000) + np.arange(16, dtype=np.float32)[:, None] * np.float32(6.1e-5) * np.ones(
        (1, 2), np.float32
    )
    enhancement = QuantileNormalization().fit(fitting)
    treated = enhancement.transform(single)
    assert treated.dtype == np.float32
    np.testing.assert_array_equal(treated, enhancement.transform(single.astype(np.float64)).astype(np.float32))
    assert len(np.unique(treated[:, 0])) > 10


def test_weighted_quantiles():
    equal = QuantileNormalization(n_quantiles=50).fit(FIT, sample_weight=np.full(500, 0.3))
    np.testing.assert_allclose(equal.quantiles_, QuantileNormalization(n_quantiles=50).fit(FIT).quantiles_)
    values = np.array([[1.0], [2.0], [3.0]])
    weighted = QuantileNormalization(n_quantiles=3).fit(values, sample_weight=[1, 1, 4])
    # the middles of the weights lie at 0.5, 1.5 and 4 of 6: at 0, 2/7 and 1 of their range
    np.testing.assert_allclose(
        weighted.transform(values).ravel() + 0.5, np.interp([1, 2, 3], [1, 2.3, 3], [0, 0.5, 1])
    )


def test_many_rows_are_sampled_the_same_however_they_come():
    whole = QuantileNormalization(n_quantiles=20, sample_size=100).fit(FIT)
    streamed = QuantileNormalization(n_quantiles=20, sample_size=100)
    for part in np.array_split(FIT, 6):
        streamed.partial_fit(part)
    np.testing.assert_array_equal(streamed.quantiles_, whole.quantiles_)
    other = QuantileNormalization(n_quantiles=20, sample_size=100, random_state=1).fit(FIT)
    assert np.abs(other.quantiles_ - whole.quantiles_).max() > 0
    assert np.abs(np.quantile(FIT, whole.levels_[5:15], axis=0) - whole.quantiles_[5:15]).max() < 1


OUTLYING = np.random.default_rng(1).normal(size=(600, 150)) * np.linspace(0.5, 2, 150)
OUTLYING[:, [3, 17]] += [12, -12]
OUTLYING[5, 30] = 2000


@pytest.mark.filterwarnings("ignore:the 600 rows lie in 2 tight clusters")  # one row is far off
@pytest.mark.parametrize("method", ["hammerl", "timkey", "macocco", "massive"])
@pytest.mark.parametrize("n_std", [1.0, 3.0])
def test_removed_dimensions_are_those_that_the_measure_finds(method, n_std):
    found = outlier_dimensions(OUTLYING, method=method, n_std=n_std)["outlier_indices"]
    assert found
    enhancement = OutlierDimensionRemoval(method, n_std).fit(OUTLYING)
    expected = OUTLYING.copy()
    expected[:, found] = 0
    np.testing.assert_array_equal(enhancement.transform(OUTLYING), expected)
    matrix, shift = enhancement.as_affine()
    np.testing.assert_array_equal(OUTLYING @ matrix + shift, expected)


@pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement.EnhancementWarning")
def test_hammerl_follows_from_the_moments_of_all_rows_and_their_weights():
    moments, statistics = Moments(), RowStatistics(size=10)
    for each in (moments, statistics):
        each.update(OUTLYING)
    for each in (moments, statistics):
        assert np.flatnonzero(~OutlierDimensionRemoval().fit(each).kept_).tolist() == [3, 17]
    rows = np.concatenate([OUTLYING, OUTLYING + np.eye(150)[20] * 1000])
    order = np.random.default_rng(2).permutation(len(rows))
    weight = np.where(order < 600, 1.0, 1e-9)
    assert np.flatnonzero(~OutlierDimensionRemoval().fit(rows[order]).kept_).tolist() == [20]
    weighted = OutlierDimensionRemoval().fit(rows[order], sample_weight=weight)
    assert np.flatnonzero(~weighted.kept_).tolist() == [3, 17]


def test_massive_activations_of_a_sample_are_doubtful():
    statistics = RowStatistics(size=200)
    statistics.update(OUTLYING)
    with pytest.warns(EnhancementWarning, match="these are of 200 of 600 rows"):
        OutlierDimensionRemoval("massive").fit(statistics)


GROUPS = np.array(["en", "de", "sw"])[RNG.choice(3, size=500, p=[0.7, 0.25, 0.05])]
NEW_GROUPS = np.array(["en", "de", "sw"])[RNG.integers(3, size=300)]


def by_loop(enhancement, rows, groups, new, new_groups):
    fitted = {name: clone(enhancement).fit(rows[groups == name]) for name in set(groups)}
    return np.array([fitted[name].transform(x[None])[0] for x, name in zip(new, new_groups, strict=True)])


@pytest.mark.parametrize(
    "enhancement",
    [
        Centering(),
        Standardization(),
        AllButTheTop(1),
        Whitening("pca", n_components=2),
        ClusterBased(2, 1, min_cluster_size=1),
        QuantileNormalization(n_quantiles=20),
        make_pipeline(Centering(), Normalizer()),
    ],
)
def test_every_group_has_an_enhancement_of_its_own(enhancement):
    per_group = PerGroup(enhancement).fit(FIT, groups=GROUPS)
    assert sorted(per_group.enhancements_) == ["de", "en", "sw"]
    expected = by_loop(enhancement, FIT, GROUPS, NEW, NEW_GROUPS)
    np.testing.assert_allclose(per_group.transform(NEW, groups=NEW_GROUPS), expected, atol=1e-10)
    some = slice(40, 41)
    np.testing.assert_allclose(per_group.transform(NEW[some], groups=NEW_GROUPS[some]), expected[some], atol=1e-10)
    both = PerGroup(enhancement).fit_transform(FIT, groups=list(GROUPS))
    np.testing.assert_allclose(both, by_loop(enhancement, FIT, GROUPS, FIT, GROUPS), atol=1e-10)
    assert not hasattr(enhancement, "n_features_in_")  # clones are fitted


def test_without_groups_it_is_the_enhancement():
    expected = AllButTheTop(2).fit(FIT).transform(NEW)
    np.testing.assert_array_equal(PerGroup(AllButTheTop(2)).fit(FIT).transform(NEW), expected)


def test_groups_may_be_numbers():
    numbers = np.array([{"en": 3, "de": 10, "sw": 7}[name] for name in GROUPS])
    per_group = PerGroup(Centering()).fit(FIT, groups=numbers)
    np.testing.assert_allclose(
        per_group.transform(FIT, groups=[int(number) for number in numbers]),
        PerGroup(Centering()).fit(FIT, groups=GROUPS).transform(FIT, groups=GROUPS),
    )


def test_transductive_enhancements_are_fitted_and_applied_group_by_group():
    enhancement = ClusterBased(3, 1, compat="rajaee")
    treated = PerGroup(enhancement).fit_transform(FIT, groups=GROUPS)
    for name in ("en", "de", "sw"):
        of_group = GROUPS == name
        np.testing.assert_array_equal(treated[of_group], clone(enhancement).fit_transform(FIT[of_group]))


@pytest.mark.parametrize("unseen", ["error", "all"])
@pytest.mark.parametrize("weighted", [False, True])
def test_streams_and_shards_give_what_all_rows_give(unseen, weighted):
    weight = np.random.default_rng(3).uniform(0.5, 2, size=500) if weighted else None
    whole = PerGroup(AllButTheTop(1), unseen).fit(FIT, groups=GROUPS, sample_weight=weight)
    shards = [PerGroup(AllButTheTop(1), unseen) for _ in range(2)]
    order = np.argsort(GROUPS == "sw", kind="stable")  # the first shard has no row of one group
    for i, part in enumerate(np.array_split(order, 10)):
        shard = shards[i // 5]
        shard.partial_fit(FIT[part], groups=GROUPS[part], sample_weight=None if weight is None else weight[part])
    assert sorted(shards[0].enhancements_) == ["de", "en"]
    kept = shards[1].transform(FIT, groups=GROUPS)
    merged = shards[0].merge(shards[1])
    groups = np.where(NEW_GROUPS == "en", "fr", NEW_GROUPS) if unseen == "all" else NEW_GROUPS
    expected = whole.transform(NEW, groups=groups)
    np.testing.assert_allclose(merged.transform(NEW, groups=groups), expected, atol=1e-10)
    np.testing.assert_array_equal(shards[1].transform(FIT, groups=GROUPS), kept)
    merged.partial_fit(FIT + 5, groups=["sw"] * 500)
    np.testing.assert_array_equal(shards[1].transform(FIT, groups=GROUPS), kept)


def test_unseen_groups_are_treated_as_all_rows_if_asked():
    per_group = PerGroup(AllButTheTop(1), unseen="all").fit(FIT, groups=GROUPS)
    of_all = AllButTheTop(1).fit(FIT)
    groups = np.where(np.arange(300) % 2, "fr", NEW_GROUPS)
    treated = per_group.transform(NEW, groups=groups)
    np.testing.assert_array_equal(treated[1::2], of_all.transform(NEW[1::2]))
    np.testing.assert_array_equal(treated[::2], per_group.transform(NEW[::2], groups=NEW_GROUPS[::2]))
    np.testing.assert_array_equal(per_group.transform(NEW), of_all.transform(NEW))


@pytest.mark.parametrize("enhancement", [Centering(), Whitening("zca", eps=0.1), QuantileNormalization()])
def test_groups_are_undone_where_the_enhancement_can_be(enhancement):
    per_group = PerGroup(enhancement).fit(FIT, groups=GROUPS)
    back = per_group.inverse_transform(per_group.transform(FIT, groups=GROUPS), groups=GROUPS)
    np.testing.assert_allclose(back, FIT, atol=1e-8)
    assert not hasattr(PerGroup(AllButTheTop()), "inverse_transform")
    assert not hasattr(PerGroup(make_pipeline(Centering())), "partial_fit")


@pytest.mark.parametrize("names", [("query", "document"), ("Queries", "CORPUS"), ("question", "passage")])
@pytest.mark.parametrize("fit", ["fit", "partial_fit", "fit_transform"])
def test_queries_and_documents_treated_differently_are_warned_of(names, fit):
    groups = np.array(names)[np.arange(500) % 2]
    with pytest.warns(EnhancementWarning, match=f"groups '{names[0]}' and '{names[1]}' look like two sides"):
        getattr(PerGroup(Centering()), fit)(FIT, groups=groups)


def test_the_second_side_of_a_stream_is_warned_of_when_it_comes():
    per_group = PerGroup(Centering()).partial_fit(FIT, groups=["query"] * 500)
    with pytest.warns(EnhancementWarning, match="'query' and 'doc'"):
        per_group.partial_fit(FIT, groups=["doc"] * 500)
    per_group.partial_fit(FIT, groups=["doc"] * 500)  # not again: warnings are errors here
    PerGroup(Centering()).fit(FIT, groups=np.array(["query", "en"])[np.arange(500) % 2])


def test_warnings_and_errors_name_their_group():
    groups = np.where(np.arange(500) < 3, "tiny", "large")
    with pytest.warns(EnhancementWarning) as caught:
        per_group = PerGroup(Whitening()).fit(FIT, groups=groups)
    assert [str(warning.message).split(":")[0] for warning in caught] == ["group 'tiny'"]
    with pytest.raises(ValueError, match="group 'tiny': n_directions=3 .* at most 2"):
        PerGroup(AllButTheTop(3)).fit(FIT, groups=groups)
    with pytest.raises(ValueError, match="group 'tiny': n_clusters=4 of n_samples=3"):
        PerGroup(ClusterCentering(4)).fit(FIT, groups=groups)
    streamed = PerGroup(Whitening()).partial_fit(FIT, groups=groups)
    with pytest.warns(EnhancementWarning, match="^group 'tiny'"):
        streamed.transform(FIT, groups=groups)
    with pytest.warns(EnhancementWarning, match="^group 'large': these rows are not like the fitting rows"):
        per_group.transform(FIT + 50, groups=["large"] * 500)


def test_a_failed_fit_leaves_the_old_one():
    per_group = PerGroup(AllButTheTop(3)).fit(FIT, groups=GROUPS)
    expected = per_group.transform(NEW, groups=NEW_GROUPS)
    with pytest.raises(ValueError, match="group 'tiny'"):
        per_group.fit(FIT + 1, groups=np.where(np.arange(500) < 3, "tiny", "large"))
    np.testing.assert_array_equal(per_group.transform(NEW, groups=NEW_GROUPS), expected)


def test_a_failed_partial_fit_leaves_the_old_one():
    weight = np.ones(500)
    weight[-1] = -1
    per_group = PerGroup(Centering()).fit(FIT, groups=GROUPS)
    expected = per_group.transform(NEW, groups=NEW_GROUPS)
    with pytest.raises(ValueError, match="sample_weight must be finite and non-negative"):
        per_group.partial_fit(FIT, groups=GROUPS, sample_weight=weight)
    np.testing.assert_array_equal(per_group.transform(NEW, groups=NEW_GROUPS), expected)


def test_groups_of_different_widths_are_refused():
    rows = np.concatenate([FIT, FIT[:, :1] * [1, 2, 3, 4]])
    with pytest.raises(ValueError, match="give 1 to [34] features"):
        PerGroup(PCA(0.99)).fit_transform(rows, groups=["a"] * 500 + ["b"] * 500)


@pytest.mark.parametrize("call", ["transform", "partial_fit", "merge"])
def test_all_rows_cannot_be_asked_for_afterwards(call):
    streamed = PerGroup(Centering()).partial_fit(FIT, groups=GROUPS).set_params(unseen="all")
    given = {"merge": (streamed,)}.get(call, (NEW,))
    with pytest.raises(ValueError, match="unseen='all' was set after the rows were fitted"):
        getattr(streamed, call)(*given)


def fitted(enhancement):
    return PerGroup(enhancement).fit(FIT, groups=GROUPS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fitted(Centering()).transform(NEW, groups=["fr"] * 300),
            "group 'fr' .* are: de, en, sw; .*unseen='all'",
        ),
        (lambda: fitted(Centering()).transform(NEW), "group 'all' .* are: de, en, sw"),
        (lambda: PerGroup(Centering()).fit(FIT).transform(NEW, groups=NEW_GROUPS), "group 'de' .* are: all"),
        (lambda: fitted(Centering()).transform(NEW, groups=["en"] * 299), r"shape \(300,\).* got \(299,\)"),
        (lambda: fitted(Centering()).transform(NEW, groups="en"), r"shape \(300,\)"),
        (lambda: PerGroup(Centering()).fit(FIT, groups=["en", None] * 250), "None or NaN"),
        (lambda: PerGroup(Centering()).fit(FIT, groups=["en", float("nan")] * 250), "None or NaN"),
        (lambda: PerGroup(Centering(), unseen="skip").fit(FIT), "unseen='skip': must be one of error, all"),
        (lambda: PerGroup(Centering()).fit(FIT, sample_weight=[1, 2]), r"sample_weight must have shape \(500,\)"),
        (lambda: PerGroup(Centering()).transform(NEW), "not fitted"),
        (lambda: fitted(Centering()).merge(fitted(Centering())), "partial_fit in place of fit"),
        (
            lambda: PerGroup(Centering()).partial_fit(FIT).merge(PerGroup(Centering()).partial_fit(FIT[:, :2])),
            "2 features .* 4",
        ),
        (
            lambda: fitted(Centering()).transform(np.where(NEW == NEW[7, 3], np.nan, NEW), groups=NEW_GROUPS),
            "row 7 of the embeddings holds nan",
        ),
        (lambda: QuantileNormalization("gamma").fit(FIT), "output='gamma': must be one of uniform, normal"),
        (lambda: QuantileNormalization(n_quantiles=1).fit(FIT), "n_quantiles=1: must be a whole number from 2"),
        (lambda: QuantileNormalization().fit(FIT).transform(np.where(NEW == NEW[7, 3], np.inf, NEW)), "row 7"),
        (lambda: QuantileNormalization().fit(FIT).inverse_transform(NEW[:, :2]), "transform gives 4 features"),
        (lambda: OutlierDimensionRemoval("puccetti").fit(FIT), "method='puccetti': must be one of hammerl"),
        (lambda: OutlierDimensionRemoval("macocco").fit(FIT, sample_weight=np.ones(500)), "knows no sample_weight"),
        (lambda: OutlierDimensionRemoval(n_std=np.nan).fit(FIT), "n_std=nan: must be a number from 0"),
        (lambda: OutlierDimensionRemoval(n_std="3").fit(FIT), "n_std='3': must be a number from 0"),
        (lambda: OutlierDimensionRemoval().fit(FIT - 99), "takes every one of n_features=4 for an outlier"),
        (lambda: OutlierDimensionRemoval().fit(FIT).transform(np.where(NEW == NEW[7, 3], np.nan, NEW)), "row 7"),
    ],
)
def test_wrong_use_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
