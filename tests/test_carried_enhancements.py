"""Every export of an enhancement gives the vectors of `transform`, in the real library, for one row and for many."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import onnxruntime
import pytest
import torch
from scipy.special import ndtri
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    ClusterCentering,
    EnhancementWarning,
    OutlierDimensionRemoval,
    PerGroup,
    QuantileNormalization,
    Standardization,
    Whitening,
    as_affine,
    as_dense,
    as_torch,
    to_faiss,
    to_onnx,
)
from isotropy_metrics.enhancement.normal_quantile import normal_quantile
from isotropy_metrics.enhancement.sentence_transformers_module import EnhancementModule

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
ROTATION = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
FIT = RNG.normal(size=(600, 8)) * np.linspace(0.5, 3, 8) @ ROTATION + RNG.normal(size=8)
FIT[:, 5] += 40  # an outlier dimension
FIT[:, 2] = np.round(FIT[:, 2])  # repeated values
NEW = FIT[:41] + RNG.normal(size=(41, 8)) / 10
NEW[:5, 2] = FIT[:5, 2]

AFFINE = {
    "centering": Centering(),
    "standardization": Standardization(),
    "all but the top": AllButTheTop(2),
    "whitening": Whitening(),
    "soft zca": Whitening("zca", eps=0.1, shrinkage=None),
    "truncated": Whitening(n_components=3),
    "outliers": OutlierDimensionRemoval(n_std=2.0),
    "affine pipeline": make_pipeline(OutlierDimensionRemoval(n_std=2.0), AllButTheTop(1), Whitening(n_components=4)),
}
OTHER = {
    "cluster centering": ClusterCentering(n_clusters=5),
    "cluster based": ClusterBased(n_clusters=4, n_directions=2),
    "one cluster": ClusterBased(n_clusters=1, n_directions=2),
    "uniform": QuantileNormalization(n_quantiles=100),
    "normal": QuantileNormalization("normal", n_quantiles=60),
    "normalised": make_pipeline(Centering(), AllButTheTop(1), Normalizer()),
    "l1": make_pipeline(Standardization(), Normalizer("l1")),
    "max": make_pipeline(Standardization(), Normalizer("max")),
    "nested": make_pipeline(make_pipeline(ClusterBased(n_clusters=3), "passthrough"), Whitening(), Normalizer()),
}
FITTED = {name: it.fit(FIT) for name, it in {**AFFINE, **OTHER}.items()}
ROWS = {"one row": NEW[:1], "batch": NEW}
PER_GROUP = PerGroup(Centering()).fit(FIT, groups=np.arange(len(FIT)) % 2)


def each(kinds):
    return pytest.mark.parametrize("enhancement", [FITTED[name] for name in kinds], ids=list(kinds))


@pytest.fixture(scope="module")
def minilm(minilm_path):
    return SentenceTransformer(str(minilm_path), device="cpu")


@pytest.fixture(scope="module")
def sentences(stsb_folder):
    """150 sentences of the development set, in random order."""
    import pandas as pd

    table = pd.read_csv(stsb_folder / "sts-dev.csv", sep="\t", header=None, usecols=[5], quoting=3)
    return table[5].sample(150, random_state=0).tolist()


@pytest.fixture(scope="module")
def encoded(minilm, sentences):
    return minilm.encode(sentences)


def assert_same(found, expected):
    """To 1e-5 of the scale of the rows."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.sqrt(np.mean(expected**2)))


# --- one matrix and one shift ---


@each(AFFINE)
def test_affine_enhancements_are_one_matrix_and_one_shift(enhancement):
    matrix, shift = as_affine(enhancement)
    assert matrix.dtype == shift.dtype == np.float64
    np.testing.assert_allclose(NEW @ matrix + shift, enhancement.transform(NEW), atol=1e-11)


@pytest.mark.parametrize(
    ("enhancement", "message"),
    [
        (FITTED["cluster based"], "ClusterBased is not affine"),
        (FITTED["uniform"], "QuantileNormalization is not affine"),
        (FITTED["normalised"], r"step 'normalizer' \(Normalizer\) is not affine.*normalise afterwards"),
        (FITTED["nested"], r"step 'pipeline.clusterbased' \(ClusterBased\) is not affine"),
        (PER_GROUP, "PerGroup is not affine"),
        (make_pipeline(Centering(), PCA(2)).fit(FIT), r"step 'pca' \(PCA\) cannot be carried"),
        (make_pipeline("passthrough"), "passes rows through"),
        (Centering(), "not fitted"),
    ],
)
@pytest.mark.parametrize("export", [as_affine, as_dense, to_faiss])
def test_what_is_not_affine_is_refused_by_name(export, enhancement, message):
    with pytest.raises(ValueError, match=message):
        export(enhancement)


# --- torch ---


@each(FITTED)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_torch_gives_the_vectors_of_transform(enhancement, rows):
    single = as_torch(enhancement)(torch.tensor(rows, dtype=torch.float32))
    assert single.dtype == torch.float32
    assert_same(single.numpy(), enhancement.transform(rows.astype(np.float32)))
    double = as_torch(enhancement, dtype=torch.float64)(torch.tensor(rows))
    np.testing.assert_allclose(double.numpy(), enhancement.transform(rows), rtol=0, atol=1e-10)


@each(FITTED)
def test_torch_takes_rows_of_any_leading_shape(enhancement):
    module = as_torch(enhancement)
    rows = torch.tensor(NEW[:24], dtype=torch.float32)
    tokens = module(rows.reshape(2, 3, 4, 8))
    torch.testing.assert_close(tokens, module(rows).reshape(2, 3, 4, -1))
    torch.testing.assert_close(module(rows[0]), module(rows)[0])
    assert module(rows[:0]).shape == (0, module.out_features)


@pytest.mark.parametrize("name", ["all but the top", "whitening", "truncated", "cluster based", "uniform"])
def test_a_mean_of_1000_standard_deviations_costs_no_digits(name):
    offset = 1000 * FIT.std() * np.sign(RNG.normal(size=8))
    far, rows = FIT + offset, (NEW + offset).astype(np.float32)
    enhancement = copy.deepcopy(FITTED[name]).fit(far)
    expected = enhancement.transform(rows.astype(np.float64))
    # float32 cannot hold the mean better than to this, and whitening divides by small deviations
    spacing = np.spacing(np.float32(np.abs(offset).max())) / np.linalg.eigvalsh(np.cov(FIT.T))[0] ** 0.5
    single = as_torch(enhancement)(torch.tensor(rows)).double().numpy()
    np.testing.assert_allclose(single, enhancement.transform(rows), rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(single, expected, rtol=0, atol=3 * spacing)
    double = as_torch(enhancement, torch.float64)(torch.tensor(rows).double()).numpy()
    np.testing.assert_allclose(double, expected, rtol=0, atol=1e-9)


@each(FITTED)
def test_half_precision_is_computed_in_float32_and_rounded_once(enhancement):
    model = torch.nn.Sequential(as_torch(enhancement))
    rows = torch.tensor(NEW).to(torch.bfloat16)
    expected = model(rows.float()).to(torch.bfloat16)
    for changed in (model, copy.deepcopy(model).to(torch.bfloat16), copy.deepcopy(model).half()):
        assert torch.equal(changed(rows), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(rows.float()), model(rows.float()).float())
        assert torch.equal(model(rows), expected)


@each(FITTED)
def test_torch_is_differentiable_and_has_no_parameters(enhancement):
    module = as_torch(enhancement, torch.float64)
    assert list(module.parameters()) == []
    rows = torch.tensor(NEW[5:9] + 0.01, requires_grad=True)
    assert torch.autograd.gradcheck(module, (rows,), eps=1e-7, atol=1e-4)


@each(FITTED)
def test_torch_compiles_to_one_graph(enhancement):
    module = as_torch(enhancement)
    rows = torch.tensor(NEW, dtype=torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(rows), module(rows))


# torch's compiler imports a module of its own that is deprecated
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["whitening", "cluster based", "normal", "nested"])
def test_compiled_code_gives_the_same_vectors(name):
    rows = NEW.astype(np.float32)
    compiled = torch.compile(as_torch(FITTED[name]), fullgraph=True)
    assert_same(compiled(torch.tensor(rows)).numpy(), FITTED[name].transform(rows))


@each(FITTED)
def test_torch_modules_are_copied_pickled_and_restored_from_their_state(enhancement):
    module = as_torch(enhancement)
    rows = torch.tensor(NEW, dtype=torch.float32)
    other = copy.deepcopy(module)
    for buffer in other.buffers():
        buffer.zero_()
    other.load_state_dict(module.state_dict())
    for same in (other, pickle.loads(pickle.dumps(module)), module.to("meta").to_empty(device="cpu")):
        if same is module:
            same.load_state_dict(other.state_dict())
        assert torch.equal(same(rows), other(rows))


def test_affine_steps_are_one_product_and_diagonal_ones_none():
    (step,) = as_torch(FITTED["affine pipeline"]).steps
    assert step.weight.shape == (8, 4)
    assert as_torch(make_pipeline(Centering(), Standardization()).fit(FIT)).steps[0].weight.shape == (8,)


def test_rows_of_zeros_stay_when_normalised():
    assert as_torch(Normalizer().fit(FIT))(torch.zeros(2, 8)).tolist() == np.zeros((2, 8)).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_tiny_norm_are_normalised_if_scikit_learn_does(dtype):
    enhancement = FITTED["normalised"]
    # the rest of the rows is zero, which is where the smallest differences from the mean can be told
    rows = (np.geomspace(1e-2, 1e3, 20)[:, None] * np.finfo(dtype).eps * np.eye(8)[:1]).astype(dtype)
    normalizer = enhancement[-1]
    found = as_torch(normalizer, torch.float64 if dtype == np.float64 else None)(torch.tensor(rows)).numpy()
    np.testing.assert_allclose(found, normalizer.transform(rows), rtol=1e-6)


def test_whole_numbers_are_not_rounded_and_the_meta_device_gives_shapes():
    rows = np.arange(16).reshape(2, 8)
    found = as_torch(FITTED["whitening"])(torch.tensor(rows))
    assert_same(found.numpy(), FITTED["whitening"].transform(rows))
    assert as_torch(FITTED["truncated"]).to("meta")(torch.zeros(2, 8, device="meta")).shape == (2, 3)


def test_the_normal_quantile_is_scipys():
    levels = np.concatenate([np.linspace(1e-7, 1 - 1e-7, 10_001), np.geomspace(1e-10, 0.5, 1000)])
    np.testing.assert_allclose(normal_quantile(torch.tensor(levels)).numpy(), ndtri(levels), rtol=1e-13, atol=1e-15)


def test_quantiles_of_one_row_and_of_constant_features_are_numpys():
    with pytest.warns(EnhancementWarning, match="on 1 rows"):
        one = QuantileNormalization().fit(FIT[:1])
    constant = QuantileNormalization("normal").fit(np.column_stack([FIT[:, 0], np.full(600, 7.7)]))
    assert np.array_equal(as_torch(one)(torch.tensor(NEW)).numpy(), one.transform(NEW))
    rows = np.column_stack([NEW[:, 0], np.linspace(7, 8, 41)])
    np.testing.assert_allclose(as_torch(constant)(torch.tensor(rows)).numpy(), constant.transform(rows), atol=1e-10)


def test_torch_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="rows have 5 features, this enhancement was fitted on 8"):
        as_torch(FITTED["centering"])(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="PerGroup has no torch module: export each of its enhancements_"):
        as_torch(PER_GROUP)
    with pytest.raises(ValueError, match=r"step 'pca' \(PCA\) cannot be carried"):
        as_torch(make_pipeline(Centering(), PCA(2)).fit(FIT))


# --- sentence-transformers ---


@each(AFFINE)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_dense_of_sentence_transformers_gives_the_vectors_of_transform(enhancement, rows):
    rows = rows.astype(np.float32)
    dense = as_dense(enhancement)
    found = dense({"sentence_embedding": torch.tensor(rows)})["sentence_embedding"].detach().numpy()
    assert_same(found, enhancement.transform(rows))


@each(AFFINE)
@pytest.mark.parametrize("bias", [True, False])
def test_folded_into_a_dense_it_gives_the_same_vectors(enhancement, bias):
    torch.manual_seed(0)
    before = Dense(5, 8, bias=bias, activation_function=torch.nn.Identity(), module_input_name="token_embeddings")
    rows = torch.randn(41, 5)
    expected = enhancement.transform(before({"token_embeddings": rows})["token_embeddings"].detach().numpy())
    folded = as_dense(enhancement, after=before)
    assert (folded.in_features, folded.get_embedding_dimension()) == (5, expected.shape[1])
    assert_same(folded({"token_embeddings": rows})["token_embeddings"].detach().numpy(), expected)


@pytest.mark.parametrize(
    ("dense", "message"),
    [
        (Dense(5, 8), "the activation Tanh"),
        (Dense(8, 8, activation_function=None, use_residual=True), "a residual"),
        (Dense(5, 6, activation_function=None), "gives 6 features, the enhancement takes 8"),
    ],
)
def test_nothing_is_folded_into_a_dense_that_is_not_linear(dense, message):
    with pytest.raises(ValueError, match=message):
        as_dense(FITTED["whitening"], after=dense)


def test_a_dense_of_rows_far_from_the_origin_is_warned_of():
    with pytest.warns(EnhancementWarning, match="use EnhancementModule"):
        as_dense(Whitening().fit(FIT + 1e4))


@each(FITTED)
@pytest.mark.parametrize("name", ["sentence_embedding", "token_embeddings"])
def test_a_module_of_sentence_transformers_saves_and_gives_the_vectors_of_transform(enhancement, name, tmp_path):
    module = EnhancementModule(enhancement, module_input_name=name)
    module.save(str(tmp_path))
    rows = NEW[:24].astype(np.float32)
    shape = (24, 8) if name == "sentence_embedding" else (4, 6, 8)
    for each_module in (module, EnhancementModule.load(str(tmp_path))):
        found = each_module({name: torch.tensor(rows).reshape(shape)})[name]
        assert found.shape[-1] == each_module.get_embedding_dimension()
        assert_same(found.reshape(24, -1).numpy(), enhancement.transform(rows))


ENCODE = """
import sys
import numpy as np
from sentence_transformers import SentenceTransformer

sentences = open("sentences.txt", encoding="utf-8").read().splitlines()
for folder, trust in (("dense", False), ("module", True)):
    model = SentenceTransformer(folder, device="cpu", trust_remote_code=trust)
    np.savez(folder + ".npz", d=model.get_embedding_dimension(), query=model.encode_query(sentences),
             document=model.encode_document(sentences), plain=model.encode(sentences), one=model.encode(sentences[0]))
"""


@pytest.mark.slow
def test_a_real_model_with_an_enhancement_is_saved_and_loaded_in_a_fresh_process(minilm, sentences, encoded, tmp_path):
    whitening = Whitening(n_components=16).fit(encoded)
    chain = make_pipeline(ClusterBased(n_clusters=3, n_directions=2), Whitening(n_components=16), Normalizer())
    chain.fit(encoded)
    with_dense = SentenceTransformer(modules=[*minilm, as_dense(whitening)], device="cpu")
    with_module = SentenceTransformer(modules=[*minilm, EnhancementModule(chain)], device="cpu")
    (tmp_path / "sentences.txt").write_text("\n".join(sentences[:50]), encoding="utf-8")
    with_dense.save(str(tmp_path / "dense"))
    with_module.save(str(tmp_path / "module"))
    with pytest.raises(ValueError, match="trust_remote_code=True"):  # what sentence-transformers from 6.0 on asks for
        SentenceTransformer(str(tmp_path / "module"), device="cpu")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ENCODE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, model, enhancement in (("dense", with_dense, whitening), ("module", with_module, chain)):
        with np.load(tmp_path / f"{name}.npz") as found:
            expected = enhancement.transform(encoded[:50])
            assert found["d"] == model.get_embedding_dimension() == expected.shape[1]
            assert np.array_equal(found["plain"], model.encode(sentences[:50]))
            assert np.array_equal(found["query"], found["plain"])
            assert np.array_equal(found["document"], found["plain"])
            assert_same(found["plain"], expected)
            assert_same(found["one"], expected[0])


@pytest.mark.slow
def test_a_model_loaded_in_half_precision_keeps_the_enhancement_in_float32(minilm, encoded, sentences, tmp_path):
    enhancement = Whitening(n_components=16).fit(encoded)
    SentenceTransformer(modules=[*minilm, EnhancementModule(enhancement)], device="cpu").save(str(tmp_path))
    half = SentenceTransformer(
        str(tmp_path), device="cpu", trust_remote_code=True, model_kwargs={"dtype": torch.bfloat16}
    )
    assert {buffer.dtype for buffer in half[-1].buffers()} == {torch.float32}
    with torch.no_grad():
        plain = SentenceTransformer(modules=list(half)[:-1], device="cpu").encode(sentences[:20])
    found = half.encode(sentences[:20])
    np.testing.assert_allclose(found, enhancement.transform(plain), rtol=2**-8, atol=1e-5)


def test_a_real_model_with_an_enhancement_treats_queries_and_documents_alike(minilm, sentences, encoded):
    enhancement = ClusterBased(n_clusters=3, n_directions=2).fit(encoded)
    model = SentenceTransformer(modules=[*minilm, EnhancementModule(enhancement)], device="cpu")
    expected = enhancement.transform(encoded[:4])
    for found in (
        model.encode(sentences[:4]),
        model.encode_query(sentences[:4]),
        model.encode_document(sentences[:4]),
    ):
        assert_same(found, expected)
    assert_same(model.encode(sentences[0]), expected[0])


def test_weights_that_the_enhancement_was_not_fitted_on_are_warned_of_when_the_model_is_loaded(
    minilm, minilm_path, encoded, tmp_path
):
    centering = Centering().fit(encoded)
    centering.save_pretrained(tmp_path / "enhancement", model=minilm)
    model = SentenceTransformer(modules=[*minilm, EnhancementModule(centering)], device="cpu")
    model.save(str(tmp_path / "model"))
    SentenceTransformer(str(tmp_path / "model"), device="cpu", trust_remote_code=True)
    trained = SentenceTransformer(str(minilm_path), device="cpu")
    with torch.no_grad():
        trained[0].auto_model.embeddings.LayerNorm.weight += 0.01
    with pytest.warns(EnhancementWarning, match="the weights of this model are not those"):
        SentenceTransformer(modules=[*trained, EnhancementModule(centering)], device="cpu")


def test_a_router_that_enhances_queries_and_documents_differently_is_warned_of(minilm, encoded):
    one, same, other = (Centering().fit(rows) for rows in (encoded, encoded, encoded[:100]))

    def model(query, document):
        routes = [[*minilm, *map(EnhancementModule, each)] for each in (query, document)]
        return SentenceTransformer(modules=[Router.for_query_document(*routes), Normalize()], device="cpu")

    model([one], [same])
    for query, document in (([one], [other]), ([one], []), ([], [one])):
        with pytest.warns(EnhancementWarning, match="queries and documents") as caught:
            model(query, document)
        assert len(caught) == 1


# --- faiss ---


@each(AFFINE)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_faiss_gives_the_vectors_of_transform(enhancement, rows):
    rows = rows.astype(np.float32)
    transform = to_faiss(enhancement)
    assert isinstance(transform, faiss.LinearTransform)
    assert transform.is_trained and transform.have_bias
    assert_same(transform.apply(rows), enhancement.transform(rows))


def test_a_faiss_index_behind_the_enhancement_finds_the_neighbours_of_the_enhanced_rows(tmp_path):
    enhancement = FITTED["truncated"]
    rows, queries = FIT.astype(np.float32), NEW.astype(np.float32)
    index = faiss.IndexPreTransform(to_faiss(enhancement), faiss.IndexFlatL2(3))
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "index"))
    _, found = faiss.read_index(str(tmp_path / "index")).search(queries, 3)
    enhanced, of_queries = enhancement.transform(rows), enhancement.transform(queries)
    distances = ((of_queries[:, None] - enhanced[None]) ** 2).sum(axis=-1)
    assert np.array_equal(found, np.argsort(distances, axis=1)[:, :3])


# --- ONNX ---

QUICK = ["whitening", "cluster based", "normalised"]


def assert_onnx_is_transform(enhancement, folder):
    session = onnxruntime.InferenceSession(to_onnx(enhancement, folder / "enhancement.onnx"))
    for rows in ROWS.values():
        (found,) = session.run(None, {"embeddings": rows.astype(np.float32)})
        assert_same(found, enhancement.transform(rows.astype(np.float32)))
    assert os.listdir(folder) == ["enhancement.onnx"]


@each(QUICK)
def test_onnx_gives_the_vectors_of_transform(enhancement, tmp_path, capfd):
    assert_onnx_is_transform(enhancement, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@each([name for name in FITTED if name not in QUICK])
def test_onnx_gives_the_vectors_of_transform_for_all_others(enhancement, tmp_path):
    assert_onnx_is_transform(enhancement, tmp_path)


def test_onnx_files_are_replaced_on_request_only_and_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "enhancement.onnx"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        to_onnx(FITTED["centering"], path)
    with pytest.raises(ValueError, match="PerGroup has no torch module"):
        to_onnx(PER_GROUP, path, overwrite=True)
    with pytest.raises(ValueError, match="no width"):
        to_onnx(make_pipeline(Normalizer()).fit(FIT), tmp_path / "other.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            to_onnx(FITTED["centering"], path, overwrite=True)
    assert path.read_text() == "mine"
    assert to_onnx(FITTED["centering"], path, overwrite=True) == path
    assert os.listdir(tmp_path) == ["enhancement.onnx"]
    assert onnxruntime.InferenceSession(path).get_inputs()[0].name == "embeddings"


# --- libraries that are not there ---


@pytest.mark.parametrize(
    ("call", "module", "package"),
    [
        (lambda it: it.as_torch(), "torch", "torch"),
        (lambda it: it.as_dense(), "sentence_transformers.base.modules", "sentence-transformers"),
        (lambda it: it.to_faiss(), "faiss", "faiss-cpu"),
        (lambda it: it.to_onnx("never.onnx"), "onnxscript", "onnxscript"),
        (lambda it: it.save_pretrained("never"), "safetensors.numpy", "safetensors"),
        (lambda it: it.push_to_hub("me/never"), "huggingface_hub", "huggingface_hub"),
    ],
)
def test_a_missing_library_is_one_sentence_with_the_command(call, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"needs {package}.*: pip install {package}$"):
        call(FITTED["centering"])


def test_methods_are_the_functions(tmp_path):
    enhancement = FITTED["whitening"]
    rows = torch.tensor(NEW, dtype=torch.float32)
    assert torch.equal(enhancement.as_torch()(rows), as_torch(enhancement)(rows))
    assert torch.equal(enhancement.as_dense().linear.weight, as_dense(enhancement).linear.weight)
    assert np.array_equal(enhancement.to_faiss().apply(rows.numpy()), to_faiss(enhancement).apply(rows.numpy()))
    assert enhancement.to_onnx(tmp_path / "a.onnx").read_bytes()


def test_importing_enhancements_loads_none_of_these_libraries():
    libraries = {"torch", "transformers", "sentence_transformers", "faiss", "onnx", "safetensors", "huggingface_hub"}
    code = f"import isotropy_metrics.enhancement, sys; print(*({libraries!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
