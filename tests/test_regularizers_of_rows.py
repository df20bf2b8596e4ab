"""CLReg, Uniformity, SIGReg and PersistentEntropy: values, gradients, whole batches, and what they move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from clouds import CLOUDS, gaussian, golden_cloud
from references import row_regularizers

from isotropy_metrics.measures import persistent_entropy, uniformity
from trainer_callbacks.regularizers.cl_reg import CLReg
from trainer_callbacks.regularizers.persistent_entropy import PersistentEntropy
from trainer_callbacks.regularizers.sigreg import SIGReg
from trainer_callbacks.regularizers.uniformity import Uniformity

TERMS = {
    "CLReg": CLReg,
    "CLReg, warm": lambda: CLReg(temperature=1.0),
    "Uniformity": Uniformity,
    "Uniformity, t = 0.5": lambda: Uniformity(t=0.5),
    "SIGReg": SIGReg,
    "SIGReg of the code": lambda: SIGReg(64, t_max=3, n_points=33, seed=5),
    "PersistentEntropy": PersistentEntropy,
    "PersistentEntropy, normalized": lambda: PersistentEntropy(normalized=True),
}
each_term = pytest.mark.parametrize("new", TERMS.values(), ids=TERMS)
ROWS = gaussian(23, [3, 2, 1, 1, 0.5, 0.3]) + 0.7
VIEWS = ROWS + gaussian(23, np.full(6, 0.1), seed=1)
SPLIT = [slice(0, 4), slice(4, 5), slice(5, 17), slice(17, 17), slice(17, 23)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The rows are few: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tensors(*arrays, dtype=torch.float64):
    return [torch.tensor(array, dtype=dtype) for array in arrays]


def call(term, rows, views, mask=None):
    """The term of rows, and of their second views if it needs them."""
    return term(rows, mask, second=views) if term.two_passes else term(rows, mask)


def of_weights(term, weights, which, times=1.0):
    """The term of rows that a linear model gives, so that all micro-batches and processes have one gradient."""
    rows, views = tensors(ROWS[which], VIEWS[which])
    value = call(term, rows @ weights, views @ weights)
    (times * value).backward()
    return value.item()


def weights_of_model():
    return torch.eye(6, dtype=torch.float64, requires_grad=True)


def brute_force(term, rows, views):
    if isinstance(term, CLReg):
        return row_regularizers.cl_reg(rows, views, term.temperature)
    if isinstance(term, Uniformity):
        return row_regularizers.uniformity(rows, term.t)
    if isinstance(term, SIGReg):
        return row_regularizers.sigreg(rows, term._directions(rows.shape[1]), term.t_max, term.n_points)
    return row_regularizers.persistent_entropy(rows, term.normalized)


@each_term
@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_value_by_definition(new, cloud):
    term, views = new(), cloud[::-1] + cloud
    value = call(term, *tensors(cloud, views)).item()
    assert value == pytest.approx(brute_force(term, cloud, views), rel=1e-9, abs=1e-12)
    term = new()
    assert call(term, *tensors(cloud, views, dtype=torch.float32)).item() == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_uniformity_of_the_golden_cloud(golden):
    for scale in (1.0, 1e-60):
        value = Uniformity()(*tensors(scale * golden_cloud())).item()
        assert value == pytest.approx(golden["uniformity t=2 (L2-normed)"], rel=0, abs=1e-7)


@pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_values_are_those_of_the_measures(cloud):
    measured = persistent_entropy(cloud)
    assert -PersistentEntropy()(*tensors(cloud)).item() == pytest.approx(measured["persistent_entropy"], rel=1e-6)
    normalized = -PersistentEntropy(normalized=True)(*tensors(cloud)).item()
    assert normalized == pytest.approx(measured["persistent_entropy_normalized"], rel=1e-6)
    assert Uniformity()(*tensors(cloud)).item() == pytest.approx(uniformity(cloud)["uniformity"], rel=1e-6)


def test_cl_reg_is_the_ranking_loss_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    embeddings = tensors(ROWS, VIEWS)
    expected = MultipleNegativesRankingLoss(model=None, scale=20).compute_loss_from_embeddings(embeddings, None)
    assert CLReg()(embeddings[0], second=embeddings[1]).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("n", [2, 30])
def test_sigreg_of_one_feature_is_the_closed_form_of_epps_and_pulley(n):
    x = gaussian(n, [4]) + 1
    # In one dimension every direction is 1 or -1, which the statistic does not tell apart.
    value = SIGReg(3, t_max=12, n_points=401)(*tensors(x)).item()
    assert value == pytest.approx(row_regularizers.epps_pulley(x[:, 0]), rel=1e-10)
    # What ends at 5 is all of it but exp(-12.5).
    assert SIGReg(3, n_points=401)(*tensors(x)).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("n", [20, 200])
def test_sigreg_of_a_standard_gaussian_has_its_expected_value_whatever_the_number_of_rows(n):
    values = [SIGReg(seed=seed)(*tensors(gaussian(n, np.ones(8), seed=seed))).item() for seed in range(60)]
    expected = math.sqrt(2 * math.pi) - math.sqrt(2 * math.pi / 3)  # of ∫ (1 − φ²) φ
    assert round(expected, 2) == 1.06  # as documented
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / math.sqrt(60))


@each_term
def test_gradient(new):
    term = new().eval()  # SIGReg keeps its directions
    rows, views = (each[:9].requires_grad_() for each in tensors(ROWS, VIEWS))
    assert torch.autograd.gradcheck(lambda *both: call(term, *both), (rows, views))


@each_term
def test_padding_changes_nothing_and_layers_are_averaged(new):
    term = new().eval()
    states, views = tensors(gaussian(40, [4, 2, 1]).reshape(4, 10, 3), gaussian(40, [4, 2, 1], 1).reshape(4, 10, 3))
    mask = torch.tensor(np.random.default_rng(2).integers(0, 2, (4, 10)))
    value = call(term, states, views, mask)
    assert value.item() == call(term, states[mask.bool()], views[mask.bool()]).item()
    padding = torch.full((4, 3, 3), math.nan, dtype=torch.float64)
    wider = torch.cat([torch.zeros(4, 3, dtype=mask.dtype), mask], dim=1)
    padded = call(term, torch.cat([padding, states], 1), torch.cat([padding, views], 1), wider)
    assert padded.item() == value.item()
    other = call(term, 2 * states**3, views, mask)
    both = call(term, [states, 2 * states**3], [views, views], mask)
    assert both.item() == pytest.approx((value + other).item() / 2, rel=1e-12)


@each_term
def test_recorded_micro_batches_have_the_gradient_of_the_joined_batch(new):
    joined, split = weights_of_model(), weights_of_model()
    term = new()
    expected = [of_weights(term, joined, slice(None)) for _ in range(2)]
    term = new()
    for step in range(2):
        with torch.no_grad():
            for which in SPLIT:
                term.joint.record()
                call(term, *(each @ split for each in tensors(ROWS[which], VIEWS[which])))
        for i, which in enumerate(SPLIT):
            term.joint.replay(i)
            assert of_weights(term, split, which) == pytest.approx(expected[step], rel=1e-12)
        term.joint.forget()
    assert joined.grad.abs().max() > 1e-3
    torch.testing.assert_close(split.grad, joined.grad, rtol=0, atol=1e-10)


PARTS_OF_RANKS = [[slice(0, 4), slice(4, 5)], [slice(5, 17), slice(17, 23)]]


def work(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = {}
    for name, new in TERMS.items():
        term, weights = new(), weights_of_model()
        values = [of_weights(term, weights, slice(0, 16) if rank == 0 else slice(16, 23))]
        torch.distributed.all_reduce(weights.grad)
        gradients = [weights.grad / 2]
        weights.grad = None
        with torch.no_grad():
            for which in PARTS_OF_RANKS[rank]:
                term.joint.record()
                call(term, *(each @ weights for each in tensors(ROWS[which], VIEWS[which])))
        for i, which in enumerate(PARTS_OF_RANKS[rank]):
            term.joint.replay(i)
            values.append(of_weights(term, weights, which))
        torch.distributed.all_reduce(weights.grad)
        gradients.append(weights.grad / 2)
        term.joint.forget()
        values.append(of_weights(term, weights, slice(0, 1 if rank == 0 else 0)))  # one row in all
        results[name] = values, gradients
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_value_and_the_gradient_of_one(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, new in TERMS.items():
        term = new()
        expected, gradients = [], []
        for _ in range(2):
            weights = weights_of_model()
            expected.append(of_weights(term, weights, slice(None)))
            gradients.append(weights.grad)
        assert results[0][name][0] == results[1][name][0]
        values, of_processes = results[0][name]
        assert values == pytest.approx([expected[0], expected[1], expected[1], 0.0], rel=1e-12)
        for gradient, of_process in zip(gradients, of_processes, strict=True):
            torch.testing.assert_close(of_process, gradient, rtol=0, atol=1e-10)


@each_term
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_under_autocast(new, dtype):
    states, views = (each.reshape(1, 23, 6).requires_grad_() for each in tensors(ROWS, VIEWS, dtype=dtype))
    term, mask = new(), torch.ones(1, 23)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = call(term, states, views, mask)
    value.backward()
    assert value.dtype == torch.float32
    assert states.grad.dtype == dtype
    assert torch.isfinite(states.grad).all()
    exact = call(new(), states.detach()[0].double(), views.detach()[0].double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)


DEGENERATE = {
    "no row": np.zeros((0, 4)),
    "one row": np.ones((1, 4)),
    "two rows": gaussian(2, np.ones(4)),
    "constant": np.full((7, 4), 0.3),
    "zero": np.zeros((7, 4)),
    "one not zero": np.concatenate([np.zeros((6, 4)), np.ones((1, 4))]),
    "duplicates": np.repeat(gaussian(3, np.ones(4)), 3, axis=0),
    "opposite": np.array([[1.0, 2, 3, 4], [-1, -2, -3, -4]]),
    "tiny": 1e-30 * gaussian(7, np.ones(4)),
    "large": 1e4 * gaussian(7, np.ones(4)),
    "two scales": gaussian(7, np.ones(4)) * np.array([1e-18, 1e-15, 1e-9, 1, 1, 1e9, 1e12])[:, None],
}


@each_term
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_rows_are_finite(new, name, dtype):
    rows, views = (
        each.requires_grad_() for each in tensors(DEGENERATE[name], DEGENERATE[name][::-1].copy(), dtype=dtype)
    )
    value = call(new(), rows, views)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(rows.grad).all()
    if name in ("no row", "one row"):
        assert value.item() == 0
        assert not rows.grad.any()


def test_a_row_that_is_not_finite_is_not_hidden():
    rows = torch.tensor(ROWS)
    rows[3, 2] = math.inf
    for new in TERMS.values():
        assert call(new(), rows, rows).isnan()


@each_term
def test_random_numbers_of_others_are_as_without_it(new):
    torch.manual_seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    call(new(), *tensors(ROWS, VIEWS))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def steps(term, rows, rate, n_steps=30, weight=1.0, noise=0.0):
    """The rows after gradient steps."""
    rows = torch.tensor(rows, requires_grad=True)
    for step in range(n_steps):
        views = rows + noise * torch.tensor(gaussian(len(rows), np.ones(rows.shape[1]), seed=step))
        (gradient,) = torch.autograd.grad(weight * call(term, rows, views), rows)
        rows = (rows - rate * gradient).detach().requires_grad_()
    return rows.detach().numpy()


def mean_cosine(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return ((unit @ unit.T).sum() - len(unit)) / (len(unit) * (len(unit) - 1))


CROWDED = gaussian(200, [1, 1, 0.2, 0.1]) + [2, 0, 0, 0]
WITH_OUTLIERS = np.concatenate([gaussian(40, np.ones(3)), 20 * gaussian(4, np.ones(3), seed=1)])
CORRELATED = gaussian(400, [4, 0.04, 1]) @ np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]) + 1


def distance_from_standard(rows):
    return np.abs(np.cov(rows.T) - np.eye(rows.shape[1])).max() + np.abs(rows.mean(axis=0)).max()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("new", "rows", "rate", "of", "falls"),
    [
        (CLReg, CROWDED, 2.0, mean_cosine, True),
        (Uniformity, CROWDED, 10.0, lambda rows: uniformity(rows)["uniformity"], True),
        (PersistentEntropy, WITH_OUTLIERS, 5.0, lambda rows: persistent_entropy(rows)["persistent_entropy"], False),
        (lambda: SIGReg(64), CORRELATED, 0.2, distance_from_standard, True),
    ],
    ids=["CLReg", "Uniformity", "PersistentEntropy", "SIGReg"],
)
@pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
def test_the_sign_of_the_weight_says_where_it_goes(new, rows, rate, of, falls, sign):
    moved = of(steps(new(), rows, rate, weight=sign, noise=0.05)) - of(rows)
    assert moved * sign * (-1 if falls else 1) > 0.01


# SIGReg: the directions


def test_directions_are_new_at_each_step_of_training_alone():
    term, rows = SIGReg(8), torch.tensor(ROWS)
    first = term(rows), term._directions(6)
    second = term(rows), term._directions(6)
    assert first[0] != second[0]
    assert not torch.equal(first[1], second[1])
    torch.testing.assert_close(first[1].norm(dim=0), torch.ones(8, dtype=torch.float64))
    with torch.no_grad():
        assert term(rows) == second[0]
    term.eval()
    assert term(rows) == second[0]
    assert int(term.step) == 2
    assert SIGReg(8, seed=3)(rows) != first[0]


def test_layers_share_directions_and_a_step():
    term, rows = SIGReg(8), torch.tensor(ROWS)
    assert term([rows, rows]) == SIGReg(8)(rows)
    assert int(term.step) == 1


def test_a_resumed_run_goes_on_with_the_directions_that_follow():
    term, rows = SIGReg(8), torch.tensor(ROWS)
    values = [term(rows).item() for _ in range(4)]
    term = SIGReg(8)
    term(rows), term(rows)
    resumed = SIGReg(8)
    resumed.load_state_dict(term.state_dict())
    assert [resumed(rows).item() for _ in range(2)] == values[2:]


def test_recorded_micro_batches_are_one_step_and_the_next_live_call_is_another():
    term, rows = SIGReg(8), torch.tensor(ROWS)
    expected = SIGReg(8)
    values = [expected(rows).item() for _ in range(2)]
    with torch.no_grad():
        for _ in range(3):
            term.joint.record()
            term(rows)
    assert int(term.step) == 0
    for i in range(3):
        term.joint.replay(i)
        term(rows)
    term.joint.forget()
    assert int(term.step) == 1
    assert term(rows).item() == values[1]


# Arguments


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (lambda: CLReg(temperature=0), "temperature must be above 0, got 0"),
        (lambda: CLReg(temperature=math.nan), "temperature must be above 0, got nan"),
        (lambda: Uniformity(t=-1), "t must be above 0 and finite, got -1"),
        (lambda: Uniformity(t=math.inf), "t must be above 0 and finite, got inf"),
        (lambda: SIGReg(0), "n_directions must be at least 1, t_max above 0 and n_points odd"),
        (lambda: SIGReg(t_max=0.0), "got 256, 0.0 and 17"),
        (lambda: SIGReg(n_points=16), "got 256, 5.0 and 16"),
        (lambda: SIGReg(n_points=1), "got 256, 5.0 and 1"),
        (lambda: CLReg()(torch.ones(3, 2), second=torch.ones(4, 2)), r"got rows \(3, 2\) and \(4, 2\)"),
        (lambda: CLReg()(torch.ones(3, 2)), "CLReg needs the states of a second pass"),
        (lambda: SIGReg()(torch.ones(3, 2), second=torch.ones(3, 2)), "SIGReg has no use for"),
    ],
)
def test_what_is_no_use_is_refused(new, message):
    with pytest.raises(ValueError, match=message):
        new()
