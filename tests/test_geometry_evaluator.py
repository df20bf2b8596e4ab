"""GeometryEvaluator in the real sentence-transformers: values, files, the model card, trainings that it watches."""

from __future__ import annotations

import csv
import json
import os
import random
import socket

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.evaluation import SentenceEvaluator, SequentialEvaluator
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoTokenizer, BertConfig, BertModel

from isotropy_metrics import RowSample, compare, measure
from trainer_callbacks.default_measures import DEFAULT_MEASURES
from trainer_callbacks.geometry_evaluator import GeometryEvaluator

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true"),
]
DRIFT = ("linear_cka", "neighborhood_overlap")


@pytest.fixture(scope="module")
def pairs(stsb_folder):
    with open(stsb_folder / "sts-dev.csv", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][:48]
    return [(row[5], row[6], float(row[4]) / 5) for row in rows]


@pytest.fixture(scope="module")
def texts(pairs):
    return [first for first, _, _ in pairs]


@pytest.fixture(scope="module")
def small_path(minilm_path, tmp_path_factory):
    """Folder of a SentenceTransformer of two layers of 32 features with random weights and real words."""
    path = tmp_path_factory.mktemp("small")
    tokenizer = AutoTokenizer.from_pretrained(minilm_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(path / "bert")
    tokenizer.save_pretrained(path / "bert")
    SentenceTransformer(modules=[Transformer(str(path / "bert")), Pooling(32)], device="cpu").save(str(path / "whole"))
    return path / "whole"


@pytest.fixture
def model(small_path):
    return SentenceTransformer(str(small_path), device="cpu")


@pytest.fixture(scope="module")
def minilm(minilm_path):
    return SentenceTransformer(str(minilm_path), device="cpu")


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_measures_what_encode_gives(minilm, texts):
    labels = [f"class {i % 3}" for i in range(len(texts))]
    measures = ["isoscore", "two_nn", "silhouette"]
    options = {"isoscore": {"unbiased": True}}
    evaluator = GeometryEvaluator(texts, measures, name="dev", references=labels, options=options, batch_size=7)
    values = evaluator(minilm)
    expected = measure(minilm.encode(texts), measures, references=labels, options=options)
    assert set(values) == {f"dev_{key}" for key in expected if key not in ("n_samples", "n_features")}
    assert values == pytest.approx({key: expected[key.removeprefix("dev_")] for key in values}, rel=1e-4)
    assert all(type(value) is float for value in values.values())


def test_the_defaults(model, texts):
    evaluator = GeometryEvaluator(texts)
    assert evaluator.primary_metric == "isoscore"
    values = evaluator(model)
    assert set(DEFAULT_MEASURES) <= set(values)
    assert evaluator.primary_metric == "isoscore"
    assert evaluator.greater_is_better


def test_encode_gets_what_the_model_was_trained_with(model, texts):
    model.prompts["query"] = "query: "
    try:
        evaluator = GeometryEvaluator(texts, "average_cosine_similarity", truncate_dim=64, prompt_name="query")
        values = evaluator(model)
    finally:
        del model.prompts["query"]
    rows = model.encode([f"query: {text}" for text in texts])[:, :64]
    expected = measure(rows, "average_cosine_similarity")["average_cosine_similarity"]
    assert values["average_cosine_similarity"] == pytest.approx(expected, rel=1e-4)
    assert evaluator.get_config_dict() == {"n_texts": 48, "prompt_name": "query", "truncate_dim": 64}


@pytest.mark.parametrize("sample_size", [None, 30])
def test_drift_is_from_the_first_call(sample_size, model, texts):
    evaluator = GeometryEvaluator(texts, "isoscore", drift=DRIFT, sample_size=sample_size)
    before = model.encode(texts)
    values = evaluator(model)
    assert [values[f"{name}_to_baseline"] for name in DRIFT] == pytest.approx([1.0, 1.0], abs=1e-9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    after = model.encode(texts)
    samples = RowSample(sample_size), RowSample(sample_size)
    for sample, embeddings in zip(samples, (before, after), strict=True):
        sample.update(embeddings)
    expected = compare(*(sample.rows for sample in samples), DRIFT)
    for _ in range(2):
        values = evaluator(model)
        for key in ("linear_cka", "neighborhood_overlap", "mutual_knn"):
            assert values[f"{key}_to_baseline"] == pytest.approx(expected[key], rel=1e-3)
            assert 0.05 < values[f"{key}_to_baseline"] < 0.95


def test_the_csv_file_has_a_row_per_evaluation(model, texts, tmp_path):
    evaluator = GeometryEvaluator(texts, "isoscore", name="dev")
    values = [evaluator(model, str(tmp_path / "eval"), epoch, steps) for epoch, steps in ((0.5, 10), (1.0, 20))]
    path = tmp_path / "eval" / "geometry_evaluation_dev_results.csv"
    rows = table(path)
    assert path.read_text().splitlines()[0] == "epoch,steps,isoscore,dimensions_used"
    assert [(row["epoch"], row["steps"]) for row in rows] == [("0.5", "10"), ("1.0", "20")]
    assert [float(row["isoscore"]) for row in rows] == [each["dev_isoscore"] for each in values]
    again = GeometryEvaluator(texts, "average_cosine_similarity", name="dev")
    again(model, str(tmp_path / "eval"), 2.0, 30)
    assert [row["isoscore"] for row in table(path)] == [*(row["isoscore"] for row in rows), ""]
    assert [bool(row["average_cosine_similarity"]) for row in table(path)] == [False, False, True]


def test_it_writes_no_file_if_not_asked_to(model, texts, tmp_path):
    GeometryEvaluator(texts, write_csv=False)(model, str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"texts": {"in": ["a", "b"], "out": ["c"]}},
            ValueError,
            "a dict of 'in', 'out': make a GeometryEvaluator of",
        ),
        ({"texts": "a text"}, ValueError, "texts must be a sequence of str"),
        ({"texts": ["a", 1]}, ValueError, "texts must be a sequence of str"),
        ({"texts": ["a"]}, ValueError, "texts must be at least two, got 1"),
        ({"measures": "isocore"}, ValueError, "there is no measure 'isocore'"),
        ({"measures": "self_similarity"}, ValueError, "self_similarity needs words"),
        ({"measures": "silhouette"}, ValueError, "silhouette needs references"),
        ({"measures": "silhouette", "references": [1, 2]}, ValueError, r"references must have shape \(3,\)"),
        ({"drift": "cka"}, ValueError, "there is no comparison 'cka'"),
        ({"primary_metric": "two_nn"}, ValueError, "primary_metric must be one of isoscore, .*got 'two_nn'"),
        ({"primary_metric": "linear_cka_to_baseline"}, ValueError, "primary_metric must be one of"),
        ({"options": {"isoscore": {"unbias": True}}}, TypeError, "isoscore has no option 'unbias'"),
        ({"sample_size": 1}, ValueError, "size must be at least 2"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, error, said):
    with pytest.raises(error, match=said):
        GeometryEvaluator(**{"texts": ["a", "b", "c"], **arguments})


def test_generators_and_modes_are_as_before(model, texts):
    model.train()
    model[0].auto_model.encoder.layer[0].eval()
    modes = [module.training for module in model.modules()]
    model[0].register_forward_hook(lambda *_: (random.random(), np.random.random(), torch.rand(1)) and None)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    GeometryEvaluator(texts)(model)
    assert [module.training for module in model.modules()] == modes
    assert random.getstate() == states[0]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[1], strict=True))
    assert torch.equal(torch.get_rng_state(), states[2])


def train(model, pairs, folder, evaluator, **arguments):
    first, second, scores = zip(*pairs, strict=True)
    data = Dataset.from_dict({"sentence1": first, "sentence2": second, "score": scores})
    schedule = {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2} if evaluator is not None else {}
    args = SentenceTransformerTrainingArguments(
        str(folder),
        **{"max_steps": 6, "save_strategy": "no", **schedule, **arguments},
        per_device_train_batch_size=8,
        learning_rate=2e-4,
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    trainer = SentenceTransformerTrainer(model, args, data, loss=CoSENTLoss(model), evaluator=evaluator)
    trainer.train()
    return trainer


@pytest.fixture(params=["small_path", pytest.param("minilm_path", marks=pytest.mark.slow)])
def path(request):
    return str(request.getfixturevalue(request.param))


def test_a_training_with_in_and_out_of_domain_texts(path, pairs, texts, tmp_path):
    model = SentenceTransformer(path, device="cpu")
    others = [f"The patient number {i} was given {i} mg of the compound." for i in range(24)]
    evaluators = [
        GeometryEvaluator(texts, name="sts", drift=DRIFT),
        GeometryEvaluator(others, name="clinic", measures=["average_cosine_similarity", "isoscore"]),
    ]
    trainer = train(
        model,
        pairs,
        tmp_path,
        evaluators,
        save_strategy="steps",
        save_only_model=True,
        eval_on_start=True,
        load_best_model_at_end=True,
        metric_for_best_model="eval_sts_isoscore",
    )
    assert isinstance(trainer.evaluator, SequentialEvaluator)
    logged = [entry for entry in trainer.state.log_history if "eval_sts_isoscore" in entry]
    assert [entry["step"] for entry in logged] == [0, 2, 4, 6]
    assert logged[0]["eval_sts_linear_cka_to_baseline"] == pytest.approx(1.0)
    assert logged[3]["eval_sts_linear_cka_to_baseline"] < 0.9999
    assert all(entry["eval_sequential_score"] == entry["eval_clinic_average_cosine_similarity"] for entry in logged)
    scores = {entry["step"]: entry["eval_sts_isoscore"] for entry in logged[1:]}
    best = max(scores, key=scores.get)
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    assert trainer.evaluate()["eval_sts_isoscore"] == pytest.approx(scores[best], rel=1e-5)
    rows = table(tmp_path / "eval" / "geometry_evaluation_sts_results.csv")
    assert [float(row["isoscore"]) for row in rows][:4] == [entry["eval_sts_isoscore"] for entry in logged]
    model.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "trainer_callbacks.geometry_evaluator.GeometryEvaluator" in card
    assert "| **isoscore**" in card
    assert "| **average_cosine_similarity**" in card
    assert "linear_cka_to_baseline" in card
    assert '"n_texts": 48' in card
    assert "sts_isoscore" in card.split("### Training Logs")[1]


class Silent(SentenceEvaluator):
    """The trainer's own evaluation, which draws a random number by iterating over a DataLoader, and nothing else."""

    def __call__(self, model, output_path=None, epoch=-1, steps=-1):
        return {"nothing": 0.0}


def test_training_is_the_same_with_it_and_without(path, pairs, texts, tmp_path):
    losses, weights = [], []
    for evaluator in (Silent(), GeometryEvaluator(texts, ["isoscore", "two_nn"], drift=DRIFT)):
        model = SentenceTransformer(path, device="cpu")
        assert any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules())
        trainer = train(model, pairs, tmp_path, evaluator)
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        weights.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach())
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6
    assert torch.equal(*weights)


def work(rank, port, folder, path, pairs, texts):
    import warnings

    warnings.simplefilter("ignore")
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    model = SentenceTransformer(path, device="cpu")
    evaluator = GeometryEvaluator(texts, OF_TWO, name="dev", references=labels_of(texts), batch_size=4)
    trainer = train(model, pairs, folder, evaluator, max_steps=2, ddp_backend="gloo", eval_on_start=True)
    assert trainer.accelerator.num_processes == 2
    entries = [entry for entry in trainer.state.log_history if "eval_dev_isoscore" in entry]
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump([{k: v for k, v in entry.items() if k.startswith("eval_dev")} for entry in entries], file)
    torch.distributed.destroy_process_group()


OF_TWO = ["isoscore", "average_cosine_similarity", "silhouette"]


def labels_of(texts):
    return [len(text) % 3 for text in texts]


@pytest.mark.slow
def test_each_of_two_processes_has_the_values_of_one(small_path, model, pairs, texts, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (port, str(tmp_path), str(small_path), pairs, texts[:45])
    torch.multiprocessing.spawn(work, args=arguments, nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert len(first) == 2
    alone = GeometryEvaluator(texts[:45], OF_TWO, name="eval_dev", references=labels_of(texts[:45]))(model)
    assert first[0] == pytest.approx(alone, rel=1e-4)
    assert first[1] != first[0]
    assert len(table(tmp_path / "eval" / "geometry_evaluation_dev_results.csv")) == 2
