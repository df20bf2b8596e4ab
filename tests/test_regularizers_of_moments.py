"""The terms of the loss that are functions of second moments: IStar, CosReg, CorReg, BuresIsotropy, VICReg."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from clouds import CLOUDS, gaussian, golden_cloud
from references import regularizers as references

from isotropy_metrics.measures import (
    average_cosine_similarity,
    bures_isotropy,
    correlation_distance,
    isoscore,
    isoscore_star,
)
from trainer_callbacks.regularizers.bures_isotropy import BuresIsotropy
from trainer_callbacks.regularizers.cor_reg import CorReg
from trainer_callbacks.regularizers.cos_reg import CosReg
from trainer_callbacks.regularizers.i_star import IStar
from trainer_callbacks.regularizers.vicreg import VICReg

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")

TERMS = {  # name: how to make it, and its value by definition
    "i_star": (IStar, references.i_star),
    "i_star as published": (
        partial(IStar, reference="identity", scale_matched=False),
        partial(references.i_star, scale_matched=False),
    ),
    "i_star ema": (partial(IStar, reference="ema"), None),
    "i_star of each layer": (partial(IStar, union=False, shrinkage=0.5), partial(references.i_star, shrinkage=0.5)),
    "cos_reg": (CosReg, references.cos_reg),
    "cos_reg unbiased": (partial(CosReg, unbiased=True), partial(references.cos_reg, unbiased=True)),
    "cor_reg": (CorReg, references.cor_reg),
    "cor_reg squared": (partial(CorReg, squared=True), partial(references.cor_reg, squared=True)),
    "cor_reg normalized": (partial(CorReg, normalized=True), partial(references.cor_reg, normalized=True)),
    "cor_reg normalized squared": (
        partial(CorReg, normalized=True, squared=True),
        partial(references.cor_reg, normalized=True, squared=True),
    ),
    "bures_isotropy": (BuresIsotropy, None),
    "bures_isotropy of small eps": (partial(BuresIsotropy, eps=1e-10), references.bures_isotropy),
    "vicreg": (VICReg, references.vicreg),
    "vicreg of wide features": (partial(VICReg, gamma=2.0), partial(references.vicreg, gamma=2.0)),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices this small are slower on several."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


every_term = pytest.mark.parametrize("make", [make for make, _ in TERMS.values()], ids=TERMS)


def tensor(rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype, requires_grad=True)


def cloud(n, d, seed=0):
    """Anisotropic rows off the origin, with correlated features."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1)) @ rng.normal(size=(d, d)) + 0.3


def value_and_gradient(term, *states):
    value = term(*states)
    value.backward()
    return value.detach(), next(iter(states)).grad


# Values


GOLDEN = [
    ("IsoScore* zeta=.2 C0=I", lambda rows: 1 - IStar(reference="identity", scale_matched=False)(rows)),
    ("IsoScore* zeta=.2 C0=(trS/d)I", lambda rows: 1 - IStar()(rows)),
    ("IsoScore 7-step", lambda rows: 1 - IStar(shrinkage=0.0)(rows)),
    ("CosReg I-STAR (/N^2)", CosReg()),
    ("mean cosine (off-diag)", CosReg(unbiased=True)),
    ("Cor-Reg ||R-I||_F", CorReg()),
    ("Ji W2^2 to N(0,I/d), ddof0, L2-normed", BuresIsotropy(eps=1e-12)),
]


@pytest.mark.parametrize(("label", "term"), GOLDEN, ids=[label for label, _ in GOLDEN])
def test_the_golden_cloud_has_its_golden_values(label, term, golden):
    assert term(tensor(golden_cloud())).item() == pytest.approx(golden[label], rel=0, abs=1e-8)
    in_single_precision = term(tensor(golden_cloud(), torch.float32)).item()
    assert in_single_precision == pytest.approx(golden[label], rel=0, abs=1e-5)


def test_the_default_eps_moves_the_golden_bures_distance_by_little(golden):
    label = "Ji W2^2 to N(0,I/d), ddof0, L2-normed"
    assert BuresIsotropy()(tensor(golden_cloud())).item() == pytest.approx(golden[label], rel=0, abs=1e-4)


@pytest.mark.parametrize("of", CLOUDS)
@pytest.mark.parametrize("name", [name for name, (_, by_definition) in TERMS.items() if by_definition])
def test_every_term_has_the_value_of_its_definition(name, of):
    make, by_definition = TERMS[name]
    assert make()(tensor(CLOUDS[of])).item() == pytest.approx(by_definition(CLOUDS[of]), rel=1e-7, abs=1e-7)


def test_the_terms_are_the_measures_of_the_same_rows():
    rows, c0 = CLOUDS["offset"], np.diag(np.arange(1.0, 9))
    measured = [
        (IStar(), 1 - isoscore_star(rows)["isoscore_star"]),
        (IStar(shrinkage=0.0), 1 - isoscore(rows)["isoscore"]),
        (IStar(shrinkage=0.6, reference=c0), 1 - isoscore_star(rows, shrinkage=0.6, c0=c0)["isoscore_star"]),
        (
            IStar(reference=torch.tensor(c0), scale_matched=False),
            1 - isoscore_star(rows, c0=c0, scale_c0=False)["isoscore_star"],
        ),
        (CosReg(unbiased=True), average_cosine_similarity(rows)["average_cosine_similarity"]),
        (CorReg(), correlation_distance(rows)["correlation_distance"]),
        (BuresIsotropy(eps=1e-12), bures_isotropy(rows)["bures_isotropy"]),
    ]
    for term, expected in measured:
        assert term(tensor(rows)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shrinkage", [0.0, 0.2, 1.0])
def test_i_star_equals_the_authors_package(shrinkage):
    from IsoScore.IsoScore import IsoScore_star

    rows, c0 = gaussian(300, 1 / np.arange(1, 25)) + 3, np.cov(gaussian(500, np.arange(1, 25), seed=1).T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.tensor(tensor)
        theirs = float(IsoScore_star(torch.tensor(rows), torch.tensor(c0), shrinkage))
    term = IStar(shrinkage, reference=c0, scale_matched=False)
    assert 1 - term(tensor(rows)).item() == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("shape", [(40, 6), (5, 9)])
@pytest.mark.parametrize("scale_matched", [True, False])
def test_the_gradient_of_i_star_is_that_of_the_singular_values(shape, scale_matched):
    rows, d = cloud(*shape), shape[1]
    x = tensor(rows)
    S = torch.cov(x.T)
    c0 = torch.eye(d, dtype=x.dtype) * (S.trace() / d if scale_matched else 1)
    singular_values = torch.linalg.svdvals(0.8 * S + 0.2 * c0)
    (1 - (singular_values.sum() ** 2 / singular_values.square().sum() - 1) / (d - 1)).backward()
    _, gradient = value_and_gradient(IStar(scale_matched=scale_matched), tensor(rows))
    torch.testing.assert_close(gradient, x.grad, rtol=1e-9, atol=1e-12)


def test_scale_matched_i_star_does_not_see_the_scale_of_the_rows():
    rows = cloud(30, 5)
    value, gradient = value_and_gradient(IStar(), tensor(rows))
    scaled_value, scaled_gradient = value_and_gradient(IStar(), tensor(1000 * rows))
    torch.testing.assert_close(scaled_value, value)
    torch.testing.assert_close(1000 * scaled_gradient, gradient)
    for scale in (1e-12, 1e12):  # of which the square of a variance is no number in single precision
        value_there, gradient_there = value_and_gradient(IStar(), tensor(scale * rows, torch.float32))
        torch.testing.assert_close(value_there.double(), value, rtol=1e-5, atol=0)
        torch.testing.assert_close(scale * gradient_there.double(), gradient, rtol=1e-3, atol=1e-6)
    # no change of the scale goes downhill: the gradient is orthogonal to the rows
    assert abs(float((gradient * torch.tensor(rows)).sum())) < 1e-12
    as_published = IStar(scale_matched=False)
    assert as_published(tensor(rows / 1000)) < 0.01 < as_published(tensor(rows * 1000))


@pytest.mark.parametrize("n", [4, 8, 16, 32, 64])
def test_normalized_cor_reg_of_independent_features_is_that_of_the_larger_of_rows_and_features(n):
    """1/√max(d, n − 1) from few rows and from many, where the plain value goes from 21 to 3."""
    d = 32
    normalized = [CorReg(normalized=True)(torch.tensor(gaussian(n, np.ones(d), seed))).item() for seed in range(20)]
    assert np.mean(normalized) == pytest.approx(max(d, n - 1) ** -0.5, rel=0.1)
    plain = CorReg()(torch.tensor(gaussian(n, np.ones(d)))).item()
    assert plain == pytest.approx(np.sqrt(d * (d - 1) / (n - 1)), rel=0.1)


def test_normalized_cor_reg_goes_from_0_to_1():
    least = torch.eye(4, dtype=torch.float64).repeat(1, 5)  # 4 rows: 4 groups of 5 equal features, as far as it goes
    simplex = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    assert CorReg(normalized=True)(simplex.repeat(1, 4)).item() == pytest.approx(0, abs=1e-7)
    assert CorReg()(simplex.repeat(1, 4)).item() == pytest.approx(np.sqrt(12 * (12 / 3 - 1)))
    assert 0 < CorReg(normalized=True)(least).item() < 1
    copies = torch.arange(5.0, dtype=torch.float64)[:, None] * torch.tensor([1.0, -2, 3, 1, 1, 1, 1])
    assert CorReg(normalized=True)(copies).item() == pytest.approx(1)


# Gradients


@every_term
@pytest.mark.parametrize("shape", [(9, 4), (4, 7)], ids=["more rows than features", "fewer rows than features"])
def test_the_gradient_is_that_of_the_value(make, shape):
    term = make()
    if getattr(term, "reference", None) == "ema":
        term(tensor(cloud(*shape, seed=1)))
        term.eval()  # else every call moves the reference
    assert torch.autograd.gradcheck(term, tensor(cloud(*shape)))


@every_term
def test_the_gradient_of_masked_states_is_zero_on_padding(make):
    rows = cloud(15, 5).reshape(3, 5, 5)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    value, gradient = value_and_gradient(make(), tensor(rows), mask)
    alone, gradient_alone = value_and_gradient(make(), tensor(rows[mask.bool().numpy()]))
    assert value == alone
    assert torch.equal(gradient[mask.bool()], gradient_alone)
    assert not gradient[~mask.bool()].any()
    padded = np.concatenate([np.full((3, 2, 5), 1e4), rows, np.full((3, 4, 5), -1e4)], axis=1)
    assert make()(tensor(padded), torch.nn.functional.pad(mask, (2, 4))) == value


@every_term
def test_several_layers_are_one_cloud_or_a_mean(make):
    layers = [cloud(12, 4, seed) + seed for seed in range(3)]
    value = make()([tensor(layer) for layer in layers]).item()
    if getattr(make(), "union", False):
        assert value == make()(tensor(np.concatenate(layers))).item()
    else:
        assert value == pytest.approx(np.mean([make()(tensor(layer)).item() for layer in layers]), rel=1e-12)
    masked = torch.ones(3, 4), [tensor(layer.reshape(3, 4, 4)) for layer in layers]
    assert make()(masked[1], masked[0]).item() == value


@every_term
@pytest.mark.parametrize("d", [4, 20])
def test_accumulated_gradients_of_micro_batches_are_that_of_the_joined_batch(make, d):
    rows, sizes = cloud(17, d), [5, 1, 9, 0, 2]
    joined_value, joined_gradient = value_and_gradient(make(), tensor(rows))
    x, term = tensor(rows), make()
    for _ in range(2):  # a second step sees nothing of the first
        x.grad = None
        term.c0 = make().c0 if isinstance(term, IStar) else None
        with torch.no_grad():
            for part in x.split(sizes):
                term.joint.record()
                term(part)
        for i, part in enumerate(x.split(sizes)):
            term.joint.replay(i)
            value = term(part)
            torch.testing.assert_close(value.detach(), joined_value, rtol=1e-10, atol=1e-10)
            value.backward()
        term.joint.forget()
        torch.testing.assert_close(x.grad, joined_gradient, rtol=1e-10, atol=1e-10)


PROCESS_CASES = [  # rows of each process, and micro-batches of each
    ("unequal rows", cloud(17, 5), ([3], [14])),
    ("fewer rows than features", cloud(7, 12), ([2], [5])),
    ("one process without rows", cloud(9, 12), ([0], [9])),
    ("micro-batches", cloud(17, 5), ([3, 4], [9, 1])),
]


def gradient_of_a_model(term, X, sizes):
    """Value and gradient of the weights of a model, of micro-batches one after the other."""
    weights = tensor(cloud(X.shape[1], X.shape[1], seed=5))
    parts = torch.tensor(X).split(sizes)
    if len(parts) > 1:
        with torch.no_grad():
            for part in parts:
                term.joint.record()
                term(part @ weights)
    for i, part in enumerate(parts):
        if len(parts) > 1:
            term.joint.replay(i)
        value = term(part @ weights)
        value.backward()
    return value.detach(), weights.grad


def work(rank, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    values, gradients = [], []
    for _, X, sizes in PROCESS_CASES:
        rows = np.split(X, [sum(sizes[0])])[rank]
        for make, _ in TERMS.values():
            value, gradient = gradient_of_a_model(make(), rows, sizes[rank])
            torch.distributed.all_reduce(gradient)
            values.append(value)
            gradients.append((gradient / 2).flatten())
    np.savez(f"{folder}/{rank}.npz", values=torch.stack(values), gradients=torch.cat(gradients))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_value_and_the_mean_gradient_of_the_joined_batch(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    of_ranks = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    joined = [gradient_of_a_model(make(), X, [len(X)]) for _, X, _ in PROCESS_CASES for make, _ in TERMS.values()]
    np.testing.assert_array_equal(of_ranks[0]["values"], of_ranks[1]["values"])
    expected = torch.stack([value for value, _ in joined])
    np.testing.assert_allclose(of_ranks[0]["values"], expected, rtol=1e-10, atol=1e-10)
    expected = torch.cat([gradient.flatten() for _, gradient in joined])
    for of_rank in of_ranks:
        np.testing.assert_allclose(of_rank["gradients"], expected, rtol=1e-10, atol=1e-10)


# Precision and degenerate rows


@every_term
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_states_under_autocast_give_a_value_in_single_precision(make, dtype):
    rows = (cloud(60, 48) * 10).reshape(4, 15, 48)
    states = tensor(rows, dtype)
    mask = torch.ones(4, 15)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = make()(states, mask)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(states.grad).all()
    assert states.grad.any()
    in_double_precision = make()(states.detach().double(), mask).item()
    assert value.item() == pytest.approx(in_double_precision, rel=1e-3, abs=1e-4)


DEGENERATE = {
    "no row": np.zeros((0, 4)),
    "one row": np.array([[1.0, -2.0, 3.0, 0.1]]),
    "equal rows": np.tile([0.1, -7.7, 1 / 3, 1000.1], (30, 1)),
    "two rows": cloud(2, 4),
    "zero rows": np.zeros((6, 4)),
    "one row among zeros": np.concatenate([np.zeros((5, 4)), np.ones((1, 4))]),
    "zero rows among others": np.concatenate([np.zeros((5, 4)), cloud(9, 4)]),
    "constant feature": np.column_stack([cloud(20, 3), np.full(20, 0.1)]),
    "one varying feature": np.column_stack([np.full((20, 3), 0.1), np.arange(20)]),
    "uncorrelated features": np.array([[1.0, 1, 1, 0], [1, -1, -1, 0], [-1, 1, -1, 0], [-1, -1, 1, 0]]),
    "tiny rows": 1e-30 * cloud(9, 4),
    "fewer rows than features": cloud(3, 40),
    "rank one": np.outer(np.arange(-3.0, 9), [1.0, 2, 3, 4]),
}


@every_term
@pytest.mark.parametrize("of", DEGENERATE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_rows_give_finite_values_and_gradients(make, of, dtype):
    value, gradient = value_and_gradient(make(), tensor(DEGENERATE[of], dtype))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    if of in ("no row", "one row"):
        assert value == 0
    if of in ("no row", "one row", "equal rows"):
        assert not gradient.abs().gt(1e-3).any()


@every_term
def test_states_that_are_no_numbers_are_not_hidden(make):
    rows = cloud(9, 4)
    rows[3, 2] = np.nan
    value, gradient = value_and_gradient(make(), tensor(rows))
    assert torch.isnan(value)
    assert torch.isnan(gradient).any()


# What a weight does


def descend(term, weight, rows, rate, steps=30):
    """The rows after plain gradient descent on weight · term."""
    x = tensor(rows)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(weight * term(x), x)
        x = (x - rate * gradient).detach().requires_grad_()
    return x.detach().numpy()


def isoscore_of(rows):
    return isoscore(rows)["isoscore"]


def cosine_of(rows):
    return average_cosine_similarity(rows)["average_cosine_similarity"]


def correlation_of(rows):
    return correlation_distance(rows)["correlation_distance"]


def least_deviation_of(rows):
    return rows.std(axis=0).min()


PROMISES = [  # a term, the size of a step, what a positive weight moves up, and what down
    (IStar, 20.0, isoscore_of, None),
    (partial(IStar, reference="ema"), 20.0, isoscore_of, None),
    (partial(IStar, scale_matched=False), 20.0, isoscore_of, None),
    (CosReg, 20.0, None, cosine_of),
    (CorReg, 0.05, None, correlation_of),
    (partial(CorReg, squared=True), 0.02, None, correlation_of),
    (partial(CorReg, normalized=True), 1.0, None, correlation_of),
    (BuresIsotropy, 2.0, None, lambda rows: bures_isotropy(rows)["bures_isotropy"]),
    (VICReg, 0.02, least_deviation_of, None),
    (partial(VICReg, variance_weight=0.0), 0.2, None, lambda rows: np.square(np.triu(np.cov(rows.T), 1)).sum()),
]


@pytest.mark.parametrize(("make", "rate", "up", "down"), PROMISES)
def test_the_sign_of_the_weight_decides_where_thirty_steps_go(make, rate, up, down):
    rows = cloud(60, 8) / 2
    toward, away = (descend(make(), weight, rows, rate) for weight in (1, -1))
    for quantity, sign in ((up, 1), (down, -1)):
        if quantity is not None:
            before = quantity(rows)
            assert sign * (quantity(toward) - before) > 0.02 * abs(before), "a positive weight"
            assert sign * (before - quantity(away)) > 0.02 * abs(before), "a negative weight"


# The reference covariance of IStar


C0 = torch.diag(torch.arange(1.0, 6))


def test_the_reference_of_an_epoch_is_the_identity_until_it_is_set():
    rows, term = tensor(cloud(20, 5)), IStar()
    assert term(rows) == IStar(reference="identity")(rows)
    term.set_reference(C0)
    assert term(rows) == IStar(reference=C0)(rows) != IStar()(rows)
    for reference in ("identity", "ema", C0):
        with pytest.raises(ValueError, match="set_reference goes with reference='epoch', this one is '(id|em|gi)"):
            IStar(reference=reference).set_reference(C0)


def test_each_layer_may_have_a_reference_of_its_own():
    layers = [tensor(cloud(20, 5, seed)) for seed in range(2)]
    references_of_layers = [C0, C0.flip(0, 1)]
    term = IStar(union=False)
    term.set_reference(torch.stack(references_of_layers))
    each = [IStar(reference=c0)(rows).item() for c0, rows in zip(references_of_layers, layers, strict=True)]
    assert term(layers).item() == pytest.approx(np.mean(each), rel=1e-12)
    with pytest.raises(ValueError, match=r"has shape \(2, 5, 5\), the states give 1 of shape \(5, 5\)"):
        term(layers[:1])


def test_the_moving_average_takes_batches_of_training_alone():
    first, second = cloud(20, 5, 1), cloud(30, 5, 2)
    term = IStar(reference="ema", momentum=0.75)
    with torch.no_grad():
        term(tensor(first))
    term.eval()(tensor(first))
    assert term.c0.numel() == 0
    term.train()(tensor(first))
    term(tensor(np.ones((4, 5))))  # no covariance to take
    term(tensor(second))
    expected = 0.75 * np.cov(first.T) + 0.25 * np.cov(second.T)
    np.testing.assert_allclose(term.c0[0], expected, rtol=1e-10)
    assert not term.c0.requires_grad
    assert term(tensor(first)).item() != IStar()(tensor(first)).item()


def test_the_moving_average_takes_a_step_of_micro_batches_once():
    whole, joined = IStar(reference="ema"), IStar(reference="ema")
    for seed in range(3):
        rows = tensor(cloud(12, 5, seed))
        whole(rows)
        with torch.no_grad():
            for part in rows.split(5):
                joined.joint.record()
                joined(part)
        for i, part in enumerate(rows.split(5)):
            joined.joint.replay(i)
            joined(part)
        joined.joint.forget()
    torch.testing.assert_close(joined.c0, whole.c0)


@pytest.mark.parametrize("before", [None, C0[:3, :3]], ids=["from the identity", "from another covariance"])
@pytest.mark.parametrize("saved", [None, C0, torch.stack([C0, C0])], ids=["identity", "covariance", "of layers"])
def test_the_reference_survives_a_checkpoint(before, saved, tmp_path):
    def term_with(c0):
        term = IStar(union=False)
        if c0 is not None:
            term.set_reference(c0)
        return torch.nn.ModuleDict({"term": term})

    torch.save(term_with(saved).state_dict(), tmp_path / "state.pt")
    restored = term_with(before)
    restored.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert torch.equal(restored["term"].c0, term_with(saved)["term"].c0)
    layers = [tensor(cloud(20, 5, seed)) for seed in range(2)]
    assert restored["term"](layers) == term_with(saved)["term"](layers)
    assert torch.equal(copy.deepcopy(restored)["term"].c0, restored["term"].c0)


def test_the_reference_is_taken_in_any_dtype_and_without_gradient():
    rows = tensor(cloud(20, 5))
    expected = IStar(reference=C0)(rows).item()
    for c0 in (C0.numpy(), C0.double(), C0.int(), C0.bfloat16(), C0.clone().requires_grad_()):
        term = IStar(reference=c0)
        assert term(rows).item() == pytest.approx(expected, rel=1e-12)
        assert not term.c0.requires_grad
    assert IStar(reference=C0)(tensor(cloud(20, 5), torch.float32)).dtype == torch.float32
    given = C0.double()
    term = IStar(reference=given)
    given.zero_()
    assert term(rows).item() == pytest.approx(expected, rel=1e-12)


ASYMMETRIC = torch.tensor([[1.0, 2], [0, 1]])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (partial(IStar, shrinkage=1.2), "shrinkage must be from 0 to 1, got 1.2"),
        (partial(IStar, momentum=1.0), "momentum must be from 0 up to 1, got 1.0"),
        (partial(IStar, reference="epochs"), "must be one of epoch, ema, identity or a covariance, got 'epochs'"),
        (partial(IStar, reference=torch.ones(3)), r"has shape \(d, d\), got \(3,\)"),
        (partial(IStar, reference=torch.ones(3, 2)), r"has shape \(d, d\), got \(3, 2\)"),
        (partial(IStar, reference=ASYMMETRIC), "symmetric and finite, with a trace above 0"),
        (partial(IStar, reference=torch.zeros(2, 2)), "symmetric and finite, with a trace above 0"),
        (partial(IStar, reference=torch.full((2, 2), torch.nan)), "symmetric and finite, with a trace above 0"),
        (lambda: IStar(reference=C0)(torch.ones(4, 3)), r"has shape \(5, 5\), the states give 1 of shape \(3, 3\)"),
        (lambda: IStar()(torch.ones(4, 1)), "at least 2 features"),
        (partial(BuresIsotropy, eps=0), "eps must be above 0, got 0"),
        (partial(VICReg, eps=-1.0), "eps must be above 0, got -1.0"),
    ],
)
def test_what_cannot_be_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()
