"""Rows equal a plain forward pass of one text without padding, whatever the model, batch or tokenizer."""

from __future__ import annotations

import copy
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlbertModel,
    AutoModel,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5ForConditionalGeneration,
)

from isotropy_metrics.hidden_states import HiddenStates, embed, load_model, stream_hidden_states

SIZES = {"layers": 2, "attention_heads": 2, "ffn_dim": 32}
WORDS = "the a cat dog sat ran on under mat tree and very old small big house red green slept all day".split()
TEXTS = [
    "the cat sat on the mat",
    "a dog",
    "the very old dog slept all day under the big green tree and the small cat ran",
    "house",
    "a zebra sat on the red house",  # zebra is not in the vocabulary of the tiny tokenizers
    "small cat and big dog",
    "the old tree",
    "dog ran and cat ran and dog sat",
    "red",
]
SMILES = ["CC(=O)O.CCO>>CC(=O)OCC", "c1ccccc1Br.OB(O)c1ccccc1>>c1ccccc1-c1ccccc1", "CCO>>CC=O", "C"]
SMILES_TOKEN = r"\[[^\]]+]|Br|Cl|>>|[BCNOPSFIbcnops()\.=#\-+\\/:~@?*$0-9]|%[0-9]{2}"
KINDS = ["minilm", "albert", "gpt2", "bart", "t5", "roberta"]


def word_tokenizer(first: list[str], template: str | None, unk: str, **roles) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words; `first` are its first tokens, `template` puts special tokens around a text."""
    vocab = {token: number for number, token in enumerate(dict.fromkeys([*first, unk, *WORDS]))}
    backend = Tokenizer(models.WordLevel(vocab, unk_token=unk))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template:
        special = [(token, vocab[token]) for token in template.split() if token != "$A"]
        backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=unk, model_input_names=["input_ids", "attention_mask"], **roles
    )


def smiles_tokenizer(path: str) -> PreTrainedTokenizerFast:
    with open(os.path.join(path, "vocab.txt"), encoding="utf-8") as lines:
        vocab = {token: number for number, token in enumerate(lines.read().split("\n")) if token}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(SMILES_TOKEN), behavior="isolated")
    backend.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    roles = {f"{role.lower()}_token": f"[{role}]" for role in ("UNK", "SEP", "PAD", "CLS", "MASK")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def gpt2():
    tokenizer = word_tokenizer([], None, "<|endoftext|>", bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=24, n_embd=16, n_layer=3, n_head=2)
    config.bos_token_id = config.eos_token_id = tokenizer.eos_token_id
    return GPT2LMHeadModel(config), tokenizer


def bart():
    roles = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    tokenizer = word_tokenizer(["<s>", "<pad>", "</s>"], "<s> $A </s>", "<unk>", **roles)
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in SIZES.items()}
    config = BartConfig(vocab_size=len(tokenizer), d_model=16, max_position_embeddings=24, **sizes)
    return BartForConditionalGeneration(config), tokenizer


def t5():
    tokenizer = word_tokenizer(["<pad>", "</s>"], "$A </s>", "<unk>", pad_token="<pad>", eos_token="</s>")
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return T5ForConditionalGeneration(config), tokenizer


def roberta():
    roles = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    tokenizer = word_tokenizer(["<s>", "<pad>", "</s>"], "<s> $A </s>", "<unk>", **roles)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=26,
        pad_token_id=tokenizer.pad_token_id,
    )
    return RobertaModel(config), tokenizer


@pytest.fixture(scope="module")
def minilm(minilm_path):
    return load_model(minilm_path, device="cpu")


@pytest.fixture(scope="module")
def any_model(request):
    """(model, tokenizer, texts) of one kind; a test that changes something changes it back."""
    if request.param == "minilm":
        return *request.getfixturevalue("minilm"), TEXTS
    if request.param == "albert":
        path = request.getfixturevalue("albert_path")
        return AlbertModel.from_pretrained(path), smiles_tokenizer(path), SMILES
    torch.manual_seed(0)
    model, tokenizer = {"gpt2": gpt2, "bart": bart, "t5": t5, "roberta": roberta}[request.param]()
    return model.eval(), tokenizer, TEXTS


every_model = pytest.mark.parametrize("any_model", KINDS, indirect=True)


@torch.no_grad()
def plain_states(model, tokenizer, text):
    """Ids, and the hidden states of every layer, of a plain forward pass of one text: no padding, no batch."""
    inputs = tokenizer(text, return_tensors="pt")
    runs = model.get_encoder() if model.config.is_encoder_decoder else model
    states = runs(**inputs, output_hidden_states=True).hidden_states
    return inputs["input_ids"][0].numpy(), [state[0] for state in states]


def collect(model, tokenizer, texts, **options):
    """(text_index, token_ids, {layer: rows}) of a whole stream, ordered by text and then by position."""
    batches = list(stream_hidden_states(model, texts, tokenizer=tokenizer, progress=False, **options))
    text_index = np.concatenate([batch.text_index for batch in batches])
    order = np.argsort(text_index, kind="stable")
    pooled = batches[0].token_ids is None
    ids = None if pooled else np.concatenate([batch.token_ids for batch in batches])[order]
    layers = {n: torch.cat([batch.layers[n] for batch in batches])[order] for n in batches[0].layers}
    return text_index[order], ids, layers


def assert_same(first, second, tolerance=1e-5):
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2].keys() == second[2].keys()
    for layer, rows in first[2].items():
        torch.testing.assert_close(rows, second[2][layer], rtol=tolerance, atol=tolerance)


@every_model
@pytest.mark.parametrize("drop", [True, False], ids=["content", "with_specials"])
def test_rows_equal_a_plain_forward_pass(any_model, drop):
    model, tokenizer, texts = any_model
    dropped = set(tokenizer.all_special_ids) if drop else set()
    if tokenizer.special_tokens_map.get("eos_token") != tokenizer.unk_token:
        dropped -= {tokenizer.unk_token_id}
    text_index, token_ids, layers = [], [], None
    for index, text in enumerate(texts):
        ids, states = plain_states(model, tokenizer, text)
        kept = ~np.isin(ids, list(dropped))
        text_index += [index] * int(kept.sum())
        token_ids += list(ids[kept])
        layers = layers or [[] for _ in states]
        for rows, state in zip(layers, states, strict=True):
            rows.append(state[kept])
    expected = (text_index, token_ids, {n: torch.cat(rows) for n, rows in enumerate(layers)})
    assert_same(collect(model, tokenizer, texts, batch_size=4, drop_special_tokens=drop), expected)


@every_model
def test_padding_side_and_batch_size_do_not_matter(any_model):
    model, tokenizer, texts = any_model
    before = tokenizer.padding_side
    try:
        tokenizer.padding_side = "right"
        right = collect(model, tokenizer, texts, batch_size=7)
        tokenizer.padding_side = "left"
        assert_same(collect(model, tokenizer, texts, batch_size=7), right, tolerance=0)
        assert tokenizer.padding_side == "left"
        assert_same(collect(model, tokenizer, texts, batch_size=1), right)
    finally:
        tokenizer.padding_side = before


@every_model
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_equals_a_direct_computation(any_model, pooling):
    model, tokenizer, texts = any_model
    text_index, token_ids, layers = collect(model, tokenizer, texts, batch_size=4, pooling=pooling)
    assert text_index.tolist() == list(range(len(texts)))
    assert token_ids is None
    for index, text in enumerate(texts):
        ids, states = plain_states(model, tokenizer, text)
        unknown = tokenizer.special_tokens_map.get("eos_token") != tokenizer.unk_token
        content = [n not in tokenizer.all_special_ids or (unknown and n == tokenizer.unk_token_id) for n in ids]
        for layer, state in enumerate(states):
            direct = {"mean": state[content].mean(0), "cls": state[0], "last": state[-1]}[pooling]
            torch.testing.assert_close(layers[layer][index], direct, rtol=1e-5, atol=1e-5)


def test_specials_are_dropped_by_id_and_unknown_words_stay(minilm):
    model, tokenizer = minilm
    text = "a \u4dff mask [MASK] and [SEP] inside"  # the second word is in no vocabulary
    _, ids, _ = collect(model, tokenizer, [text], layers=0)
    assert tokenizer.convert_ids_to_tokens(ids) == ["a", "[UNK]", "mask", "and", "inside"]
    _, ids, _ = collect(model, tokenizer, [text], layers=0, drop_special_tokens=False)
    assert ids.tolist() == tokenizer(text)["input_ids"]


def test_an_unknown_token_with_a_second_role_is_dropped():
    model, tokenizer = gpt2()
    text_index, ids, _ = collect(model, tokenizer, ["the zebra sat", "zebra"], layers=0)
    assert tokenizer.convert_ids_to_tokens(ids) == ["the", "sat"]
    assert text_index.tolist() == [0, 0]


def test_rows_are_ordinary_tensors(minilm):
    for pooling in (None, "mean", "cls", "last"):
        (batch,) = stream_hidden_states(minilm[0], TEXTS, tokenizer=minilm[1], pooling=pooling, progress=False)
        assert isinstance(batch, HiddenStates)
        assert batch.text_index.dtype == np.int64
        for rows in batch.layers.values():
            assert not rows.is_inference() and not rows.requires_grad
            assert rows.shape == (len(batch.text_index), 384)
            assert rows.dtype == torch.float32 and rows.device == minilm[0].device


def test_the_forward_pass_keeps_no_graph_and_the_consumer_may(minilm):
    inside = []  # inference mode would leave tensors in a model that trains which autograd refuses
    hook = minilm[0].register_forward_hook(
        lambda *_: inside.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
    )
    for _ in stream_hidden_states(minilm[0], TEXTS, tokenizer=minilm[1], batch_size=4, progress=False):
        assert torch.is_grad_enabled()
    hook.remove()
    assert inside == 3 * [(False, False)]


def test_one_forward_pass_per_batch_longest_first_and_without_the_head():
    model, tokenizer = gpt2()
    shapes, heads = [], []
    model.transformer.wte.register_forward_hook(lambda module, args, output: shapes.append(tuple(args[0].shape)))
    model.lm_head.register_forward_hook(lambda *_: heads.append(1))
    batches = list(stream_hidden_states(model, TEXTS, tokenizer=tokenizer, batch_size=4, progress=False))
    assert shapes == [(4, 17), (4, 5), (1, 1)]
    assert not heads
    assert batches[0].text_index[0] == 2
    again = list(stream_hidden_states(model, TEXTS, tokenizer=tokenizer, batch_size=4, progress=False))
    for one, other in zip(batches, again, strict=True):
        np.testing.assert_array_equal(one.text_index, other.text_index)
        assert all(torch.equal(one.layers[n], other.layers[n]) for n in one.layers)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_is_the_models(dtype):
    model, tokenizer = roberta()
    model.to(dtype)
    for pooling in (None, "mean", "cls", "last"):
        _, _, layers = collect(model, tokenizer, TEXTS, pooling=pooling)
        assert {rows.dtype for rows in layers.values()} == {dtype}
    expected = np.float64 if dtype == torch.float64 else np.float32
    assert embed(model, TEXTS, tokenizer=tokenizer, progress=False).dtype == expected


def test_mean_pooling_of_float16_does_not_overflow():
    model, tokenizer = roberta()
    model.half()
    with torch.no_grad():
        model.embeddings.LayerNorm.weight.zero_()
        model.embeddings.LayerNorm.bias.fill_(30000)
    _, _, layers = collect(model, tokenizer, TEXTS, layers=0, pooling="mean")
    assert torch.equal(layers[0], torch.full((len(TEXTS), 16), 30000, dtype=torch.float16))


# --- sentence embeddings ---------------------------------------------------------------------------------------------


def test_paraphrases_are_closer_than_an_unrelated_sentence(minilm_path):
    sentences = ["A man is playing a guitar.", "The stock market fell today.", "Someone plays an acoustic guitar."]
    rows = embed(minilm_path, sentences, device="cpu", progress=False)
    assert rows.shape == (3, 384) and rows.dtype == np.float32
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows @ rows.T
    assert cosine[0, 2] > 0.6 > 0.2 > max(cosine[0, 1], cosine[1, 2])


def test_embed_returns_the_order_of_the_texts(minilm):
    model, tokenizer = minilm
    options = {"tokenizer": tokenizer, "progress": False}
    rows = embed(model, TEXTS, layer=3, batch_size=2, **options)
    for index, text in enumerate(TEXTS):
        np.testing.assert_allclose(embed(model, [text], layer=3, **options)[0], rows[index], atol=1e-5)
    tokens = embed(model, TEXTS, pooling=None, batch_size=2, **options)
    np.testing.assert_allclose(tokens, collect(model, tokenizer, TEXTS)[2][6].numpy(), atol=1e-5)


def test_embed_refuses_several_layers_and_texts_without_rows(minilm):
    with pytest.raises(ValueError, match="layers must be"):
        embed(minilm[0], TEXTS, layer=[1, 2], tokenizer=minilm[1])
    with pytest.raises(ValueError, match="no text has a token left"):
        embed(minilm[0], ["", " "], pooling=None, tokenizer=minilm[1], progress=False)


# --- what is left untouched ------------------------------------------------------------------------------------------


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


@pytest.fixture
def half_frozen():
    """A model in training mode with one sub-module in eval mode, whose own child is in training mode again."""
    model, tokenizer = gpt2()
    model.train()
    model.transformer.h[1].eval()
    model.transformer.h[1].attn.train()
    return model, tokenizer, modes(model)


def test_modes_are_restored_at_the_end(half_frozen):
    model, tokenizer, before = half_frozen
    stream = stream_hidden_states(model, TEXTS, tokenizer=tokenizer, batch_size=4, progress=False)
    assert inspect.isgenerator(stream)
    assert modes(model) == before, "nothing happens before the first batch"
    for _ in stream:
        assert not any(modes(model).values())
    assert modes(model) == before


def test_modes_are_restored_when_closed_early(half_frozen):
    model, tokenizer, before = half_frozen
    stream = stream_hidden_states(model, TEXTS, tokenizer=tokenizer, batch_size=4, progress=False)
    next(stream)
    assert modes(model) != before
    stream.close()
    assert modes(model) == before
    for _ in stream_hidden_states(model, TEXTS, tokenizer=tokenizer, batch_size=4, progress=False):
        break
    assert modes(model) == before


def test_modes_are_restored_after_an_exception(half_frozen):
    model, tokenizer, before = half_frozen

    def fail(*_):
        raise RuntimeError("boom")

    handle = model.transformer.h[2].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="boom"):
        collect(model, tokenizer, TEXTS)
    handle.remove()
    assert modes(model) == before
    with pytest.raises(ValueError, match="out of range"):
        collect(model, tokenizer, TEXTS, layers=9)
    assert modes(model) == before


@every_model
def test_config_and_tokenizer_stay_as_they_were(any_model):
    model, tokenizer, texts = any_model
    backend = tokenizer.backend_tokenizer
    kept = backend.truncation, backend.padding
    try:
        backend.enable_truncation(max_length=9, stride=2, strategy="only_first", direction="left")
        backend.enable_padding(length=9, pad_id=1, pad_token=WORDS[0], direction="left")
        config = model.config.to_dict()
        state = backend.to_str(), copy.deepcopy(tokenizer.special_tokens_map), len(tokenizer), tokenizer.padding_side
        rows = collect(model, tokenizer, texts, batch_size=4)
        after = backend.to_str(), tokenizer.special_tokens_map, len(tokenizer), tokenizer.padding_side
        assert after == state
        assert model.config.to_dict() == config
        assert not model.config.output_hidden_states
    finally:
        backend.no_truncation() if kept[0] is None else backend.enable_truncation(**kept[0])
        backend.no_padding() if kept[1] is None else backend.enable_padding(**kept[1])
    assert_same(collect(model, tokenizer, texts, batch_size=4), rows, tolerance=0)  # nor do its settings matter


def test_a_padding_token_outside_the_embedding_is_no_problem():
    model, tokenizer = gpt2()
    expected = collect(model, tokenizer, TEXTS)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id >= model.config.vocab_size
    assert_same(collect(model, tokenizer, TEXTS), expected, tolerance=0)


# --- layers, lengths, empty texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "resolved"),
    [("all", range(7)), (-1, [6]), (0, [0]), ([1, -2, 6, -1], [1, 5, 6]), (np.arange(2), [0, 1]), ((-7,), [0])],
)
def test_layers_are_resolved(minilm, layers, resolved):
    (batch,) = stream_hidden_states(minilm[0], ["a text"], tokenizer=minilm[1], layers=layers, progress=False)
    assert list(batch.layers) == list(resolved)


@pytest.mark.parametrize("layers", [7, -8, [0, 7]])
def test_a_layer_out_of_range_is_refused(minilm, layers):
    with pytest.raises(ValueError, match="the model has 6 layers"):
        collect(*minilm, ["a text"], layers=layers)


@pytest.mark.parametrize("layers", ["last", [], None, 1.5, [0, "1"]])
def test_layers_of_another_kind_are_refused(minilm, layers):
    with pytest.raises(ValueError, match='layers must be "all"'):
        stream_hidden_states(minilm[0], ["a text"], tokenizer=minilm[1], layers=layers)


def test_long_texts_are_cut_with_one_warning(minilm):
    model, tokenizer = minilm
    with pytest.warns(UserWarning, match="3 of 9 texts were cut to max_length=8") as warned:
        text_index, ids, _ = collect(model, tokenizer, TEXTS, layers=0, max_length=8, drop_special_tokens=False)
    assert len(warned) == 1
    cut = tokenizer(TEXTS[2], truncation=True, max_length=8)["input_ids"]
    assert ids[text_index == 2].tolist() == cut
    assert np.bincount(text_index).max() == 8
    assert cut[-1] == tokenizer.sep_token_id


@pytest.mark.parametrize(
    ("any_model", "limit"), [("roberta", 24), ("gpt2", 24), ("bart", 24), ("t5", 512)], indirect=["any_model"]
)
def test_the_default_length_is_what_the_positions_allow(any_model, limit):
    model, tokenizer, _ = any_model
    with pytest.warns(UserWarning, match=f"1 of 2 texts were cut to max_length={limit} "):
        text_index, _, _ = collect(model, tokenizer, ["cat " * 600, "dog"], drop_special_tokens=False)
    assert np.bincount(text_index)[0] == limit


def test_the_tokenizer_can_set_a_smaller_length():
    model, tokenizer = roberta()
    tokenizer.model_max_length = 10
    with pytest.warns(UserWarning, match="cut to max_length=10 "):
        collect(model, tokenizer, ["cat " * 30])


def test_a_text_without_tokens_gives_no_row(minilm):
    text_index, _, _ = collect(*minilm, ["", "a text", " ", "[SEP]"], layers=0)
    assert text_index.tolist() == [1, 1]
    assert list(stream_hidden_states(minilm[0], [""], tokenizer=minilm[1], progress=False)) == []


def test_pooling_a_text_without_tokens_is_refused_before_the_forward_pass(minilm):
    model, tokenizer = gpt2()
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    model.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    for pooling in ("mean", "cls", "last"):
        with pytest.raises(ValueError, match=r"texts\[1\] \(''\) has no token to pool: leave such texts out$"):
            stream_hidden_states(model, ["cat", ""], tokenizer=tokenizer, pooling=pooling)
    assert not calls
    with pytest.raises(ValueError, match=r"texts\[2\] .* or pass drop_special_tokens=False"):
        stream_hidden_states(minilm[0], ["a", "b", ""], tokenizer=minilm[1], pooling="mean")
    assert len(collect(*minilm, ["a", "b", ""], pooling="mean", drop_special_tokens=False)[0]) == 3
    assert len(collect(*minilm, ["a", "b", ""], pooling="cls")[0]) == 3


# --- input and loading -----------------------------------------------------------------------------------------------


def test_any_sequence_of_str_is_welcome(minilm):
    expected = collect(*minilm, TEXTS)
    for texts in (tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object), iter(TEXTS)):
        assert_same(collect(*minilm, texts), expected, tolerance=0)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "got one str: 'one text'"),
        (b"bytes", "got one bytes"),
        (3, "got one int"),
        ([], "texts is empty"),
        (["a", None], r"texts\[1\] must be str, got NoneType: None"),
        (["a", "b", 4.5], r"texts\[2\] must be str, got float: 4.5"),
        ([["a"]], r"texts\[0\] must be str, got list"),
    ],
)
def test_bad_texts_are_refused(minilm, texts, message):
    with pytest.raises(ValueError, match=message):
        stream_hidden_states(minilm[0], texts, tokenizer=minilm[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "pooling must be one of None, 'mean', 'cls', 'last', got 'max'"),
        ({"batch_size": 0}, "batch_size must be a positive whole number, got 0"),
        ({"batch_size": None}, "batch_size must be a positive whole number, got None"),
        ({"max_length": 12.5}, "max_length must be a positive whole number, got 12.5"),
        ({"max_length": 2}, "max_length=2 leaves no room for text: the tokenizer adds 2 special tokens"),
    ],
)
def test_bad_options_are_refused(minilm, options, message):
    with pytest.raises(ValueError, match=message):
        stream_hidden_states(minilm[0], TEXTS, tokenizer=minilm[1], **options)


def test_a_module_that_returns_no_hidden_states_is_refused(minilm):
    class Silent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.config = torch.nn.Linear(1, 1), minilm[0].config

        def forward(self, **inputs):
            return None

    with pytest.raises(ValueError, match="Silent does not return one hidden state per token and layer"):
        collect(Silent(), minilm[1], TEXTS)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_of_a_module_around_a_model_the_model_is_read(minilm):
    class Siamese(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.config = minilm[0], minilm[0].config

    for around in (Siamese(), torch.compile(minilm[0])):
        (found,), (expected,) = (
            [batch.layers for batch in stream_hidden_states(model, TEXTS, tokenizer=minilm[1], progress=False)]
            for model in (around, minilm[0])
        )
        assert all(torch.equal(found[n], expected[n]) for n in expected)


def test_progress_goes_to_stderr_and_can_be_turned_off(minilm, capsys):
    list(stream_hidden_states(minilm[0], ["", *TEXTS], tokenizer=minilm[1], layers=0))
    out, err = capsys.readouterr()
    assert not out and "hidden states: 100%" in err and "10/10" in err and "text/s" in err
    collect(*minilm, TEXTS, layers=0)
    assert capsys.readouterr() == ("", "")


def test_load_model(minilm_path, albert_path, minilm):
    model, tokenizer = minilm
    assert model.device.type == "cpu" and not model.training
    again, found = load_model(model)
    assert again is model and found.get_vocab() == tokenizer.get_vocab()
    assert load_model(model, tokenizer) == (model, tokenizer)
    assert load_model(model, minilm_path)[1].get_vocab() == tokenizer.get_vocab()
    moved, _ = load_model(roberta()[0], tokenizer, device="meta")
    assert moved.device.type == "meta"


def test_a_model_without_a_known_origin_needs_a_tokenizer(tmp_path):
    model, _ = roberta()
    with pytest.raises(ValueError, match="RobertaModel does not say where it was loaded from: pass tokenizer="):
        load_model(model)
    model.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match="cannot load the tokenizer .*; or pass tokenizer=") as caught:
        load_model(model)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(ValueError, match="must be a path, a Hub id or a transformers model, got dict"):
        load_model({})


def test_a_name_that_cannot_be_loaded_gives_one_clear_sentence(minilm, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        OSError, match=r"cannot load the model 'nobody/nothing' \(revision v2\).*HF_HUB_OFFLINE is set"
    ) as caught:
        load_model("nobody/nothing", revision="v2")
    assert "\n" not in str(caught.value) and caught.value.__cause__ is not None
    with pytest.raises(OSError, match="cannot load the tokenizer 'nobody/nothing'.*HF_HUB_OFFLINE is set"):
        load_model(minilm[0], "nobody/nothing")
    with pytest.raises(OSError, match="cannot load the model .*the folder must hold what save_pretrained writes"):
        load_model(tmp_path)


def test_the_tokenizer_of_a_path_is_its_own(minilm_path):
    (batch,) = stream_hidden_states(minilm_path, ["a text"], layers=-1, device="cpu", progress=False)
    tokenizer = AutoTokenizer.from_pretrained(minilm_path)
    assert batch.token_ids.tolist() == tokenizer("a text", add_special_tokens=False)["input_ids"]


def test_importing_the_module_loads_no_backend():
    code = (
        "import sys; import isotropy_metrics.hidden_states as h\n"
        "assert not {'torch', 'transformers', 'tqdm'} & set(sys.modules)\n"
        "sys.modules['transformers'] = None\n"
        "try: h.load_model('x')\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    remedy = "pip install 'isotropy-metrics[trainer]'"
    assert run.stdout.strip() == f"hidden states need torch and transformers: {remedy}"
