"""A saved enhancement comes back the same to the bit, or is refused in one sentence that says why."""

import copy
import functools
import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

import isotropy_metrics.enhancement as enhancement_package
from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    ClusterCentering,
    EnhancementWarning,
    Fingerprint,
    OutlierDimensionRemoval,
    PerGroup,
    QuantileNormalization,
    Standardization,
    Whitening,
    from_pretrained,
    push_to_hub,
    save_pretrained,
)
from isotropy_metrics.enhancement._description import SHAPES
from isotropy_metrics.enhancement._steps import classes, steps_of
from isotropy_metrics.enhancement.fingerprint import _some_bytes, weights_digest

RNG = np.random.default_rng(0)
FIT = RNG.normal(size=(400, 6)) * [4, 3, 2, 1, 1, 1] + [0, 1, 0, 30, 0, 2]
NEW = FIT[:30] + RNG.normal(size=(30, 6)) / 10
GROUPS = np.array(["en", "de", "fr"])[np.arange(400) % 3]
FILES = ["enhancement.json", "enhancement.safetensors"]

ENHANCEMENTS = {
    "centering": Centering(),
    "standardization": Standardization(),
    "all but the top": AllButTheTop(2),
    "no direction": AllButTheTop(0),
    "whitening": Whitening(),
    "cholesky": Whitening("cholesky", eps="auto", shrinkage=0.1),
    "truncated": Whitening("pca_cor", n_components=np.int64(3), eps=np.float32(0.1)),
    "cluster centering": ClusterCentering(n_clusters=4),
    "cluster based": ClusterBased(n_clusters=3, n_directions=2),
    "no cluster direction": ClusterBased(n_clusters=3, n_directions=0),
    "uniform": QuantileNormalization(n_quantiles=50),
    "normal": QuantileNormalization("normal"),
    "outliers": OutlierDimensionRemoval(n_std=1.5),
    "pipeline": make_pipeline(Centering(), ClusterBased(n_clusters=2), Normalizer("l1", copy=False)),
    "nested": make_pipeline(make_pipeline(Centering(), "passthrough"), None, Whitening(n_components=2)),
    "normalizer": make_pipeline(Normalizer()),
}


@functools.cache
def _fitted(name):
    return clone(ENHANCEMENTS[name]).fit(FIT)


def fitted(name="whitening"):
    return copy.deepcopy(_fitted(name))


def altered(folder, change=lambda content: None, arrays=None):
    """Change the content of the JSON file, or write other arrays with a hash that is right."""
    content = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    if arrays is not None:
        tensors = save(load_file(folder / FILES[1]) | arrays)
        (folder / FILES[1]).write_bytes(tensors)
        content["sha256"] = hashlib.sha256(tensors).hexdigest()
    change(content)
    (folder / FILES[0]).write_text(json.dumps(content), encoding="utf-8")


# --- there and back ---


@pytest.mark.parametrize("name", ENHANCEMENTS)
def test_a_loaded_enhancement_is_the_saved_one_to_the_bit(name, tmp_path):
    enhancement = fitted(name)
    assert save_pretrained(enhancement, tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    loaded = from_pretrained(tmp_path / "new" / "folder")
    save_pretrained(loaded, tmp_path / "again")
    for file in FILES:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "new" / "folder" / file).read_bytes()
    for same in (loaded, pickle.loads(pickle.dumps(loaded)), from_pretrained(str(tmp_path / "again"))):
        for rows in (NEW, NEW.astype(np.float32), NEW[:1]):
            found, expected = same.transform(rows.copy()), enhancement.transform(rows.copy())
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
        assert same.get_params().keys() == enhancement.get_params().keys()
        assert [step.get_params() for _, step in steps_of(same)] == [
            it.get_params() for _, it in steps_of(enhancement)
        ]
    assert np.array_equal(clone(loaded).fit(FIT).transform(NEW), enhancement.transform(NEW))


def test_every_enhancement_of_the_package_is_tried_above_and_every_array_has_known_axes():
    tried = {type(step) for it in ENHANCEMENTS.values() for step in getattr(it, "named_steps", {"": it}).values()}
    public = {it for it in classes().values() if it is not PerGroup}
    assert public <= tried
    arrays = {name for it in public for name in it.FITTED if name not in ("shrinkage_", "eps_")}  # numbers, not arrays
    assert arrays | {"mean_"} == set(SHAPES)


def test_groups_are_saved_with_their_enhancements(tmp_path):
    inner = make_pipeline(Centering(), AllButTheTop(1))
    per_group = PerGroup(inner, unseen="all").fit(FIT, groups=GROUPS)
    loaded = PerGroup.from_pretrained(per_group.save_pretrained(tmp_path, layer=7))
    groups = np.array(["de", "it", "en"])[np.arange(30) % 3]
    assert np.array_equal(loaded.transform(NEW, groups=groups), per_group.transform(NEW, groups=groups))
    assert list(loaded.enhancements_) == ["de", "en", "fr"]
    assert loaded.fingerprint_ == Fingerprint(layer=7, n_samples=400, n_features=6)
    assert loaded.enhancement_of_all_[0].fingerprint_ == loaded.fingerprint_
    assert not hasattr(copy.deepcopy(loaded).fit(FIT), "fingerprint_")
    refitted = clone(loaded).fit(FIT, groups=GROUPS)
    assert np.array_equal(refitted.transform(NEW, groups=groups), per_group.transform(NEW, groups=groups))


def test_groups_that_are_normalised_only_have_no_number_of_rows(tmp_path):
    loaded = from_pretrained(PerGroup(Normalizer()).fit(FIT).save_pretrained(tmp_path))
    assert loaded.fingerprint_ == Fingerprint(n_features=6)
    np.testing.assert_allclose(np.linalg.norm(loaded.transform(NEW), axis=1), 1)


def test_groups_that_are_fitted_part_by_part_forget_their_fingerprint(tmp_path):
    per_group = PerGroup(Centering()).partial_fit(FIT, groups=GROUPS)
    loaded = from_pretrained(per_group.save_pretrained(tmp_path, model="me/model"), model="me/model")
    assert np.array_equal(loaded.transform(FIT, groups=GROUPS), per_group.transform(FIT, groups=GROUPS))
    per_group.partial_fit(FIT, groups=GROUPS)
    with pytest.warns(EnhancementWarning, match="begins anew"):
        loaded.partial_fit(FIT, groups=GROUPS)
    for enhancement in (per_group, loaded):
        assert not hasattr(enhancement, "fingerprint_")
    assert loaded.enhancements_["de"].n_samples_seen_ == 133


def test_what_is_fitted_part_by_part_is_saved_as_it_is_then(tmp_path):
    enhancement = Whitening().partial_fit(FIT[:100]).partial_fit(FIT[100:])
    loaded = Whitening.from_pretrained(enhancement.save_pretrained(tmp_path))
    assert np.array_equal(loaded.transform(NEW), enhancement.transform(NEW))
    assert loaded.n_samples_seen_ == 400
    assert not hasattr(loaded, "statistics_")
    with pytest.warns(EnhancementWarning, match="begins anew"):
        loaded.partial_fit(FIT[:50])
    assert loaded.n_samples_seen_ == 50
    assert not hasattr(loaded, "fingerprint_")


def test_feature_names_come_back(tmp_path):
    import pandas as pd

    table = pd.DataFrame(FIT, columns=list("abcdef"))
    loaded = from_pretrained(Centering().fit(table).save_pretrained(tmp_path))
    assert loaded.get_feature_names_out().tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(table[list("fedcba")])


def test_a_folder_with_a_model_in_it_keeps_its_files_and_an_enhancement_is_replaced(tmp_path):
    (tmp_path / "model.safetensors").write_text("a model")
    fitted("centering").save_pretrained(tmp_path)
    fitted("whitening").save_pretrained(tmp_path)
    assert type(from_pretrained(tmp_path)) is Whitening
    assert sorted(os.listdir(tmp_path)) == [*FILES, "model.safetensors"]


def test_the_class_that_loads_must_be_that_of_the_folder(tmp_path):
    fitted("whitening").save_pretrained(tmp_path)
    assert type(Whitening.from_pretrained(tmp_path)) is Whitening
    with pytest.raises(ValueError, match="holds a Whitening, not a Centering"):
        Centering.from_pretrained(tmp_path)


# --- what is refused before anything is written ---


@pytest.mark.parametrize(
    ("enhancement", "message"),
    [
        (lambda: Centering(), "not fitted"),
        (lambda: make_pipeline(Centering(), PCA(2)).fit(FIT), r"step 'pca' \(PCA\) cannot be carried"),
        (lambda: StandardScaler().fit(FIT), "StandardScaler cannot be carried"),
        (lambda: PerGroup(StandardScaler()).fit(FIT), r"step 'enhancement' \(StandardScaler\) cannot be carried"),
        (lambda: type("Centering", (Centering,), {})().fit(FIT), "Centering cannot be carried"),
        (lambda: _with_parameter(), "cannot be saved with n_directions=<object"),
        (lambda: _steps_of_one_dotted_name(), "two steps would be saved as 'a.b'"),
    ],
)
def test_what_cannot_be_saved_leaves_no_folder(enhancement, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_pretrained(enhancement(), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def _steps_of_one_dotted_name():
    inner = Pipeline([("b", Centering())])
    return Pipeline([("a", inner), ("a.b", Standardization())]).fit(FIT)


def _with_parameter():
    enhancement = fitted("all but the top")
    enhancement.n_directions = object()
    return enhancement


@pytest.mark.parametrize("fails_at", [1, 2])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_interrupted_save_leaves_the_folder_as_it_was(fails_at, error, tmp_path, monkeypatch):
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if len(calls) == fails_at:
            raise error
        replace(source, target)

    before = fitted("centering")
    before.save_pretrained(tmp_path / "old")
    for folder in (tmp_path / "old", tmp_path / "new"):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", failing)
            with pytest.raises(type(error)):
                fitted("whitening").save_pretrained(folder)
    assert np.array_equal(from_pretrained(tmp_path / "old").transform(NEW), before.transform(NEW))
    assert sorted(os.listdir(tmp_path / "old")) == FILES
    assert os.listdir(tmp_path / "new") == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        fitted().save_pretrained(tmp_path / "file")


# --- damaged and foreign folders ---


def _cut(folder):
    tensors = (folder / FILES[1]).read_bytes()
    (folder / FILES[1]).write_bytes(tensors[:-8])


def _flip(folder):
    tensors = bytearray((folder / FILES[1]).read_bytes())
    tensors[-1] ^= 1
    (folder / FILES[1]).write_bytes(tensors)


def _no_tensors_but_a_right_hash(folder):
    (folder / FILES[1]).write_bytes(b"nothing")
    altered(folder, lambda content: content.update(sha256=hashlib.sha256(b"nothing").hexdigest()))


def _with(**values):
    return lambda folder: altered(folder, lambda content: content.update(values))


def _with_enhancement(**values):
    return lambda folder: altered(folder, lambda content: content["enhancement"].update(values))


def _with_number(**values):
    return lambda folder: altered(folder, lambda content: content["enhancement"]["fitted"].update(values))


def _deepen(content):
    for _ in range(300):
        content["enhancement"] = {"class": "Pipeline", "steps": [["a", content["enhancement"]]]}


def _with_arrays(**arrays):
    return lambda folder: altered(folder, arrays=arrays)


DAMAGE = {
    "cut short": (_cut, "was cut short or altered"),
    "one bit": (_flip, "was cut short or altered"),
    "no tensors": (_no_tensors_but_a_right_hash, "cannot be loaded: "),
    "cut JSON": (lambda folder: (folder / FILES[0]).write_text('{"format": '), "is not JSON"),
    "binary JSON": (lambda folder: (folder / FILES[0]).write_bytes(b"\xff\xfe"), "is not JSON"),
    "foreign JSON": (lambda folder: (folder / FILES[0]).write_text('{"model": 1}'), "is of another tool"),
    "a list": (lambda folder: (folder / FILES[0]).write_text("[1]"), "is of another tool"),
    "newer": (_with(format_version=2, library_version="9.1"), "of format 2, written by isotropy_metrics 9.1.*upgrade"),
    "no version": (_with(format_version=None), "of format None"),
    "version 0": (_with(format_version=0), "of format 0"),
    "deep JSON": (lambda folder: (folder / FILES[0]).write_text("[" * 100_000), "is not JSON"),
    "deep Pipelines": (
        lambda folder: altered(folder, _deepen),
        "not as save_pretrained writes|is not JSON|cannot be loaded",
    ),
    "no hash": (
        lambda folder: altered(folder, lambda content: content.pop("sha256")),
        "not as save_pretrained writes",
    ),
    "unknown class": (_with_enhancement(**{"class": "os.system"}), "'os.system': there is no such enhancement"),
    "a function": (_with_enhancement(**{"class": "as_torch"}), "'as_torch': there is no such enhancement"),
    "a base class": (_with_enhancement(**{"class": "Enhancement"}), "'Enhancement': there is no such enhancement"),
    "unknown parameter": (
        _with_enhancement(parameters={"speed": 9}),
        "Whitening of this version has no parameter speed",
    ),
    "no parameters": (_with_enhancement(parameters=None), "not as save_pretrained writes"),
    "infinite parameter": (_with_enhancement(parameters={"eps": float("inf")}), "not as save_pretrained writes"),
    "no enhancement": (_with(enhancement=[]), "not as save_pretrained writes"),
    "nothing": (_with(enhancement=None), "there is no enhancement in it"),
    "no steps": (_with(enhancement={"class": "Pipeline", "steps": []}), "there is no enhancement in it"),
    "step without a name": (
        _with(enhancement={"class": "Pipeline", "steps": [[1, None]]}),
        "the name of a step must be text, got 1",
    ),
    "unknown fingerprint": (_with(fingerprint={"colour": 1}), "not as save_pretrained writes"),
    "number for text": (_with(fingerprint={"weights": 1}), "weights of a fingerprint must be str, got 1"),
    "text for a number": (_with(fingerprint={"n_samples": "1"}), "n_samples of a fingerprint must be int, got '1'"),
    "no number": (_with_number(eps_=None), "eps_ is None, which it cannot be"),
    "NaN": (_with_number(shrinkage_=float("nan")), "shrinkage_ is nan, which it cannot be"),
    "half a feature": (_with_number(n_features_in_=6.0), "n_features_in_ is 6.0, which it cannot be"),
    "no row": (_with_number(n_samples_seen_=0), "n_samples_seen_ is 0, which it cannot be"),
    "names": (_with_enhancement(feature_names_in="abcdef"), "must be the names of 6 features"),
    "text": (_with_number(shrinkage_="0.1"), "shrinkage_ is '0.1', which it cannot be"),
    "number for an array": (_with_number(matrix_=1.0), "matrix_ is 1.0, which it cannot be"),
    "fewer features": (_with_number(n_features_in_=5), r"matrix_ has shape \(6, 6\), where axis d of the others is 5"),
    "wrong shape": (_with_arrays(matrix_=np.eye(7)), r"matrix_ has shape \(7, 7\)"),
    "wrong axes": (_with_arrays(mean_=np.zeros((1, 6))), r"mean_ has shape \(1, 6\), which it cannot have"),
    "NaN inside": (_with_arrays(mean_=np.full(6, np.nan)), "mean_ holds NaN or inf"),
    "inf inside": (_with_arrays(matrix_=np.full((6, 6), np.inf)), "matrix_ holds NaN or inf"),
    "single precision": (_with_arrays(mean_=np.zeros(6, np.float32)), "mean_ is of float32, it should be of float64"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_sentence(damage, tmp_path):
    change, message = DAMAGE[damage]
    fitted("whitening").save_pretrained(tmp_path)
    change(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        from_pretrained(tmp_path)
    assert type(caught.value) is ValueError
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_array_is_named(tmp_path):
    fitted("centering").save_pretrained(tmp_path)
    altered(tmp_path, lambda content: content["enhancement"].update({"class": "Standardization"}))
    with pytest.raises(ValueError, match="scale_ is missing"):
        from_pretrained(tmp_path)


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    fitted("cluster centering").save_pretrained(tmp_path)
    altered(tmp_path, arrays={"cluster_means_": np.zeros((3, 6))})
    with pytest.raises(ValueError, match=r"cluster_means_ has shape \(3, 6\), where axis k of the others is 4 long"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it["groups"].update(all=None), "there is no enhancement in groups.all"),
        (lambda it: it.pop("fitted"), "not as save_pretrained writes"),
        (lambda it: it["fitted"].clear(), "n_features_in_ is missing"),
    ],
)
def test_damaged_groups_are_refused(change, message, tmp_path):
    PerGroup(Centering()).fit(FIT).save_pretrained(tmp_path)
    altered(tmp_path, lambda content: change(content["enhancement"]))
    with pytest.raises(ValueError, match=message):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(missing, tmp_path):
    fitted().save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {missing}"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["no/such/folder", "a b", "nowhere"])
def test_a_folder_that_is_not_there_is_named(name):
    with pytest.raises(FileNotFoundError, match=f"there is no folder {name}"):
        from_pretrained(name)


# --- fingerprints ---


def _bert(seed=0, **options):
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    sizes = {"hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    return BertModel(BertConfig(vocab_size=50, **sizes), **options)


def test_what_was_fitted_on_is_kept_and_must_be_what_is_asked_for(tmp_path):
    stored = {"model": "me/model", "revision": "abc", "layer": 3, "pooling": "mean"}
    enhancement = fitted()
    enhancement.save_pretrained(tmp_path, **stored)
    expected = Fingerprint(**stored, n_samples=400, n_features=6)
    assert enhancement.fingerprint_ == expected
    assert from_pretrained(tmp_path).fingerprint_ == expected
    assert from_pretrained(tmp_path, **stored).fingerprint_ == expected
    for name, other in {"model": "me/other", "revision": "abd", "layer": 4, "pooling": "cls"}.items():
        with pytest.raises(ValueError, match=f"{name} {stored[name]!r}, it is asked for {name} {other!r}"):
            Whitening.from_pretrained(tmp_path, **{name: other})


def test_what_was_not_told_is_not_compared(tmp_path):
    fitted().save_pretrained(tmp_path, layer=0)
    assert from_pretrained(tmp_path, model="any", pooling="any").fingerprint_.layer == 0
    with pytest.raises(ValueError, match="layer 0, it is asked for layer 1"):
        from_pretrained(tmp_path, layer=1)


def test_a_loaded_enhancement_keeps_its_fingerprint_when_saved_and_forgets_it_when_fitted(tmp_path):
    fitted().save_pretrained(tmp_path / "a", model="me/model")
    loaded = from_pretrained(tmp_path / "a")
    loaded.save_pretrained(tmp_path / "b", layer=2)
    assert from_pretrained(tmp_path / "b").fingerprint_.known() == {
        **{"model": "me/model", "layer": 2, "n_samples": 400, "n_features": 6}
    }
    with pytest.raises(ValueError, match="me/model"):
        loaded.save_pretrained(tmp_path / "c", model="me/other")
    assert not (tmp_path / "c").exists()
    assert not hasattr(loaded.fit(FIT[:200]), "fingerprint_")
    loaded.save_pretrained(tmp_path / "c", model="me/other")
    assert loaded.fingerprint_.n_samples == 200


def test_every_enhancement_of_a_pipeline_has_the_fingerprint(tmp_path):
    save_pretrained(fitted("pipeline"), tmp_path, model="me/model")
    loaded = from_pretrained(tmp_path, model="me/model")
    assert {step.fingerprint_.model for step in loaded[:2]} == {"me/model"}
    with pytest.raises(ValueError, match="me/other"):
        from_pretrained(tmp_path, model="me/other")


def test_a_live_model_is_known_by_its_weights_wherever_it_lies(tmp_path):
    model = _bert()
    model.save_pretrained(tmp_path / "here")
    model.save_pretrained(tmp_path / "there")
    here, there = (type(model).from_pretrained(tmp_path / name) for name in ("here", "there"))
    fitted().save_pretrained(tmp_path / "enhancement", model=here)
    loaded = from_pretrained(tmp_path / "enhancement", model=there)
    assert loaded.fingerprint_.model == str(tmp_path / "here")
    assert from_pretrained(tmp_path / "enhancement", model=str(tmp_path / "here"))
    with torch.no_grad():
        there.encoder.layer[1].output.LayerNorm.bias[0] += 1
    with pytest.raises(ValueError, match=f"weights {weights_digest(here)[:12]}.* are {weights_digest(there)[:12]}"):
        from_pretrained(tmp_path / "enhancement", model=there)


def test_a_live_model_is_compared_by_name_if_no_weights_are_known(tmp_path):
    _bert().save_pretrained(tmp_path / "model")
    live = type(_bert()).from_pretrained(tmp_path / "model")
    fitted().save_pretrained(tmp_path / "enhancement", model="me/model")
    with pytest.raises(ValueError, match="me/model"):
        from_pretrained(tmp_path / "enhancement", model=live)


def test_one_changed_tensor_changes_the_digest_and_loading_again_does_not():
    model = _bert()
    digest = weights_digest(model)
    assert digest == weights_digest(_bert()) != weights_digest(_bert(seed=1))
    for name, parameter in model.named_parameters():
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter += 1
        assert (weights_digest(model) == digest) == name.startswith("pooler."), name
        with torch.no_grad():
            parameter.copy_(before)
    assert weights_digest(model) == digest
    assert weights_digest(model.to(torch.bfloat16)) != digest


def test_heads_and_poolers_do_not_change_the_digest_of_a_model(tmp_path):
    from transformers import AutoModel, BertForMaskedLM, BertForSequenceClassification

    language_model = BertForMaskedLM(_bert().config)
    language_model.save_pretrained(tmp_path)
    digest = weights_digest(language_model)
    assert weights_digest(AutoModel.from_pretrained(tmp_path)) == digest  # whose pooler is drawn at random
    assert weights_digest(AutoModel.from_pretrained(tmp_path)) == digest
    assert weights_digest(BertForSequenceClassification.from_pretrained(tmp_path)) == digest
    assert weights_digest(torch.compile(language_model, backend="eager")) == digest


def test_a_sentence_transformer_has_the_digest_of_its_transformer(minilm_path):
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    plain = SentenceTransformer(str(minilm_path), device="cpu")
    digest = weights_digest(plain)
    assert digest == weights_digest(AutoModel.from_pretrained(minilm_path))
    whitening = Whitening().fit(np.random.default_rng(0).normal(size=(1000, 384)))
    assert weights_digest(SentenceTransformer(modules=[*plain, whitening.as_dense()], device="cpu")) != digest
    assert Fingerprint.of(plain).model == str(minilm_path)


def test_the_digest_reads_a_bounded_number_of_values_of_each_tensor():
    for n_values in (1, 1023, 1024, 1025, 3_000_000):
        values = torch.arange(n_values, dtype=torch.bfloat16)
        assert min(n_values, 512) <= len(_some_bytes(values)) / 2 <= 1024
    assert _some_bytes(torch.arange(2048.0)) == torch.arange(0, 2048.0, 2).numpy().tobytes()


def test_offloaded_weights_are_refused():
    with pytest.raises(ValueError, match="'bias' is offloaded"):
        weights_digest(torch.nn.Linear(2, 2, device="meta"))


# --- the Hub ---


class FakeApi:
    """Keeps what would be sent."""

    calls: list = []

    def __init__(self, token=None):
        self.calls.append(("token", token))

    def create_repo(self, repo_id, **options):
        self.calls.append(("create_repo", repo_id, options))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, **options):
        files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        self.calls.append(("upload_folder", repo_id, files, options))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(FakeApi, "calls", [])
    return FakeApi.calls


def test_what_is_pushed_is_the_folder_and_a_card_whose_code_is_true(hub, tmp_path, monkeypatch):
    enhancement = fitted("pipeline")
    of_model = {"model": "sentence-transformers/all-MiniLM-L6-v2", "revision": "abc", "layer": 5, "pooling": "mean"}
    address = push_to_hub(enhancement, "me/enhancement", token="secret", private=True, **of_model)
    assert address == "https://huggingface.co/me/enhancement"
    assert hub[:2] == [
        ("token", "secret"),
        ("create_repo", "me/enhancement", {"private": True, "exist_ok": True}),
    ]
    _, repo_id, files, options = hub[2]
    assert (repo_id, sorted(files)) == ("me/enhancement", ["README.md", *FILES])
    assert options == {"commit_message": "Centering, then ClusterBased, then Normalizer of isotropy-metrics"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert np.array_equal(from_pretrained(tmp_path, **of_model).transform(NEW), enhancement.transform(NEW))

    card = files["README.md"].decode()
    metadata = huggingface_hub.ModelCard(card).data
    assert metadata.base_model == of_model["model"]
    for fact in ("| layer | 5 |", "| pooling | mean |", "| n_samples | 400 |", "| revision | abc |"):
        assert fact in card
    (code,) = re.findall("```python\n(.*?)```", card, flags=re.DOTALL)
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *args, **options: asked.append((args, options)) or str(tmp_path)
    )
    names = {"embeddings": NEW}
    exec(code, names)
    assert np.array_equal(names["enhanced"], enhancement.transform(NEW))
    assert asked == [(("me/enhancement",), {"revision": None, "token": None, "allow_patterns": FILES})]


def test_a_card_names_no_folder_as_a_base_model(hub, tmp_path):
    _bert().save_pretrained(tmp_path)
    model = type(_bert()).from_pretrained(tmp_path)
    fitted().push_to_hub("me/enhancement", model=model)
    card = hub[2][2]["README.md"].decode()
    assert huggingface_hub.ModelCard(card).data.base_model is None
    assert 'from_pretrained("me/enhancement")' in card.replace("'", '"')


def test_nothing_is_pushed_that_cannot_be_saved(hub):
    with pytest.raises(ValueError, match="PCA"):
        push_to_hub(make_pipeline(PCA(2)).fit(FIT), "me/enhancement")
    assert hub == []


def test_offline_a_repository_that_is_not_in_the_cache_is_one_clear_error():
    with pytest.raises(FileNotFoundError, match="there is no folder me/enhancement, and the Hub gave no repository"):
        from_pretrained("me/enhancement")


def test_the_functions_are_public():
    for name in ("save_pretrained", "from_pretrained", "push_to_hub", "as_affine", "as_torch", "as_dense"):
        assert name in enhancement_package.__all__
