"""Nearest neighbours and the spanning tree against all pairs in float64, on rows that are hard to tell apart."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from clouds import CLOUDS, gaussian
from references.rows import distances_of, tree_lengths
from scipy.sparse.csgraph import minimum_spanning_tree
from threadpoolctl import threadpool_limits
from torch.cuda import is_available as cuda_is_available

from isotropy_metrics.statistics import component_edges, device_products, products, spanning_tree
from isotropy_metrics.statistics import nearest_neighbors as module
from isotropy_metrics.statistics.nearest_neighbors import nearest_neighbors, nearest_of_other_labels
from isotropy_metrics.statistics.spanning_tree import spanning_tree_lengths


def grid(*sides):
    return np.stack(np.meshgrid(*map(np.arange, sides)), axis=-1).reshape(-1, len(sides)).astype(float)


def shuffled(rows):
    return np.random.default_rng(7).permutation(rows)


COPIES = shuffled(np.repeat(gaussian(60, np.ones(6)), np.random.default_rng(3).integers(1, 40, 60), axis=0))
HARD = CLOUDS | {
    "many dimensions": gaussian(500, np.ones(300)),
    "far from the origin": gaussian(300, np.ones(8)) + 1000,
    "one feature": gaussian(300, [1]),
    "grid": grid(7, 7, 7),
    "copies": COPIES,
    "grid of copies": shuffled(np.repeat(grid(4, 4, 4), 3, axis=0)),
    "one row and its copies": np.ones((50, 3)),
    "two rows and their copies": np.repeat([[0.0, 1], [2, 3]], [3, 40], axis=0),
    "many zero rows": np.concatenate([np.zeros((100, 5)), gaussian(100, np.ones(5))]),
    "zeros of both signs": np.concatenate([np.zeros((30, 5)), -np.zeros((30, 5)), gaussian(30, np.ones(5))]),
    "tight clusters far apart": np.repeat(gaussian(10, 1e8 * np.ones(20)), 50, axis=0)
    + gaussian(500, 1e-6 * np.ones(20)),
    "outlying rows": np.concatenate([gaussian(300, np.ones(5)), gaussian(3, 1e16 * np.ones(5))]),
    "rows that differ by rounding": 1 + gaussian(300, 1e-14 * np.ones(20)),
    "signs": np.sign(gaussian(300, np.ones(4))),
    "line": np.outer(np.random.default_rng(0).random(300), [1.0, 2, 3]),
    "two rows": gaussian(2, np.ones(3)),
    "scale 1e-100": gaussian(300, np.ones(8)) * 1e-100,
    "scale 1e100": gaussian(300, np.ones(8)) * 1e100,
}
FITS_FLOAT32 = [name for name in HARD if not name.startswith("scale")]
EACH = [(name, np.float64) for name in HARD] + [(name, np.float32) for name in FITS_FLOAT32]
each_hard_cloud = pytest.mark.parametrize(("cloud", "dtype"), EACH)


@each_hard_cloud
@pytest.mark.parametrize("k", [1, 2, 20, None], ids=lambda k: f"k={k or 'all'}")
def test_neighbours_are_those_of_all_pairs_in_float64_and_of_equally_near_ones_the_first(cloud, dtype, k):
    rows = HARD[cloud].astype(dtype)
    k = min(k or len(rows), len(rows) - 1)
    distances, indices = nearest_neighbors(rows, k)
    all_pairs = distances_of(rows)
    expected = np.argsort(all_pairs, axis=1, kind="stable")[:, :k]
    assert distances.dtype == np.float64 and distances.shape == indices.shape == (len(rows), k)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, np.take_along_axis(all_pairs, expected, 1), rtol=1e-14, atol=0)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not cuda_is_available(), reason="torch sees no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@each_hard_cloud
def test_products_on_a_device_find_the_same_neighbours_and_the_same_tree(monkeypatch, device, cloud, dtype):
    monkeypatch.setattr(device_products, "BLOCK_ENTRIES", 7000)
    monkeypatch.setattr(device_products, "PAIRS_AT_ONCE", 300)
    rows = HARD[cloud].astype(dtype)
    k = min(20, len(rows) - 1)
    neighbors = nearest_neighbors(rows, k, device)
    for found, expected in zip(neighbors, nearest_neighbors(rows, k), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)
    lengths = spanning_tree_lengths(rows, *neighbors, device)
    np.testing.assert_allclose(lengths, np.sort(tree_lengths(rows)), rtol=1e-13, atol=0)


@pytest.mark.parametrize("entries", [1, 700, 4999])
def test_neighbours_do_not_depend_on_the_size_of_the_blocks(monkeypatch, entries):
    for cloud in ("many dimensions", "copies", "tight clusters far apart"):
        expected = nearest_neighbors(HARD[cloud], 20)
        with monkeypatch.context() as patch:
            patch.setattr(products, "BLOCK_ENTRIES", entries)
            patch.setattr(products, "PAIRS_AT_ONCE", 3)
            patch.setattr(module, "ROWS_AT_ONCE", 3)
            np.testing.assert_array_equal(nearest_neighbors(HARD[cloud], 20), expected)


def test_rows_that_float32_cannot_tell_apart_get_products_in_float64(monkeypatch):
    """All 67,050 pairs within the clusters would be candidates otherwise."""
    pairs = []

    def counted(rows, first, second, _of=products.pair_distances):
        pairs.append(len(first))
        return _of(rows, first, second)

    monkeypatch.setattr(products, "pair_distances", counted)
    rows = np.repeat(gaussian(3, 1e8 * np.ones(20)), 150, axis=0) + gaussian(450, 1e-4 * np.ones(20))
    distances, indices = nearest_neighbors(rows, 5)
    all_pairs = distances_of(rows)
    np.testing.assert_array_equal(indices, np.argsort(all_pairs, axis=1, kind="stable")[:, :5])
    assert sum(pairs) < 450 * 10


def test_the_nearest_rows_of_other_labels_are_found_for_those_asked_for():
    rows, labels = HARD["many dimensions"], np.arange(500) % 7
    which = np.array([3, 499, 17])
    distances, indices = nearest_of_other_labels(rows, which, 4, labels)
    all_pairs = distances_of(rows)[which]
    all_pairs[labels[which][:, None] == labels] = np.inf
    np.testing.assert_array_equal(indices, np.argsort(all_pairs, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(all_pairs, axis=1)[:, :4], rtol=1e-14)
    which = np.array([400])
    distances, indices = nearest_of_other_labels(rows, which, 1, labels=(np.arange(500) == 5).astype(int))
    assert (distances[0, 0], indices[0, 0]) == (pytest.approx(distances_of(rows)[400, 5], rel=1e-14), 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "spread", [0, 30, 1e4], ids=["one cloud", "clusters", "clusters that float32 cannot tell apart"]
)
def test_memory_stays_far_below_that_of_all_pairs(dtype, spread):
    rows = np.random.default_rng(0).standard_normal((10_000, 64)).astype(dtype)
    rows += spread * np.eye(64, dtype=dtype)[np.arange(10_000) % 3]
    tracemalloc.start()
    neighbors = nearest_neighbors(rows, 20)
    _, peak_of_neighbors = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    spanning_tree_lengths(rows, *neighbors)
    _, peak_of_tree = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    all_pairs = 10_000**2 * 4
    assert peak_of_neighbors < 0.3 * all_pairs and peak_of_tree < 0.3 * all_pairs


@each_hard_cloud
@pytest.mark.parametrize("k", [1, 3, 20])
def test_the_spanning_tree_is_that_of_all_pairs(cloud, dtype, k):
    rows = HARD[cloud].astype(dtype)
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, min(k, len(rows) - 1)))
    expected = np.sort(tree_lengths(rows))
    assert lengths.shape == (len(rows) - 1,)
    np.testing.assert_allclose(lengths, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("cloud", ["many dimensions", "anisotropic", "tight clusters far apart", "line", "grid"])
def test_the_spanning_tree_is_scipys(cloud):
    """Of distinct rows: scipy takes a distance of 0 for no edge."""
    rows = HARD[cloud]
    all_pairs = np.where(np.isinf(distances_of(rows)), 0, distances_of(rows))
    expected = np.sort(minimum_spanning_tree(all_pairs).data)
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, 5))
    np.testing.assert_allclose(lengths, expected, rtol=1e-12)


@pytest.mark.parametrize(("n_clusters", "scale"), [(3, 1), (40, 1), (40, 1e-30), (40, 1e30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("entries", [3000, products.BLOCK_ENTRIES])
def test_clusters_of_equal_size_are_joined_by_half_of_all_products(monkeypatch, n_clusters, scale, dtype, entries):
    joined = []

    def noted(rows, component):
        joined.append(component_edges.component_edges(rows, component))
        return joined[-1]

    monkeypatch.setattr(spanning_tree, "component_edges", noted)
    monkeypatch.setattr(products, "BLOCK_ENTRIES", entries)
    centres = gaussian(n_clusters, 30 * np.ones(40))
    rows = scale * (np.repeat(centres, 1200 // n_clusters, axis=0) + gaussian(1200, np.ones(40), seed=1))
    rows = shuffled(rows).astype(dtype)
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, 5))
    np.testing.assert_allclose(lengths, np.sort(tree_lengths(rows)), rtol=1e-13)
    ((first, second, length),) = joined
    assert n_clusters - 1 <= len(first) <= 4 * n_clusters
    of_pair = np.linalg.norm((rows[first].astype(float) - rows[second]) / scale, axis=1)
    np.testing.assert_allclose(length / scale, of_pair, rtol=1e-13)


@pytest.mark.parametrize(
    ("sizes", "expected"), [(40 * [30], True), (3 * [400], True), ([600] + 20 * [30], False), (100 * [12], False)]
)
def test_pairs_are_searched_of_few_components_of_like_size(sizes, expected):
    assert spanning_tree._are_few_and_alike(np.array(sizes)) is expected
    centres = np.repeat(gaussian(len(sizes), 30 * np.ones(40)), sizes, axis=0)
    rows = centres + gaussian(sum(sizes), np.ones(40), seed=1)
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, 5))
    np.testing.assert_allclose(lengths, np.sort(tree_lengths(rows)), rtol=1e-13)


def test_the_shortest_of_pairs_that_float32_cannot_tell_apart_is_found_row_by_row(monkeypatch):
    """Three clusters on a line: which of them are neighbours is plain, which of their rows are nearest is not."""
    searched = []

    def noted(rows, ours, theirs, _by_rows=component_edges._shortest_by_rows):
        searched.append((len(ours), len(theirs)))
        return _by_rows(rows, ours, theirs)

    monkeypatch.setattr(component_edges, "_shortest_by_rows", noted)
    centres = np.repeat(1e4 * np.outer([0.0, 1, 3], np.ones(40)), 200, axis=0)
    rows = shuffled(centres + gaussian(600, 1e-6 * np.ones(40)))
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, 5))
    np.testing.assert_allclose(lengths, np.sort(tree_lengths(rows)), rtol=1e-13)
    assert searched == [(200, 200), (200, 200)]


@pytest.mark.parametrize("entries", [3000, products.BLOCK_ENTRIES])
def test_blocks_side_by_side_find_the_same(monkeypatch, entries):
    monkeypatch.setattr(module, "WORKER_ENTRIES", 1000)
    monkeypatch.setattr(component_edges, "WORKER_ENTRIES", 1000)
    monkeypatch.setattr(products, "BLOCK_ENTRIES", entries)
    clusters = shuffled(np.repeat(gaussian(20, 30 * np.ones(40)), 60, axis=0) + gaussian(1200, np.ones(40), seed=1))
    for rows in (HARD["tight clusters far apart"], HARD["copies"], HARD["many dimensions"], clusters):
        found = []
        for n_threads in (1, 2):
            with threadpool_limits(n_threads, user_api="blas"):
                neighbors = nearest_neighbors(rows, 5)
                found.append((*neighbors, spanning_tree_lengths(rows, *neighbors)))
        for one_by_one, side_by_side in zip(*found, strict=True):
            np.testing.assert_array_equal(one_by_one, side_by_side)


def test_clusters_that_single_precision_cannot_tell_apart_are_searched_row_by_row(monkeypatch):
    joined = []

    def noted(rows, component):
        joined.append(component_edges.component_edges(rows, component))
        return joined[-1]

    monkeypatch.setattr(spanning_tree, "component_edges", noted)
    centres = np.concatenate([gaussian(20, 1e-3 * np.ones(40)), [1e6 * np.ones(40)]])
    rows = shuffled(np.repeat(centres, 30, axis=0) + gaussian(630, 1e-5 * np.ones(40), seed=1))
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, 5))
    np.testing.assert_allclose(lengths, np.sort(tree_lengths(rows)), rtol=1e-13)
    assert joined == [None]


@pytest.mark.parametrize("n", [9, 127, 143, 200])
@pytest.mark.parametrize("k", [1, 2, 8])
def test_neighbours_are_found_whatever_is_left_of_the_groups(n, k):
    rows = gaussian(n, np.ones(3))
    expected = np.argsort(distances_of(rows), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(nearest_neighbors(rows, k)[1], expected)


def test_clusters_are_joined_by_products_of_all_but_the_largest(monkeypatch):
    """100 rows in a small cluster and 400 in a large one: no neighbour tells the edge between them."""
    searched = []

    def counted(rows, which, k, labels, device):
        searched.append(len(which))
        return nearest_of_other_labels(rows, which, k, labels, device)

    monkeypatch.setattr(spanning_tree, "nearest_of_other_labels", counted)
    rows = gaussian(500, np.ones(10)) + 50 * (np.arange(500) < 100)[:, None]
    lengths = spanning_tree_lengths(rows, *nearest_neighbors(rows, 20))
    np.testing.assert_allclose(lengths, np.sort(tree_lengths(rows)), rtol=1e-13)
    assert searched == [100]
    searched.clear()
    rows = gaussian(500, np.ones(10))
    np.testing.assert_allclose(
        spanning_tree_lengths(rows, *nearest_neighbors(rows, 20)), np.sort(tree_lengths(rows)), rtol=1e-13
    )
    assert searched == []
