"""Cluster centring and the cluster-based enhancement against loops over rows, the global ones, and scipy's k-means."""

import csv
import warnings

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from sklearn.base import clone
from sklearn.decomposition import PCA

from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    ClusterCentering,
    EnhancementWarning,
)
from isotropy_metrics.measures import partition_isotropy
from isotropy_metrics.statistics import Moments, RowSample, RowStatistics

RNG = np.random.default_rng(0)
N_FEATURES = 8
CENTERS = RNG.normal(size=(5, N_FEATURES)) * 1.5 + 2
SCALES = RNG.uniform(0.3, 2, size=(5, N_FEATURES))


def rows_of(n: int, seed: int) -> np.ndarray:
    """Rows of five overlapping clusters that are elongated in ways of their own."""
    rng = np.random.default_rng(seed)
    which = rng.integers(5, size=n)
    return CENTERS[which] + rng.normal(size=(n, N_FEATURES)) * SCALES[which]


FIT, NEW = rows_of(900, 1), rows_of(200, 2)


def nearest_by_loop(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    return np.array([int(np.argmin([np.sum((x - center) ** 2) for center in centers])) for x in rows])


def treated_by_loop(rows, labels, fitting_rows, fitting_labels, n_directions, weight=None):
    """Every row by itself: less its cluster's mean, and less its projections on the cluster's eigenvectors."""
    done = np.empty_like(rows)
    for i, (x, label) in enumerate(zip(rows, labels, strict=True)):
        members = fitting_rows[fitting_labels == label]
        mass = np.ones(len(members)) if weight is None else weight[fitting_labels == label]
        mean = (mass[:, None] * members).sum(axis=0) / mass.sum()
        covariance = (mass[:, None] * (members - mean)).T @ (members - mean)
        y = x - mean
        for axis in np.linalg.eigh(covariance)[1].T[::-1][:n_directions]:
            y = y - (y @ axis) * axis
        done[i] = y
    return done


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_directions", [0, 1, 3])
def test_rows_are_treated_by_the_nearest_centre(n_directions, weighted):
    weight = np.random.default_rng(3).uniform(0.1, 5, size=len(FIT)) if weighted else None
    enhancement = ClusterBased(n_clusters=5, n_directions=n_directions).fit(FIT, sample_weight=weight)
    centers = enhancement.cluster_centers_
    of_fit, of_new = nearest_by_loop(FIT, centers), nearest_by_loop(NEW, centers)
    assert len(set(of_new)) == 5
    expected = treated_by_loop(NEW, of_new, FIT, of_fit, n_directions, weight)
    np.testing.assert_allclose(enhancement.transform(NEW), expected, atol=1e-10)
    if n_directions == 0:
        centering = ClusterCentering(n_clusters=5).fit(FIT, sample_weight=weight)
        np.testing.assert_allclose(centering.transform(NEW), expected, atol=1e-10)


def test_weights_move_the_clusters():
    weight = np.where(FIT[:, 0] > 2, 50.0, 0.01)
    plain, weighted = (ClusterBased(5, 1).fit(FIT, sample_weight=each) for each in (None, weight))
    assert np.sum(weighted.cluster_centers_[:, 0] > 2) > np.sum(plain.cluster_centers_[:, 0] > 2)


def test_centred_clusters_have_mean_zero_and_no_variance_along_the_removed_directions():
    enhancement = ClusterBased(n_clusters=5, n_directions=2).fit(FIT)
    treated = enhancement.transform(FIT)
    for label in range(5):
        members = treated[nearest_by_loop(FIT, enhancement.cluster_centers_) == label]
        assert np.abs(members.mean(axis=0)).max() < 1e-12
        directions = enhancement.cluster_directions_[label]
        np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
        assert np.abs(members @ directions.T).max() < 1e-12


@pytest.mark.parametrize("n_rows", [40, 900])
def test_one_cluster_is_centering_and_all_but_the_top(n_rows):
    rows = FIT[:n_rows]
    centered = Centering().fit(rows).transform(NEW)
    np.testing.assert_array_equal(ClusterCentering(n_clusters=1).fit(rows).transform(NEW), centered)
    for n_directions in (0, 1, 3, N_FEATURES):
        expected = AllButTheTop(n_directions).fit(rows).transform(NEW)
        enhancement = ClusterBased(n_clusters=1, n_directions=n_directions).fit(rows)
        np.testing.assert_allclose(enhancement.transform(NEW), expected, atol=1e-10)


def test_one_cluster_is_of_all_rows_however_few_are_sampled():
    moments = Moments()
    streamed = {
        "centering": ClusterCentering(n_clusters=1, sample_size=10),
        "directions": ClusterBased(n_clusters=1, n_directions=2, sample_size=10),
    }
    for part in np.array_split(FIT, 9):
        moments.update(part)
        for enhancement in streamed.values():
            enhancement.partial_fit(part)
    whole = AllButTheTop(2).fit(FIT).transform(NEW)
    np.testing.assert_allclose(streamed["directions"].transform(NEW), whole, atol=1e-10)
    np.testing.assert_allclose(ClusterBased(1, 2).fit(moments).transform(NEW), whole, atol=1e-10)
    np.testing.assert_allclose(streamed["centering"].transform(NEW), NEW - FIT.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("enhancement", [ClusterCentering(n_clusters=4), ClusterBased(n_clusters=4, n_directions=2)])
def test_streams_and_statistics_give_what_all_rows_give(enhancement):
    expected = clone(enhancement).fit(FIT).transform(NEW)
    streamed, statistics = clone(enhancement), RowStatistics()
    for part in np.array_split(FIT, 7):
        streamed.partial_fit(part)
        statistics.update(part)
    np.testing.assert_allclose(streamed.transform(NEW), expected, atol=1e-12)
    np.testing.assert_allclose(clone(enhancement).fit(statistics).transform(NEW), expected, atol=1e-12)
    halves = [clone(enhancement).partial_fit(half) for half in (FIT[:500], FIT[500:])]
    np.testing.assert_allclose(halves[0].merge(halves[1]).transform(NEW), expected, atol=1e-12)


def test_equal_seeds_give_equal_values_and_others_other_samples():
    first, again, other = (
        ClusterBased(4, 2, random_state=seed, sample_size=300).fit(FIT).transform(NEW) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_single_precision_rows_far_from_the_origin():
    enhancement = ClusterBased(n_clusters=5, n_directions=2).fit(FIT + 300)
    expected = enhancement.transform(NEW + 300)
    treated = enhancement.transform((NEW + 300).astype(np.float32))
    assert treated.dtype == np.float32
    np.testing.assert_allclose(treated, expected, atol=2e-4)  # a float32 of 300 is exact to 3e-5


@pytest.mark.parametrize("scale", [1e-25, 1e18, 1e20])
@pytest.mark.parametrize("enhancement", [ClusterCentering(2), ClusterBased(2, 1)], ids=str)
def test_single_precision_rows_whose_squares_overflow_or_vanish(enhancement, scale):
    offset = np.where(np.arange(len(FIT)) % 2, 60, 0)[:, None]
    rows = np.random.default_rng(3).permutation(FIT + offset)
    expected = clone(enhancement).fit(rows).transform(rows)
    scaled = (rows * scale).astype(np.float32)
    treated = clone(enhancement).fit(scaled).transform(scaled)
    assert treated.dtype == np.float32
    np.testing.assert_allclose(treated.astype(np.float64) / scale, expected, atol=1e-4)


def test_order_of_the_rows_does_not_matter_and_one_row_is_treated_as_in_a_batch():
    enhancement = ClusterBased(n_clusters=5, n_directions=2).fit(FIT)
    rows = rows_of(3000, 4)  # more than a block
    treated = enhancement.transform(rows)
    order = np.random.default_rng(5).permutation(len(rows))
    np.testing.assert_allclose(enhancement.transform(rows[order]), treated[order], atol=1e-12)
    np.testing.assert_allclose(enhancement.transform(rows[1234:1235]), treated[1234:1235], atol=1e-12)


def test_small_clusters_are_treated_as_all_rows_with_one_warning():
    far = np.random.default_rng(6).normal(size=(4, N_FEATURES)) + 60
    rows = np.concatenate([FIT, far])
    with pytest.warns(EnhancementWarning) as caught:
        enhancement = ClusterBased(n_clusters=3, n_directions=2).fit(rows)
    texts = [str(warning.message) for warning in caught if "clusters have" in str(warning.message)]
    assert len(texts) == 1
    assert texts[0].startswith("1 of 3 clusters have fewer than 10 rows (the smallest 4)")
    near_far = far + 0.5
    expected = AllButTheTop(2).fit(rows).transform(near_far)
    np.testing.assert_allclose(enhancement.transform(near_far), expected, atol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnhancementWarning)  # four rows make two directions of their own
        allowed = ClusterBased(n_clusters=3, n_directions=2, min_cluster_size=4).fit(rows)
    assert np.abs(allowed.transform(near_far) - expected).max() > 1


def test_directions_beyond_the_rank_of_a_cluster_are_zeros():
    line = np.zeros((50, N_FEATURES))
    line[:, 0] = np.linspace(-1, 1, 50)
    rows = np.random.default_rng(8).permutation(np.concatenate([FIT, line + 80]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnhancementWarning)  # two tight clusters are meant
        enhancement = ClusterBased(n_clusters=2, n_directions=3, min_cluster_size=1).fit(rows)
    of_line = int(nearest_by_loop(line[:1] + 80, enhancement.cluster_centers_)[0])
    np.testing.assert_allclose(
        np.abs(enhancement.cluster_directions_[of_line]), np.eye(3, N_FEATURES) * [[1], [0], [0]]
    )
    off = line[:1] + 80 + np.arange(N_FEATURES) / 10
    kept = off - line.mean(axis=0) - 80
    kept[:, 0] = 0
    np.testing.assert_allclose(enhancement.transform(off), kept, atol=1e-10)


def test_fewer_different_rows_than_clusters():
    rows = np.repeat(RNG.normal(size=(3, 4)), 5, axis=0)
    with pytest.warns(EnhancementWarning, match="k-means finds 3 clusters for n_clusters=5: the 15 rows"):
        enhancement = ClusterCentering(n_clusters=5).fit(rows)
    assert np.abs(enhancement.transform(rows)).max() < 1e-12


def test_defaults_follow_the_rows():
    rng = np.random.default_rng(7)
    shapes = {
        n: ClusterBased(sample_size=None).fit(rng.normal(size=(n, d))).cluster_directions_.shape
        for n, d in ((20, 3), (1000, 64), (1001, 192))
    }
    assert shapes == {20: (1, 1, 3), 1000: (3, 1, 64), 1001: (3, 3, 192)}
    large = RowSample(size=None)
    large.update(rng.normal(size=(9000, 2)))
    assert ClusterCentering().fit(large).cluster_centers_.shape == (27, 2)
    assert ClusterBased().fit(rng.normal(size=(50, 1))).cluster_directions_.shape == (1, 0, 1)


def authors_procedure(rows: np.ndarray, labels: np.ndarray, n_directions: int) -> np.ndarray:
    """Cluster by cluster, and row by row, with scikit-learn's PCA."""
    done = np.empty_like(rows)
    for label in np.unique(labels):
        members = rows[labels == label]
        centered = members - members.mean(axis=0)
        with np.errstate(invalid="ignore"):  # the shares of the variance of equal rows
            axes = PCA().fit(centered).components_[:n_directions]
        done[labels == label] = [x - sum((x @ axis) * axis for axis in axes) for x in centered]
    return done


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rajaee_is_the_authors_procedure_given_the_same_labels(seed):
    enhancement = ClusterBased(6, 3, random_state=seed, compat="rajaee")
    treated = enhancement.fit_transform(FIT)
    np.testing.assert_allclose(treated, authors_procedure(FIT, enhancement.labels_, 3), atol=1e-10)
    assert len(set(enhancement.labels_)) == 6


def test_rajaee_labels_are_those_of_kmeans2_from_the_same_seed():
    np.random.seed(3)
    centers, labels = kmeans2(FIT, 6, minit="points", missing="warn")
    enhancement = ClusterBased(6, 2, random_state=3, compat="rajaee").fit(FIT)
    np.testing.assert_array_equal(enhancement.labels_, labels)
    np.testing.assert_allclose(enhancement.cluster_centers_, centers)


def test_rajaee_treats_new_rows_by_the_nearest_centre_and_the_fitting_rows_by_their_label():
    enhancement = ClusterBased(6, 2, compat="rajaee")
    treated = enhancement.fit_transform(FIT)
    nearest = nearest_by_loop(FIT, enhancement.cluster_centers_)
    moved = nearest != enhancement.labels_
    assert 0 < moved.sum() < len(FIT)  # ten rounds are not enough here
    np.testing.assert_allclose(enhancement.transform(FIT)[~moved], treated[~moved], atol=1e-10)
    assert np.abs(enhancement.transform(FIT)[moved] - treated[moved]).max(axis=1).min() > 1e-3
    of_new = nearest_by_loop(NEW, enhancement.cluster_centers_)
    expected = treated_by_loop(NEW, of_new, FIT, enhancement.labels_, 2)
    np.testing.assert_allclose(enhancement.transform(NEW), expected, atol=1e-10)


def test_rajaee_mends_empty_and_small_clusters():
    few = np.concatenate([np.repeat(FIT[:1], 30, axis=0), FIT[1:60], NEW[:3] + 90])
    for seed in range(3):
        np.random.seed(seed)
        with warnings.catch_warnings(record=True) as of_scipy:
            warnings.simplefilter("always")
            labels = kmeans2(few, 20, minit="points", missing="warn")[1]
        sizes = np.bincount(labels, minlength=20)
        assert sizes.min() < 5 and (of_scipy or sizes.min() > 0)
        enhancement = ClusterBased(20, 5, random_state=seed, compat="rajaee")
        with pytest.warns(EnhancementWarning, match=f"{np.sum(sizes < 5)} of 20 clusters have fewer than 5 rows"):
            treated = enhancement.fit_transform(few)
        large = np.isin(labels, np.flatnonzero(sizes >= 5))
        expected = authors_procedure(few[large], labels[large], 5)
        np.testing.assert_allclose(treated[large], expected, atol=1e-10)
        np.testing.assert_allclose(treated[~large], AllButTheTop(5).fit(few).transform(few[~large]), atol=1e-10)


def test_rajaee_labels_do_not_outlive_the_next_fit():
    enhancement = ClusterBased(3, 1, compat="rajaee").fit(FIT)
    assert enhancement.labels_.shape == (900,)
    assert not hasattr(enhancement.set_params(compat=None).fit(FIT), "labels_")


INCOMPLETE = RowStatistics(size=100)
INCOMPLETE.update(FIT)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ClusterCentering(n_clusters=30).fit(FIT[:20]), "n_clusters=30 of n_samples=20: every cluster needs"),
        (lambda: ClusterBased(n_clusters=30).fit(FIT[:20]), "n_clusters=30 of n_samples=20: every cluster needs"),
        (
            lambda: ClusterBased(n_clusters=30, sample_size=25).fit(FIT),
            "n_clusters=30 of n_samples=900, of which 25 are sampled",
        ),
        (
            lambda: ClusterBased(2, n_directions=9).fit(FIT),
            "n_directions=9 of 8 features: at most 8",
        ),
        (lambda: ClusterBased(2, n_directions=5).fit(FIT[:4]), "n_directions=5 of n_samples=4 .* at most 3"),
        (lambda: ClusterCentering(n_clusters=0).fit(FIT), "n_clusters=0: must be a whole number from 1"),
        (lambda: ClusterCentering(n_clusters=2.0).fit(FIT), "n_clusters=2.0: must be a whole number"),
        (lambda: ClusterBased(2, n_directions=-1).fit(FIT), "n_directions=-1: must be a whole number from 0"),
        (lambda: ClusterBased(2, min_cluster_size=0).fit(FIT), "min_cluster_size=0: must be a whole number from 1"),
        (lambda: ClusterCentering(random_state=None).fit(FIT), "random_state=None: must be a whole number"),
        (lambda: ClusterCentering(n_clusters=3).fit(moments_of(FIT)), "Moments do not suffice"),
        (lambda: ClusterBased(2, 1, compat="cbie").fit(FIT), "compat='cbie': must be None or 'rajaee'"),
        (lambda: ClusterBased(2, 1, compat="rajaee").fit(FIT, sample_weight=np.ones(900)), "knows no sample_weight"),
        (lambda: ClusterBased(2, 1, compat="rajaee").fit(INCOMPLETE), "these are 100 of 900"),
        (lambda: ClusterBased(2, 1, compat="rajaee").partial_fit(FIT), "use fit_transform, or compat=None"),
        (lambda: ClusterBased(2, 1).fit(FIT).transform(np.where(NEW == NEW[7, 3], np.nan, NEW)), "row 7"),
        (lambda: ClusterBased(2, 1).fit(FIT).transform(np.where(NEW == NEW[7, 3], np.inf, NEW)), "row 7"),
        (lambda: ClusterBased(2, 1).fit(FIT).transform(NEW[:, :3]), "X has 3 features"),
        (lambda: ClusterBased(2, 1).transform(NEW), "not fitted"),
        (
            lambda: ClusterCentering(2).fit(FIT * 1e38).transform((FIT * -2e38 / FIT.max()).astype(np.float32)),
            "overflow float32",
        ),
    ],
)
def test_wrong_use_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def moments_of(rows):
    moments = Moments()
    moments.update(rows)
    return moments


def test_isotropy_rises_with_every_treatment_on_clusters():
    scores = [
        partition_isotropy(rows)["partition_isotropy"]
        for rows in (
            FIT,
            Centering().fit(FIT).transform(FIT),
            ClusterCentering(5).fit(FIT).transform(FIT),
            ClusterBased(5, 2).fit(FIT).transform(FIT),
        )
    ]
    assert scores == sorted(scores) and scores[0] < scores[-1]


def test_more_rows_than_the_starts_see_are_clustered():
    rows = rows_of(21_000, 9)
    enhancement = ClusterCentering(n_clusters=5).fit(rows)
    labels = nearest_by_loop(NEW, enhancement.cluster_centers_)
    np.testing.assert_allclose(enhancement.transform(NEW), NEW - enhancement.cluster_means_[labels], atol=1e-12)
    for center, mean in zip(enhancement.cluster_centers_, enhancement.cluster_means_, strict=True):
        assert np.linalg.norm(center - mean) < 0.02  # k-means went on, over all rows, until they met


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement.EnhancementWarning")
def test_every_treatment_raises_the_isotropy_of_real_token_states(minilm_path, stsb_folder):
    dev, train = (_token_space(minilm_path, stsb_folder / f"sts-{split}.csv") for split in ("dev", "train"))
    log_isotropy = {
        name: partition_isotropy(rows)["partition_isotropy_log10"]
        for name, rows in {
            "baseline": dev,
            "zero-mean": Centering().fit(train).transform(dev),
            "clusters": ClusterCentering(27).fit(train).transform(dev),
            "clusters, transductive": ClusterBased(27, 0, compat="rajaee").fit_transform(dev),
            "global": AllButTheTop(15).fit(train).transform(dev),
            "cluster-based": ClusterBased(27, 12).fit(train).transform(dev),
            "cluster-based, transductive": ClusterBased(27, 12, compat="rajaee").fit_transform(dev),
        }.items()
    }
    of = log_isotropy.__getitem__
    assert of("baseline") < of("zero-mean") < min(of("clusters"), of("global"))
    assert of("zero-mean") < of("clusters, transductive") < of("cluster-based, transductive")
    assert of("global") < of("cluster-based, transductive")
    assert of("clusters") < of("cluster-based")


def _token_space(model_path, file) -> np.ndarray:
    """Last-layer states of all tokens of up to 1,500 pairs."""
    from isotropy_metrics.study.spaces.checkpoint import Checkpoint
    from isotropy_metrics.study.spaces.token_space import token_space

    with open(file, encoding="utf-8", newline="") as opened:
        table = list(csv.reader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    table = [table[i] for i in np.sort(np.random.default_rng(0).permutation(len(table))[:1500])]
    checkpoint = Checkpoint.load(model_path)
    texts = [row[5] for row in table] + [row[6] for row in table]
    return token_space(checkpoint, texts, layers=[checkpoint.model.config.num_hidden_layers], progress=False).rows
