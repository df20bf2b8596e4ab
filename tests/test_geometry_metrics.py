"""GeometryMetrics in a real Trainer: the values of all rows at once, whatever the batches and what went before."""

from __future__ import annotations

import json
import os
import socket
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from transformers import EvalPrediction, Trainer, TrainingArguments

from isotropy_metrics import measure
from trainer_callbacks.default_measures import DEFAULT_MEASURES
from trainer_callbacks.geometry_metrics import GeometryMetrics
from trainer_callbacks.keep_hidden_state import keep_hidden_state

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
WIDTH, LENGTH, PADDING = 6, 5, -100
OF_ROWS = (*DEFAULT_MEASURES, "two_nn", "silhouette")
"""Measures of second moments, of rows, and of rows with labels."""


class Projection(torch.nn.Module):
    """A model whose logits are a projection of its inputs: (n, features), or (n, length, features)."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, vectors, labels):
        logits = self.linear(vectors)
        return {"loss": logits.square().mean(), "logits": logits}


class Vectors(torch.utils.data.Dataset):
    """Random rows with labels; `failures` are raised, one by one, when a row is read."""

    def __init__(self, n, failures=()):
        generator = np.random.default_rng(n)
        self.rows = (generator.normal(size=(n, WIDTH)) * np.arange(1, WIDTH + 1) + 1).astype(np.float32)
        self.labels = generator.integers(0, 3, n)
        self.failures = list(failures)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        if index == len(self) - 3 and self.failures:
            raise self.failures.pop()
        return {"vectors": torch.from_numpy(self.rows[index]), "labels": torch.tensor(self.labels[index])}


class Sentences(torch.utils.data.Dataset):
    """Token vectors of sentences of 2 to 5 tokens; the collator pads each batch to its longest one."""

    def __init__(self, n):
        generator = np.random.default_rng(n)
        self.lengths = [2 + i * 3 // n for i in range(n)]
        self.tokens = [generator.normal(size=(length, WIDTH)).astype(np.float32) for length in self.lengths]
        self.labels = [generator.integers(0, 3, length) for length in self.lengths]

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return {"vectors": torch.from_numpy(self.tokens[index]), "labels": torch.from_numpy(self.labels[index])}


def pad(features):
    columns = {name: [feature[name] for feature in features] for name in features[0]}
    values = {"vectors": 9.0, "labels": PADDING}  # what the model makes of padding must not be seen
    return {
        name: torch.nn.utils.rnn.pad_sequence(column, batch_first=True, padding_value=values[name])
        for name, column in columns.items()
    }


def trainer_of(metrics, folder, dataset, *, batched=True, collator=None, model=None, keep=None, **arguments):
    torch.manual_seed(0)
    args = TrainingArguments(
        output_dir=str(folder),
        batch_eval_metrics=batched,
        per_device_eval_batch_size=8,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **arguments,
    )
    return Trainer(
        model or Projection(),
        args,
        eval_dataset=dataset,
        train_dataset=dataset,
        data_collator=collator or transformers.default_data_collator,
        compute_metrics=metrics,
        preprocess_logits_for_metrics=keep,
    )


def rows_of(trainer, vectors):
    with torch.no_grad():
        return trainer.model.linear(torch.from_numpy(vectors)).numpy()


def geometry_of(metrics):
    """What of the dict of an evaluation is geometry, under the names of the measures."""
    others = ("eval_loss", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    others += ("eval_model_preparation_time", "epoch")
    return {key.removeprefix("eval_"): value for key, value in metrics.items() if key not in others}


@pytest.mark.parametrize("batched", [True, False])
def test_an_evaluation_gives_the_values_of_all_rows(batched, tmp_path):
    data = Vectors(45)
    trainer = trainer_of(GeometryMetrics(OF_ROWS), tmp_path, data, batched=batched)
    expected = measure(rows_of(trainer, data.rows), OF_ROWS, references=data.labels)
    for _ in range(2):
        assert geometry_of(trainer.evaluate()) == pytest.approx(expected, rel=1e-6)
    other = Vectors(30)
    expected = measure(rows_of(trainer, other.rows), OF_ROWS, references=other.labels)
    assert geometry_of(trainer.evaluate(other)) == pytest.approx(expected, rel=1e-6)
    assert geometry_of(trainer.predict(other, metric_key_prefix="eval").metrics) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("same_loader", [False, True], ids=["new dataloader", "same dataloader"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["ctrl-c", "memory"])
def test_an_interrupted_evaluation_leaves_nothing_to_the_next(failure, same_loader, tmp_path):
    data = Vectors(45, failures=[failure, failure])
    metrics = GeometryMetrics("isoscore")
    trainer = trainer_of(metrics, tmp_path, data)
    if same_loader:  # as dataloader_persistent_workers=True does
        loader = trainer.get_eval_dataloader()
        trainer.get_eval_dataloader = lambda dataset=None: loader
    for _ in range(2):
        with pytest.raises(type(failure)):
            trainer.evaluate()
        assert metrics._statistics[0].n_rows > 0, "nothing that could leak: the evaluation broke too early"
    expected = measure(rows_of(trainer, data.rows), "isoscore")
    assert geometry_of(trainer.evaluate()) == pytest.approx(expected, rel=1e-6)


def test_an_evaluation_interrupted_within_training_leaves_nothing_to_the_next_training(tmp_path):
    data = Vectors(45, failures=[])
    schedule = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 4, "learning_rate": 0.0}
    trainer = trainer_of(GeometryMetrics("isoscore"), tmp_path, data, save_strategy="no", **schedule)
    broken = Vectors(45, failures=[KeyboardInterrupt()])
    trainer.eval_dataset = broken
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.train()
    found = [entry for entry in trainer.state.log_history if "eval_isoscore" in entry]
    assert [entry["step"] for entry in found] == [2, 4]
    assert [entry["eval_n_samples"] for entry in found] == [45, 45]


def test_a_failing_also_leaves_nothing_to_the_next_evaluation(tmp_path):
    failures = [ValueError("of the user")]

    def also(prediction, compute_result):
        if compute_result and failures:
            raise failures.pop()
        return {"answer": 42}

    trainer = trainer_of(GeometryMetrics("isoscore", also=also), tmp_path, Vectors(45))
    with pytest.raises(ValueError, match="of the user"):
        trainer.evaluate()
    values = geometry_of(trainer.evaluate())
    assert (values["n_samples"], values["answer"]) == (45, 42)


def test_a_loop_of_ones_own_resets_it():
    rows = np.random.default_rng(0).normal(size=(40, WIDTH))
    batches = [EvalPrediction(part, np.zeros(len(part))) for part in np.array_split(rows, 4)]
    metrics = GeometryMetrics("isoscore")
    assert metrics(batches[0], compute_result=False) == {}
    metrics.reset()
    for batch in batches[:-1]:
        assert metrics(batch, compute_result=False) == {}
    assert metrics(batches[-1], compute_result=True) == pytest.approx(measure(rows, "isoscore"), rel=1e-9)
    metrics(batches[0], compute_result=False)
    assert metrics(EvalPrediction(rows, None))["n_samples"] == 40, (
        "without compute_result a call is a whole evaluation"
    )


@pytest.mark.parametrize("batched", [True, False])
def test_padding_is_left_out_of_token_states(batched, tmp_path):
    data = Sentences(30)
    trainer = trainer_of(GeometryMetrics(OF_ROWS), tmp_path, data, batched=batched, collator=pad)
    rows, labels = rows_of(trainer, np.concatenate(data.tokens)), np.concatenate(data.labels)
    expected = measure(rows, OF_ROWS, references=labels)
    assert geometry_of(trainer.evaluate()) == pytest.approx(expected, rel=1e-6)


def test_rows_that_the_trainer_pads_are_left_out_without_labels():
    rows = np.random.default_rng(0).normal(size=(40, WIDTH))
    padded = np.concatenate([rows, np.full((3, WIDTH), PADDING), rows])
    padded[5, 0] = PADDING  # one feature of -100 is no padding
    expected = measure(np.delete(padded, [40, 41, 42], axis=0), "isoscore")
    assert GeometryMetrics("isoscore")(EvalPrediction(padded, None)) == pytest.approx(expected, rel=1e-9)


def test_half_precision_tensors_and_the_bounded_sample():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(90, WIDTH))).bfloat16()
    metrics = GeometryMetrics(["isoscore", "two_nn"], sample_size=50, seed=3, options={"isoscore": {"unbiased": True}})
    for part in rows.split(20):
        values = metrics(EvalPrediction(part, torch.zeros(len(part))), compute_result=len(part) < 20)
    whole = measure(rows, ["isoscore", "two_nn"], sample_size=50, seed=3, options={"isoscore": {"unbiased": True}})
    assert values == pytest.approx(whole, rel=1e-6)
    assert values["n_sampled"] == 50


def test_only_statistics_are_kept(tmp_path):
    import pickle

    metrics = GeometryMetrics()
    sizes = []
    for _ in range(2):
        for _ in range(20):
            metrics(EvalPrediction(np.random.default_rng(0).normal(size=(500, WIDTH)), None), compute_result=False)
        sizes.append(len(pickle.dumps(metrics._statistics)))
    assert sizes[0] == pytest.approx(sizes[1], abs=64)
    assert sizes[1] < 10_000


def test_best_checkpoint_and_logs_of_a_training(tmp_path):
    arguments = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2, "max_steps": 6}
    arguments |= {"load_best_model_at_end": True, "metric_for_best_model": "eval_isoscore", "learning_rate": 0.05}
    trainer = trainer_of(GeometryMetrics(), tmp_path, Vectors(45), **arguments)
    trainer.train()
    scores = {entry["step"]: entry["eval_isoscore"] for entry in trainer.state.log_history if "eval_isoscore" in entry}
    assert list(scores) == [2, 4, 6]
    best = max(scores, key=scores.get)
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    assert geometry_of(trainer.evaluate())["isoscore"] == pytest.approx(scores[best], rel=1e-6)


def accuracy(prediction, compute_result=True):
    predicted = np.asarray(prediction.predictions).argmax(axis=-1)
    return {"accuracy": float((predicted == np.asarray(prediction.label_ids)).mean()), "n": len(predicted)}


@pytest.fixture(scope="module")
def classifier(minilm_path):
    """A real model with a head, texts of different lengths, and what it makes of each of them alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_path)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(minilm_path, num_labels=3)
    model.config.output_hidden_states = True
    texts = [f"{'a ' * (i % 7)}text number {i}" for i in range(20)]
    with torch.no_grad():
        outputs = [model.eval()(**tokenizer(text, return_tensors="pt")) for text in texts]
    states, logits = ([each.hidden_states[3][:, 0] for each in outputs], [each.logits for each in outputs])
    features = [{**tokenizer(text), "labels": i % 3} for i, text in enumerate(texts)]
    return model, tokenizer, features, torch.cat(states).numpy(), torch.cat(logits).numpy()


@pytest.mark.parametrize("batched", [True, False])
def test_keep_hidden_state_of_a_real_model(batched, classifier, tmp_path):
    model, tokenizer, features, rows, logits = classifier
    trainer = trainer_of(
        GeometryMetrics(["isoscore", "silhouette"], also=accuracy),
        tmp_path,
        features,
        batched=batched,
        collator=transformers.DataCollatorWithPadding(tokenizer),
        model=model,
        keep=keep_hidden_state(layer=3),
    )
    values = geometry_of(trainer.evaluate())
    expected = measure(rows, ["isoscore", "silhouette"], references=[i % 3 for i in range(20)])
    assert {key: values[key] for key in expected} == pytest.approx(expected, rel=1e-4)
    last = slice(16, 20) if batched else slice(0, 20)  # `accuracy` keeps nothing between batches
    assert values["n"] == len(logits[last])
    assert values["accuracy"] == (logits[last].argmax(axis=1) == np.arange(20)[last] % 3).mean()


def test_kept_token_states_have_a_label_each():
    states = torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    logits = torch.zeros(4, 5, 2)
    labels = torch.tensor([[1, 0, 1, 1, PADDING]] * 3 + [[PADDING, 0, 0, PADDING, PADDING]])
    kept = keep_hidden_state(0, pooling=None)((logits, (states, states)), labels)
    assert kept["predictions"] is logits
    values = GeometryMetrics("isoscore")(EvalPrediction(kept, labels))
    assert values == pytest.approx(measure(states[labels != PADDING], "isoscore"), rel=1e-6)


@pytest.mark.parametrize(
    ("outputs", "arguments", "said"),
    [
        ((torch.zeros(4, 2),), {}, r"0 of the outputs a tuple of 1 \(\(4, 2\)\) are hidden states.*output_hidden_s"),
        ((tuple(torch.zeros(2, 4, 3, 5)), tuple(torch.zeros(2, 4, 3, 5))), {}, "2 of the outputs"),
        ((torch.zeros(4, 2), tuple(torch.zeros(7, 4, 3, 5))), {"layer": 7}, "layer 7 is out of range.*7 hidden"),
        ((torch.zeros(4, 2), tuple(torch.zeros(7, 4, 3, 5))), {"layer": -8}, "layer -8 is out of range"),
        ((), {"pooling": "mean"}, "pooling must be.*got 'mean': others need the attention mask"),
    ],
)
def test_keep_hidden_state_refuses(outputs, arguments, said):
    with pytest.raises(ValueError, match=said):
        keep_hidden_state(**arguments)(outputs, None)


def test_attentions_are_no_hidden_states():
    states, attentions = tuple(torch.ones(2, 4, 3, 5)), tuple(torch.zeros(2, 4, 2, 3, 3))
    kept = keep_hidden_state()((torch.zeros(4, 2), states, attentions), None)
    assert kept["hidden_state"].eq(1).all()
    assert kept["predictions"][1] is attentions


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"measures": "isocore"}, ValueError, "there is no measure 'isocore'; there are: .*isoscore"),
        ({"measures": []}, ValueError, "no measure named"),
        ({"measures": "linear_cka"}, ValueError, "there is no measure 'linear_cka'"),
        ({"measures": "self_similarity"}, ValueError, "self_similarity needs words, which word each row is"),
        ({"options": {"isoscore": {"unbias": True}}}, TypeError, "isoscore has no option 'unbias'"),
        ({"options": {"two_nn": {}}}, TypeError, "options are by measure.*got 'two_nn'"),
        ({"measures": "two_nn", "sample_size": 1}, ValueError, "size must be at least 2"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, error, said):
    with pytest.raises(error, match=said):
        GeometryMetrics(**arguments)


ROWS = np.random.default_rng(0).normal(size=(6, WIDTH))


@pytest.mark.parametrize(
    ("metrics", "prediction", "said"),
    [
        (
            {},
            ((ROWS, (ROWS,) * 7), None),
            r"predictions are a tuple of 2 \(\(6, 6\), a tuple of 7 \(\(6, 6\)\)\).*select=",
        ),
        ({}, (ROWS[0], None), r"predictions are \(6,\), not embeddings"),
        ({"select": lambda predictions: predictions[1]}, ((ROWS, "text"), None), "select= returned str, not"),
        ({}, (np.zeros((2, 3, 4)), np.zeros(2)), r"token states \(2, 3, 4\) need label_ids \(2, 3\).*got \(2,\)"),
        ({"measures": "silhouette"}, (ROWS, None), r"silhouette needs one label per row: label_ids \(6,\), got None"),
        ({"measures": "silhouette"}, (ROWS, (np.zeros(6), np.zeros(6))), r"label_ids \(6,\), got a tuple of 2"),
        ({"measures": "silhouette"}, (ROWS, np.full(6, 0.5)), "references must be text or whole numbers"),
        ({}, (ROWS * np.nan, None), "row 0 of the embeddings holds nan"),
    ],
)
def test_predictions_that_are_no_embeddings_are_refused(metrics, prediction, said):
    adapter = GeometryMetrics(**metrics)
    with pytest.raises(ValueError, match=said):
        adapter(EvalPrediction(*prediction), compute_result=False)
    assert adapter._statistics[0].n_rows == 0


def test_select_picks_the_embeddings():
    metrics = GeometryMetrics("isoscore", select=lambda predictions: predictions[1], also=lambda p: {"n": len(p[0])})
    values = metrics(EvalPrediction((np.zeros((6, 2)), ROWS), None))
    assert values == pytest.approx(measure(ROWS, "isoscore") | {"n": 2}, rel=1e-9)


def test_of_equal_keys_those_of_also_stay():
    assert GeometryMetrics("isoscore", also=lambda p: {"isoscore": 2})(EvalPrediction(ROWS, None))["isoscore"] == 2


def test_an_also_that_cannot_stream_is_refused():
    metrics = GeometryMetrics(also=lambda prediction: {})
    with pytest.raises(TypeError, match="also= must take compute_result"):
        metrics(EvalPrediction(ROWS, None), compute_result=False)


def work(rank, port, folder):
    import warnings

    warnings.simplefilter("ignore", RuntimeWarning)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for name, data, collator in evaluations():
        for batched in (True, False):
            metrics = GeometryMetrics(OF_ROWS)
            trainer = trainer_of(metrics, folder, data, batched=batched, collator=collator, ddp_backend="gloo")
            assert trainer.accelerator.num_processes == 2
            with open(f"{folder}/{name}-{batched}-{rank}.json", "w") as file:
                json.dump(geometry_of(trainer.evaluate()), file)
    torch.distributed.destroy_process_group()


def evaluations():
    """45 rows, of which the last step of two processes has 13 of 16; sentences that are longer on the second one."""
    return [("rows", Vectors(45), None), ("tokens", Sentences(45), pad)]


@pytest.mark.slow
def test_two_processes_give_the_values_of_one_on_each(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, args=(port, str(tmp_path)), nprocs=2)
    for name, data, collator in evaluations():
        trainer = trainer_of(GeometryMetrics(OF_ROWS), tmp_path, data, collator=collator)
        expected = geometry_of(trainer.evaluate())
        for batched in (True, False):
            first, second = (json.loads((tmp_path / f"{name}-{batched}-{rank}.json").read_text()) for rank in (0, 1))
            assert first == second
            assert first == pytest.approx(expected, rel=1e-6)


def test_it_needs_no_trainer():
    values = GeometryMetrics("isoscore")(SimpleNamespace(predictions=ROWS, label_ids=None))
    assert values == pytest.approx(measure(ROWS, "isoscore"), rel=1e-9)
