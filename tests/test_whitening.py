"""Whitening against its definitions, scikit-learn, published golden values, and the harm that few rows do."""

import numpy as np
import pytest
from clouds import golden_cloud
from scipy.linalg import sqrtm
from sklearn.covariance import ledoit_wolf_shrinkage as ledoit_wolf_of_scikit_learn
from sklearn.decomposition import PCA

from isotropy_metrics import Moments, RowStatistics, isoscore, participation_ratio
from isotropy_metrics.enhancement import Whitening
from isotropy_metrics.enhancement.ledoit_wolf import ledoit_wolf_shrinkage
from isotropy_metrics.enhancement.whitening import METHODS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Whitening is fitted on:isotropy_metrics.enhancement.EnhancementWarning"),
    pytest.mark.filterwarnings("ignore:.* it wants .* rows. Compare values of equal n:RuntimeWarning"),
]

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(12, 12)) * np.geomspace(8, 0.1, 12)
FIT = RNG.normal(size=(600, 12)) @ MIXING + 3
NEW = RNG.normal(size=(50, 12)) @ MIXING + 3
COVARIANCE = np.cov(FIT.T)


def cosines(rows):
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units @ units.T


def hard(method):
    return Whitening(method, shrinkage=None).fit(FIT)


@pytest.mark.parametrize("method", METHODS)
def test_whitened_rows_have_the_identity_for_covariance(method):
    for rows in (FIT, golden_cloud()):
        whitened = Whitening(method, shrinkage=None).fit_transform(rows)
        np.testing.assert_allclose(np.cov(whitened.T), np.eye(rows.shape[1]), atol=1e-8)
        np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-8)


def test_each_whitener_is_the_one_of_its_definition():
    """Kessy, Lewin & Strimmer 2018, by matrix square roots: an independent way to each W with z = (x − mean) W."""
    values, vectors = np.linalg.eigh(COVARIANCE)
    scale = np.sqrt(np.diag(COVARIANCE))
    correlation = np.corrcoef(FIT.T)
    matrices = {method: hard(method).matrix_ for method in METHODS}
    np.testing.assert_allclose(matrices["zca"], np.linalg.inv(sqrtm(COVARIANCE)), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(matrices["cholesky"], np.linalg.cholesky(np.linalg.inv(COVARIANCE)), rtol=1e-8)
    of_correlation = np.linalg.inv(sqrtm(correlation))
    np.testing.assert_allclose(matrices["zca_cor"], of_correlation / scale[:, None], rtol=1e-7, atol=1e-8)
    expected = vectors[:, ::-1] / np.sqrt(values[::-1])
    np.testing.assert_allclose(np.abs(matrices["pca"]), np.abs(expected), rtol=1e-7, atol=1e-9)
    values, vectors = np.linalg.eigh(correlation)
    expected = vectors[:, ::-1] / np.sqrt(values[::-1]) / scale[:, None]
    np.testing.assert_allclose(np.abs(matrices["pca_cor"]), np.abs(expected), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "options", [{"shrinkage": None}, {"shrinkage": 0.3}, {"eps": 0.5}, {"eps": "auto", "target_isoscore": 0.6}]
)
def test_the_five_whiteners_give_the_same_cosines(options):
    of_methods = [cosines(Whitening(method, **options).fit(FIT).transform(NEW)) for method in METHODS]
    for each in of_methods[1:]:
        np.testing.assert_allclose(each, of_methods[0], atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{"shrinkage": None}, {}, {"eps": 0.2}])
def test_the_inverse_gives_the_rows_back(method, options):
    whitening = Whitening(method, **options).fit(FIT)
    np.testing.assert_allclose(whitening.inverse_transform(whitening.transform(NEW)), NEW, rtol=1e-9, atol=1e-9)


def test_truncated_pca_whitening_is_that_of_scikit_learn():
    ours = Whitening("pca", n_components=4, shrinkage=None).fit(FIT)
    theirs = PCA(n_components=4, whiten=True).fit(FIT)
    signs = np.sign(np.sum(ours.transform(FIT) * theirs.transform(FIT), axis=0))
    np.testing.assert_allclose(ours.transform(NEW), theirs.transform(NEW) * signs, rtol=1e-8, atol=1e-9)
    back = ours.inverse_transform(ours.transform(NEW))
    np.testing.assert_allclose(back, theirs.inverse_transform(theirs.transform(NEW)), rtol=1e-8, atol=1e-9)
    assert ours.get_feature_names_out().tolist() == ["whitening0", "whitening1", "whitening2", "whitening3"]


@pytest.mark.parametrize("eps", [0, 0.01, 0.1])
def test_soft_zca_has_its_golden_values(eps, golden):
    whitening = Whitening("zca", eps=eps, eps_mode="absolute", shrinkage=None).fit(golden_cloud())
    corner = golden[f"Soft-ZCA eps={eps} W[0,0],W[0,1]"]
    np.testing.assert_allclose(whitening.matrix_[0, :2], corner, rtol=0, atol=1e-9)
    after = isoscore(whitening.transform(golden_cloud()))["isoscore"]
    assert after == pytest.approx(golden[f"Soft-ZCA eps={eps} IsoScore after"], abs=1e-7)


def test_relative_eps_has_no_unit_and_absolute_eps_has():
    small = FIT / 1000
    relative, absolute = ({"eps": 0.1, "eps_mode": mode, "shrinkage": None} for mode in ("relative", "absolute"))
    as_before = cosines(Whitening("zca", **relative).fit_transform(FIT))
    np.testing.assert_allclose(cosines(Whitening("zca", **relative).fit_transform(small)), as_before, atol=1e-9)
    whitened = Whitening("zca", **absolute).fit_transform(small)
    np.testing.assert_allclose(cosines(whitened), cosines(small - small.mean(axis=0)), atol=1e-2)
    mean_variance = np.trace(COVARIANCE) / 12
    assert Whitening(eps=0.1).fit(FIT).eps_ == pytest.approx(0.1 * mean_variance)


@pytest.mark.parametrize(
    ("target", "options"),
    [(0.6, {}), (0.6, {"shrinkage": None}), (0.95, {"shrinkage": None}), (0.9, {"method": "pca", "n_components": 7})],
)
def test_auto_eps_reaches_its_target(target, options):
    whitening = Whitening(eps="auto", target_isoscore=target, **options).fit(FIT)
    assert isoscore(whitening.transform(FIT))["isoscore"] == pytest.approx(target, abs=1e-6)
    assert whitening.eps_ > 0


@pytest.mark.parametrize("shape", [(30, 12), (600, 12), (9, 20)])
def test_shrinkage_is_that_of_scikit_learn(shape):
    rows = np.random.default_rng(1).standard_t(5, size=shape) * np.linspace(1, 3, shape[1]) + 10
    statistics = RowStatistics()
    statistics.update(rows)
    assert ledoit_wolf_shrinkage(statistics) == pytest.approx(ledoit_wolf_of_scikit_learn(rows), rel=1e-9)


def test_shrinkage_of_a_sample_or_of_moments_alone_is_near_that_of_all_rows():
    rows = np.random.default_rng(1).normal(size=(4000, 12)) @ MIXING
    expected = ledoit_wolf_of_scikit_learn(rows)
    sampled, alone = RowStatistics(size=1000), Moments()
    for part in np.array_split(rows, 7):
        sampled.update(part)
        alone.update(part)
    assert ledoit_wolf_shrinkage(sampled) == pytest.approx(expected, rel=0.1)
    assert Whitening().fit(alone).shrinkage_ == pytest.approx(expected, rel=0.1)


def test_shrinkage_follows_the_formula():
    whitening = Whitening("zca", shrinkage=0.25, eps=0.1).fit(FIT)
    unit = np.trace(COVARIANCE) / 12 * np.eye(12)
    shrunk = 0.75 * COVARIANCE + 0.25 * unit + 0.1 * unit
    np.testing.assert_allclose(whitening.matrix_, np.linalg.inv(sqrtm(shrunk)), rtol=1e-8, atol=1e-10)
    assert (whitening.shrinkage_, Whitening(shrinkage=None).fit(FIT).shrinkage_) == (0.25, 0.0)


def test_weights_are_importances():
    weight = RNG.uniform(0.1, 3, size=600)
    whitening = Whitening(shrinkage=None).fit(FIT, sample_weight=weight)
    np.testing.assert_allclose(np.cov(whitening.transform(FIT).T, aweights=weight), np.eye(12), atol=1e-8)
    scaled = Whitening().fit(FIT, sample_weight=weight / weight.sum())
    np.testing.assert_allclose(scaled.matrix_, Whitening().fit(FIT, sample_weight=weight).matrix_, rtol=1e-8)


def synthetic_topics(n):
    """n rows of 64 topics in 256 dimensions, as in users.md: raw 1-nearest-neighbour agreement is 1."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(64, 256))
    topics = rng.integers(64, size=n)
    return centers[topics] + 0.3 * rng.normal(size=(n, 256)) + 0.5, topics


def neighbor_agreement(rows, topics):
    """How often the nearest of the second half by cosine has the topic of a row of the first half."""
    half = len(rows) // 2
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = np.argmax(units[:half] @ units[half:].T, axis=1)
    return np.mean(topics[half:][nearest] == topics[:half])


def test_the_default_keeps_neighbours_when_rows_are_as_few_as_features():
    rows, topics = synthetic_topics(2256)
    held_out, of_held_out = rows[256:], topics[256:]
    assert neighbor_agreement(held_out, of_held_out) == 1
    kept = neighbor_agreement(Whitening().fit(rows[:256]).transform(held_out), of_held_out)
    without_shrinkage = Whitening(shrinkage=None, eps=1e-9).fit(rows[:256])
    ruined = without_shrinkage.transform(held_out)
    assert kept >= 0.99
    assert neighbor_agreement(ruined, of_held_out) < 0.2
    looks = without_shrinkage.transform(rows[:256])
    assert participation_ratio(looks)["participation_ratio"] == pytest.approx(255, abs=1)  # perfect, of 256 rows


def test_single_precision_far_from_the_origin():
    rows = (RNG.normal(size=(600, 12)) * np.linspace(1, 9, 12) + 1000).astype(np.float32)
    whitened = Whitening("zca", shrinkage=None).fit_transform(rows)
    assert whitened.dtype == np.float32
    exact = Whitening("zca", shrinkage=None).fit_transform(rows.astype(np.float64))
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(12), atol=1e-3)
    np.testing.assert_allclose(whitened, exact, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mahalanobis"}, "one of pca, zca, cholesky"),
        ({"eps_mode": "percent"}, "one of relative, absolute"),
        ({"eps": -0.1}, "a number from 0"),
        ({"eps": "soft"}, "a number from 0, or 'auto'"),
        ({"eps": True}, "a number from 0"),
        ({"shrinkage": 1.5}, "from 0 to 1"),
        ({"shrinkage": "oas"}, "'ledoit_wolf', a number"),
        ({"method": "zca", "n_components": 3}, "needs method='pca'"),
        ({"n_components": 13}, "n_components=13 of 12 features"),
        ({"n_components": 0}, "n_components=0"),
        ({"eps": "auto", "target_isoscore": 0.01}, r"these rows can reach .* \(eps=0\)$"),
        ({"eps": "auto", "target_isoscore": 0.9, "shrinkage": 0.9}, "shrinkage=None reaches higher"),
        ({"eps": "auto", "n_components": 1}, "one has no IsoScore"),
        ({"eps": "auto", "target_isoscore": "high"}, "target_isoscore='high': must be a number above 0"),
        ({"eps": "auto", "target_isoscore": 1.2}, "up to 1"),
        ({"method": "pca_cor", "eps": "auto", "n_components": 3}, "is for method='pca'"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Whitening(**options).fit(FIT)


def test_too_few_directions_are_refused_without_shrinkage():
    for few in (FIT[:12], np.column_stack([FIT, FIT[:, 0]]), FIT[:7]):
        with pytest.raises(ValueError, match="span too few directions"):
            Whitening(shrinkage=None).fit(few)
    six = Whitening("pca", n_components=6, shrinkage=None).fit_transform(FIT[:7])
    np.testing.assert_allclose(np.cov(six.T), np.eye(6), atol=1e-8)
    with pytest.raises(ValueError, match="all 5 rows are equal"):
        Whitening().fit(np.ones((5, 3)))
    with pytest.raises(ValueError, match="at least 2 rows, got n_samples=1"):
        Whitening().fit(np.ones((1, 3)))
    with pytest.raises(ValueError, match="one of the 2 rows has all the weight"):
        Whitening().fit(FIT[:2], sample_weight=[1.0, 1e-12])
