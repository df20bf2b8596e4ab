"""`isotropy-metrics enhance`: fitted on files as on rows in memory, applied row by row, exported to real libraries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from isotropy_metrics import isoscore
from isotropy_metrics.cli import main
from isotropy_metrics.cli.enhancement_steps import enhancement_of, methods
from isotropy_metrics.embedding_files import open_embeddings
from isotropy_metrics.embedding_files.enhanced_file import enhance_file
from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    EnhancementWarning,
    Standardization,
    Whitening,
    from_pretrained,
)

N, D = 3000, 12
rng = np.random.default_rng(0)
X = (rng.normal(size=(N, D)) * np.linspace(3, 0.5, D) @ rng.normal(size=(D, D)) + 2).astype(np.float32)
WEIGHT = rng.uniform(size=N)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Several batches to a file, and blocks of several batches."""
    monkeypatch.setattr("isotropy_metrics.embedding_files.enhanced_file.BATCH_VALUES", 700 * D)
    monkeypatch.setattr("isotropy_metrics.embedding_files.kept_passes.block_rows_of", lambda n_features: 900)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "all.npz", x=X, mass=WEIGHT)
    return tmp_path


def run(capsys, *arguments, code=0):
    """Standard output and error of `enhance` with these arguments."""
    assert main(["enhance", *map(str, arguments)]) == code
    return capsys.readouterr()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


FITS = {
    "centering": ([], Centering()),
    "standardization": ([], Standardization()),
    "all_but_the_top": (["n_directions=2"], AllButTheTop(2)),
    "whitening": (["method=zca", "shrinkage=none", "eps=0.5"], Whitening("zca", shrinkage=None, eps=0.5)),
    "cluster_based": (["n_clusters=3", "n_directions=1"], ClusterBased(3, 1)),
    "centering,whitening,normalize": (
        ["n_components=5"],
        make_pipeline(Centering(), Whitening(n_components=5), Normalizer()),
    ),
    "normalize,all_but_the_top,whitening": (
        ["all_but_the_top.n_directions=1", "whitening.eps=0.1"],
        make_pipeline(Normalizer(), AllButTheTop(1), Whitening(eps=0.1)),
    ),
}


@pytest.mark.parametrize("method", FITS)
def test_fit_and_apply_give_what_rows_in_memory_give(method, folder, capsys):
    options, reference = FITS[method]
    options = [argument for option in options for argument in ("--option", option)]
    out, error = run(capsys, "fit", folder / "x.npy", "--method", method, "--output", folder / "e", *options)
    assert error == ""
    assert f"fitted on {N:,} rows" in out and f"{D} features" in out
    out, error = run(capsys, "apply", folder / "e", folder / "x.npy", "--output", folder / "out.npy")
    expected = reference.fit(X).transform(X)
    assert (out, error) == (f"{folder / 'out.npy'}: {N:,} rows, {expected.shape[1]} features, float32\n", "")
    written = np.load(folder / "out.npy")
    assert written.dtype == np.float32
    np.testing.assert_allclose(written, expected, atol=2e-5 * np.abs(expected).max())
    at_once = from_pretrained(folder / "e").transform(X)
    np.testing.assert_allclose(written, at_once, atol=1e-6 * np.abs(at_once).max())
    assert names(folder) == ["all.npz", "e", "out.npy", "x.npy"]


def test_every_method_has_a_name_a_sentence_and_options(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    lines = {line.split()[0]: line for line in run(capsys, "methods").out.splitlines()}
    assert list(lines) == list(methods())
    assert {*FITS} & {*lines} == {"centering", "standardization", "all_but_the_top", "whitening", "cluster_based"}
    assert "Subtract the mean of the rows it was fitted on." in lines["centering"]
    assert "Options: method='pca', n_components=None, eps=0.0" in lines["whitening"]
    assert "per_group" not in lines  # its rows need groups
    for name in lines:
        assert type(enhancement_of([name], [])) is methods()[name]


def test_what_was_fitted_is_told(folder, capsys):
    arguments = ["--method", "all_but_the_top,whitening", "--option", "n_directions=1", "--option", "shrinkage=null"]
    out, _ = run(capsys, "fit", folder / "x.npy", *arguments, "--option", "n_components=6", "--output", folder / "e")
    values = np.linalg.eigvalsh(np.cov(X.T.astype(float)))[::-1]
    shares = values / values.sum()
    assert ", ".join(f"{share:.1%}" for share in shares[:10]) in out
    n_ninety = next(k for k in range(1, D + 1) if shares[:k].sum() >= 0.9)
    assert f"90% in {n_ninety}, " in out
    first = AllButTheTop(1).fit(X)
    lines = [line for line in out.splitlines() if "IsoScore" in line]
    before, between = isoscore(X)["isoscore"], isoscore(first.transform(X))["isoscore"]
    assert f"IsoScore {before:.4g} before, {between:.4g} after" in lines[0] and "n_directions=1" in lines[0]
    assert f"IsoScore {between:.4g} before, 1 after" in lines[1] and "shrinkage_ 0, eps_ 0" in lines[1]


def test_weights_several_files_and_the_fingerprint(folder, capsys):
    more = ["--column", "x", "--weight", "mass", "--model", "org/name", "--layer", "-1", "--pooling", "mean"]
    np.savez(folder / "all.npz", x=X.astype(np.float64), mass=WEIGHT)
    two = [folder / "all.npz", folder / "all.npz"]
    run(capsys, "fit", *two, "--method", "whitening", "--option", "shrinkage=0", "--output", folder / "e", *more)
    loaded = from_pretrained(folder / "e")
    assert np.abs(loaded.mean_ - X.mean(axis=0)).max() > 0.01  # the weights count
    reference = Whitening(shrinkage=0.0).fit(np.tile(X.astype(np.float64), (2, 1)), sample_weight=np.tile(WEIGHT, 2))
    np.testing.assert_allclose(loaded.matrix_, reference.matrix_, atol=1e-9)
    np.testing.assert_allclose(loaded.mean_, reference.mean_, atol=1e-9)
    fingerprint = loaded.fingerprint_
    assert (fingerprint.model, fingerprint.layer, fingerprint.pooling) == ("org/name", -1, "mean")
    assert (fingerprint.n_samples, fingerprint.n_features) == (2 * N, D)
    apply = ["apply", folder / "e", folder / "x.npy", "--output", folder / "out.npy"]
    error = run(capsys, *apply, "--pooling", "cls", code=2).err
    assert "'mean'" in error and "'cls'" in error and error.count("\n") == 1
    assert "out.npy" not in names(folder)
    run(capsys, *apply, "--model", "org/name")


def test_a_random_sample_of_an_ordered_file_is_of_all_of_it(folder, capsys):
    ordered = X[np.argsort(X[:, 0])] + 20 * (np.arange(N) > N / 2)[:, None]
    np.save(folder / "x.npy", ordered.astype(np.float32))
    means = []
    for seed in (1, 1, 2):
        sample = ["--rows", 400, "--seed", seed, "--overwrite"]
        out, error = run(capsys, "fit", folder / "x.npy", "--method", "centering", "--output", folder / "e", *sample)
        assert "fitted on 400 rows" in out and "ordered" not in error
        means.append(from_pretrained(folder / "e").mean_)
    spread = ordered.std(axis=0) / np.sqrt(400)
    assert (np.abs(means[0] - ordered.mean(axis=0)) < 4 * spread).all()
    assert (means[0] == means[1]).all() and (means[0] != means[2]).any()
    error = run(capsys, "fit", folder / "x.npy", "--method", "centering", "--output", folder / "f").err
    assert error.startswith("isotropy-metrics: warning: the 3000 rows look ordered: ")
    more = ["--rows", 10**6, "--overwrite"]
    run(capsys, "fit", folder / "x.npy", "--method", "centering", "--output", folder / "e", *more)
    np.testing.assert_allclose(from_pretrained(folder / "e").mean_, ordered.mean(axis=0), atol=1e-4)


def test_apply_writes_every_format_and_dtype(folder, capsys):
    run(capsys, "fit", folder / "x.npy", "--method", "whitening", "--output", folder / "e")
    expected = from_pretrained(folder / "e").transform(X.astype(np.float64))
    frame = pd.DataFrame({"text": [f"ü {i}" for i in range(N)], "vector": list(X.astype(np.float64)), "n": range(N)})
    frame.to_parquet(folder / "in.parquet")
    apply = ["apply", folder / "e", folder / "in.parquet", "--output"]
    run(capsys, *apply, folder / "out.parquet")
    written = parquet.read_table(folder / "out.parquet").to_pandas()
    assert list(written) == ["text", "vector", "n"] and (written["text"] == frame["text"]).all()
    np.testing.assert_allclose(np.stack(written["vector"]), expected, atol=1e-12)
    run(capsys, *apply, folder / "out.safetensors", "--dtype", "float16")
    batch = next(open_embeddings(folder / "out.safetensors", column="vector").batches(N))
    assert batch.rows.dtype == np.float16
    np.testing.assert_array_equal(batch.rows, expected.astype(np.float16))


def test_apply_keeps_the_rows_that_a_mask_keeps(folder, capsys):
    mask = np.arange(N) % 3 > 0
    np.savez(folder / "tokens.npz", x=X.reshape(-1, 10, D), mask=mask.reshape(-1, 10))
    tokens = [folder / "tokens.npz", "--column", "x", "--mask", "mask"]
    run(capsys, "fit", *tokens, "--method", "centering", "--output", folder / "e")
    run(capsys, "apply", folder / "e", *tokens, "--output", folder / "out.npy")
    np.testing.assert_allclose(np.load(folder / "out.npy"), X[mask] - X[mask].mean(axis=0), atol=1e-5)
    np.savez(folder / "tokens.npz", x=X.reshape(-1, 10, D), mask=np.zeros((N // 10, 10)))
    error = run(capsys, "apply", folder / "e", *tokens, "--output", folder / "none.npy", code=2).err
    assert "holds no rows, or none that its mask keeps" in error
    assert (
        "there is no row to fit on"
        in run(capsys, "fit", *tokens, "--method", "centering", "--output", folder / "f", code=2).err
    )
    assert not {"none.npy", "f"} & {*names(folder)}


@pytest.mark.parametrize("method", ["centering", "normalize,centering,whitening"])
def test_rows_far_off_are_told_once_and_rows_in_another_order_are_not(method, folder, capsys):
    run(capsys, "fit", folder / "x.npy", "--method", method, "--output", folder / "e")
    np.save(folder / "queries.npy", -X + np.arange(N)[:, None] / N)
    apply = ["--output", folder / "out.npy", "--overwrite"]
    error = run(capsys, "apply", folder / "e", folder / "queries.npy", *apply).err
    assert error.count("\n") == 1
    assert error.startswith("isotropy-metrics: warning: these rows are not like the fitting rows: their means differ")
    np.save(folder / "ordered.npy", X[np.argsort(X[:, 0])])
    assert run(capsys, "apply", folder / "e", folder / "ordered.npy", *apply).err == ""
    with pytest.warns(EnhancementWarning) as caught:
        file = open_embeddings(folder / "queries.npy")
        enhance_file(from_pretrained(folder / "e"), file, folder / "out.npy", overwrite=True)
    assert len(caught) == 1


@pytest.mark.parametrize("command", ["fit", "fit --rows 100", "fit normalize", "apply"])
def test_a_bad_row_in_the_middle_is_named_and_leaves_nothing(command, folder, capsys):
    run(capsys, "fit", folder / "x.npy", "--method", "centering", "--output", folder / "e")
    bad = X.copy()
    bad[1701, 3] = np.nan
    np.save(folder / "bad.npy", bad)
    before = names(folder)
    if command == "apply":
        arguments = ["apply", folder / "e", folder / "bad.npy", "--output", folder / "out.npy"]
    else:
        method = "normalize,centering,whitening" if "normalize" in command else "whitening"
        rows = ["--rows", 100] if "rows" in command else []
        arguments = ["fit", folder / "bad.npy", "--method", method, "--output", folder / "f", *rows]
    out, error = run(capsys, *arguments, code=2)
    assert (out, error.count("\n")) == ("", 1)
    assert f"{folder / 'bad.npy'}: row 1701 of the embeddings holds nan" in error
    assert names(folder) == before


# arguments of `fit` after a file that is not there: they are refused before anything is opened
REFUSED_EARLY = [
    (["--method", "bleaching"], "there is no method 'bleaching'; there are: all_but_the_top, centering, "),
    (["--method", ","], "no method named; there are: "),
    (["--method", "per_group"], "there is no method 'per_group'"),
    (["--option", "eps"], "--option must look like n_directions=3 or whitening.method=zca, got 'eps'"),
    (["--option", "epsilon=1"], "--option epsilon=1 does not exist; there are: whitening.method, whitening.n_comp"),
    (["--option", "centering.eps=1"], "is of none of the methods asked for: whitening"),
    (["--option", "n_components=1.5"], "--option n_components=1.5 must be int | None, got '1.5'"),
    (["--option", "n_components=true"], "--option n_components=true must be int | None, got 'true'"),
    (["--option", "target_isoscore=high"], "--option target_isoscore=high must be float, got 'high'"),
    (["--method", "normalize", "--option", "norm=l1"], "--option norm=l1 does not exist; there are: none"),
    (["--method", "whitening,all_but_the_top,whitening", "--option", "eps=1"], "name one: whitening.eps=1 or whiten"),
    (["--seed", "-1"], "--seed must not be negative, got -1"),
    (["--rows", "1"], "--rows must be at least 2, got 1"),
    ([], "there is no file nowhere.npy"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED_EARLY)
def test_a_wrong_argument_of_fit_ends_in_one_sentence(arguments, message, tmp_path, capsys):
    method = [] if "--method" in arguments else ["--method", "whitening"]
    out, error = run(capsys, "fit", "nowhere.npy", *method, *arguments, "--output", tmp_path / "e", code=2)
    assert (out, error.count("\n")) == ("", 1)
    assert error.startswith("isotropy-metrics: ") and message in error
    assert names(tmp_path) == []


REFUSED_VALUES = {
    "whitening": {
        "method=bleach": "method='bleach': must be one of pca, zca",
        "n_components=13": "n_components=13 of 12 features",
        "eps=-1": "eps=-1: must be a number from 0, or 'auto'",
        "shrinkage=much": "shrinkage='much': must be",
    },
    "all_but_the_top": {"n_directions=13": "n_directions=13"},
    "quantile_normalization": {"output=gauss": "output='gauss'", "random_state=-1": "random_state=-1"},
    "outlier_dimension_removal": {"method=all": "method='all'"},
    "cluster_centering": {"n_clusters=0": "n_clusters=0"},
    "cluster_based": {"n_directions=13": "n_directions=13", "compat=rajaee": "use fit_transform"},
    "all_but_the_top,whitening": {"n_components=13": "n_components=13 of 12 features"},
    "whitening,all_but_the_top": {"n_components=4 n_directions=5": "n_directions=5 of 4 features: at most 4"},
}


@pytest.mark.parametrize(
    ("method", "option", "message"),
    [(method, option, text) for method, texts in REFUSED_VALUES.items() for option, text in texts.items()],
)
def test_a_value_that_no_rows_allow_is_refused_before_the_second_block_is_read(
    method, option, message, folder, capsys, monkeypatch
):
    read = []
    as_rows = sys.modules["isotropy_metrics.arrays"].as_rows
    monkeypatch.setattr(
        "isotropy_metrics.embedding_files.kept_passes.as_rows", lambda *a, **k: read.append(a) or as_rows(*a, **k)
    )
    options = [argument for each in option.split() for argument in ("--option", each)]
    fit = ["fit", folder / "x.npy", "--method", method, "--output", folder / "e", *options]
    out, error = run(capsys, *fit, code=2)
    assert (out, error.count("\n")) == ("", 1)
    assert message in error
    assert len(read) <= 1 and "e" not in names(folder)


def test_options_are_json_or_text_of_the_right_type():
    given = ["eps=auto", "shrinkage=None", "n_components=3", "target_isoscore=1", "method=pca_cor"]
    assert enhancement_of(["whitening"], given).get_params() == {
        "eps": "auto",
        "eps_mode": "relative",
        "method": "pca_cor",
        "n_components": 3,
        "shrinkage": None,
        "target_isoscore": 1,
    }
    twice = enhancement_of(["whitening", "normalize", "whitening"], ["whitening-2.eps=0.5", "whitening.eps=0.25"])
    assert [name for name, _ in twice.steps] == ["whitening", "normalize", "whitening-2"]
    assert (twice.steps[0][1].eps, twice.steps[2][1].eps) == (0.25, 0.5)


def test_places_that_are_taken_are_refused_before_long_work(folder, capsys, monkeypatch):
    run(capsys, "fit", folder / "x.npy", "--method", "centering", "--output", folder / "e")
    np.save(folder / "there.npy", X)
    np.save(folder / "narrow.npy", X[:, :5])
    os.symlink(folder / "x.npy", folder / "link.npy")
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.EmbeddingFile.batches", None)
    fit, apply = ["fit", folder / "x.npy", "--method", "centering"], ["apply", folder / "e", folder / "x.npy"]
    refused = [
        ([*fit, "--output", folder / "e"], "e exists: choose another place, or pass --overwrite"),
        ([*fit, "--output", folder, "--overwrite"], "holds other things than an enhancement: choose another place"),
        ([*fit, "--output", folder / "no" / "e"], "there is no folder"),
        ([*fit, "--output", folder / "there.npy", "--overwrite"], "there.npy is a file: name a folder"),
        ([*apply, "--output", folder / "there.npy"], "there.npy exists: choose another place, or pass --overwrite"),
        ([*apply, "--output", folder / "x.npy", "--overwrite"], "x.npy is the file that is read"),
        ([*apply, "--output", folder / "link.npy", "--overwrite"], "link.npy is the file that is read"),
        ([*apply, "--output", folder / "out.csv"], "none of the extensions that are written: .npy, .safetensors"),
        ([*apply, "--output", folder / "e", "--overwrite"], "none of the extensions"),
        (["apply", folder / "e", folder / "narrow.npy", "--output", folder / "o.npy"], "has 5 features, the enhance"),
        (["apply", folder / "e", folder / "no.npy", "--output", folder / "o.npy"], "there is no file"),
        (["apply", folder / "no-such-e", folder / "x.npy", "--output", folder / "o.npy"], "no-such-e"),
        (["export", folder / "e", "--to", "json", "--output", folder / "there.npy"], "exists: choose another place"),
        (["export", folder / "no-such-e", "--to", "json", "--output", folder / "o.json"], "no-such-e"),
        ([*fit[:1], folder / "narrow.npy", *fit[1:], "--output", folder / "f"], "narrow.npy has 5 features, "),
    ]
    before = names(folder)
    for arguments, message in refused:
        out, error = run(capsys, *arguments, code=2)
        assert (out, error.count("\n")) == ("", 1)
        assert message in error
        assert names(folder) == before


def test_overwrite_replaces(folder, capsys):
    for method, expected in (
        ("centering", X - X.mean(axis=0)),
        ("all_but_the_top", AllButTheTop().fit(X).transform(X)),
    ):
        run(capsys, "fit", folder / "x.npy", "--method", method, "--output", folder / "e", "--overwrite")
        run(capsys, "apply", folder / "e", folder / "x.npy", "--output", folder / "out.npy", "--overwrite")
        np.testing.assert_allclose(np.load(folder / "out.npy"), expected, atol=1e-4)
    assert names(folder) == ["all.npz", "e", "out.npy", "x.npy"]


def read_onnx(path, rows):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(["enhanced"], {"embeddings": rows})[0]


def read_faiss(path, rows):
    import faiss

    return faiss.read_VectorTransform(str(path)).apply(rows)


def read_torch(path, rows):
    import torch

    return torch.export.load(path).module()(torch.from_numpy(rows)).numpy()


def read_dense(path, rows):
    import torch
    from sentence_transformers.models import Dense

    with torch.no_grad():
        return Dense.load(str(path))({"sentence_embedding": torch.from_numpy(rows)})["sentence_embedding"].numpy()


def read_json(path, rows):
    """In plain Python, as a browser would."""
    numbers = json.loads(path.read_text())
    results = []
    for row in rows.tolist():
        result = [
            sum(x * weight for x, weight in zip(row, column, strict=True)) + b
            for column, b in zip(zip(*numbers["W"], strict=True), numbers["b"], strict=True)
        ]
        length = sum(x * x for x in result) ** 0.5 if numbers["normalize"] else 1
        results.append([x / length for x in result])
    by_difference = (rows - np.array(numbers["mean"])) @ np.array(numbers["W"]) + numbers["offset"]
    if numbers["normalize"]:
        by_difference /= np.linalg.norm(by_difference, axis=1, keepdims=True)
    np.testing.assert_allclose(by_difference, results, atol=1e-9)
    return np.array(results)


EXPORTS = {
    "onnx": ("out.onnx", read_onnx),
    "faiss": ("out.faiss", read_faiss),
    "torch": ("out.pt2", read_torch),
    "dense": ("out", read_dense),
    "json": ("out.json", read_json),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # inside torch and faiss
@pytest.mark.parametrize("to", EXPORTS)
def test_an_export_gives_the_vectors_of_transform_in_the_real_library(to, folder, capsys):
    run(
        capsys, "fit", folder / "x.npy", "--method", "standardization,whitening", "--output", folder / "e",
        "--option", "n_components=7",
    )  # fmt: skip
    name, read = EXPORTS[to]
    out, error = run(capsys, "export", folder / "e", "--to", to, "--output", folder / name)
    assert (out, error) == (f"{folder / name}\n", "")
    expected = from_pretrained(folder / "e").transform(X)
    for rows, right in ((X[:1], expected[:1]), (X[:50], expected[:50])):
        np.testing.assert_allclose(read(folder / name, rows), right, atol=1e-5)
    assert names(folder) == sorted(["all.npz", "e", name, "x.npy"])
    error = run(capsys, "export", folder / "e", "--to", to, "--output", folder / name, code=2).err
    assert f"{name} exists: choose another place, or remove it" in error or "holds other things" in error


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # inside torch and faiss
def test_what_a_format_cannot_hold_is_refused_and_the_rest_is_carried(folder, capsys):
    fit = ["fit", folder / "x.npy", "--method"]
    run(capsys, *fit, "centering,whitening,normalize", "--output", folder / "unit")
    run(capsys, *fit, "cluster_centering", "--output", folder / "clusters", "--option", "n_clusters=3")
    run(capsys, *fit, "normalize", "--output", folder / "normalizer")
    before = names(folder)
    for to in ("faiss", "dense"):
        error = run(capsys, "export", folder / "unit", "--to", to, "--output", folder / "out", code=2).err
        assert "Normalizer" in error and error.count("\n") == 1
    for to in ("faiss", "dense", "json"):
        error = run(capsys, "export", folder / "clusters", "--to", to, "--output", folder / "out", code=2).err
        assert "ClusterCentering is not affine" in error and error.count("\n") == 1
    error = run(capsys, "export", folder / "normalizer", "--to", "json", "--output", folder / "out", code=2).err
    assert "Normalizer is not affine" in error and error.count("\n") == 1
    error = run(capsys, "export", folder / "unit", "--to", "torch", "--output", folder / "out.pt", code=2).err
    assert "out.pt must end in .pt2" in error
    assert names(folder) == before
    for which, to in (("unit", "torch"), ("unit", "json"), ("clusters", "torch")):
        name, read = EXPORTS[to]
        run(capsys, "export", folder / which, "--to", to, "--output", folder / f"{which}-{name}")
        expected = from_pretrained(folder / which).transform(X[:40])
        np.testing.assert_allclose(read(folder / f"{which}-{name}", X[:40]), expected, atol=1e-5)


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["enhance", "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(f"    {name} " in out for name in ("fit", "apply", "export", "methods"))


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [("fit", signal.SIGINT, 130), ("apply", signal.SIGINT, 130), ("apply", signal.SIGTERM, 143)],
)
def test_a_stopped_command_leaves_nothing(command, number, code, folder, capsys):
    run(capsys, "fit", folder / "x.npy", "--method", "centering", "--output", folder / "e")
    with open(folder / "long.npy", "wb") as file:  # sparse: 96 GB of zeros that take no place
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**31, D)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**31 * D * 4)
    before = names(folder)
    arguments = {
        "fit": ["fit", folder / "long.npy", "--method", "whitening", "--output", folder / "f"],
        "apply": ["apply", folder / "e", folder / "long.npy", "--output", folder / "out.npy"],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "isotropy_metrics", "enhance", *map(str, arguments)], stderr=subprocess.PIPE
    )
    progress = process.stderr.read(20)  # the bar that comes after two seconds
    assert len(names(folder)) == len(before) + 1  # the work lies beside
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert (b"Whitening" if command == "fit" else b"long.npy") in progress
    assert process.returncode == code
    assert b"Traceback" not in error
    assert names(folder) == before


def peak_megabytes(*arguments):
    """Highest resident size of the command in a process of its own (Linux)."""
    code = (
        "import sys\nfrom isotropy_metrics.cli import main\nassert main(sys.argv[1:]) == 0\n"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "enhance", *map(str, arguments), "--quiet"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = {}
    block = np.random.default_rng(0).normal(size=(1000, 256)).astype(np.float32)
    for n_blocks in (40, 400):  # 40 and 400 MB
        with open(tmp_path / "x.npy", "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n_blocks * 1000, 256)}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(n_blocks):
                file.write(block)
        fit = ["fit", tmp_path / "x.npy", "--method", "all_but_the_top,whitening", "--output", tmp_path / "e"]
        peaks["fit", n_blocks] = peak_megabytes(*fit, "--overwrite")
        for extension in (".npy", ".safetensors", ".parquet"):
            apply = ["apply", tmp_path / "e", tmp_path / "x.npy", "--output", tmp_path / f"out{extension}"]
            peaks[extension, n_blocks] = peak_megabytes(*apply, "--overwrite")
            (tmp_path / f"out{extension}").unlink()
    for what in ("fit", ".npy", ".safetensors", ".parquet"):
        assert peaks[what, 400] < peaks[what, 40] + 40, peaks
