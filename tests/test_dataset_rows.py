"""Datasets of `datasets` as a source: map-style and streamed ones give the values and batches of their rows."""

from __future__ import annotations

import json
import types

import datasets
import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from datasets.distributed import split_dataset_by_node

from isotropy_metrics import measure
from isotropy_metrics.cli import main
from isotropy_metrics.embedding_files import (
    compare_files,
    enhanced_file,
    gathered_files,
    measure_file,
    measure_files,
    open_embeddings,
    read_batches,
)
from isotropy_metrics.embedding_files.fitted_files import fit_files
from isotropy_metrics.enhancement import Whitening
from isotropy_metrics.measures.comparisons import compare

N, D = 3000, 6
X = np.random.default_rng(0).normal(size=(N, D)) * np.arange(1, D + 1) + 3
LABELS = np.arange(N) % 4
WORDS = np.array([f"w{i % 50}" for i in range(N)])
WEIGHT = np.linspace(1, 2, N)
NAMES = ["isoscore", "average_cosine_similarity", "effective_rank"]


def table(rows=slice(None), extra=0.0):
    vectors = pa.FixedSizeListArray.from_arrays((X[rows] + extra).ravel(), D)
    columns = {"embedding": vectors, "label": LABELS[rows], "word": WORDS[rows], "p": WEIGHT[rows]}
    return pa.table(columns)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # after each shuffled pass: 5 s
    datasets.disable_progress_bars()


@pytest.fixture
def paths(tmp_path):
    paths = [str(tmp_path / f"part {i}.parquet") for i in range(2)]
    for path, rows in zip(paths, (slice(0, 1700), slice(1700, N)), strict=True):
        parquet.write_table(table(rows), path, row_group_size=450)
    return paths


@pytest.fixture
def streamed(paths):
    return datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True)


@pytest.fixture
def whole():
    return datasets.Dataset(table())


def generated():
    for i in range(N):
        yield {"embedding": X[i], "label": LABELS[i], "word": WORDS[i], "p": WEIGHT[i]}


def doubled(batch):
    return {"embedding": [[2 * value for value in row] for row in batch["embedding"]]}


SOURCES = {
    "whole": lambda whole, streamed: (whole, np.arange(N)),
    "selected": lambda whole, streamed: (whole.select([7, 3, 5] * 300), np.tile([7, 3, 5], 300)),
    "range": lambda whole, streamed: (whole.select(range(100, 2500)), np.arange(100, 2500)),
    "shuffled": lambda whole, streamed: (whole.shuffle(seed=3), None),
    "shard": lambda whole, streamed: (whole.shard(3, 1), np.arange(1000, 2000)),
    "other format": lambda whole, streamed: (whole.with_format("numpy", columns=["p"]), np.arange(N)),
    "joined": lambda whole, streamed: (
        datasets.concatenate_datasets([whole.select(range(1000)), whole]),
        np.r_[:1000, :N],
    ),
    "streamed": lambda whole, streamed: (streamed, np.arange(N)),
    "streamed, shuffled": lambda whole, streamed: (streamed.shuffle(seed=5, buffer_size=200), None),
    "streamed, part": lambda whole, streamed: (streamed.skip(500).take(1600), np.arange(500, 2100)),
    "streamed, filtered": lambda whole, streamed: (
        streamed.filter(lambda row: row["label"] == 2),
        np.flatnonzero(LABELS == 2),
    ),
    "of one node": lambda whole, streamed: (split_dataset_by_node(whole.to_iterable_dataset(3), 1, 2), None),
    "generated": lambda whole, streamed: (datasets.IterableDataset.from_generator(generated), np.arange(N)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_rows_ids_and_weights_are_those_of_the_dataset_in_batches_of_one_size(name, whole, streamed):
    dataset, order = SOURCES[name](whole, streamed)
    file = open_embeddings(dataset, references="label", words="word", weight="p", column="embedding")
    for _ in range(2):  # a pass can be repeated
        batches = list(file.batches(256))
        assert all(len(batch) == 256 for batch in batches[:-1])
        rows = np.concatenate([batch.rows for batch in batches])
        if order is None:  # each row is another one, so that its first number tells which
            order = np.argsort(X[:, 0])[np.searchsorted(np.sort(X[:, 0]), rows[:, 0])]
        np.testing.assert_array_equal(rows, X[order])
        np.testing.assert_array_equal(np.concatenate([batch.ids["references"] for batch in batches]), LABELS[order])
        np.testing.assert_array_equal(np.concatenate([batch.ids["words"] for batch in batches]), WORDS[order])
        np.testing.assert_array_equal(np.concatenate([batch.weight for batch in batches]), WEIGHT[order])
    assert file.n_rows in (None, len(order)) and file.n_features == D
    if name in ("shuffled", "streamed, shuffled"):
        assert not np.array_equal(order, np.arange(N)) and np.array_equal(np.sort(order), np.arange(N))
    rest = list(file.batches(256, first_row=512))
    for one, other in zip(rest, batches[2:], strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.ids["words"], other.ids["words"])


@pytest.mark.parametrize("name", ["whole", "shuffled", "streamed", "generated"])
def test_values_are_those_of_the_rows_in_memory(name, whole, streamed):
    dataset, _ = SOURCES[name](whole, streamed)
    assert measure_file(open_embeddings(dataset, column="embedding"), NAMES) == pytest.approx(
        measure(X, NAMES), rel=1e-12
    )
    file = open_embeddings(dataset, references="label", column="embedding")
    assert measure_file(file, "within_class_isoscore") == pytest.approx(
        measure(X, "within_class_isoscore", references=LABELS), rel=1e-12
    )
    weighted = open_embeddings(dataset, weight="p")
    assert measure_file(weighted, "isoscore") == pytest.approx(measure(X, "isoscore", weight=WEIGHT), rel=1e-12)


def test_a_dataset_is_passed_as_a_path_is(whole, streamed):
    whole, streamed = (each.select_columns("embedding") for each in (whole, streamed))
    assert measure_file(whole, NAMES) == pytest.approx(measure(X, NAMES), rel=1e-12)
    assert measure_files([whole, streamed], NAMES) == pytest.approx(measure(np.tile(X, (2, 1)), NAMES), rel=1e-12)
    values = compare_files(whole, streamed, "linear_cka")
    assert values == pytest.approx(compare(X, X, "linear_cka"), rel=1e-12)
    assert sum(map(len, read_batches(whole))) == N


@pytest.mark.parametrize("name", ["shuffled", "streamed", "streamed, shuffled"])
def test_fits_take_several_passes_over_a_dataset(name, whole, streamed):
    from sklearn.pipeline import make_pipeline

    dataset, _ = SOURCES[name](whole, streamed)
    pipeline = make_pipeline(Whitening(), Whitening(method="zca"))
    fit_files(pipeline, [open_embeddings(dataset, column="embedding")])
    expected = make_pipeline(Whitening(), Whitening(method="zca")).fit(X)
    np.testing.assert_allclose(pipeline.transform(X), expected.transform(X), atol=1e-9)


def test_a_dataset_is_enhanced_into_a_file(whole, tmp_path):
    fitted = Whitening().fit(X)
    file = open_embeddings(whole, column="embedding")
    enhanced_file.enhance_file(fitted, file, tmp_path / "out.parquet")
    rows = np.concatenate([batch.rows for batch in read_batches(tmp_path / "out.parquet")])
    np.testing.assert_allclose(rows, fitted.transform(X), rtol=1e-12)


def test_columns_of_numbers_are_features_and_the_first_row_tells_what_features_do_not(whole):
    names = [f"x{i}" for i in range(D)]
    numbers = datasets.Dataset(pa.table(dict(zip(names, X.T, strict=True))))
    assert open_embeddings(numbers).source == "6 columns of numbers"
    assert measure_file(numbers, NAMES) == pytest.approx(measure(X, NAMES), rel=1e-12)
    mapped = whole.to_iterable_dataset().map(doubled, batched=True)
    assert mapped.features is None
    rows = np.concatenate([batch.rows for batch in read_batches(mapped, column="embedding")])
    np.testing.assert_array_equal(rows, 2 * X)


def test_labels_of_classes_are_their_numbers(whole):
    named = whole.cast_column("label", datasets.ClassLabel(names=list("abcd")))
    first = next(read_batches(named, references="label", column="embedding"))
    np.testing.assert_array_equal(first.ids["references"], LABELS[: len(first)])


# What is refused


def refused_datasets(whole):
    empty = whole.select([])
    ragged = datasets.Dataset.from_dict({"embedding": [[1.0, 2.0]] * 300 + [[1.0]]})
    missing = datasets.Dataset.from_dict({"embedding": [[1.0, 2.0]] * 30 + [None]})
    return {
        "holds no rows": (empty, {}),
        "has no column 'vector', it has: 'embedding', 'label', 'word', 'p'": (whole, {"column": "vector"}),
        "column 'word' holds string, one list of numbers per row is needed": (whole, {"column": "word"}),
        "row 300 of column 'embedding' of the dataset has 1 numbers, the rows before it have 2": (ragged, {}),
        "row 30 of column 'embedding' of the dataset is missing": (missing, {}),
        "a mask belongs to arrays of three axes": (whole, {"mask": "p"}),
        "the dataset has no splits: leave out 'train'": (whole, {"split": "train"}),
        "the dataset has neither a column of lists of numbers": (whole.select_columns("word"), {}),
        "the dictionary is a dataset with the splits 'a', 'b': name one": (
            datasets.DatasetDict(a=whole, b=whole),
            {},
        ),
        "there is no 'c'": (datasets.DatasetDict(a=whole, b=whole), {"split": "c"}),
    }


@pytest.mark.parametrize("message", refused_datasets(datasets.Dataset(table())))
def test_what_is_wrong_with_a_dataset_is_one_sentence(message, whole):
    dataset, named = refused_datasets(whole)[message]
    with pytest.raises(ValueError) as raised:
        list(read_batches(dataset, **named))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_no_dataset_and_no_name_for_a_path(tmp_path):
    with pytest.raises(TypeError, match="come from a path, a Dataset or an IterableDataset, got list"):
        open_embeddings([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"x\.npy has a name already: leave out name='mine'"):
        open_embeddings(tmp_path / "x.npy", name="mine")


def test_one_split_of_a_dictionary_is_taken(whole, paths):
    both = datasets.DatasetDict(a=whole.select(range(200)), b=whole)
    assert open_embeddings(both, split="a", column="embedding").n_rows == 200
    only = datasets.load_dataset("parquet", data_files=paths, streaming=True)
    file = open_embeddings(only)
    assert str(file.path) == "dataset parquet (train)"
    assert measure_file(file, NAMES) == pytest.approx(measure(X, NAMES), rel=1e-12)


# States


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.BATCH_VALUES", D * 128)
    monkeypatch.setattr(gathered_files, "SAVE_VALUES", D * 300)


@pytest.mark.parametrize("name", ["shuffled", "whole", "streamed", "streamed, shuffled"])
def test_an_interrupted_measurement_goes_on(name, whole, streamed, tmp_path, monkeypatch, small_batches):
    dataset, _ = SOURCES[name](whole, streamed)
    file = open_embeddings(dataset, name="rows of the test", column="embedding")
    unbroken = measure_files([file], NAMES, state=tmp_path / "whole.safetensors")
    add, seen = gathered_files.update_statistics, []

    def interrupted(*arguments, **named):
        seen.append(1)
        if len(seen) > 15:
            raise KeyboardInterrupt
        add(*arguments, **named)

    state = tmp_path / "state.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(gathered_files, "update_statistics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            measure_files([file], NAMES, state=state)
    monkeypatch.setattr(gathered_files, "update_statistics", lambda *a, **k: (seen.append(1), add(*a, **k)))
    seen.clear()
    assert measure_files([file], NAMES, state=state) == unbroken
    assert len(seen) < 15


def test_a_state_knows_a_dataset_by_its_fingerprint_or_name(whole, streamed, tmp_path):
    state = tmp_path / "state.safetensors"
    for_state = {"measures": NAMES, "state": state}
    whole, streamed = (each.select_columns("embedding") for each in (whole, streamed))
    measure_files([whole], **for_state)
    measure_files([whole], **for_state)
    with pytest.raises(ValueError, match="is a state of other files"):
        measure_files([whole.shuffle(seed=1)], **for_state)
    with pytest.raises(ValueError, match="nothing tells whether an IterableDataset is still the same"):
        measure_files([streamed], **for_state)
    state.unlink()
    measure_files([open_embeddings(streamed, name="corpus 1")], **for_state)
    measure_files([open_embeddings(streamed, name="corpus 1")], **for_state)
    with pytest.raises(ValueError, match="is a state of other files"):
        measure_files([open_embeddings(streamed, name="corpus 2")], **for_state)


# The Hub


@pytest.fixture
def hub(paths, monkeypatch):
    """What is asked of the Hub, which has one dataset."""
    asked, load = [], datasets.load_dataset

    class Api:
        def dataset_info(self, repository, revision):
            asked.append((repository, revision))
            if repository != "user/cloud":
                raise huggingface_hub.errors.HFValidationError("no such dataset\nmore of it")
            return types.SimpleNamespace(sha="0123abc")

    def load_dataset(repository, configuration, *, revision, streaming):
        asked.append((repository, configuration, revision, streaming))
        files = {"train": paths[:1]} if configuration else {"train": paths, "test": paths[1:]}
        return load("parquet", data_files=files, streaming=True)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_dataset_of_the_hub_is_streamed_at_one_commit(hub, tmp_path, capsys):
    state = tmp_path / "state.safetensors"
    command = ["measure", "hf://datasets/user/cloud", "--measures", ",".join(NAMES), "--json", "--split", "train"]
    assert main([*command, "--state", str(state)]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(measure(X, NAMES), rel=1e-12)
    assert hub == [("user/cloud", None), ("user/cloud", None, "0123abc", True)]
    file = open_embeddings("hf://datasets/user/cloud", split="train")
    assert file.identity() == {
        "path": "user/cloud@0123abc (train)",
        "fingerprint": "user/cloud@0123abc (train)",
    }
    hub.clear()
    file = open_embeddings("hf://datasets/user/cloud@refs/convert/parquet/big")
    assert hub == [("user/cloud", "refs/convert/parquet"), ("user/cloud", "big", "0123abc", True)]
    assert str(file.path) == "user/cloud@0123abc/big (train)"
    assert sum(map(len, file.batches())) == 1700


def test_what_the_hub_has_not_is_one_sentence(hub, capsys):
    for address, message in {
        "hf://datasets/user/other": "cannot be read: no such dataset; check the name and the connection",
        "hf://datasets/cloud": "hf://datasets/cloud is no dataset of the Hub: hf://datasets/USER/NAME",
        "hf://datasets/user/cloud/a/b": "is no dataset of the Hub",
        "hf://datasets/user/cloud": "is a dataset with the splits 'train', 'test': name one",
    }.items():
        assert main(["measure", address]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_offline_is_said_at_once(monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "HfApi", None)
    assert main(["measure", "hf://datasets/user/cloud"]) == 2
    assert "hf://datasets/user/cloud cannot be read: HF_HUB_OFFLINE is set" in capsys.readouterr().err


# What a review found


def test_a_folder_that_was_saved_again_is_another(tmp_path):
    for rows in (slice(0, 1000), slice(1000, 2000)):
        datasets.Dataset(table(rows)).save_to_disk(tmp_path / "folder")
        file = open_embeddings(tmp_path / "folder", column="embedding")
        if rows.start:
            with pytest.raises(ValueError, match="is a state of other files"):
                measure_files([file], NAMES, state=tmp_path / "state.safetensors")
        else:
            measure_files([file], NAMES, state=tmp_path / "state.safetensors")


def test_a_fit_whose_last_save_fell_on_the_last_batch_is_gone_on_with(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("isotropy_metrics.embedding_files.kept_passes.SAVE_VALUES", 1)
    values = []
    for _ in range(2):
        enhancement = Whitening()
        fit_files(enhancement, [open_embeddings(whole, column="embedding")], state=tmp_path / "state.safetensors")
        values.append(enhancement.transform(X[:50]))
    np.testing.assert_array_equal(*values)


def test_splits_of_one_dictionary_have_states_of_their_own(streamed, paths, tmp_path):
    both = datasets.IterableDatasetDict(
        {
            name: datasets.load_dataset("parquet", data_files=[path], split="train", streaming=True)
            for name, path in zip(("train", "test"), paths, strict=True)
        }
    )
    found = []
    for split in both:
        file = open_embeddings(both, column="embedding", split=split, name="corpus")
        found.append(file.identity())
    assert found[0] != found[1] and "corpus" in found[0]["path"]
