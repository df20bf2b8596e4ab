"""attach_enhancement: enhanced in eval mode, untouched in training, removed without a trace, saved beside."""

import copy
import json
import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer
from transformers import (
    AutoModel,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    T5Config,
    T5Model,
    Trainer,
    TrainingArguments,
)

from isotropy_metrics.enhancement import AllButTheTop, Centering, ClusterBased, Whitening, save_pretrained
from trainer_callbacks import attach_enhancement

WIDTH = 16
CONFIG = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 32,
}
IDS = torch.arange(3, 27).reshape(4, 6)
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
ROWS = np.random.default_rng(0).normal(size=(400, WIDTH)) @ np.diag(np.linspace(0.5, 2, WIDTH)) + 1
BACKENDS = ["eager", *(pytest.param(name, marks=pytest.mark.slow) for name in ("aot_eager", "inductor"))]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BertModel(BertConfig(**CONFIG)).eval()


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**CONFIG, num_labels=3)).eval()


@pytest.fixture(scope="module")
def whitening():
    return Whitening("zca").fit(ROWS)


def outputs(model, **options):
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK, **options)


def transformed(enhancement, states):
    rows = states.reshape(-1, states.shape[-1]).double().numpy()
    return torch.tensor(enhancement.transform(rows)).reshape(*states.shape[:-1], -1).float()


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("where", ["last_hidden_state", "pooler_output"])
@pytest.mark.parametrize("return_dict", [True, False])
def test_in_eval_mode_the_states_are_those_of_transform(model, whitening, where, return_dict):
    raw = outputs(model)
    with attach_enhancement(model, whitening, where):
        output = outputs(model, return_dict=return_dict)
    fields = ("last_hidden_state", "pooler_output")
    given = output if return_dict else dict(zip(fields, output, strict=True))
    for field in fields:
        if field == where:
            assert (raw[field] - given[field]).abs().max() > 0.1
            assert_close(given[field], transformed(whitening, raw[field]))
        else:
            assert torch.equal(given[field], raw[field])


@pytest.mark.parametrize(
    "enhancement",
    [
        Centering(),
        AllButTheTop(2),
        Whitening("pca", n_components=5),
        ClusterBased(n_clusters=3, n_directions=1, random_state=0),
        make_pipeline(Centering(), AllButTheTop(1), Normalizer()),
    ],
    ids=lambda it: type(it).__name__,
)
def test_every_kind_of_enhancement_can_be_attached(model, enhancement):
    enhancement.fit(ROWS)
    raw = outputs(model).last_hidden_state
    with attach_enhancement(model, enhancement):
        assert_close(outputs(model).last_hidden_state, transformed(enhancement, raw))


def test_in_training_mode_the_model_is_untouched(classifier, whitening):
    labels = torch.tensor([0, 1, 2, 0])

    def trained(enhance):
        model = copy.deepcopy(classifier).train()
        if enhance:
            attach_enhancement(model, whitening)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(1)
        for _ in range(2):
            model(input_ids=IDS, attention_mask=MASK, labels=labels).loss.backward()
            optimizer.step()
        return model.state_dict()

    plain, attached = trained(False), trained(True)
    assert plain.keys() == attached.keys()
    assert all(torch.equal(plain[name], attached[name]) for name in plain)
    assert any(not torch.equal(plain[name], value) for name, value in classifier.state_dict().items())


def test_state_dict_parameters_and_buffers_do_not_change(model, whitening):
    def names():
        return [
            list(model.state_dict()),
            *([n for n, _ in it()] for it in (model.named_parameters, model.named_buffers)),
        ]

    before = names()
    attach_enhancement(model, whitening)
    assert names() == before


def test_remove_restores_the_model_exactly(model, whitening):
    raw = outputs(model, output_hidden_states=True)  # transformers marks a model that it has run
    before, hooks = set(vars(model)), [list(module._forward_hooks) for module in model.modules()]
    handle = attach_enhancement(model, whitening)
    assert "save_pretrained" in vars(model)
    handle.remove()
    handle.remove()
    assert set(vars(model)) == before
    assert [list(module._forward_hooks) for module in model.modules()] == hooks
    again = outputs(model, output_hidden_states=True)
    assert torch.equal(again.last_hidden_state, raw.last_hidden_state)
    assert model.save_pretrained.__func__ is BertModel.save_pretrained


def test_the_context_manager_removes_after_an_error_too(model, whitening):
    with pytest.raises(RuntimeError, match="inside"), attach_enhancement(model, whitening):
        raise RuntimeError("inside")
    assert not model._forward_hooks


def test_hidden_states_of_the_output_stay_as_the_layers_gave_them(model, whitening):
    raw = outputs(model, output_hidden_states=True)
    with attach_enhancement(model, whitening):
        output = outputs(model, output_hidden_states=True)
    assert len(output.hidden_states) == 3
    assert all(torch.equal(a, b) for a, b in zip(raw.hidden_states, output.hidden_states, strict=True))
    assert not torch.equal(output.last_hidden_state, output.hidden_states[-1])


def test_what_follows_a_sub_module_sees_its_enhanced_output(model, whitening):
    raw = outputs(model, output_hidden_states=True)
    with attach_enhancement(model, whitening, "encoder.layer.0"):
        output = outputs(model, output_hidden_states=True)
    by_hand = model.encoder.layer[1](
        transformed(whitening, raw.hidden_states[1]), (1.0 - MASK[:, None, None].float()) * torch.finfo().min
    )
    assert_close(output.last_hidden_state[MASK.bool()], by_hand.detach()[MASK.bool()])
    with attach_enhancement(model, whitening, "encoder"):  # its output is a dict
        assert_close(outputs(model).last_hidden_state, transformed(whitening, raw.last_hidden_state))


def test_the_first_entry_of_a_sub_modules_tuple_is_enhanced(whitening):
    class Pair(torch.nn.Module):
        def forward(self, rows):
            return rows, rows.sum()

    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), Pair()).eval()
    rows = torch.tensor(ROWS[:5], dtype=torch.float32)
    with torch.no_grad():
        raw = model(rows)
        with attach_enhancement(model, whitening, "1"):
            enhanced, total = model(rows)
    assert_close(enhanced, transformed(whitening, raw[0]))
    assert total == raw[1]


def test_a_mask_leaves_the_enhanced_padding_out(model, whitening):
    with attach_enhancement(model, whitening):
        padded = outputs(model).last_hidden_state
        with torch.no_grad():
            alone = model(input_ids=IDS[1:2, :4], attention_mask=MASK[1:2, :4]).last_hidden_state
    assert_close(padded[1:2, :4], alone)


def test_the_head_reads_the_enhanced_pooler_output(classifier, whitening):
    raw = classifier.bert(input_ids=IDS, attention_mask=MASK).pooler_output.detach()
    plain = outputs(classifier).logits
    with attach_enhancement(classifier, whitening, "pooler_output"):
        logits = outputs(classifier).logits
    assert_close(logits, classifier.classifier(transformed(whitening, raw)).detach())
    assert not torch.allclose(logits, plain)


def test_the_last_states_of_an_encoder_decoder_are_the_decoders(whitening):
    torch.manual_seed(0)
    config = T5Config(
        d_model=WIDTH, d_ff=32, d_kv=8, num_heads=2, num_layers=1, vocab_size=50, decoder_start_token_id=0
    )
    model = T5Model(config).eval()
    inputs = {"input_ids": IDS, "attention_mask": MASK, "decoder_input_ids": IDS[:, :3]}
    with torch.no_grad():
        raw = model(**inputs)
        with attach_enhancement(model, whitening):
            output = model(**inputs)
        with attach_enhancement(model, whitening, "encoder"):
            of_encoder = model(**inputs)
    assert_close(output.last_hidden_state, transformed(whitening, raw.last_hidden_state))
    assert torch.equal(output.encoder_last_hidden_state, raw.encoder_last_hidden_state)
    assert_close(of_encoder.encoder_last_hidden_state, transformed(whitening, raw.encoder_last_hidden_state))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_states_keep_the_dtype_of_the_model(model, whitening, dtype):
    handle = attach_enhancement(model.to(dtype), whitening)
    enhanced = outputs(model).last_hidden_state
    handle.remove()
    raw = outputs(model).last_hidden_state
    assert enhanced.dtype == dtype
    expected = torch.tensor(whitening.transform(raw.double().reshape(-1, WIDTH).numpy())).reshape(raw.shape)
    error = (enhanced.double() - expected).abs().max() / expected.abs().max()
    assert error < (1e-12 if dtype == torch.float64 else torch.finfo(dtype).eps)


def test_it_follows_a_model_that_changes_its_dtype_and_device(model, whitening):
    with attach_enhancement(model, whitening):
        assert outputs(model.to(torch.bfloat16)).last_hidden_state.dtype == torch.bfloat16
        states = model.to("meta")(input_ids=IDS.to("meta")).last_hidden_state
    assert states.device.type == "meta"


def test_gradients_flow_through_it_in_eval_mode(model, whitening):
    rows = torch.tensor(ROWS[:5], dtype=torch.float32, requires_grad=True)
    linear = torch.nn.Sequential(torch.nn.Identity()).eval()
    with attach_enhancement(linear, whitening, "0"):
        linear(rows)[:, 0].sum().backward()
    matrix, _ = whitening.as_affine()
    assert_close(rows.grad, torch.tensor(matrix[:, 0], dtype=torch.float32).expand(5, -1))
    with attach_enhancement(model, whitening):
        model(input_ids=IDS).last_hidden_state.sum().backward()
    assert model.embeddings.word_embeddings.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("where", ["last_hidden_state", "encoder.layer.0"])
@pytest.mark.parametrize("in_place", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inductor imports it
def test_compiled_models_are_enhanced_whenever_it_is_attached(model, whitening, where, in_place, backend):
    raw = outputs(model).last_hidden_state
    with attach_enhancement(model, whitening, where):
        expected = outputs(model).last_hidden_state

    def compiled(module):
        if in_place:
            module.compile(backend=backend)
            return module
        return torch.compile(module, backend=backend)

    before = copy.deepcopy(model)
    handle = attach_enhancement(before, whitening, where)
    run = compiled(before)
    assert_close(outputs(run).last_hidden_state, expected)
    handle.remove()
    assert_close(outputs(run).last_hidden_state, raw)

    run = compiled(model)
    assert_close(outputs(run).last_hidden_state, raw)
    handle = attach_enhancement(run, whitening, where)
    assert_close(outputs(run).last_hidden_state, expected)
    handle.remove()
    assert_close(outputs(run).last_hidden_state, raw)


def test_it_compiles_without_a_graph_break(model, whitening):
    expected = transformed(whitening, outputs(model).last_hidden_state)
    with attach_enhancement(model, whitening):
        run = torch.compile(model, backend="eager", fullgraph=True)
        assert_close(outputs(run).last_hidden_state, expected)


@pytest.mark.parametrize("head", [False, True])
def test_it_is_saved_beside_the_model_and_attached_from_there(model, classifier, whitening, tmp_path, head):
    model = classifier if head else model
    with attach_enhancement(model, whitening, "pooler_output"):
        expected = outputs(model)
        model.save_pretrained(tmp_path / "model")
    files = {path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*.*")}
    assert {"enhancement/enhancement.json", "enhancement/enhancement.safetensors", "model.safetensors"} <= files
    assert not hasattr(whitening, "fingerprint_")

    loaded = type(model).from_pretrained(tmp_path / "model").eval()
    plain = outputs(loaded)
    handle = attach_enhancement(loaded, tmp_path / "model")
    key = "logits" if head else "pooler_output"
    assert handle.where == "pooler_output"
    assert_close(outputs(loaded)[key], expected[key])
    assert not torch.allclose(plain[key], expected[key])
    loaded.save_pretrained(tmp_path / "again")
    handle.remove()
    with attach_enhancement(loaded, str(tmp_path / "again" / "enhancement")):
        assert_close(outputs(loaded)[key], expected[key])


def test_it_is_not_attached_to_weights_that_were_trained_on(model, whitening, tmp_path):
    attach_enhancement(model, whitening)
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight += 0.1
    model.save_pretrained(tmp_path)
    trained = BertModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="fitted on rows of .* with weights .* trained on"):
        attach_enhancement(trained, tmp_path)
    assert not trained._forward_hooks


def test_a_damaged_folder_leaves_the_model_as_it_was(model, whitening, tmp_path):
    folder = save_pretrained(whitening, tmp_path / "enhancement")
    (folder / "enhancement.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match="cannot be loaded"):
        attach_enhancement(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        attach_enhancement(model, tmp_path / "nowhere")
    assert not model._forward_hooks
    assert "save_pretrained" not in vars(model)


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"where": 5}), json.dumps({"where": ["pooler"]})])
def test_a_damaged_place_is_refused(model, whitening, tmp_path, content):
    with attach_enhancement(model, whitening):
        model.save_pretrained(tmp_path)
    (tmp_path / "enhancement" / "attached.json").write_text(content)
    with pytest.raises(ValueError, match=r"attached\.json .*altered"):
        attach_enhancement(model, tmp_path)
    assert not model._forward_hooks


class Wrapped(torch.nn.Module):
    """As PEFT wraps a model: it runs the model itself, or its base_model, which calls forward() of the model."""

    def __init__(self, model, past_base_model):
        super().__init__()
        self.base_model = torch.nn.Module()
        self.base_model.model = model
        self.base_model.forward = model.forward
        self.past_base_model = past_base_model

    def get_base_model(self):
        return self.base_model.model

    def forward(self, **inputs):
        return (self.get_base_model() if self.past_base_model else self.base_model)(**inputs)


@pytest.mark.parametrize("past_base_model", [True, False])
def test_a_model_that_peft_has_wrapped_is_enhanced(model, classifier, whitening, past_base_model):
    raw = outputs(model).last_hidden_state
    wrapped = Wrapped(model, past_base_model).eval()
    with attach_enhancement(wrapped, whitening):
        assert_close(outputs(wrapped).last_hidden_state, transformed(whitening, raw))
    assert torch.equal(outputs(wrapped).last_hidden_state, raw)
    with attach_enhancement(classifier, whitening, "pooler_output"):
        expected = outputs(classifier).logits
    wrapped = Wrapped(classifier, past_base_model).eval()
    with attach_enhancement(wrapped, whitening, "pooler_output"):
        assert torch.equal(outputs(wrapped).logits, expected)


def test_an_enhancement_of_another_layer_is_refused(model, tmp_path):
    centering = Centering().fit(ROWS)
    save_pretrained(centering, tmp_path, layer=1)
    with pytest.raises(ValueError, match="layer 1"):
        attach_enhancement(model, tmp_path)
    attach_enhancement(model, tmp_path, "encoder.layer.0").remove()
    for last in (-1, 2):
        save_pretrained(Centering().fit(ROWS), tmp_path, layer=last)
        attach_enhancement(model, tmp_path).remove()


def test_publishing_while_saving_is_refused(model, whitening, tmp_path):
    attach_enhancement(model, whitening)
    with pytest.raises(ValueError, match="without its enhancement"):
        model.save_pretrained(tmp_path / "model", push_to_hub=True)
    assert not (tmp_path / "model").exists()


def test_other_processes_than_the_main_one_save_nothing(model, whitening, tmp_path):
    attach_enhancement(model, whitening)
    model.save_pretrained(tmp_path / "model", is_main_process=False)
    assert not (tmp_path / "model" / "enhancement").exists()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_of_the_model_is_enhanced_by_itself(model, whitening, duplicate, tmp_path):
    handle = attach_enhancement(model, whitening)
    expected = outputs(model).last_hidden_state
    copied = duplicate(model)
    handle.remove()
    assert_close(outputs(copied).last_hidden_state, expected)
    copied.save_pretrained(tmp_path)
    assert (tmp_path / "enhancement").is_dir()
    with pytest.raises(ValueError, match="attached already"):
        attach_enhancement(copied, whitening)


def test_attaching_twice_is_refused_and_a_pipeline_composes(classifier, whitening):
    handle = attach_enhancement(classifier.bert, whitening)
    with pytest.raises(ValueError, match="attached already.*Pipeline"):
        attach_enhancement(classifier, Centering().fit(ROWS))
    handle.remove()
    raw = outputs(classifier.bert).last_hidden_state
    pipeline = make_pipeline(whitening, Normalizer())
    with attach_enhancement(classifier, pipeline):
        states = outputs(classifier.bert).last_hidden_state
    assert_close(states, transformed(pipeline, raw))


def test_what_cannot_be_attached_is_refused_before_anything_changes(model, whitening):
    with pytest.raises(NotFittedError):
        attach_enhancement(model, Centering())
    with pytest.raises(NotFittedError):
        attach_enhancement(model, Pipeline([("centre", Centering()), ("unit", Normalizer())]))
    with pytest.raises(ValueError, match="fitted on 3 features, the last_hidden_state of BertModel has 16"):
        attach_enhancement(model, Centering().fit(ROWS[:, :3]))
    assert not model._forward_hooks
    assert "save_pretrained" not in vars(model)


@pytest.mark.parametrize(
    ("where", "return_dict", "message"),
    [
        ("last_hidden_stat", True, r"where='last_hidden_stat'.*'last_hidden_state'"),
        ("last_hidden_stat", False, "return_dict=True"),
        ("embeds", True, "embeds"),
    ],
)
def test_a_place_that_is_not_there_is_told_when_the_model_runs(model, whitening, where, return_dict, message):
    with attach_enhancement(model, whitening, where), pytest.raises(ValueError, match=message):
        outputs(model, return_dict=return_dict)


def test_a_model_without_pooler_has_no_pooler_output(whitening):
    model = BertModel(BertConfig(**CONFIG), add_pooling_layer=False).eval()
    with attach_enhancement(model, whitening, "pooler_output"):
        for return_dict in (True, False):
            with pytest.raises(ValueError, match="no states at where='pooler_output'"):
                outputs(model, return_dict=return_dict)


def test_the_trainer_trains_as_without_it_and_evaluates_with_it(classifier, whitening, tmp_path):
    data = [{"input_ids": IDS[i], "attention_mask": MASK[i], "labels": i % 3} for i in range(len(IDS))]

    def trainer_of(model, name):
        args = TrainingArguments(
            output_dir=str(tmp_path / name),
            max_steps=3,
            per_device_train_batch_size=2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="steps",
            save_steps=3,
            eval_strategy="steps",
            eval_steps=3,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'pin_memory' argument is set as true")
            trainer = Trainer(model, args, train_dataset=data, eval_dataset=data)
            trainer.train()
            return trainer, trainer.predict(data).predictions

    plain, _ = trainer_of(copy.deepcopy(classifier), "plain")
    attached_model = copy.deepcopy(classifier)
    handle = attach_enhancement(attached_model, whitening, "pooler_output")
    attached, predictions = trainer_of(attached_model, "attached")
    weights = plain.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in attached.model.state_dict().items())
    losses = [[it["eval_loss"] for it in t.state.log_history if "eval_loss" in it] for t in (plain, attached)]
    assert losses[0] != losses[1]
    assert_close(torch.tensor(predictions), outputs(attached_model.eval()).logits)
    assert (tmp_path / "attached" / "checkpoint-3" / "enhancement" / "enhancement.json").is_file()
    handle.remove()
    assert not torch.allclose(torch.tensor(predictions), outputs(attached_model).logits)


TEXTS = ["A man is playing a guitar.", "The market fell.", "Two dogs run through the deep snow of January."]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sentence_embedding", "token_embeddings"])
def test_sentence_transformers(minilm_path, tmp_path, where):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_path), device="cpu")
    raw = model.encode(TEXTS)
    tokens = [states.numpy() for states in model.encode(TEXTS, output_value="token_embeddings")]
    rows = np.random.default_rng(0).normal(size=(500, 384)) * 0.05 + 0.05
    enhancement = make_pipeline(Centering(), AllButTheTop(2)).fit(rows)
    before = list(model.state_dict())
    handle = attach_enhancement(model, enhancement, None if where == "sentence_embedding" else where)
    assert handle.where == where
    enhanced = model.encode(TEXTS)
    assert list(model.state_dict()) == before
    if where == "sentence_embedding":
        expected = enhancement.transform(raw)
    else:
        means = [enhancement.transform(states).mean(axis=0) for states in tokens]
        expected = np.stack([mean / np.linalg.norm(mean) for mean in means])
    np.testing.assert_allclose(enhanced, expected, atol=1e-5)
    model.save_pretrained(str(tmp_path / "model"))
    handle.remove()
    np.testing.assert_array_equal(model.encode(TEXTS), raw)

    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(loaded.encode(TEXTS), raw, atol=1e-6)
    with attach_enhancement(loaded, tmp_path / "model"):
        np.testing.assert_allclose(loaded.encode(TEXTS), expected, atol=1e-5)
        loaded.train()
        features = loaded.preprocess(TEXTS)
        loaded[0].eval()
        if where == "sentence_embedding":
            np.testing.assert_allclose(loaded(features)[where].detach().numpy(), raw, atol=1e-5)
    (layer,) = (name for name, _ in loaded.named_modules() if name.endswith("encoder.layer.5"))
    with attach_enhancement(loaded, enhancement, layer):
        of_layer = [states.numpy() for states in loaded.encode(TEXTS, output_value="token_embeddings")]
    for states, plain in zip(of_layer, tokens, strict=True):
        np.testing.assert_allclose(states, enhancement.transform(plain), atol=1e-5)
    with pytest.raises(ValueError, match="16 features, the sentence_embedding of SentenceTransformer has 384"):
        attach_enhancement(loaded, Centering().fit(ROWS))


@pytest.mark.slow
def test_minilm_from_its_folder(minilm_path, tmp_path):
    model = AutoModel.from_pretrained(minilm_path)
    inputs = {"input_ids": torch.arange(1000, 1040).reshape(4, 10)}
    with torch.no_grad():
        raw = model(**inputs).last_hidden_state
        whitening = Whitening().fit(np.random.default_rng(0).normal(size=(800, 384)))
        with attach_enhancement(model, whitening):
            model.save_pretrained(tmp_path)
    shutil.rmtree(tmp_path / "enhancement")
    save_pretrained(whitening, tmp_path / "enhancement", model=AutoModel.from_pretrained(minilm_path), layer=6)
    with torch.no_grad(), attach_enhancement(AutoModel.from_pretrained(tmp_path), tmp_path) as handle:
        assert_close(handle.model(**inputs).last_hidden_state, transformed(whitening, raw))
