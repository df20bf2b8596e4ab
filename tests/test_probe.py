"""Probe: the same rows as stream_hidden_states, from texts and from datasets, on any number of processes."""

import random

import numpy as np
import pytest
import torch
from small_trainer import examples, small_model
from transformers import AutoModel, AutoTokenizer

from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.statistics import RowSample
from trainer_callbacks.baseline import Baseline, file_name
from trainer_callbacks.probe import Probe
from trainer_callbacks.undisturbed import undisturbed

TEXTS = [
    "A plane is taking off.",
    "Flute",
    "A man is spreading shredded cheese on a pizza, and another one watches.",
    "Three men are playing chess.",
    "",
    "Some men are fighting.",
    "A person is throwing a cat on to the ceiling.",
]


@pytest.fixture(scope="module")
def minilm(minilm_path):
    return AutoModel.from_pretrained(minilm_path).eval(), AutoTokenizer.from_pretrained(minilm_path)


def probed(probe, model, world_size=1, layers=None):
    """Per layer the rows in the order of the texts, read by all processes in turn."""
    batches = [list(probe.forward_passes(model, layers, rank, world_size)) for rank in range(world_size)]
    assert len({len(each) for each in batches}) == 1, "every process makes equally many forward passes"
    batches = [batch for each in batches for batch in each]
    order = np.argsort(np.concatenate([batch.text_index for batch in batches]), kind="stable")
    return {n: torch.cat([batch.layers[n] for batch in batches])[order].numpy() for n in batches[0].layers}


def streamed(model, tokenizer, texts, pooling):
    batches = list(stream_hidden_states(model, texts, tokenizer=tokenizer, pooling=pooling, progress=False))
    order = np.argsort(np.concatenate([batch.text_index for batch in batches]), kind="stable")
    return {n: torch.cat([batch.layers[n] for batch in batches])[order].numpy() for n in batches[0].layers}


@pytest.mark.parametrize("world_size", [1, 2, 5])
@pytest.mark.parametrize("pooling", [None, "mean", "cls"])
def test_texts_give_the_rows_of_stream_hidden_states(minilm, pooling, world_size):
    model, tokenizer = minilm
    texts = [text for text in TEXTS if text]
    settings = {"encoder": model, "tokenizer": tokenizer, "size": None, "pooling": pooling, "batch_size": 2}
    found = probed(Probe.of(texts, **settings), model, world_size)
    expected = streamed(model, tokenizer, texts, pooling)
    assert list(found) == list(expected) == list(range(7))
    for layer, rows in expected.items():
        np.testing.assert_allclose(found[layer], rows, atol=2e-5)


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_token_ids_are_read_without_their_padding_and_special_tokens(minilm, padding_side):
    model, tokenizer = minilm
    texts = [text for text in TEXTS if text]
    padded = tokenizer(texts, padding="max_length", max_length=24, padding_side=padding_side)
    data = [{name: values[i] for name, values in padded.items()} for i in range(len(texts))]
    probe = Probe.of(data, encoder=model, tokenizer=tokenizer, size=None)
    expected = streamed(model, tokenizer, texts, None)[6]
    np.testing.assert_allclose(probed(probe, model)[6], expected, atol=2e-5)
    assert probe.n_rows == len(expected)


def test_segments_of_pairs_reach_the_model(minilm):
    model, tokenizer = minilm
    pair = tokenizer("A plane is taking off.", "Some men are fighting.")
    (batch,) = Probe.of([dict(pair)], encoder=model, tokenizer=None, size=None).forward_passes(model, [6])
    with torch.no_grad():
        expected = model(**{name: torch.tensor([ids]) for name, ids in pair.items()}).last_hidden_state[0]
        without = model(torch.tensor([pair["input_ids"]])).last_hidden_state[0]
    np.testing.assert_allclose(batch.layers[6], expected, atol=1e-5)
    assert (batch.layers[6] - without).abs().max() > 1e-3


def test_a_text_without_tokens_gives_no_row_and_its_label_stays_with_the_others(minilm):
    model, tokenizer = minilm
    data = [{"text": text, "label": label} for text, label in zip(TEXTS, "abcabca", strict=True)]
    probe = Probe.of(data, encoder=model, tokenizer=tokenizer, size=None, pooling="mean")
    batches = list(probe.forward_passes(model, [0]))
    assert sorted(np.concatenate([batch.text_index for batch in batches])) == [0, 1, 2, 3, 5, 6]
    assert probe.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_size_draws_the_same_texts_each_time():
    model, data = small_model(), examples(50)
    probes = [Probe.of(data, encoder=model, tokenizer=None, size=8, seed=seed) for seed in (0, 0, 1)]
    ids = [probe.tokens.columns["input_ids"].tolist() for probe in probes]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(probe.tokens) == 8 for probe in probes)


def test_token_ids_beyond_the_positions_of_the_model_are_cut():
    rows = [{"input_ids": [5] * 100}, {"input_ids": [5] * 9}]
    assert Probe.of(rows, encoder=small_model().bert, tokenizer=None, size=None).n_rows == 64 + 9
    assert Probe.of(rows, encoder=small_model().bert, tokenizer=None, size=None, max_length=7).n_rows == 14


def test_scores_are_no_labels():
    rows = [{"input_ids": [1, 2], "labels": 0.5}, {"input_ids": [3], "labels": 1.0}]
    assert Probe.of(rows, encoder=small_model(), tokenizer=None, size=None).labels is None


def test_undisturbed_leaves_modes_generators_and_gradients_as_they_were():
    model = small_model()
    model.bert.pooler.eval()
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.raises(KeyError, match="inside"), undisturbed(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        random.random(), np.random.rand(), torch.rand(3)
        raise KeyError("inside")
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled()
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert states[:2] == after[:2] and torch.equal(states[2], after[2])


def test_a_baseline_is_read_back_and_others_are_refused(tmp_path):
    sample = RowSample()
    sample.update(np.random.default_rng(0).normal(size=(6, 3)), sentences=[2, 2, 0, 0, 1, 1])
    baseline = Baseline("texts ab")
    baseline.keep("wiki/1", {4: sample})
    baseline.save(tmp_path / "new")
    found = Baseline.load(tmp_path / "new", "texts ab")
    np.testing.assert_array_equal(found.rows["wiki/1", 4], sample.rows[[2, 3, 4, 5, 0, 1]])
    assert [path.name for path in (tmp_path / "new").iterdir()] == [file_name("texts ab")]
    with pytest.raises(FileNotFoundError, match="the file of this probe, these layers and this pooling"):
        Baseline.load(tmp_path / "new", "texts cd")
    with pytest.raises(FileNotFoundError, match="there is no isotropy_baseline_[0-9a-f]{8}.safetensors"):
        Baseline.load(tmp_path, "texts ab")
    (tmp_path / "new" / file_name("texts cd")).write_bytes((tmp_path / "new" / file_name("texts ab")).read_bytes())
    with pytest.raises(ValueError, match="is of something else: texts ab, not texts cd"):
        Baseline.load(tmp_path / "new", "texts cd")
    whole = (tmp_path / "new" / file_name("texts ab")).read_bytes()
    for damaged in (whole[:30], b"", b"\x80\x04" + whole):
        (tmp_path / "new" / file_name("texts ab")).write_bytes(damaged)
        with pytest.raises(ValueError, match="is no baseline of an IsotropyCallback"):
            Baseline.load(tmp_path / "new", "texts ab")
