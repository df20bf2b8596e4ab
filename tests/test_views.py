"""The numbers behind the pictures, against what follows by hand and by brute force."""

from __future__ import annotations

import math
import time
import warnings
from itertools import combinations

import numpy as np
import pytest

from isotropy_metrics import Moments, average_cosine_similarity, explained_variance, neighborhood_overlap
from isotropy_metrics.views import cosine_histogram, neighborhood_changes, principal_projection, variance_spectrum

VIEWS = {
    "cosine_histogram": cosine_histogram,
    "variance_spectrum": variance_spectrum,
    "principal_projection": principal_projection,
    "neighborhood_changes": lambda rows: neighborhood_changes(rows, rows, k=1),
}
SPREAD = np.array([5.0, 3.0, 2.0, 1.0, 0.5])


def cloud(n: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 5)) * SPREAD + 1


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def nearest(rows: np.ndarray, k: int) -> list[list[int]]:
    others = [[j for j in range(len(rows)) if j != i] for i in range(len(rows))]
    return [sorted(own, key=lambda j: (math.dist(rows[i], rows[j]), j))[:k] for i, own in enumerate(others)]


def principal_by_svd(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of variance, and directions whose largest entry is positive."""
    rows = rows.astype(np.float64)
    _, lengths, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    signs = [np.sign(direction[np.abs(direction).argmax()]) for direction in directions]
    return lengths**2 / (lengths**2).sum(), directions * np.array(signs)[:, None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 40, 41])
def test_the_histogram_counts_every_pair_once_where_all_are_taken(n, dtype):
    rows = cloud(n).astype(dtype)
    histogram = cosine_histogram(rows, n_bins=7)
    cosines = [cosine(a, b) for a, b in combinations(rows, 2)]
    bins = zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
    counts = [sum(low <= each < high for each in cosines) for low, high in bins]
    assert histogram.n_pairs == len(cosines) == n * (n - 1) // 2
    assert (histogram.shares * len(cosines)).round(9).tolist() == counts
    assert histogram.mean == pytest.approx(np.mean(cosines), abs=1e-12 if dtype == np.float64 else 1e-7)
    assert histogram.edges == pytest.approx([-1, -5 / 7, -3 / 7, -1 / 7, 1 / 7, 3 / 7, 5 / 7, 1])


@pytest.mark.parametrize("n", [200, 201])
def test_drawn_pairs_are_of_different_rows_and_none_twice(n):
    from isotropy_metrics.views.cosine_histogram import _pairs

    first, second = _pairs(n, 5000, seed=3)
    pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(pairs) == 5000 and all(len(pair) == 2 for pair in pairs)
    assert set(np.concatenate([first, second]).tolist()) == set(range(n))
    every = {frozenset(pair) for pair in zip(*(each.tolist() for each in _pairs(n, n * n, seed=3)), strict=True)}
    assert every == {frozenset(pair) for pair in combinations(range(n), 2)}


def test_drawn_pairs_speak_for_all_pairs():
    rows = cloud(3000)
    exact = average_cosine_similarity(rows)["average_cosine_similarity"]
    histograms = [cosine_histogram(rows, n_pairs=2000, seed=seed) for seed in range(20)]
    means = np.array([each.mean for each in histograms])
    assert len(set(means)) == 20
    assert means.mean() == pytest.approx(exact, abs=4 * means.std() / math.sqrt(20))
    assert all(each.n_pairs == 2000 and each.shares.sum() == pytest.approx(1) for each in histograms)
    again = cosine_histogram(rows, n_pairs=2000, seed=7)
    np.testing.assert_array_equal(again.shares, histograms[7].shares)


def test_the_histogram_of_all_pairs_has_the_average_cosine_similarity_as_its_mean():
    rows = cloud(100).astype(np.float32)
    rows[3] = rows[50] = 0
    with_zeros = cosine_histogram(rows)
    assert with_zeros.n_pairs == 98 * 97 // 2
    assert with_zeros.mean == pytest.approx(average_cosine_similarity(rows)["average_cosine_similarity"], abs=1e-7)


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_cosines_of_huge_and_tiny_float32_rows(scale):
    rows = cloud(20)
    plain, scaled = cosine_histogram(rows), cosine_histogram((rows * scale).astype(np.float32))
    assert scaled.mean == pytest.approx(plain.mean, abs=1e-6)
    assert scaled.shares.sum() == pytest.approx(1)


def test_equal_and_opposite_rows_lie_in_the_last_and_the_first_bin():
    row = np.array([[0.1, 0.7, -0.3]])
    histogram = cosine_histogram(np.concatenate([row, 3 * row, -7 * row]), n_bins=10)
    assert histogram.shares[[0, -1]] == pytest.approx([2 / 3, 1 / 3])
    assert histogram.mean == pytest.approx(-1 / 3)
    same = cosine_histogram(np.full((30, 4), 0.1), n_bins=3)
    assert same.shares.tolist() == [0, 0, 1]
    assert same.mean == pytest.approx(1)


@pytest.mark.parametrize("rows", [np.zeros((5, 3)), np.eye(4)[:, :1]])
def test_without_two_directions_the_histogram_is_nan_and_says_so(rows):
    with pytest.warns(RuntimeWarning, match="fewer than 2 rows are not zero"):
        histogram = cosine_histogram(rows, n_bins=5)
    assert histogram.n_pairs == 0
    assert np.isnan(histogram.mean) and np.isnan(histogram.shares).tolist() == [True] * 5


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("n", [60, 4])
def test_the_spectrum_is_that_of_the_centred_rows(n, offset, dtype, error):
    rows = (cloud(n) + offset).astype(dtype)
    expected = np.zeros(5)
    shares = principal_by_svd(rows)[0]
    expected[: len(shares)] = shares
    spectrum = variance_spectrum(rows)
    assert spectrum.shares == pytest.approx(expected, abs=error)
    assert spectrum.cumulative == pytest.approx([sum(expected[: i + 1]) for i in range(5)], abs=error)
    assert (np.diff(spectrum.shares) <= 0).all() and (spectrum.cumulative <= 1).all()
    assert spectrum.shares.sum() == pytest.approx(1)
    if n > 5:
        of_three = explained_variance(cloud(n) + offset, k=3)["explained_variance"]
        assert spectrum.cumulative[2] == pytest.approx(of_three, abs=error)


def test_the_spectrum_of_moments_is_that_of_their_rows():
    moments = Moments()
    moments.update(cloud()[:20])
    moments.update(cloud()[20:])
    assert variance_spectrum(moments).shares == pytest.approx(variance_spectrum(cloud()).shares, abs=1e-14)


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-10), (np.float32, 2e-4)])
@pytest.mark.parametrize("offset", [0, 1000])
def test_the_projection_is_that_of_a_singular_value_decomposition(offset, dtype, error):
    rows = (cloud(5000) + offset).astype(dtype)
    projection = principal_projection(rows, 3)
    shares, directions = principal_by_svd(rows)
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    assert projection.coordinates.dtype == np.float64
    np.testing.assert_allclose(projection.mean, rows.mean(axis=0, dtype=np.float64), atol=error)
    np.testing.assert_allclose(projection.shares, shares[:3], atol=error)
    np.testing.assert_allclose(projection.directions, directions[:3], atol=error)
    np.testing.assert_allclose(projection.coordinates, centered @ directions[:3].T, atol=10 * error)
    np.testing.assert_allclose(
        projection.coordinates.var(axis=0) / centered.var(axis=0).sum(), projection.shares, atol=error
    )


def test_no_more_directions_than_features():
    projection = principal_projection(np.array([[1.0], [2.0], [6.0]]))
    assert projection.coordinates.tolist() == [[-2], [-1], [3]]
    assert (projection.shares.tolist(), projection.directions.tolist()) == ([1], [[1]])


def test_rows_that_span_fewer_directions_have_nothing_on_the_others():
    projection = principal_projection(np.outer([1.0, -2.0, 4.0], SPREAD), 3)
    assert projection.shares == pytest.approx([1, 0, 0], abs=1e-15)
    assert np.abs(projection.coordinates[:, 1:]).max() < 1e-12


def test_rows_that_are_all_the_same_have_no_directions():
    rows = np.full((7, 3), 0.1, dtype=np.float32)
    with pytest.warns(RuntimeWarning, match="all rows are the same"):
        assert np.isnan(variance_spectrum(rows).shares).all()
    with pytest.warns(RuntimeWarning, match="all rows are the same"):
        projection = principal_projection(rows)
    assert np.isnan(projection.shares).all()
    assert projection.coordinates.tolist() == [[0, 0]] * 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 4])
def test_changes_are_those_of_the_sets_of_neighbours(k, dtype):
    before, after = cloud(50).astype(dtype), (cloud(50)[:, :3] + cloud(50, seed=1)[:, :3]).astype(dtype)
    changes = neighborhood_changes(before, after, k=k)
    expected_before, expected_after = nearest(before, k), nearest(after, k)
    assert changes.before.tolist() == expected_before
    assert changes.after.tolist() == expected_after
    sets = [(set(a), set(b)) for a, b in zip(expected_before, expected_after, strict=True)]
    overlap = [len(a & b) / len(a | b) for a, b in sets]
    assert changes.overlap == pytest.approx(overlap)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the measure wants more rows
        mean = neighborhood_overlap(before, after, k=k)["neighborhood_overlap"]
    assert changes.overlap.mean() == mean
    order = sorted(range(50), key=lambda i: (overlap[i], i))
    assert changes.most_changed(7).tolist() == order[:7]
    assert changes.most_changed(500).tolist() == order


def test_neighbours_far_from_the_origin_and_among_copies():
    rows = cloud(40)
    far = neighborhood_changes(rows, rows + 1e6, k=5)
    assert far.overlap.tolist() == [1] * 40
    copies = np.repeat(rows[:10], 4, axis=0)
    changes = neighborhood_changes(copies, 2 * copies, k=5)
    assert changes.before.tolist() == nearest(copies, 5)
    assert changes.overlap.tolist() == [1] * 40
    zeros = np.zeros((4, 2))
    assert neighborhood_changes(zeros, zeros, k=2).before.tolist() == nearest(zeros, 2)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[1.0, 2.0]], "at least 2 rows, got 1"),
        ([[1.0, 2.0], [float("nan"), 0.0]], "row 1 of the embeddings holds nan"),
        ([[1.0, 2.0], [float("inf"), 0.0]], "row 1 of the embeddings holds inf"),
        ([["a", "b"], ["c", "d"]], "must be numbers, got text"),
        (np.zeros((2, 3, 4)), "need a mask"),
        (np.zeros(4), r"got 1 dimension\(s\)"),
        (np.zeros((4, 0)), "no features"),
        ([[1.0], [2.0, 3.0]], "ragged"),
    ],
)
def test_bad_rows_are_refused_with_a_sentence(view, rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        VIEWS[view](rows)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"])
@pytest.mark.parametrize(
    ("name", "see"),
    [
        ("n_bins", lambda value: cosine_histogram(cloud(), n_bins=value)),
        ("n_pairs", lambda value: cosine_histogram(cloud(), n_pairs=value)),
        ("n_directions", lambda value: principal_projection(cloud(), value)),
        ("k", lambda value: neighborhood_changes(cloud(), cloud(), k=value)),
    ],
)
def test_numbers_that_are_no_counts_are_refused(name, see, value):
    with pytest.raises(ValueError, match=rf"{name}={value!r}: must be a whole number from 1"):
        see(value)


def test_neighbours_need_as_many_rows_and_the_same_rows():
    with pytest.raises(ValueError, match="10 neighbours need at least 11 rows, got 10"):
        neighborhood_changes(cloud(10), cloud(10))
    with pytest.raises(ValueError, match="paired row by row, got 10 and 11 rows"):
        neighborhood_changes(cloud(10), cloud(11))
    assert neighborhood_changes(cloud(11), cloud(11)).overlap.tolist() == [1] * 11


def test_tensors_and_half_precision_are_taken_as_the_measures_take_them():
    import torch

    rows = torch.from_numpy(cloud()).to(torch.bfloat16)
    plain = rows.float().numpy()
    assert cosine_histogram(rows).mean == cosine_histogram(plain).mean
    np.testing.assert_array_equal(variance_spectrum(rows).shares, variance_spectrum(plain).shares)
    np.testing.assert_array_equal(principal_projection(rows).coordinates, principal_projection(plain).coordinates)


@pytest.mark.parametrize(("view", "seconds"), [(cosine_histogram, 1.0), (principal_projection, 1.5)])
def test_views_of_many_rows_take_about_a_second(view, seconds):
    rows = np.random.default_rng(0).normal(size=(50_000, 768)).astype(np.float32)
    took = []
    for _ in range(2):
        start = time.perf_counter()
        view(rows)
        took.append(time.perf_counter() - start)
    assert min(took) < seconds
