"""The published and exact values of each measure, what degenerate data give, and what only one measure has."""

from __future__ import annotations

import math
import sys
import warnings

import marbut
import numpy as np
import pytest
import torch
from clouds import CLOUD, CLOUDS, gaussian, golden_cloud
from hypothesis import given
from hypothesis import strategies as st
from references import REFERENCES
from threadpoolctl import threadpool_limits

from isotropy_metrics.measures import (
    alpha_req,
    average_cosine_similarity,
    bures_isotropy,
    correlation_distance,
    effective_rank,
    eigenvalue_early_enrichment,
    elongated_directions,
    explained_variance,
    isoscore,
    isoscore_star,
    matrix_entropy,
    outlier_dimensions,
    participation_ratio,
    partition_isotropy,
    rankme,
    stable_rank,
)
from isotropy_metrics.statistics import RowSample

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
PROVENANCE = {"n_samples", "n_features", "n_sampled"}


def value(measured, rows, **arguments):
    """The value alone."""
    return measured(rows, **arguments)[measured.name]


# Degenerate data: NaN and the reason, never a number that looks like a finding

FLAT, ZERO, LINE = np.full((50, 3), 0.1), np.zeros((50, 3)), gaussian(50, [2.0])
ONE_ROW = np.concatenate([np.ones((1, 3)), np.zeros((9, 3))])
SAME, ZEROS, ONE = "all rows are the same", "all rows are zero", "one feature has no isotropy"
RAW = {"centered": False}
DEGENERATE = [
    (isoscore, {}, FLAT, SAME),
    (isoscore, {"unbiased": True}, FLAT, SAME),
    (isoscore, {}, ZERO, SAME),
    (isoscore, {}, LINE, ONE),
    (isoscore_star, {}, FLAT, SAME),
    (isoscore_star, {}, LINE, ONE),
    (participation_ratio, {}, FLAT, SAME),
    (participation_ratio, {}, ZERO, SAME),
    (participation_ratio, {}, LINE, 1.0),
    (effective_rank, {}, FLAT, SAME),
    (effective_rank, {"spectrum": "singular_values"}, FLAT, SAME),
    (effective_rank, {}, LINE, 1.0),
    (rankme, {}, FLAT, 1.0),
    (rankme, {}, ZERO, ZEROS),
    (rankme, {"centered": True}, FLAT, SAME),
    (rankme, {}, LINE, 1.0),
    (stable_rank, {}, FLAT, SAME),
    (stable_rank, RAW, FLAT, 1.0),
    (stable_rank, RAW, ZERO, ZEROS),
    (stable_rank, {}, LINE, 1.0),
    (explained_variance, {}, FLAT, SAME),
    (explained_variance, {"k": 9}, LINE, 1.0),
    (eigenvalue_early_enrichment, {}, FLAT, SAME),
    (eigenvalue_early_enrichment, {}, LINE, ONE),
    (alpha_req, {}, FLAT, SAME),
    (alpha_req, {}, LINE, "fewer than 2 of the 1 eigenvalues are in the range"),
    (alpha_req, {"fit_range": (5, 9)}, gaussian(50, [1, 1, 1]), "fewer than 2 of the 3 eigenvalues are in the range"),
    (matrix_entropy, {}, FLAT, SAME),
    (matrix_entropy, RAW, ZERO, ZEROS),
    (matrix_entropy, RAW, FLAT, 0.0),
    (matrix_entropy, {}, LINE, ONE),
    (elongated_directions, {}, FLAT, SAME),
    (elongated_directions, {}, LINE, ONE),
    (correlation_distance, {}, FLAT, SAME),
    (correlation_distance, {}, LINE, "one feature has nothing to correlate with"),
    (bures_isotropy, {}, ZERO, ZEROS),
    (bures_isotropy, {}, FLAT, 2.0),
    (average_cosine_similarity, {}, FLAT, 1.0),
    (average_cosine_similarity, {}, ZERO, "fewer than 2 rows are not zero"),
    (average_cosine_similarity, {"contributions": True}, ZERO, "fewer than 2 rows are not zero"),
    (average_cosine_similarity, {}, ONE_ROW, "fewer than 2 rows are not zero"),
    (partition_isotropy, {"centered": True}, FLAT, SAME),
    (partition_isotropy, {}, FLAT, SAME),
    (partition_isotropy, {}, ZERO, ZEROS),
    (partition_isotropy, {}, LINE, ONE),
    (partition_isotropy, {"signs": "largest_positive"}, LINE, ONE),
    (outlier_dimensions, {}, ZERO, 0.0),
    (outlier_dimensions, {"method": "timkey"}, ZERO, 0.0),
]


@pytest.mark.parametrize(("measured", "options", "rows", "expected"), DEGENERATE)
def test_degenerate_data_give_nan_and_a_warning_that_says_why(measured, options, rows, expected):
    if isinstance(expected, float):
        assert value(measured, rows, **options) == pytest.approx(expected, rel=1e-9, abs=1e-9)
        return
    with pytest.warns(RuntimeWarning, match=f"^{measured.name} is NaN: {expected}") as warned:
        result = measured(rows, **options)
    of_nan = [each for each in warned if "it wants" not in str(each.message)]
    assert len(of_nan) == 1
    assert of_nan[0].filename == __file__
    assert set(result) == set(measured(CLOUD, **options))
    assert all(math.isnan(v) for k, v in result.items() if k not in PROVENANCE | {"n_zero_rows"})
    assert (result["n_samples"], result["n_features"]) == rows.shape


@pytest.mark.parametrize("constant", [0.1, -7.7, 1 / 3, 1e-5, 1000.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_are_never_mistaken_for_a_cloud_of_rounding_errors(constant, dtype):
    for n in (2, 3, 7, 1000, 20_000):
        rows = np.tile(np.array([constant, 0.7, -2 * constant], dtype), (n, 1))
        for arguments in ({}, {"weight": np.full(n, 0.1)}):
            for measured in (isoscore, participation_ratio, effective_rank, stable_rank, correlation_distance):
                with pytest.warns(RuntimeWarning, match="all rows are the same"):
                    measured(rows, **arguments)


def test_the_unbiased_isoscore_needs_three_rows():
    with pytest.raises(ValueError, match="at least 3 rows, got 2"):
        isoscore(CLOUD[:2], unbiased=True)
    assert math.isfinite(isoscore(CLOUD[:3], unbiased=True)["isoscore"])


# Published and exact values


SINGULAR = {"spectrum": "singular_values"}
GOLDEN = [  # the label in golden.py, and the measure, its options and its key
    ("IsoScore 7-step", isoscore, {}, None),
    ("IsoScore (PR-1)/(d-1)", isoscore, {}, None),
    ("IsoScore unbiased", isoscore, {"unbiased": True}, None),
    ("IsoScore* zeta=.2 C0=I", isoscore_star, {"scale_c0": False}, None),
    ("IsoScore* zeta=.2 C0=(trS/d)I", isoscore_star, {}, None),
    ("PR", participation_ratio, {}, None),
    ("mean cosine (off-diag)", average_cosine_similarity, {}, None),
    (
        "top cos contribution share (exact)",
        average_cosine_similarity,
        {"contributions": True},
        "largest_cosine_contribution",
    ),
    ("I(V) uncentred, columns, sign-fixed", partition_isotropy, {"signs": "largest_positive"}, None),
    ("I(V) uncentred, columns, +-both", partition_isotropy, {}, None),
    ("I(V) centred, columns, sign-fixed", partition_isotropy, {"signs": "largest_positive", "centered": True}, None),
    ("I(V) centred, +-both", partition_isotropy, {"centered": True}, None),
    (
        "I(V) LEGACY rows, centred",
        partition_isotropy,
        {"signs": "largest_positive", "centered": True, "legacy_rows": True},
        None,
    ),
    ("EEE", eigenvalue_early_enrichment, {}, None),
    ("RankMe (sv, uncentred)", rankme, {}, None),
    ("RankMe centred", rankme, {"centered": True}, None),
    ("RankMe centred", effective_rank, {"spectrum": "singular_values"}, None),
    ("erank of cov spectrum", effective_rank, {}, None),
    ("stable rank centred ||X||F^2/||X||2^2", stable_rank, {}, None),
    ("anisotropy lam1/tr (Razzhigaev)", explained_variance, {}, None),
    ("top-3 share (Klyshinsky)", explained_variance, {"k": 3}, None),
    ("Cor-Reg ||R-I||_F", correlation_distance, {}, None),
    ("Ji W2^2 to N(0,I/d), ddof0, L2-normed", bures_isotropy, {}, None),
    ("Matrix entropy (Wei) /log d", matrix_entropy, {}, None),
    ("Matrix entropy uncentred, row-normed", matrix_entropy, {"centered": False}, "matrix_entropy_nats"),
]


@pytest.mark.parametrize(("label", "measured", "options", "key"), GOLDEN)
def test_the_golden_cloud_has_its_golden_values(label, measured, options, key, golden):
    for rows in (golden_cloud(), golden_cloud()[::-1]):
        assert measured(rows, **options)[key or measured.name] == pytest.approx(golden[label], rel=0, abs=1e-7)


def test_further_golden_values_follow_from_the_measures(golden):
    X = golden_cloud()
    assert value(participation_ratio, X) / 24 == pytest.approx(golden["PR/d"], abs=1e-7)
    assert value(average_cosine_similarity, X) * 239 / 240 == pytest.approx(golden["CosReg I-STAR (/N^2)"], abs=1e-7)
    centred = value(average_cosine_similarity, X - X.mean(axis=0))
    assert centred == pytest.approx(golden["mean cosine centred"], abs=1e-7)
    assert outlier_dimensions(X)["outlier_indices"] == []
    centred = X - X.mean(axis=0)
    covariance = centred.T @ centred / 239
    assert np.trace(covariance) == pytest.approx(golden["trace cov (ddof1)"], abs=1e-7)
    defect = np.sqrt((24 - np.sqrt(24 * value(participation_ratio, X))) / (24 - np.sqrt(24)))
    assert defect == pytest.approx(golden["isotropy defect delta"], abs=1e-7)
    eigenvalues, directions = np.linalg.eigh(covariance)
    for epsilon in ("0", "0.01", "0.1"):
        whitened = centred @ directions / np.sqrt(eigenvalues + float(epsilon))
        expected = golden[f"Soft-ZCA eps={epsilon} IsoScore after"]
        assert value(isoscore, whitened) == pytest.approx(expected, abs=1e-7)


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
    assert value(explained_variance, rows) == pytest.approx(1 / k)
    assert explained_variance(rows)["directions_for_90_percent"] == math.ceil(0.9 * k - 1e-9)
    k_dimensions = [(participation_ratio, {}), (effective_rank, {}), (effective_rank, SINGULAR), (stable_rank, {})]
    for measured, options in k_dimensions:
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


@pytest.mark.parametrize("options", [{}, {"centered": True}, {"signs": "largest_positive"}, {"legacy_rows": True}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_partition_isotropy_of_chunks_side_by_side_is_that_of_all_rows(options, dtype, monkeypatch):
    monkeypatch.setattr(sys.modules[partition_isotropy.function.__module__], "WORKER_VALUES", 1000)
    rows = (gaussian(3000, 1 / np.arange(1, 31)) + 0.3).astype(dtype)
    sample = RowSample(None)
    sample.update(rows, weight=np.random.default_rng(1).random(3000) * 1e-300)
    reference = math.log10(REFERENCES["partition_isotropy"](rows, sample.weight * 1e300, **options))
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            found = partition_isotropy(sample, **options)["partition_isotropy_log10"]
        assert found == pytest.approx(reference, abs=1e-11)


def test_partition_isotropy_is_a_logarithm_where_the_number_underflows():
    for rows in (1e3 * CLOUD, 1e3 * golden_cloud(), 1e6 * gaussian(100, [4, 1])):
        for options in ({}, {"centered": True}, {"signs": "largest_positive"}):
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


@pytest.mark.parametrize("d", [2, 10, 768])
def test_one_spike_has_the_largest_early_enrichment(d):
    """Published: 0.25 for 2 dimensions, 0.81 for 10, 0.9974 for 768 (Marbut et al. 2023, their code's maximum)."""
    spike = np.outer([-2.0, -1.0, 0.5, 1.0, 1.5], np.ones(d))
    assert value(eigenvalue_early_enrichment, spike) == pytest.approx(((d - 1) / d) ** 2, abs=1e-9)


@pytest.mark.parametrize("name", marbut.PUBLISHED)
def test_early_enrichment_of_the_published_clouds_to_their_four_digits(name):
    published = marbut.PUBLISHED[name][0]
    assert round(value(eigenvalue_early_enrichment, marbut.cloud(name)), 4) == published


@pytest.mark.parametrize("zeta", [0.0, 0.2, 1.0])
def test_isoscore_star_equals_the_authors_package(zeta):
    from IsoScore.IsoScore import IsoScore_star

    rows = gaussian(300, 1 / np.arange(1, 25)) + 3
    c0 = np.cov(gaussian(500, np.arange(1, 25), seed=1).T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.tensor(tensor), and numpy in place of a tensor
        theirs = float(IsoScore_star(torch.tensor(rows), torch.tensor(c0), zeta))
    assert value(isoscore_star, rows, shrinkage=zeta, c0=c0, scale_c0=False) == pytest.approx(theirs, abs=1e-6)


def test_the_covariance_to_shrink_to():
    rows, c0 = gaussian(500, [3, 2, 1]), np.diag([1.0, 2.0, 3.0])
    scaled = value(isoscore_star, rows, c0=c0)
    assert value(isoscore_star, rows, c0=1e6 * c0) == pytest.approx(scaled, rel=1e-9)
    of_c0 = value(isoscore_star, rows, c0=c0, shrinkage=1.0)
    assert of_c0 == pytest.approx((36 / 14 - 1) / 2, rel=1e-12)
    assert value(isoscore_star, rows, c0=1e9 * c0, scale_c0=False) == pytest.approx(of_c0, rel=1e-6)
    assert value(isoscore_star, rows, shrinkage=0.0, c0=c0) == pytest.approx(value(isoscore, rows), rel=1e-9)
    asymmetric = np.array([[1.0, 2, 0], [0, 1, 0], [0, 0, 1]])
    for bad in (np.eye(2), asymmetric, 3, np.zeros((3, 3)), -np.eye(3), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match=r"c0 must be a symmetric covariance of shape \(3, 3\)"):
            isoscore_star(rows, c0=bad)
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="shrinkage must be from 0 to 1, got"):
            isoscore_star(rows, shrinkage=bad)


def test_rankme_of_centred_rows_is_the_effective_rank_of_singular_values():
    for rows in CLOUDS.values():
        centred = value(effective_rank, rows, spectrum="singular_values")
        assert value(rankme, rows, centered=True) == pytest.approx(centred, rel=1e-9)
    with pytest.raises(ValueError, match="epsilon must not be negative"):
        rankme(CLOUD, epsilon=-1e-7)


def test_the_first_share_is_the_inverse_of_the_stable_rank():
    for rows in CLOUDS.values():
        assert value(explained_variance, rows) == pytest.approx(1 / value(stable_rank, rows), rel=1e-9)
    for bad in (0, 2.5):
        with pytest.raises(ValueError, match="k must be a whole number of directions, at least 1"):
            explained_variance(CLOUD, k=bad)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_power_law_has_its_exponent_in_any_range(alpha):
    variances = np.arange(1, 201.0) ** -alpha
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(400, 201)))[0][:, 1:] * np.sqrt(variances)
    rows -= rows.mean(axis=0)
    result = alpha_req(rows)
    assert (result["alpha_req_first"], result["alpha_req_last"]) == (11, 100)
    for fit_range in (None, (1, 50), (100, 150)):
        assert value(alpha_req, rows, fit_range=fit_range) == pytest.approx(alpha, abs=0.03)
    assert alpha_req(rows, fit_range=(150, 900))["alpha_req_last"] == 200
    for bad in ((5, 5), (0, 4), (3,), (9, 2)):
        with pytest.raises(ValueError, match="fit_range must be a first and a last rank"):
            alpha_req(rows, fit_range=bad)


def test_planted_directions_are_counted_among_isotropic_ones():
    for n, d, planted in ((2000, 100, 7), (300, 200, 3)):
        variances = np.ones(d)
        variances[:planted] = 30
        result = elongated_directions(gaussian(n, variances))
        assert (result["elongated_directions"], result["directions_above_mean"]) == (planted, planted)
    with pytest.raises(ValueError, match="factor must be positive"):
        elongated_directions(CLOUD, factor=0)


@pytest.mark.parametrize("n", [40, 200, 5000])
def test_without_its_floor_the_correlation_distance_of_independent_features_vanishes(n):
    squares = [value(correlation_distance, gaussian(n, np.ones(60), seed)) ** 2 for seed in range(20)]
    assert np.mean(squares) == pytest.approx(60 * 59 / (n - 1), rel=0.05)
    correlated = gaussian(n, np.ones(60)) + 2 * gaussian(n, [1.0], seed=9)
    truth = 0.8 * np.sqrt(60 * 59)
    assert value(correlation_distance, correlated, subtract_floor=True) == pytest.approx(truth, rel=0.1)


def test_bures_isotropy_is_the_distance_of_two_gaussians():
    import scipy.linalg

    for name, rows in CLOUDS.items():
        units = rows[np.abs(rows).any(axis=1)]
        units = units / np.linalg.norm(units, axis=1)[:, None]
        d, mean, covariance = units.shape[1], units.mean(axis=0), np.cov(units.T, ddof=0)
        root = scipy.linalg.sqrtm(covariance / d)
        distance = mean @ mean + np.trace(covariance) + 1 - 2 * np.real(np.trace(root))
        assert value(bures_isotropy, rows) == pytest.approx(distance, abs=1e-5), name


def test_contributions_sum_to_the_mean_cosine():
    for rows in CLOUDS.values():
        for weight in (None, np.random.default_rng(1).random(len(rows))):
            result = average_cosine_similarity(rows, weight=weight, contributions=True)
            parts = result["cosine_contributions"]
            assert len(parts) == rows.shape[1]
            assert sum(parts) == pytest.approx(result["average_cosine_similarity"], rel=1e-9, abs=1e-12)
            expected = max(parts) / sum(parts) if sum(parts) > 0 else np.nan
            assert result["largest_cosine_contribution"] == pytest.approx(expected, nan_ok=True)


def test_the_share_of_the_largest_contribution_needs_a_positive_sum():
    assert np.isnan(average_cosine_similarity(np.eye(5), contributions=True)["largest_cosine_contribution"])


@pytest.mark.parametrize("measured", [alpha_req, rankme, bures_isotropy, effective_rank])
def test_spectra_of_rounding_errors_are_announced(measured):
    """50 of 400 directions, as float32: the rest is rounding, and α would be that of the rounding."""
    options = {"spectrum": "singular_values"} if measured is effective_rank else {}
    rows = (gaussian(4000, np.ones(50)) @ gaussian(50, np.ones(400), seed=1)).astype(np.float32)
    match = f"{measured.name}: 350 of 400 eigenvalues|{measured.name}: [0-9]+ of [0-9]+ eigenvalues"
    with pytest.warns(RuntimeWarning, match=match) as warned:
        measured(rows, **options)
    assert any(each.filename == __file__ for each in warned)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured(rows.astype(np.float64), **options)
        layer_norm = gaussian(4000, np.ones(100)).astype(np.float32)
        measured(layer_norm - layer_norm.mean(axis=1, keepdims=True), **options)


def test_rare_massive_activations_are_looked_for_in_all_rows_or_announced():
    rows = gaussian(20_000, np.ones(4)).astype(np.float32)
    rows[777, 2] = 5000.0
    with pytest.warns(RuntimeWarning, match="these are of 10,000 of 20,000 rows: pass"):
        outlier_dimensions(rows, method="massive")
    sample = RowSample(size=None)
    sample.update(rows)
    assert outlier_dimensions(sample, method="massive")["outlier_indices"] == [2]


def test_planted_outlier_dimensions_are_found_by_every_definition():
    rows = gaussian(500, np.ones(256))
    rows[:, 3] += 6
    rows[:, 17] -= 9
    for method in ("hammerl", "timkey", "macocco"):
        result = outlier_dimensions(rows, method=method)
        assert result["outlier_indices"] == [17, 3], method
        assert len(result["outlier_scores"]) == result["outlier_dimensions"] == 2
    assert np.sign(outlier_dimensions(rows)["outlier_scores"]).tolist() == [-1, 1]
    assert outlier_dimensions(rows, method="massive")["outlier_dimensions"] == 0
    rows[5, 40] = 2000.0
    result = outlier_dimensions(rows, method="massive")
    assert (result["outlier_indices"], result["outlier_scores"]) == ([40], [2000.0])


def test_integer_weights_equal_repeated_rows():
    """Where the definition has it so: not where a repeated row is a pair with itself or an independent one."""
    times = np.random.default_rng(1).integers(0, 4, len(CLOUD))
    repeated = np.repeat(CLOUD, times, axis=0)
    for measured in (isoscore, effective_rank, rankme, stable_rank, explained_variance, matrix_entropy):
        assert value(measured, CLOUD, weight=times) == pytest.approx(value(measured, repeated), rel=1e-9)
    for measured in (partition_isotropy, bures_isotropy, correlation_distance, eigenvalue_early_enrichment):
        assert value(measured, CLOUD, weight=times) == pytest.approx(value(measured, repeated), rel=1e-9)
    for measured, options in ((average_cosine_similarity, {}), (isoscore, {"unbiased": True})):
        weighted = value(measured, CLOUD, weight=times, **options)
        assert abs(weighted - value(measured, repeated, **options)) > 1e-4


def test_the_partition_function_varies_where_it_is_not_constant():
    assert partition_isotropy(gaussian(5000, np.ones(4)), centered=True)["partition_variation"] < 0.05
    X = gaussian(500, [4, 1, 1]) + 0.3
    u = np.linalg.eigh(X.T @ X)[1]
    f = np.exp(np.concatenate([X @ u, -X @ u], axis=1)).sum(axis=0)
    result = partition_isotropy(X)
    assert result["partition_variation"] == pytest.approx(f.std() / f.mean(), rel=1e-9)
    assert result["partition_isotropy"] == pytest.approx(f.min() / f.max(), rel=1e-9)
