"""The Space reads what is uploaded right, and refuses what is hostile in one sentence, soon and in little memory."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
from hostile_files import FORMATS, HTML, ROWS, archive, claimed, hostile_files, lying, many_columns, valid_file
from isotropy_space import limits
from isotropy_space.plain_texts import plain_text
from isotropy_space.upload_listing import Listing, list_columns
from isotropy_space.uploads import read_embeddings, sentences_about
from pyarrow import feather, parquet

from isotropy_metrics import embedding_files
from isotropy_metrics.embedding_files import ColumnListing, Limits, open_embeddings

N = len(ROWS)
WORDS = np.array([f"{HTML} wörd {i}" for i in range(N)])
GROUP = np.arange(N) % 3
FIT = np.linspace(0, 1, N)
REFUSALS = (ValueError, FileNotFoundError, OSError)


class Peak:
    """Seconds and MiB that a block takes at most above what was there before."""

    def __enter__(self):
        process = psutil.Process()
        before, self._done, most = process.memory_info().rss, threading.Event(), []

        def watch():
            while not self._done.wait(0.005):
                most.append(process.memory_info().rss - before)

        self._thread = threading.Thread(target=watch)
        self._thread.start()
        self._most, self._began = most, time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self._began
        self._done.set()
        self._thread.join()
        self.mebibytes = max(self._most, default=0) / 2**20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("extension", [*FORMATS, ".NPY", ".Parquet"])
def test_every_format_gives_the_numbers_that_were_written(extension, dtype, tmp_path):
    path = tmp_path / f"cloud{extension}"
    rows = ROWS if extension == ".safetensors" else ROWS.astype(dtype)
    valid_file(path, rows)
    read = read_embeddings(str(path))
    assert (read.title, read.names, read.labels, read.labels_title) == (path.name, None, None, None)
    assert read.rows.flags.c_contiguous and read.rows.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(read.rows.astype(rows.dtype), rows)
    if extension not in (".csv", ".tsv"):
        assert read.rows.dtype == rows.dtype


@pytest.mark.parametrize("dtype", ["f2", "i1", ">f4", "<i8", "?"])
def test_other_numbers_become_floats_of_the_same_value(dtype, tmp_path):
    rows = (ROWS * 10).astype(dtype)
    np.save(tmp_path / "a.npy", rows)
    read = read_embeddings(str(tmp_path / "a.npy")).rows
    assert read.dtype == (np.float32 if dtype in ("f2", ">f4") else np.float64)
    np.testing.assert_array_equal(read, rows.astype(np.float64))


def frame() -> pd.DataFrame:
    some = pd.Series(GROUP, dtype="Int64").mask(GROUP == 1)
    named = pd.Series(WORDS).mask(GROUP == 2)
    return pd.DataFrame(
        {
            "vector": list(ROWS),
            "word": WORDS,
            "group": GROUP,
            "fit": FIT,
            "some": some,
            "named": named,
            "yes": FIT > 0.5,
        }
    )


def write_frame(path: Path) -> None:
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=70)
    elif path.suffix == ".csv":
        wide = pd.concat([pd.DataFrame(ROWS).add_prefix("f"), frame().drop(columns="vector")], axis=1)
        wide.to_csv(path, index=False)
    else:
        feather.write_feather(table, str(path), "zstd" if path.suffix == ".feather" else "uncompressed")


@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".feather"])
def test_names_and_labels_of_tables(extension, tmp_path):
    path = tmp_path / f"a{extension}"
    write_frame(path)
    read = read_embeddings(str(path), names="word", labels="group")
    np.testing.assert_array_equal(read.rows, ROWS)
    np.testing.assert_array_equal(read.names, WORDS)
    np.testing.assert_array_equal(read.labels, GROUP)
    assert (read.names.dtype.kind, read.labels.dtype.kind, read.labels_title) == ("U", "i", "group")
    np.testing.assert_array_equal(read_embeddings(str(path), labels="fit").labels, FIT)
    assert list_columns(str(path)) == Listing(("vector",), ("word", "named", "yes", "group", "fit", "some"))


@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".csv"])
def test_what_is_missing_in_labels_and_names_is_told(extension, tmp_path):
    path = tmp_path / f"a{extension}"
    write_frame(path)
    if extension == ".csv":
        pd.read_csv(path)[["f0", "f1", "some", "named", "yes"]].to_csv(path, index=False)
    read = read_embeddings(str(path), labels="some", names="named")
    np.testing.assert_array_equal(read.labels, np.where(GROUP == 1, np.nan, GROUP))
    np.testing.assert_array_equal(read.names, np.where(GROUP == 2, "", WORDS))
    texts = read_embeddings(str(path), labels="named", names="some").labels if extension != ".csv" else None
    if texts is not None:
        np.testing.assert_array_equal(texts, np.where(GROUP == 2, "(missing)", WORDS))
        truths = read_embeddings(str(path), labels="yes").labels
        np.testing.assert_array_equal(truths, np.where(FIT > 0.5, "True", "False"))


def test_names_and_labels_of_arrays(tmp_path):
    path = tmp_path / "a.npz"
    others = {"other": ROWS[:, :2], "word": WORDS, "group": GROUP, "raw": GROUP.astype("S")}
    np.savez(path, vector=ROWS, short=GROUP[:5], **others)
    read = read_embeddings(str(path), column="vector", names="word", labels="raw")
    np.testing.assert_array_equal(read.rows, ROWS)
    np.testing.assert_array_equal(read.names, WORDS)
    np.testing.assert_array_equal(read.labels, GROUP.astype(str))
    assert list_columns(str(path)) == Listing(("vector", "other"), ("word", "raw", "group"))
    with pytest.raises(ValueError, match="^a.npz has 2 arrays that could be the embeddings, name one: 'vector'"):
        read_embeddings(str(path))


def test_texts_beside_are_shown_as_plain_text_of_bounded_length(tmp_path):
    words = np.array([HTML, "two\nlines", "x" * 10_000, ""])
    np.savez(tmp_path / f"{HTML}.npz".replace("/", ""), **{HTML: np.eye(4), "words": words})
    read = read_embeddings(str(tmp_path / f"{HTML}.npz"), names="words", labels="words")
    assert read.names.tolist() == [HTML, "two lines", "x" * 199 + "…", ""] == read.labels.tolist()
    assert read.title == f"{HTML}.npz" and list_columns(str(tmp_path / f"{HTML}.npz")).embeddings == (HTML,)
    assert plain_text("\u202egpj.exe\x00") == " gpj.exe "


def test_a_listing_reads_no_rows_and_tells_what_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr("isotropy_metrics.embedding_files.stored_array.StoredArray.blocks", None)
    np.save(tmp_path / "a.npy", ROWS)
    assert embedding_files.list_columns(tmp_path / "a.npy") == ColumnListing()
    valid_file(tmp_path / "a.safetensors")
    assert embedding_files.list_columns(tmp_path / "a.safetensors") == ColumnListing(("vector",))
    (tmp_path / "a.tsv").write_text('v\tw\tn\n"[1, 2]"\tx\t1\n"[3, 4]"\ty\t2\n')
    assert embedding_files.list_columns(tmp_path / "a.tsv") == ColumnListing(("v",), ("w",), ("n",))
    many_columns(tmp_path / "a.parquet", 500)
    assert list_columns(str(tmp_path / "a.parquet")) == Listing((), tuple(f"f{i}" for i in range(200)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return list(hostile_files(tmp_path_factory.mktemp("hostile")))


def test_hostile_files_are_many_and_small(hostile):
    assert len(hostile) >= 300
    assert sum(path.stat().st_size for path in hostile if path.is_file()) < 100e6


def test_every_hostile_file_is_refused_in_one_sentence_soon_and_in_little_memory(hostile):
    for path in hostile:
        with Peak() as peak, pytest.raises(REFUSALS) as caught:
            read_embeddings(str(path))
        said = str(caught.value)
        assert "\n" not in said and 10 < len(said) <= 500, path
        assert str(path.parent) not in said, path
        assert peak.seconds < 5 and peak.mebibytes < 600, (path, peak.seconds, peak.mebibytes)
    assert not Path("/tmp/isotropy-space-was-harmed").exists()


def test_hostile_files_are_listed_or_refused(hostile):
    for path in hostile:
        try:
            list_columns(str(path))
        except REFUSALS as error:
            assert "\n" not in str(error) and str(path.parent) not in str(error), path


def test_a_title_tells_the_column_and_an_empty_choice_is_none(tmp_path):
    np.savez(tmp_path / "two.npz", before=np.eye(3), after=np.eye(3))
    assert read_embeddings(str(tmp_path / "two.npz"), column="after", names="", labels="").title == "two.npz, after"
    np.save(tmp_path / "one.npy", np.eye(3))
    assert read_embeddings(str(tmp_path / "one.npy"), column="").title == "one.npy"


def test_an_error_of_a_library_keeps_its_sentence(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(OSError, match="^a.npy: the footer is gone$"), sentences_about(path):
        raise OSError("the footer is gone")
    with pytest.raises(OSError, match="^a.npy cannot be read: Input/output error$"), sentences_about(path):
        raise OSError(5, "Input/output error", str(path))


@pytest.mark.parametrize("path", [None, "", "/etc", "/dev/zero", "/nowhere/a.npy", "a\0b.npy", "x" * 5000])
def test_what_is_no_uploaded_file_is_refused(path):
    for handler in (read_embeddings, list_columns):
        with pytest.raises(REFUSALS) as caught:
            handler(path)
        assert "/nowhere" not in str(caught.value) and len(str(caught.value)) < 300


def texts_of_one_word(path: Path) -> None:
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(N * 100, dtype=np.int32)), pa.array(["x" * 100_000]))
    table = pa.table({"vector": pa.array(list(np.tile(ROWS, (100, 1)))), "word": word})
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, str(path), "uncompressed")


def views_of_one_word(path: Path) -> None:
    views = np.zeros((N, 4), dtype="<i4")
    views[:, 0], views[:, 1] = 10**6, int.from_bytes(b"yyyy", "little")
    buffers = [None, pa.py_buffer(views.tobytes()), pa.py_buffer(b"y" * 10**6)]
    word = pa.Array.from_buffers(pa.string_view(), N, buffers)
    feather.write_feather(pa.table({"vector": list(ROWS), "word": word}), str(path), "uncompressed")


def texts_that_repeat_the_beginning(path: Path) -> None:
    table = pa.table({"vector": list(ROWS), "word": ["x" * 100_000] * N})
    encoding = {"vector.list.element": "PLAIN", "word": "DELTA_BYTE_ARRAY"}
    parquet.write_table(table, path, use_dictionary=False, column_encoding=encoding)


def wide_texts(path: Path) -> None:
    np.savez_compressed(path, vector=np.zeros((30_000, 2)), word=np.array(["a"] * 29_999 + ["b" * 1000]))


def wide_bytes(path: Path) -> None:
    np.savez_compressed(path, vector=np.zeros((30_000, 2)), word=np.array([b"a"] * 29_999 + [b"b" * 1000]))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.parquet", texts_of_one_word, "column 'word' of a.parquet has 2,000,000,000 bytes of text: at most"),
        ("a.arrow", texts_of_one_word, "column 'word' of a.arrow has .* bytes of text: at most"),
        ("b.arrow", views_of_one_word, "column 'word' of b.arrow has 200,000,000 bytes of text: at most"),
        ("b.parquet", texts_that_repeat_the_beginning, "texts in the encoding DELTA_BYTE_ARRAY"),
        ("a.npz", wide_texts, "a.npz has 120,000,000 bytes of text: at most"),
        ("b.npz", wide_bytes, "b.npz has 120,000,000 bytes of text: at most"),
    ],
)
def test_names_that_would_fill_the_memory_are_refused(name, write, said, tmp_path):
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2e7
    with Peak() as peak, pytest.raises(ValueError, match=said):
        read_embeddings(str(tmp_path / name), names="word")
    assert peak.seconds < 5 and peak.mebibytes < 300


def test_names_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"name,a,b\nx,1,2\n\xe9\xff,3,4\n")
    with pytest.raises(ValueError, match="^a.csv cannot be read: |^column 'name' of a.csv"):
        read_embeddings(str(tmp_path / "a.csv"), names="name")
    invalid = archive({"v.npy": claimed((2, 2)) + bytes(16), "w.npy": claimed((2,), "<U1") + b"\xff" * 8})
    (tmp_path / "a.npz").write_bytes(invalid)
    with pytest.raises(ValueError, match="^a.npz is damaged: it holds text with characters that there are not"):
        read_embeddings(str(tmp_path / "a.npz"), names="w")
    invalid = archive({"v.npy": claimed((2, 2)) + bytes(16), "w.npy": claimed((2,), "|S1") + b"\xff\xff"})
    (tmp_path / "a.npz").write_bytes(invalid)
    with pytest.raises(ValueError, match="^a.npz holds text that is not UTF-8"):
        read_embeddings(str(tmp_path / "a.npz"), names="w")


def test_limits_hold_before_and_while_rows_are_read(tmp_path):
    valid_file(tmp_path / "a.npy")
    valid_file(tmp_path / "a.csv")
    lists = [[1.0, 2.0]] * 50
    feather.write_feather(pa.table({"v": lists}), str(tmp_path / "a.arrow"), "uncompressed")
    feather.write_feather(pa.table({"v": lists}), str(tmp_path / "a.feather"), "zstd")
    parquet.write_table(pa.table({"v": lists}), tmp_path / "a.parquet")
    for name, found in {
        "a.npy": {"n_bytes": 19_000, "n_rows": 199, "n_features": 11, "n_values": 2399},
        "a.csv": {"n_bytes": 9000, "n_columns": 11, "n_features": 11},
        "a.arrow": {"header_bytes": 200, "n_columns": 0, "n_rows": 49},
        "a.feather": {"unpacked_bytes": 1000, "n_features": 1},
        "a.parquet": {"header_bytes": 300, "n_rows": 49, "n_features": 1, "unpacked_bytes": 10},
    }.items():
        open_embeddings(tmp_path / name, limits=Limits(n_rows=200))
        for limit, most in found.items():
            with pytest.raises(ValueError, match=f"{name} has .*: at most {most:,} are read here"):
                open_embeddings(tmp_path / name, limits=Limits(**{limit: most}))
    for limit in (Limits(n_rows=199), Limits(n_values=2399)):
        file = open_embeddings(tmp_path / "a.csv", limits=limit)  # only reading tells how many rows there are
        with pytest.raises(ValueError, match="a.csv has 2.*: at most .* are read here"):
            list(file.batches(7))


def test_pages_that_hold_more_than_the_footer_says_are_not_read(tmp_path):
    def write(path):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(600_000)), 3000)
        parquet.write_table(pa.table({"vector": lists.cast(pa.list_(pa.float64()))}), path)

    lying(tmp_path / "a.parquet", write, 600_000, 200)
    with pytest.raises(ValueError, match="its pages and its footer tell different numbers of values"):
        open_embeddings(tmp_path / "a.parquet", limits=Limits(n_features=8192))


def damaged(content, generator):
    content = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        at = int(generator.integers(min(800, len(content))))
        content[at if generator.random() < 0.3 else -1 - at] = generator.integers(256)
    return bytes(content)


@pytest.mark.parametrize("extension", [*FORMATS, "with ids.parquet", "with ids.arrow"])
def test_damaged_files_are_read_or_refused_and_the_process_lives(extension, tmp_path):
    beside = {"names": "word", "labels": "named"} if "ids" in extension else {}
    (write_frame if beside else valid_file)(tmp_path / f"a{extension}")
    content, generator = (tmp_path / f"a{extension}").read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        (tmp_path / f"a{extension}").write_bytes(damaged(content, generator))
        try:
            read_embeddings(str(tmp_path / f"a{extension}"), **beside)
            list_columns(str(tmp_path / f"a{extension}"))
        except REFUSALS as error:
            refused += 1
            assert "\n" not in str(error) and str(tmp_path) not in str(error)
    assert refused > 5


def test_the_limits_are_stated():
    assert limits.limits_sentence() == (
        "At most 200 MB, 200,000 rows, 8,192 numbers per row and 50 million numbers in all."
    )


@pytest.mark.slow
@pytest.mark.parametrize(("extension", "seconds"), [(".npy", 1), (".parquet", 2.5), (".safetensors", 1)])
def test_a_large_file_is_read_soon(extension, seconds, tmp_path):
    rows = np.random.default_rng(0).normal(size=(25_000, 768)) if extension == ".safetensors" else None
    rows = np.random.default_rng(0).normal(size=(50_000, 768)).astype(np.float32) if rows is None else rows
    valid_file(tmp_path / f"a{extension}", rows)
    with Peak() as peak:
        read = read_embeddings(str(tmp_path / f"a{extension}"))
    np.testing.assert_array_equal(read.rows, rows)
    assert peak.seconds < seconds
