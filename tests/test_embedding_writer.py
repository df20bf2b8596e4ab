"""Files of embeddings that are written: read back by the real libraries, complete or absent."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors.numpy
from pyarrow import parquet

from isotropy_metrics.embedding_files import open_embeddings
from isotropy_metrics.embedding_files.embedding_writer import DTYPES, WRITERS, writing_embeddings
from isotropy_metrics.embedding_files.output_path import output_path

X = np.random.default_rng(0).normal(size=(103, 7))


def write(path, rows, step=10, **options):
    with writing_embeddings(path, rows.shape[1], **options) as append:
        for start in range(0, len(rows), step):
            append(rows[start : start + step])


READERS = {
    ".npy": np.load,
    ".safetensors": lambda path: safetensors.numpy.load_file(path)["embeddings"],
    ".parquet": lambda path: np.stack(parquet.read_table(path)["embeddings"].to_numpy()),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("extension", READERS)
@pytest.mark.parametrize("step", [1, 10, 1000])
def test_what_is_written_in_blocks_is_read_back_by_the_real_library(extension, dtype, step, tmp_path):
    path = tmp_path / f"out ü{extension}"
    write(path, X, step, dtype=dtype)
    read = READERS[extension](path)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, X.astype(dtype))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(next(open_embeddings(path).batches(103)).rows, X.astype(dtype))


def test_there_is_a_reader_for_every_format():
    assert list(READERS) == list(WRITERS)


def test_a_header_grows_with_the_number_of_rows(tmp_path):
    many = (np.arange(1_234_567)[:, None] % 7).astype(np.float16)
    for extension in (".npy", ".safetensors"):
        write(tmp_path / f"a{extension}", many, 1_000_000, dtype="float16")
        np.testing.assert_array_equal(READERS[extension](tmp_path / f"a{extension}"), many)


def test_the_other_columns_of_a_parquet_file_come_along_in_their_order(tmp_path):
    lists = [[i] * (i % 3) for i in range(103)]
    columns = {"id": np.arange(103), "vector": list(X), "text": [f"ü {i}" for i in range(103)], "tags": lists}
    parquet.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=29)
    source = open_embeddings(tmp_path / "in.parquet", column="vector")
    write(tmp_path / "out.parquet", X[:, :3] * 2, source=source)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == list(columns)
    assert table.drop(["vector"]) == pa.table(columns).drop(["vector"])
    np.testing.assert_array_equal(np.stack(table["vector"].to_numpy()), (X[:, :3] * 2).astype(np.float32))
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    assert loaded[5]["text"] == "ü 5" and loaded[5]["vector"] == (X[5, :3] * 2).astype(np.float32).tolist()


def test_features_in_columns_of_their_own_become_one_column_beside_the_rest(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcdefg")).assign(text="t")
    frame[["text", *"abcdefg"]].to_parquet(tmp_path / "in.parquet")
    write(tmp_path / "out.parquet", X, source=open_embeddings(tmp_path / "in.parquet"))
    assert parquet.read_table(tmp_path / "out.parquet").column_names == ["text", "embeddings"]
    frame.rename(columns={"text": "embeddings"}).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(ValueError, match="another column 'embeddings'"):
        write(tmp_path / "other.parquet", X, source=open_embeddings(tmp_path / "in.parquet"))
    assert not (tmp_path / "other.parquet").exists()


def test_an_array_keeps_its_name(tmp_path):
    np.savez(tmp_path / "in.npz", vector=X, other=np.ones(103))
    write(tmp_path / "out.safetensors", X, source=open_embeddings(tmp_path / "in.npz"))
    assert list(safetensors.numpy.load_file(tmp_path / "out.safetensors")) == ["vector"]
    write(tmp_path / "out.parquet", X, source=open_embeddings(tmp_path / "in.npz"))
    assert parquet.read_table(tmp_path / "out.parquet").column_names == ["vector"]


@pytest.mark.parametrize("extension", WRITERS)
def test_work_that_fails_leaves_nothing_and_what_was_there_as_it_was(extension, tmp_path):
    path = tmp_path / f"a{extension}"
    for before in (False, True):
        if before:
            path.write_text("old")
        with pytest.raises(ZeroDivisionError), writing_embeddings(path, 7, overwrite=True) as append:
            append(X)
            append(1 / 0)
        assert list(tmp_path.iterdir()) == [path] * before
    assert path.read_text() == "old"
    write(path, X, overwrite=True)
    assert len(READERS[extension](path)) == 103


def test_what_cannot_be_written_is_refused_before_and_nothing_is_left(tmp_path):
    (tmp_path / "there.npy").write_text("old")
    refused = [
        ("a.csv", {}, ValueError, "none of the extensions that are written: .npy, .safetensors, .parquet"),
        ("a.npy", {"dtype": "int8"}, ValueError, "dtype must be one of float16, float32, float64, got int8"),
        ("there.npy", {}, FileExistsError, "there.npy exists: choose another place, or pass --overwrite"),
        ("nowhere/a.npy", {}, FileNotFoundError, "there is no folder .*nowhere to write a.npy into"),
    ]
    for name, options, kind, message in refused:
        with pytest.raises(kind, match=message):
            write(tmp_path / name, X, **options)
    with pytest.raises(ValueError, match="row 20 or a later one overflows float16: ask for a wider dtype"):
        write(tmp_path / "a.npy", np.concatenate([X[:25], X[25:] * 1e6]), dtype="float16")
    assert [each.name for each in tmp_path.iterdir()] == ["there.npy"]


def test_a_folder_is_replaced_only_if_it_holds_nothing_but_an_enhancement(tmp_path):
    folder = tmp_path / "e"
    for name in ("enhancement.json", "enhancement.safetensors"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("old")
    with pytest.raises(FileExistsError, match="exists"), output_path(folder, overwrite=False):
        pass
    with output_path(folder, overwrite=True) as new:
        new.mkdir()
        (new / "enhancement.json").write_text("new")
    assert [each.name for each in folder.iterdir()] == ["enhancement.json"]
    assert (folder / "enhancement.json").read_text() == "new"
    (folder / "thesis.tex").write_text("three years")
    with pytest.raises(FileExistsError, match="holds other things than an enhancement"):
        with output_path(folder, overwrite=True):
            pass
    assert len(list(folder.iterdir())) == 2 and len(list(tmp_path.iterdir())) == 1
