"""Rows that lie on a GPU: they stay there, and the statistics are those of the same rows on the host.

There need not be a GPU: tensors of the processor take the same ways when the processor is named as a device. Where
there is a GPU every test runs there too.
"""

from __future__ import annotations

import numpy as np
import pytest

from isotropy_metrics import MEASURES, arrays, compare, measure, merge_statistics, statistics_for, update_statistics
from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    QuantileNormalization,
    Whitening,
    _enhancement,
)
from isotropy_metrics.statistics import (
    Buckets,
    ClassMoments,
    Moments,
    PairSample,
    RowSample,
    RowStatistics,
    TwoMoments,
    UnitMoments,
    UnitSums,
    device_products,
    nearest_neighbors,
)
from isotropy_metrics.statistics.device_sums import device_sums
from isotropy_metrics.statistics.distributed import merge_processes
from isotropy_metrics.statistics.full_precision import full_precision

torch = pytest.importorskip("torch")

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(5000, 12)) * np.arange(1, 13) + 5


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=on_gpu)])
def device(request, monkeypatch):
    """A device; if it is the processor, no tensor on it may come to the host as a whole."""
    monkeypatch.setattr(arrays, "DEVICES", (request.param,))
    monkeypatch.setattr(arrays, "_as_float_array", refuse_tensors(arrays._as_float_array))
    return request.param


def refuse_tensors(as_float_array):
    def refusing(embeddings):
        assert not isinstance(embeddings, torch.Tensor), "all rows would come to the host"
        return as_float_array(embeddings)

    return refusing


def assert_same_moments(found, expected, rel):
    for name in (
        "n_rows",
        "n_zero_rows",
        "weight_sum",
        "effective_n_rows",
        "unit_weight_sum",
        "unit_weight_square_sum",
    ):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12), name
    for name in ("mean", "scatter", "unit_sum", "unit_square_sum", "eigenvalues", "raw_eigenvalues"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert np.abs(ours - theirs).max() <= rel * np.abs(theirs).max(), name


@pytest.mark.parametrize("kind", [Moments, UnitMoments])
@pytest.mark.parametrize("dtype, rel", [(torch.float64, 1e-12), (torch.float32, 5e-6), (torch.bfloat16, 5e-6)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_are_those_of_the_same_rows_on_the_host(device, kind, dtype, rel, offset, monkeypatch):
    rows = torch.tensor(CLOUD + offset).to(dtype).to(device)
    expected, found = kind(), kind(block_values=12 * 700)
    expected.update(rows.double().cpu().numpy())
    for part in torch.split(rows, [1, 1799, 3200]):
        found.update(part)
    assert_same_moments(found, expected, rel)


@pytest.mark.parametrize("scale", [1.0, 1e25, 1e-25])
def test_sums_of_directions_are_those_of_the_same_rows_on_the_host(device, scale):
    rows, weight = (CLOUD * scale).astype(np.float32), RNG.random(len(CLOUD))
    rows[5] = 0
    found, expected = UnitSums(), UnitSums()
    expected.update(rows.astype(np.float64), weight=weight)
    found.update(torch.tensor(rows, device=device), weight=weight)
    assert found.n_single_rows == (len(rows) if scale == 1 else 0)
    assert found.state_dict() | {"n_single_rows": 0} == {
        name: pytest.approx(value, rel=1e-5) for name, value in expected.state_dict().items()
    }


@pytest.mark.parametrize("dtype, rel", [(torch.float64, 1e-12), (torch.float32, 5e-6)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e20])
def test_moments_of_classes_are_those_of_the_same_rows_on_the_host(device, dtype, rel, weighted, scale):
    labels, weight = RNG.integers(0, 7, len(CLOUD)), RNG.random(len(CLOUD)) if weighted else None
    rows = torch.tensor((CLOUD + 100 * labels[:, None]) * scale).to(dtype)
    found, expected = ClassMoments(), ClassMoments()
    expected.update(rows.double().numpy(), weight=weight, references=labels)
    for part in np.split(np.arange(len(CLOUD)), [1, 40, 4500]):
        own = None if weight is None else weight[part]
        found.update(rows[part].to(device), weight=own, references=labels[part])
    found.update(rows[:0].to(device), references=labels[:0])
    state = expected.state_dict()
    for name, value in found.state_dict().items():
        assert np.abs(value - state[name]).max() <= rel * np.abs(state[name]).max(), name


def test_weights_masks_and_zero_rows(device):
    rows = RNG.normal(size=(40, 9, 12))
    rows[3, 2] = 0
    mask, weight = RNG.integers(0, 2, (40, 9)), RNG.random((40, 9)) * (RNG.random((40, 9)) > 0.1)
    mask[3, 2], weight[3, 2] = 1, 0.5
    expected, found = Moments(), Moments()
    expected.update(rows, mask=mask, weight=weight)
    found.update(torch.tensor(rows, device=device), mask=torch.tensor(mask, device=device), weight=weight)
    assert expected.n_zero_rows == 1
    assert_same_moments(found, expected, 1e-12)


def test_rows_of_the_host_and_of_the_device_go_together(device):
    found, expected = Moments(), Moments()
    expected.update(CLOUD)
    found.update(CLOUD[:100])
    found.update(torch.tensor(CLOUD[100:3000], device=device))
    found.update(CLOUD[3000:3100])
    other = Moments.from_state_dict(found.state_dict())
    other.update(torch.tensor(CLOUD[3100:4000], device=device))
    rest = Moments()
    rest.update(torch.tensor(CLOUD[4000:], device=device))
    assert_same_moments(other.merge(rest), expected, 1e-12)


def test_many_small_batches(device):
    found, expected = Moments(), Moments()
    expected.update(CLOUD)
    for part in torch.tensor(CLOUD, device=device).split(9):
        found.update(part)
    assert_same_moments(found, expected, 1e-12)


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_rows_whose_products_leave_float32(device, scale):
    rows = (CLOUD * scale).astype(np.float32)
    found, expected = Moments(), Moments()
    expected.update(rows.astype(np.float64))
    found.update(torch.tensor(rows, device=device))
    assert found.n_single_rows == 0
    assert_same_moments(found, expected, 1e-12)


@pytest.mark.parametrize("size", [1.5e38, 1e-44])
def test_directions_of_rows_whose_lengths_leave_float32(device, size):
    rows = (np.sign(CLOUD[:40]) * size).astype(np.float32)
    found, expected = UnitMoments(), UnitMoments()
    expected.update(rows)
    found.update(torch.tensor(rows, device=device))
    assert found.n_zero_rows == 0
    assert_same_moments(found, expected, 1e-6)


@pytest.mark.parametrize("make", [UnitSums, Moments, UnitMoments, RowSample, RowStatistics, lambda: Buckets(Moments)])
def test_a_row_that_is_not_finite_is_named_and_changes_nothing(device, make):
    rows = torch.tensor(CLOUD, device=device)
    bad = rows.clone()
    bad[123, 4] = torch.inf
    statistic = make()
    statistic.update(rows)
    n_rows = statistic.n_rows
    with pytest.raises(ValueError, match="row 123 of the embeddings holds inf"):
        statistic.update(bad)
    with pytest.raises(ValueError, match="12"):
        statistic.update(rows[:, :5])
    assert statistic.n_rows == n_rows


def test_measures_are_those_of_the_same_rows_on_the_host(device):
    chosen = [
        MEASURES[name] for name in ("isoscore", "average_cosine_similarity", "effective_rank", "uniformity", "two_nn")
    ]
    expected = measure(CLOUD, chosen, interval=0.9)
    statistics = statistics_for(chosen, interval=True)
    for part in torch.tensor(CLOUD, device=device).split(1000):
        update_statistics(statistics, part)
    assert measure(statistics, chosen, interval=0.9) == pytest.approx(expected, rel=1e-9)
    assert measure(torch.tensor(CLOUD, device=device), chosen, interval=0.9) == pytest.approx(expected, rel=1e-9)


def test_two_clouds(device):
    found, expected = TwoMoments(), TwoMoments()
    expected.update(CLOUD, CLOUD[:70] + 1)
    found.update(torch.tensor(CLOUD, device=device), torch.tensor(CLOUD[:70] + 1, device=device))
    for ours, theirs in zip(found.parts, expected.parts, strict=True):
        assert_same_moments(ours, theirs, 1e-12)


@pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement._fitting_rows.EnhancementWarning")
@pytest.mark.parametrize("enhancement", [Whitening, AllButTheTop])
def test_an_enhancement_is_fitted_on_them(device, enhancement):
    expected = enhancement().fit(CLOUD)
    rows = torch.tensor(CLOUD, device=device)
    for fitted in (enhancement().fit(rows), enhancement().partial_fit(rows[:2000]).partial_fit(rows[2000:])):
        assert np.allclose(fitted.transform(CLOUD), expected.transform(CLOUD), rtol=0, atol=1e-9)
    applied = fitted.as_torch().to(device)(rows)
    assert applied.device == rows.device
    assert np.allclose(applied.cpu().numpy(), expected.transform(CLOUD), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="12"):
        fitted.partial_fit(rows[:, :5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "enhancement",
    [
        Whitening(),
        Whitening("zca"),
        AllButTheTop(),
        Centering(),
        ClusterBased(3),
        QuantileNormalization(),
    ],
    ids=str,
)
def test_they_are_enhanced_where_they_are(device, monkeypatch, enhancement, dtype):
    monkeypatch.setattr(_enhancement, "DEVICE_ROWS", 700)
    rows = torch.tensor(CLOUD).to(dtype)
    expected = enhancement.fit(CLOUD).transform(rows.double().numpy())
    enhanced = enhancement.transform(rows.to(device))
    assert enhanced.device.type == device and not enhanced.requires_grad
    assert enhanced.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    assert np.abs(enhanced.cpu().numpy() - expected).max() < tolerance * np.abs(expected).max()
    with pytest.raises(ValueError, match="these rows have 5 features, the fitting rows had 12"):
        enhancement.transform(rows[:, :5].to(device))
    with pytest.raises(ValueError, match="there is no row to enhance"):
        enhancement.transform(rows[:0].to(device))
    rows[4321, 3] = torch.nan
    with pytest.raises(ValueError, match="row 4321 of the embeddings holds nan"):
        enhancement.transform(rows.to(device))


def test_neighbours_of_a_sample_are_searched_where_its_rows_came_from(device, monkeypatch):
    searched = []

    def noted(*arguments, _of=device_products.DeviceProducts):
        searched.append(str(arguments[-1]))
        return _of(*arguments)

    monkeypatch.setattr(nearest_neighbors, "DeviceProducts", noted)
    sample, rest, plain = RowSample(1100), RowSample(1100, stream=1), RowSample(1100)
    sample.update(torch.tensor(CLOUD[:3000], device=device))
    plain.update(CLOUD[:3000])
    chosen = [MEASURES[name] for name in ("two_nn", "hubness", "persistent_entropy")]
    assert measure(sample, chosen) == pytest.approx(measure(plain, chosen), rel=1e-12)
    assert searched and {each.partition(":")[0] for each in searched} == {device}
    assert str(sample.subset(np.arange(10)).device).startswith(device)
    assert str(rest.merge(sample).device).startswith(device) and plain.device is None
    assert merge_processes(sample).device == merge_statistics([[sample]])[0].device == sample.device


def test_pairs_are_chosen_where_they_are(device):
    rows = torch.tensor(CLOUD, device=device)
    both, mixed, plain = PairSample(1100), PairSample(1100), PairSample(1100)
    plain.update(CLOUD, np.tanh(CLOUD))
    both.update(rows, rows.tanh())
    arrays.on_host(rows)
    mixed.update(rows, np.tanh(CLOUD))
    for pairs in (both, mixed):
        assert np.array_equal(pairs.first, plain.first) and np.allclose(pairs.second, plain.second, rtol=1e-14)
    assert str(both.spaces[0].device).startswith(device) and str(both.shuffled().device).startswith(device)
    assert mixed.device is None
    expected = compare(plain, ["neighborhood_overlap", "linear_cka"])
    assert compare(both, ["neighborhood_overlap", "linear_cka"]) == pytest.approx(expected, rel=1e-9)


def test_rows_that_require_gradients_and_no_rows(device):
    moments = Moments()
    moments.update(torch.tensor(CLOUD, device=device, requires_grad=True))
    moments.update(torch.empty((0, 12), device=device))
    assert moments.n_rows == len(CLOUD) and moments.mean is not None


def test_the_last_thread_to_leave_gives_the_chosen_precision_back():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        first, second = full_precision(torch.device("cpu")), full_precision(torch.device("cpu"))
        first.__enter__(), second.__enter__()
        first.__exit__(None, None, None)
        assert matmul.fp32_precision == "ieee"
        second.__exit__(None, None, None)
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_products_have_all_their_digits_whatever_training_has_chosen():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with full_precision(torch.device("cpu")):
                assert matmul.fp32_precision == "ieee" and not torch.is_autocast_enabled("cpu")
            assert torch.is_autocast_enabled("cpu")
            gram = device_sums(torch.tensor(CLOUD).float(), None, 5000).gram
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before
    centred = CLOUD - CLOUD.mean(axis=0)
    assert np.abs(gram.numpy() - centred.T @ centred).max() < 1e-6 * gram.max()
