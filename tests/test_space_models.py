"""The Space embeds pasted texts with real models, and lets nobody bring code, pickles or the server's own files."""

from __future__ import annotations

import json
import shutil
import threading
import time
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from isotropy_space import models
from isotropy_space.frequencies import word_frequencies_of
from isotropy_space.limits import MAX_CHARACTERS, MAX_MODEL_BYTES, MAX_TEXTS
from isotropy_space.models import DEFAULT_MODEL, MODEL_CHOICES, embed_texts
from transformers import GPT2Config, GPT2Model

from isotropy_metrics.hidden_states import embed, load_model

TEXTS = ["A cat sits on the mat.", "The stock market fell.", "Wörter <b>mit</b> Umlauten"]


@pytest.mark.parametrize(("layer", "pooling"), [(-1, "mean"), (0, "mean"), (3, "cls"), (6, "last")])
def test_pasted_texts_are_embedded_as_the_library_does(layer, pooling, minilm_path):
    read = embed_texts("\n\n  ".join(TEXTS) + "\n \n", model=None, layer=layer, pooling=pooling)
    expected = embed(minilm_path, TEXTS, layer=layer, pooling=pooling, device="cpu", progress=False)
    np.testing.assert_array_equal(read.rows, expected)
    assert read.names.tolist() == TEXTS and read.labels is None
    where = "last layer" if layer == -1 else f"layer {layer}"
    assert read.title == f"all-MiniLM-L6-v2, {where}, {pooling}"


def test_a_model_is_loaded_once_and_serves_many_at_a_time(minilm_path, monkeypatch):
    models._load.cache_clear()
    loaded = []
    monkeypatch.setattr(
        models, "load_model", lambda *given, **more: loaded.append(given) or load_model(*given, **more)
    )
    rows = [None] * 4

    def visit(number):
        rows[number] = embed_texts("\n".join(TEXTS), model=DEFAULT_MODEL if number % 2 else None).rows

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(loaded) == 1
    assert all(np.array_equal(one, rows[0]) for one in rows)


def test_caps_and_wrong_settings_end_in_one_sentence(minilm_path):
    for texts, said in {
        "": "there are no texts: write two at least",
        " \n\n": "there are no texts",
        "one": "there is one text: write two at least",
        "x\n" * (MAX_TEXTS + 1): "these are 2,001 texts: at most 2,000 are read",
        "x" * (MAX_CHARACTERS + 1): "these are 200,001 characters: at most 200,000 are read",
    }.items():
        with pytest.raises(ValueError, match=said):
            embed_texts(texts)
    two = "\n".join(TEXTS)
    for layer in (7, -8, 10**9):
        with pytest.raises(ValueError, match=f"^layer {layer} is out of range: the model has 6 layers"):
            embed_texts(two, layer=layer)
    with pytest.raises(ValueError, match="pooling must be one of mean, cls, last, got '<b>'"):
        embed_texts(two, pooling="<b>")


@pytest.mark.parametrize("layer", [None, float("nan"), 1.5, "1"])
def test_a_layer_that_is_no_whole_number_is_refused_before_a_model_is_loaded(layer, monkeypatch):
    monkeypatch.setattr(models, "_encoder", None)
    with pytest.raises(ValueError, match="the layer must be a whole number: 0 is the input, -1 the last"):
        embed_texts("\n".join(TEXTS), layer=layer)
    with pytest.raises(ValueError, match="there are no texts"):
        embed_texts(None)


def test_texts_of_strangers_do_no_harm(minilm_path):
    read = embed_texts("half \ud800 of one\n\x00\x01 \u202e x\n" + "long " * 30_000)
    assert len(read.notes) == 1 and "were cut to max_length" in read.notes[0]
    assert np.isfinite(read.rows).all() and len(read.rows) == 3
    assert read.names[0] == "half ? of one" and all(name.isprintable() for name in read.names)
    assert read.names.dtype.itemsize <= 4 * 200


IDS = [
    *["../../etc", "/etc", "/etc/passwd", "C:\\x", "a/b/c", "<script>", "x" * 10_000, "a/../b", "./model", "~/model"],
    *[
        "a\nb",
        "a b",
        "hf://a/b",
        "https://huggingface.co/a/b",
        "a/b@main",
        "\x00",
        "-a/b",
        "a--b",
        "..",
        "a/",
        "ä",
    ],
]


@pytest.mark.parametrize("model", IDS, ids=lambda name: repr(name)[:20])
def test_what_is_no_id_of_the_hub_is_refused_before_anything(model, monkeypatch):
    monkeypatch.setattr(models, "_encoder", None)
    with pytest.raises(ValueError, match="is no id of a model on the Hugging Face Hub, such as 'sentence-") as caught:
        embed_texts("a\nb", model=model)
    assert len(str(caught.value)) < 250 and "\n" not in str(caught.value)


def test_a_folder_of_the_server_is_no_model(minilm_path, tmp_path, monkeypatch):
    (tmp_path / "nobody").mkdir()
    shutil.copytree(minilm_path, tmp_path / "nobody" / "local")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="cannot load the model 'nobody/local': it is not on this machine"):
        embed_texts("a\nb", model="nobody/local")


def test_offline_an_unknown_model_is_one_sentence_soon():
    began = time.perf_counter()
    with pytest.raises(OSError, match="cannot load the model 'nobody/nothing'.*HF_HUB_OFFLINE.* is always there"):
        embed_texts("a\nb", model="nobody/nothing")
    assert time.perf_counter() - began < 2


def test_every_choice_is_an_id_and_the_first_is_the_default():
    assert MODEL_CHOICES[0] == DEFAULT_MODEL
    assert all(models._checked_name(name) == name for name in MODEL_CHOICES)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub with one repository, `files` of so many bytes, whose snapshot is a folder; notes what it was asked."""
    asked = SimpleNamespace(files={}, folder=tmp_path, error=None, info=None, snapshot=None)

    def model_info(_, name, **options):
        asked.info = options
        if asked.error:
            raise asked.error
        siblings = [SimpleNamespace(rfilename=file, size=size) for file, size in asked.files.items()]
        return SimpleNamespace(sha="abc", siblings=siblings)

    def snapshot_download(name, **options):
        asked.snapshot = options
        return str(asked.folder)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    models._load.cache_clear()
    yield asked
    models._load.cache_clear()


def test_only_weights_and_settings_are_downloaded_without_a_token(hub, minilm_path):
    hub.folder = minilm_path
    wanted = {"config.json": 1, "model.safetensors": 100, "vocab.txt": 1, "tokenizer.json": 1, "spiece.model": 1}
    others = ["modeling.py", "pytorch_model.bin", "adapter_config.json", "onnx/model.json", "a.pt", "chat.jinja"]
    hub.files = wanted | dict.fromkeys(others, 10**12)
    assert embed_texts("a\nb", model="some/model").title == "model, last layer, mean"
    assert sorted(hub.snapshot["allow_patterns"]) == sorted(wanted)
    assert hub.snapshot["revision"] == "abc"
    assert hub.info["token"] is False and hub.snapshot["token"] is False


def test_a_model_that_is_too_big_is_not_downloaded(hub):
    hub.files = {"config.json": 1, "a.safetensors": MAX_MODEL_BYTES // 2, "b.safetensors": MAX_MODEL_BYTES // 2}
    with pytest.raises(ValueError, match="the model 'some/model' has 1.0 GB: at most 1 GB are loaded here"):
        embed_texts("a\nb", model="some/model")
    assert hub.snapshot is None


def test_a_model_without_safetensors_is_not_downloaded(hub):
    hub.files = {"config.json": 1, "pytorch_model.bin": 1}
    with pytest.raises(ValueError, match="has no weights in .safetensors"):
        embed_texts("a\nb", model="some/model")
    assert hub.snapshot is None


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("x\ny"), ValueError("z")])
def test_a_hub_that_does_not_answer_is_one_sentence(hub, error):
    hub.error = error
    with pytest.raises(OSError, match="^cannot load the model 'some/model': the Hub cannot be reached") as caught:
        embed_texts("a\nb", model="some/model")
    assert "\n" not in str(caught.value)


def test_code_and_pickles_of_a_model_are_not_run(hub, minilm_path, tmp_path):
    harm = tmp_path / "harm"
    folder = tmp_path / "model"
    shutil.copytree(minilm_path, folder)
    hub.folder, hub.files = folder, {"model.safetensors": 1}
    config = json.loads((folder / "config.json").read_text())
    code = {"model_type": "unheard of", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config | code))
    (folder / "code.py").write_text(f"open({str(harm)!r}, 'w')")
    with pytest.raises(OSError, match="cannot load the model 'some/code'") as caught:
        embed_texts("a\nb", model="some/code")
    assert "\n" not in str(caught.value) and str(folder) not in str(caught.value)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(OSError, match="cannot load the model 'some/pickle'"):
        embed_texts("a\nb", model="some/pickle")
    assert not harm.exists()


def gigantic(config: dict) -> dict:
    return config | {"hidden_size": 30_720, "intermediate_size": 10**6}


def endless(config: dict) -> dict:
    return config | {"num_hidden_layers": 10**7}


@pytest.mark.parametrize("change", [gigantic, endless])
def test_settings_that_ask_for_more_than_the_weights_are_refused_soon(change, hub, minilm_path, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(minilm_path, folder)
    hub.folder, hub.files = folder, {"model.safetensors": 1}
    (folder / "config.json").write_text(json.dumps(change(json.loads((folder / "config.json").read_text()))))
    began = time.perf_counter()
    with pytest.raises(ValueError, match="the model 'some/huge' .*at most"):
        embed_texts("a\nb", model="some/huge")
    assert time.perf_counter() - began < 5


def test_a_decoder_works_too(hub, minilm_path, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(minilm_path, folder)
    (folder / "model.safetensors").unlink()
    model = GPT2Model(GPT2Config(vocab_size=30_522, n_embd=16, n_layer=2, n_head=2, n_positions=64)).eval()
    model.save_pretrained(folder)
    hub.folder, hub.files = folder, {"model.safetensors": 1}
    read = embed_texts("\n".join(TEXTS), model="some/decoder", layer=1, pooling="last")
    expected = embed(folder, TEXTS, layer=1, pooling="last", device="cpu", progress=False)
    np.testing.assert_array_equal(read.rows, expected)


def test_frequencies_are_means_over_the_words_that_are_known():
    wordfreq = pytest.importorskip("wordfreq")
    the, house = (wordfreq.zipf_frequency(word, "en") for word in ("the", "house"))
    found = word_frequencies_of(np.array(["The house!", "qqqqxxj", "the qqqqxxj", "", "?"]))
    np.testing.assert_allclose(found, [(the + house) / 2, np.nan, the, np.nan, np.nan])
