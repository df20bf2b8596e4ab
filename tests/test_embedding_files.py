"""Files of embeddings: every format gives the same values in bounded memory, and every bad file is refused."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from pyarrow import feather, parquet

from isotropy_metrics import measure
from isotropy_metrics.embedding_files import compare_files, measure_file, open_embeddings, read_batches
from isotropy_metrics.measures.comparisons import compare

N, D = 1009, 6
rng = np.random.default_rng(0)
X = rng.normal(size=(N, D)) * [3, 2, 1, 1, 1, 0.5] + 0.3
LABELS = np.array(["one", "two words", "drei Wörter", "4"])[np.arange(N) % 4]
WORDS = np.arange(N) % 25
SENTENCES = np.arange(N) // 6
WEIGHT = rng.uniform(0.5, 2, size=N)
IDS = {"references": LABELS, "words": WORDS, "sentences": SENTENCES}
COLUMNS = {"references": "label", "words": "word", "sentences": "sentence"}
COMPANIONS = {"label": LABELS, "word": WORDS, "sentence": SENTENCES, "mass": WEIGHT}
MEASURES = ["isoscore", "average_cosine_similarity", "partition_isotropy"]
WEIGHTED = [*MEASURES, "within_class_isoscore"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """37 rows per batch: no divisor of the row groups and record batches below, which have 50 rows."""
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.BATCH_VALUES", 37 * D)


@pytest.fixture(autouse=True)
def no_progress_bars_of_datasets():
    datasets.disable_progress_bars()


def table(rows, kind=None, **more):
    """An Arrow table with the column "vector" and the companions."""
    kind = kind or pa.list_(pa.from_numpy_dtype(rows.dtype))
    return pa.table({"vector": pa.array(list(rows), kind), **{**COMPANIONS, **more}})


def fixed(rows):
    return pa.list_(pa.from_numpy_dtype(rows.dtype), D)


def write_upper_case(rows, path):
    with open(path, "wb") as file:
        np.savez(file, vector=rows, **COMPANIONS)


def write_stream(rows, path):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table(rows).schema) as writer:
        writer.write_table(table(rows, pa.large_list(pa.from_numpy_dtype(rows.dtype))).cast(table(rows).schema), 50)


def write_csv(rows, path, **options):
    pd.DataFrame(rows).add_prefix("f").assign(**COMPANIONS).to_csv(path, **options)


def write_json_column(rows, path, **options):
    texts = [json.dumps(row.tolist()) for row in rows]
    pd.DataFrame({"vector": texts, **COMPANIONS}).to_csv(path, **options)


FORMATS = {
    "a.npz": lambda rows, path: np.savez(path, vector=rows, **COMPANIONS),
    "compressed.npz": lambda rows, path: np.savez_compressed(path, vector=rows, **COMPANIONS),
    "fortran.npz": lambda rows, path: np.savez_compressed(path, vector=np.asfortranarray(rows), **COMPANIONS),
    "a.parquet": lambda rows, path: parquet.write_table(table(rows), path, row_group_size=50),
    "fixed.parquet": lambda rows, path: parquet.write_table(table(rows, fixed(rows)), path, row_group_size=50),
    "large.parquet": lambda rows, path: parquet.write_table(
        table(rows, pa.large_list(pa.from_numpy_dtype(rows.dtype))), path, row_group_size=50
    ),
    "categories.parquet": lambda rows, path: parquet.write_table(
        table(rows, label=pa.array(LABELS).dictionary_encode()), path
    ),
    "columns.parquet": lambda rows, path: (
        pd.DataFrame(rows, index=np.arange(N) + 0.5).add_prefix("f").assign(**COMPANIONS).to_parquet(path)
    ),
    "a.feather": lambda rows, path: feather.write_feather(table(rows), str(path), chunksize=50),
    "file.arrow": lambda rows, path: feather.write_feather(table(rows, fixed(rows)), str(path), "uncompressed"),
    "stream.arrow": write_stream,
    "folder": lambda rows, path: datasets.Dataset(table(rows)).save_to_disk(path, num_shards=3),
    "a.csv": lambda rows, path: write_csv(rows, path, index=False, float_format=lambda x: repr(float(x))),
    "indexed.csv": lambda rows, path: write_csv(rows, path, float_format=lambda x: repr(float(x))),
    "b.tsv": lambda rows, path: write_csv(rows, path, sep="\t", float_format=lambda x: repr(float(x))),
    "lists.csv": write_json_column,
    "lists.tsv": lambda rows, path: write_json_column(rows, path, sep="\t"),
    "with spaces and ümlaut.NPZ": write_upper_case,
}


TOLERANCE = {np.float64: 1e-10, np.float32: 1e-6}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_rows_and_values_that_were_written(name, dtype, tmp_path):
    rows, path = X.astype(dtype), tmp_path / name
    FORMATS[name](rows, path)
    file = open_embeddings(path, **COLUMNS, weight="mass")
    batches = list(file.batches())
    assert (file.n_features, file.n_rows in (N, None)) == (D, True)
    assert len(batches) > N // 37 and max(map(len, batches)) == 37
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]).astype(dtype), rows)
    np.testing.assert_array_equal(np.concatenate([batch.weight for batch in batches]), WEIGHT)
    for id_name, values in IDS.items():
        np.testing.assert_array_equal(np.concatenate([batch.ids[id_name] for batch in batches]), values)
    values = measure_file(file, WEIGHTED)
    assert values == pytest.approx(measure(rows, WEIGHTED, **IDS, weight=WEIGHT), rel=TOLERANCE[dtype])


ARRAYS = {
    "c.npy": lambda rows, path: np.save(path, rows),
    "fortran.npy": lambda rows, path: np.save(path, np.asfortranarray(rows)),
    "safe.safetensors": lambda rows, path: safetensors.numpy.save_file({"vector": rows}, path),
}


DTYPES = ["<f8", ">f8", "<f4", ">f4", "f2", "i1", "<i4", ">i8", "u2"]


@pytest.mark.parametrize(
    ("name", "dtype"),  # safetensors is little-endian by definition
    [(name, dtype) for name in ARRAYS for dtype in DTYPES if not (name.endswith("safetensors") and ">" in dtype)],
)
def test_arrays_without_names_in_every_dtype_and_order(name, dtype, tmp_path):
    rows = (X if "f" in dtype else np.abs(X) * 10).astype(dtype)
    ARRAYS[name](rows, tmp_path / name)
    batches = list(read_batches(tmp_path / name))
    assert {len(batch) for batch in batches} == {37, N % 37}
    assert all(batch.rows.dtype.isnative and batch.rows.dtype == rows.dtype.newbyteorder("=") for batch in batches)
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), rows)
    assert measure_file(tmp_path / name, MEASURES) == pytest.approx(measure(rows.astype("f8"), MEASURES), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_torch_and_labels_in_safetensors(dtype, tmp_path):
    rows = torch.tensor(X).to(dtype)
    path = tmp_path / "t.safetensors"
    safetensors.torch.save_file({"a b": rows, "word": torch.tensor(WORDS)}, path, metadata={"format": "pt"})
    batches = list(read_batches(path, words="word"))
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), rows.double().numpy())
    np.testing.assert_array_equal(np.concatenate([batch.ids["words"] for batch in batches]), WORDS)


@pytest.mark.parametrize("name", ["h.parquet", "h.feather"])
def test_half_precision_and_integers_in_tables(name, tmp_path):
    write = {"h.parquet": parquet.write_table, "h.feather": feather.write_feather}[name]
    for rows in (X.astype("f2"), (X * 10).astype("i1")):
        write(pa.table({"vector": pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))}), tmp_path / name)
        np.testing.assert_array_equal(np.concatenate([batch.rows for batch in read_batches(tmp_path / name)]), rows)


@pytest.mark.parametrize("name", ["a.npz", "a.parquet", "a.feather", "folder", "lists.csv"])
def test_measures_of_words_and_samples_of_whole_sentences(name, tmp_path):
    FORMATS[name](X, tmp_path / name)
    file = open_embeddings(tmp_path / name, column="vector", **COLUMNS)
    names = [*MEASURES, "self_similarity", "within_class_isoscore"]
    assert measure_file(file, names) == pytest.approx(measure(X, names, **IDS), rel=1e-10)
    asked = {"sample_size": 300, "interval": 0.9, "null": True, "n_resamples": 10, "seed": 3}
    values = measure_file(file, MEASURES, **asked)
    assert (values["n_sampled"], values["n_samples"]) == (300, N)
    assert values == pytest.approx(measure(X, MEASURES, **IDS, **asked), rel=1e-8)


@pytest.mark.parametrize("name", ["t.npz", "t.safetensors"])
def test_tokens_of_three_axes_with_a_mask(name, tmp_path):
    tokens, mask = rng.normal(size=(120, 9, D)), (np.arange(9) < rng.integers(1, 10, size=(120, 1))).astype(int)
    arrays = {"tokens": tokens, "mask": mask, "word": rng.integers(20, size=(120, 9)), "share": 1.0 + mask}
    save = np.savez if name == "t.npz" else lambda path, **arrays: safetensors.numpy.save_file(arrays, path)
    save(tmp_path / name, **arrays)
    file = open_embeddings(tmp_path / name, mask="mask", words="word", weight="share")
    assert file.n_rows is None
    given = {"mask": mask, "words": arrays["word"], "weight": arrays["share"]}
    assert measure_file(file, MEASURES) == pytest.approx(measure(tokens, MEASURES, **given), rel=1e-10)
    with pytest.raises(ValueError, match=r"'tokens' of shape \(120, 9, 6\) needs a mask"):
        open_embeddings(tmp_path / name, column="tokens")
    with pytest.raises(ValueError, match="t.*: the mask 'word' must hold 0 and 1 only"):
        list(read_batches(tmp_path / name, column="tokens", mask="word"))


def test_a_folder_of_splits(tmp_path):
    splits = {"train": table(X), "dev": table(X).slice(0, 50)}
    datasets.DatasetDict({name: datasets.Dataset(part) for name, part in splits.items()}).save_to_disk(tmp_path / "d")
    for name, n_rows in (("train", N), ("dev", 50)):
        batches = list(read_batches(tmp_path / "d", split=name))
        np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), X[:n_rows])
    with pytest.raises(ValueError, match="the splits 'train', 'dev': name one"):
        open_embeddings(tmp_path / "d")
    with pytest.raises(ValueError, match="the splits 'train', 'dev': there is no 'test'"):
        open_embeddings(tmp_path / "d", split="test")
    datasets.DatasetDict({"only": datasets.Dataset(table(X))}).save_to_disk(tmp_path / "one")
    assert sum(map(len, read_batches(tmp_path / "one"))) == N
    with pytest.raises(ValueError, match="has no splits: leave out 'dev'"):
        open_embeddings(tmp_path / "d" / "dev", split="dev")


def test_text_tables_with_and_without_names(tmp_path):
    def read(text):
        (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return np.concatenate([batch.rows for batch in read_batches(tmp_path / "t.csv")]).tolist()

    assert read("1.5,2.5\n3,4e1\n") == [[1.5, 2.5], [3, 40]]
    assert read('"1.5","2.5"\r\n3,4\r\n') == [[1.5, 2.5], [3, 4]]
    assert read("0,1\n3.5,4.5\n") == [[3.5, 4.5]]  # the names that pandas gives to columns without names
    assert read(",0,1\n0,3.5,4.5\n1,5,6\n") == [[3.5, 4.5], [5, 6]]  # and to its row numbers
    assert read(b"\xef\xbb\xbfa,b\n1.5,2.5\n") == [[1.5, 2.5]]
    assert read('text,a,b\n"x, y\nz",1.5,2.5\n,3.5,4.5\n') == [[1.5, 2.5], [3.5, 4.5]]
    many = "".join(f"{i},{i}\n" for i in range(200_000))
    assert read(f"a,b\n{many}0.5,0.25\n")[-1] == [0.5, 0.25]  # whole numbers in the first block, fractions later
    np.savetxt(tmp_path / "t.csv", X, delimiter=",")
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in read_batches(tmp_path / "t.csv")]), X)


def test_whole_numbers_among_features_are_announced(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,label\n0.5,1.5,1\n2.5,0.5,0\n")
    with pytest.warns(RuntimeWarning, match="measured as features: 'label'; name them as references"):
        assert open_embeddings(tmp_path / "t.csv").n_features == 3
    assert open_embeddings(tmp_path / "t.csv", references="label").n_features == 2


MEMORY = """
import sys
from isotropy_metrics.embedding_files import measure_file, open_embeddings

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

small, large = sys.argv[1:]
names = ["isoscore", "partition_isotropy"]
measure_file(small, names)
before = peak()
n_rows = measure_file(large, names, sample_size=1000)["n_samples"]
print(n_rows, peak() - before)
"""


def write_csv_of(path, rows, copies):
    with open(path, "w") as file:
        for _ in range(copies):
            np.savetxt(file, rows, fmt="%.7g", delimiter=",")


def write_parquet_of(path, rows, copies):
    part = pa.table({"vector": pa.array(list(rows), pa.list_(pa.float32()))})
    parquet.write_table(pa.concat_tables([part] * copies), path, row_group_size=2**20)


def write_arrow_of(path, rows, copies):
    part = pa.table({"vector": pa.array(list(rows), pa.list_(pa.float32()))})
    whole = pa.concat_tables([part] * copies).combine_chunks()
    feather.write_feather(whole, str(path), "uncompressed", chunksize=len(whole))


def write_datasets_of(path, rows, copies):
    part = pa.table({"vector": pa.array(list(rows), pa.list_(pa.float32()))})
    datasets.Dataset(pa.concat_tables([part] * copies)).save_to_disk(path)


# name: (how to write that many copies of these rows, most MiB that reading them may take, of batches of 12 MiB)
LARGE = {
    "c.npy": (lambda path, rows, copies: np.save(path, np.tile(rows, (copies, 1))), 70),
    "fortran.npy": (lambda path, rows, copies: np.save(path, np.asfortranarray(np.tile(rows, (copies, 1)))), 70),
    "stored.npz": (lambda path, rows, copies: np.savez(path, e=np.tile(rows, (copies, 1))), 70),
    "fortran.npz": (lambda path, rows, copies: np.savez(path, e=np.asfortranarray(np.tile(rows, (copies, 1)))), 70),
    "s.safetensors": (
        lambda path, rows, copies: safetensors.numpy.save_file({"e": np.tile(rows, (copies, 1))}, path),
        70,
    ),
    "one_record_batch.arrow": (write_arrow_of, 80),
    "folder": (write_datasets_of, 80),
    "one_row_group.parquet": (write_parquet_of, 120),
    "t.csv": (write_csv_of, 120),
}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("name", LARGE)
def test_a_file_of_200_mb_is_read_in_far_less_memory(name, tmp_path):
    write, most = LARGE[name]
    rows = np.random.default_rng(0).normal(size=(4096, 256)).astype(np.float32)
    copies = 50 if name != "t.csv" else 17
    (tmp_path / "small").mkdir()
    write(tmp_path / "small" / name, rows[:300], 1)
    write(tmp_path / name, rows, copies)
    size = sum(path.stat().st_size for path in [tmp_path / name, *tmp_path.glob("folder/*")] if path.is_file())
    assert size > 195e6 or name == "t.csv" and size > 150e6
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "small" / name), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    n_rows, extra = done.stdout.split()
    assert int(n_rows) == 4096 * copies
    assert float(extra) < most, extra


def test_arrays_are_read_without_any_further_library(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", e=X)
    safetensors.numpy.save_file({"e": X}, tmp_path / "a.safetensors")
    code = (
        "import sys\nfrom isotropy_metrics.embedding_files import measure_file\n"
        "for path in sys.argv[1:]: measure_file(path, 'isoscore')\n"
        "print(set(sys.modules) & {'torch', 'pandas', 'pyarrow', 'datasets', 'safetensors', 'tqdm', 'rich'})"
    )
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *paths], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv", "folder"])
def test_a_missing_library_is_named_with_the_remedy(name, tmp_path, monkeypatch):
    FORMATS[name](X, tmp_path / name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=rf"reading .*{name} needs pyarrow: pip install pyarrow"):
        open_embeddings(tmp_path / name)


class Payload:
    """Unpickling it makes a folder: that must never happen."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "named.npz", "a.pkl", "a.pt"])
def test_nothing_is_ever_unpickled(name, tmp_path):
    payload = np.array([[Payload(str(tmp_path / "harm"))]], dtype=object)
    if name == "a.npy":
        np.save(tmp_path / name, payload)
    elif name.endswith("npz"):
        np.savez(tmp_path / name, e=payload, **({"vector": X, "label": payload} if name == "named.npz" else {}))
    else:
        (tmp_path / name).write_bytes(pickle.dumps(payload))
    with pytest.raises(ValueError, match="pickled .* never (read|run)") as caught:
        open_embeddings(tmp_path / name, references="label" if name == "named.npz" else None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()
    with pytest.raises(FileExistsError):  # the payload is real
        os.mkdir(tmp_path / "harm")
        pickle.loads(pickle.dumps(payload))


def cut(name, size):
    """A writer of a good file without its end."""

    def write(path):
        (FORMATS | ARRAYS)[name](X, path)
        content = path.read_bytes()
        path.write_bytes(content[:size] if size > 0 else content[: len(content) + size])

    return write


def text(content):
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def array(rows):
    return lambda path: np.save(path, rows)


def arrays(**named):
    return lambda path: np.savez(path, **named)


def columns(**named):
    def write(path):
        writers = {".parquet": parquet.write_table, ".feather": feather.write_feather}
        writers[path.suffix](pa.table(named), path)

    return write


def float8(path):
    safetensors.torch.save_file({"e": torch.tensor(X).to(torch.float8_e4m3fn)}, path)


HEADLESS = (5).to_bytes(8, "little") + b"[[[[["
NEGATIVE = b'{"e":{"dtype":"F32","shape":[-1,2],"data_offsets":[0,8]}}'
WRONG_SIZE = b'{"e":{"dtype":"F32","shape":[5,2],"data_offsets":[0,8]}}'

# how to write the file, its name, what it is opened with, what is said of it
BAD_FILES = [
    (text(""), "a.npy", {}, "is empty: it has 0 bytes"),
    (text("hello, world"), "a.npy", {}, "is not an array that numpy saved"),
    (cut("c.npy", 2000), "a.npy", {}, r"is cut off: its header says \(1009, 6\) float64, 48,560 bytes, and .* 2,000"),
    (cut("c.npy", 40), "a.npy", {}, "is not an array that numpy saved: EOF"),
    (array(X[0]), "a.npy", {}, r"must have shape \(n_samples, n_features\), got \(6,\)"),
    (array(X[:, None]), "a.npy", {}, r"of shape \(1009, 1, 6\) needs a mask"),
    (array(X[:0]), "a.npy", {}, "is empty"),
    (array(X * 1j), "a.npy", {}, "dtype complex128: save real numbers"),
    (array(X.astype(str)), "a.npy", {}, "dtype <U.*: numbers are needed"),
    (array(X.astype([("x", "f4")])), "a.npy", {}, "save it as float32"),
    (array(X), "a.npy", {"column": "e"}, "one array without a name, so that there is no 'e'"),
    (array(X), "a.npy", {"references": "e"}, "one array without a name, so that there is no 'e'"),
    (array(X), "a.npy", {"split": "train"}, "has no splits: leave out 'train'"),
    (text("hello, world"), "a.npz", {}, "cannot be read as an .npz archive"),
    (cut("a.npz", 3000), "a.npz", {}, "cannot be read as an .npz archive"),
    (arrays(), "a.npz", {}, "has no array of numbers with 2 axes, it has: none"),
    (
        arrays(e=X, f=X),
        "a.npz",
        {},
        r"has 2 arrays that could be the embeddings, name one: 'e' \(1009, 6\) float64, 'f'",
    ),
    (arrays(e=X, y=LABELS[:9]), "a.npz", {"references": "y"}, r"array 'y' must have shape \(1009,\) .* got \(9,\)"),
    (arrays(e=X), "a.npz", {"references": "y"}, r"has no array 'y', it has: 'e' \(1009, 6\) float64"),
    (arrays(e=X, y=X[:, 0] * 1j), "a.npz", {"references": "y"}, "dtype complex128"),
    (text("hello, world"), "a.safetensors", {}, "is not a safetensors file"),
    (text("short"), "a.safetensors", {}, "is not a safetensors file"),
    (text(HEADLESS), "a.safetensors", {}, "is not a safetensors file: its header cannot be read"),
    (text(len(NEGATIVE).to_bytes(8, "little") + NEGATIVE), "a.safetensors", {}, "header cannot be read .*shape"),
    (text(len(WRONG_SIZE).to_bytes(8, "little") + WRONG_SIZE), "a.safetensors", {}, "F32 in 8 bytes"),
    (cut("safe.safetensors", 5000), "a.safetensors", {}, "is cut off: tensor 'vector' ends behind"),
    (cut("safe.safetensors", 50), "a.safetensors", {}, "is cut off, or not a safetensors file"),
    (float8, "a.safetensors", {}, "dtype F8_E4M3: save it as float32"),
    (text("hello, world"), "a.parquet", {}, "cannot be read: Parquet magic bytes not found"),
    (cut("a.parquet", 3000), "a.parquet", {}, "cannot be read: Parquet magic bytes not found"),
    (text("hello, world"), "a.arrow", {}, "is neither an Arrow file nor an Arrow stream"),
    (cut("a.feather", -9), "a.feather", {}, "is cut off, its footer is missing"),
    (columns(a=["x"], b=["y"]), "a.parquet", {}, r"neither a column of lists .* it has: 'a' \(string\), 'b'"),
    (columns(a=[[[1.0]]]), "a.feather", {}, r"neither a column of lists of numbers .*'a' \(list<"),
    (columns(a=[[1.0]], b=[[1.0]]), "a.parquet", {}, "2 columns that could be the embeddings, name one: 'a', 'b'"),
    (columns(a=[[1.0]]), "a.parquet", {"column": "b"}, "has no column 'b', it has: 'a'"),
    (columns(a=[[1.0]]), "a.feather", {"words": "b"}, "has no column 'b', it has: 'a'"),
    (columns(a=[[1.0]], b=[1.5]), "a.parquet", {"column": "b"}, "'b' holds double, one list of numbers per row"),
    (columns(a=[[1.0]]), "a.parquet", {"mask": "a"}, "a mask belongs to arrays of three axes"),
    (columns(a=[[1.0]], b=[{"x": 1}]), "a.parquet", {"words": "b"}, "'b' of .* text or whole numbers are needed"),
    (columns(a=[[1.0]], b=["x"]), "a.parquet", {"weight": "b"}, "'b' of .* holds string, one number per row"),
    (columns(a=pa.array([], pa.list_(pa.float32()))), "a.parquet", {}, "holds no rows"),
    (columns(a=[[], [1.0]]), "a.feather", {}, "row 0 of column 'a' of .* is an empty list"),
    (text("a,b\n"), "a.csv", {}, "holds no rows"),
    (text("a,a\n1,2\n"), "a.csv", {}, "more than one column named 'a'"),
    (text("a;b\n1;2\n"), "a.csv", {}, r"neither .* it has: 'a;b' \(string\)"),
    (text("a,é\n1,2\n".encode("latin-1")), "a.csv", {}, "is not text in UTF-8"),
    (text(b"a\0b\n"), "a.csv", {}, "is not text: its first line holds zero bytes"),
    (text("a,b\n1,2\n3\n"), "a.csv", {}, "Expected 2 columns, got 1"),
    (text("0.1 0.2"), "vectors.txt", {}, "none of the extensions that are read: .npy, .npz, .safetensors"),
    (lambda path: path.mkdir(), "folder", {}, "is a folder, and not one that Dataset.save_to_disk wrote"),
    (lambda path: path.mkdir(), "folder.npy", {}, "is a folder, and not one that Dataset.save_to_disk wrote"),
    (lambda path: os.mkfifo(path), "pipe.npy", {}, "is neither a file nor a folder"),
]


@pytest.mark.parametrize(
    ("write", "name", "opened_with", "message"), BAD_FILES, ids=[f"{name}: {text}" for _, name, _, text in BAD_FILES]
)
def test_a_bad_file_is_refused_in_one_sentence_when_it_is_opened(write, name, opened_with, message, tmp_path):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message) as caught:
        open_embeddings(tmp_path / name, **opened_with)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*nowhere.npy"):
        open_embeddings(tmp_path / "nowhere.npy")
    datasets.Dataset(table(X)).save_to_disk(tmp_path / "d", num_shards=2)
    next((tmp_path / "d").glob("data-00001*")).unlink()
    with pytest.raises(ValueError, match="lacks the file 'data-00001"):
        open_embeddings(tmp_path / "d")
    (tmp_path / "d" / "state.json").write_text("[]")
    with pytest.raises(ValueError, match="state.json is damaged: it has no '_data_files'"):
        open_embeddings(tmp_path / "d")


# rows (100 of them), what is said of row 70
BAD_ROWS = {
    "is missing": [[1.0, 2.0]] * 70 + [None] + [[1.0, 2.0]] * 29,
    "has a missing number": [[1.0, 2.0]] * 70 + [[1.0, None]] + [[1.0, 2.0]] * 29,
    "has 1 numbers, the rows before it have 2": [[1.0, 2.0]] * 70 + [[1.0]] + [[1.0, 2.0]] * 29,
}


TABLES = ["a.parquet", "a.feather", "large.parquet", "fixed.feather", "a.csv"]


@pytest.mark.parametrize(
    ("message", "name"),  # a list of fixed size cannot be ragged
    [(message, name) for message in BAD_ROWS for name in TABLES if not ("fixed" in name and "numbers" in message)],
)
def test_a_missing_or_ragged_row_is_named_by_its_number(message, name, tmp_path):
    rows = BAD_ROWS[message]
    kinds = {"large.parquet": pa.large_list(pa.float64()), "fixed.feather": pa.list_(pa.float32(), 2)}
    if name == "a.csv":
        lines = ['""' if row is None else json.dumps(json.dumps(row)) for row in rows]
        (tmp_path / name).write_text("\n".join(["e", *lines]))
        message = message if "numbers" in message else "is not a JSON list of numbers|has a missing number"
    else:
        columns(e=pa.array(rows, kinds.get(name, pa.list_(pa.float64()))))(tmp_path / name)
    with pytest.raises(ValueError, match=rf"row 70 of column 'e' of .*{name} ({message})") as caught:
        list(read_batches(tmp_path / name, batch_rows=32))
    assert "\n" not in str(caught.value)


def test_a_missing_id_or_number_is_named_by_its_row(tmp_path):
    columns(e=[[1.0, 2.0]] * 9, y=["a"] * 7 + [None] * 2, w=[1.0] * 8 + [None])(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="row 7 of column 'y' of .* is missing"):
        list(read_batches(tmp_path / "a.parquet", references="y", batch_rows=2))
    with pytest.raises(ValueError, match="row 8 of column 'w' of .* is missing"):
        list(read_batches(tmp_path / "a.parquet", weight="w", batch_rows=2))
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n5,\n")
    with pytest.raises(ValueError, match="row 2 of column 'b' of .* is missing"):
        list(read_batches(tmp_path / "a.csv", batch_rows=2))


@pytest.mark.parametrize("name", ["a.npy", "a.csv"])
def test_a_row_that_is_not_finite_is_named_by_its_number_in_the_file(name, tmp_path):
    rows = X.copy()
    rows[700, 2] = np.nan
    np.save(tmp_path / name, rows) if name == "a.npy" else np.savetxt(tmp_path / name, rows, delimiter=",")
    for names in (["isoscore"], ["partition_isotropy"]):
        with pytest.raises(ValueError, match=rf"{name}: row 700 of the embeddings holds nan"):
            measure_file(tmp_path / name, names)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_wrong_checksum_is_told(save, order, tmp_path):
    save(tmp_path / "a.npz", vector=np.asarray(X, order=order))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 16] ^= 1  # the checksum in the archive's directory
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="vector.npy in .*a.npz is damaged: Bad CRC-32"):
        list(read_batches(tmp_path / "a.npz"))


def damaged(content, generator):
    content = bytearray(content)
    if generator.random() < 0.3:
        del content[generator.integers(1, len(content)) :]
    for _ in range(generator.integers(1, 5)):
        last = generator.choice([min(400, len(content)), len(content)])
        at = int(generator.integers(last))
        content[at if generator.random() < 0.5 else -1 - at] = generator.integers(256)
    return bytes(content)


@pytest.mark.parametrize("name", sorted({*FORMATS, *ARRAYS} - {"folder"}))
def test_damaged_files_are_read_or_refused_but_break_nothing(name, tmp_path):
    (FORMATS | ARRAYS)[name](X, tmp_path / name)
    content, generator = (tmp_path / name).read_bytes(), np.random.default_rng(0)
    column = {"column": "vector", "references": "label"} if name in FORMATS and "columns" not in name else {}
    refused = 0
    for _ in range(60):
        (tmp_path / name).write_bytes(damaged(content, generator))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert sum(map(len, read_batches(tmp_path / name, **column))) > 0
            except (ValueError, OSError) as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 10


def test_all_that_the_ids_allow_are_measured_and_a_failing_one_is_left_out(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", e=X, label=LABELS, word=WORDS, mass=WEIGHT)
    plain = measure_file(open_embeddings(tmp_path / "a.npz", column="e"))
    labelled = measure_file(open_embeddings(tmp_path / "a.npz", column="e", references="label"))
    assert "silhouette" in labelled and "silhouette" not in plain
    weighted = measure_file(open_embeddings(tmp_path / "a.npz", column="e", weight="mass"))
    assert "isoscore" in weighted and "two_nn" not in weighted and "two_nn" in plain
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.warns(RuntimeWarning, match="silhouette is left out: .*scikit-learn"):
        without = measure_file(open_embeddings(tmp_path / "a.npz", column="e", references="label"))
    assert {key for key in labelled if key not in without} == {key for key in labelled if key.startswith("silhouette")}
    with pytest.raises(ImportError, match="scikit-learn"):
        measure_file(open_embeddings(tmp_path / "a.npz", column="e", references="label"), "silhouette")


def test_too_few_rows_and_options_of_no_use_end_in_one_sentence(tmp_path):
    for name, rows in {"few": X[:3], "one": X[:1], "a": X}.items():
        np.save(tmp_path / f"{name}.npy", rows)
    few = tmp_path / "few.npy"
    with pytest.warns(RuntimeWarning) as caught:
        values = compare_files(few, few)
    said = [str(warning.message) for warning in caught]
    assert "linear_cka is left out: the debiased linear_cka needs at least 4 rows, got 3" in said
    assert "procrustes_distance" in values and "linear_cka" not in values
    with pytest.warns(RuntimeWarning), pytest.raises(ValueError, match="needs at least 4 rows, got 3"):
        compare_files(few, few, "linear_cka")
    with pytest.warns(RuntimeWarning), pytest.raises(ValueError, match="needs at least 2 rows, got 1"):
        measure_file(tmp_path / "one.npy")
    with pytest.raises(ValueError, match="k must be at least 1 neighbour, got 0"):
        measure_file(tmp_path / "a.npy", options={"hubness": {"k": 0}})
    with pytest.raises(ValueError, match="hubness cannot take {'k': 'ten'}: "):
        measure_file(tmp_path / "a.npy", options={"hubness": {"k": "ten"}})


def test_what_cannot_be_measured_is_refused_before_rows_are_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", e=X, mass=WEIGHT)
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.EmbeddingFile.batches", None)
    file = open_embeddings(tmp_path / "a.npz", column="e")
    with pytest.raises(ValueError, match="silhouette needs references: name the column with one class label per row"):
        measure_file(file, ["isoscore", "silhouette"])
    with pytest.raises(ValueError, match="two_nn has no meaning for weights of rows"):
        measure_file(open_embeddings(tmp_path / "a.npz", column="e", weight="mass"), "two_nn")
    with pytest.raises(ValueError, match="there is no measure 'isotropy'"):
        measure_file(file, "isotropy")
    with pytest.raises(ValueError, match="options for 'rankme', which is not among the measures: isoscore"):
        measure_file(file, "isoscore", options={"rankme": {}})
    with pytest.raises(TypeError, match="isoscore has no option 'biased'"):
        measure_file(file, "isoscore", options={"isoscore": {"biased": True}})
    with pytest.raises(ValueError, match="interval must be a level between 0 and 1"):
        measure_file(file, "isoscore", interval=95.0)
    with pytest.raises(ValueError, match="size must be at least 2"):
        measure_file(file, "partition_isotropy", sample_size=1)


Y = X @ rng.normal(size=(D, 4)) + rng.normal(size=(N, 4))
PAIRED = ["linear_cka", "procrustes_distance", "neighborhood_overlap"]


@pytest.mark.parametrize("names", [("a.npy", "b.csv"), ("a.csv", "b.npy"), ("a.npy", "b.npy"), ("a.csv", "b.csv")])
def test_two_files_are_compared_in_step(names, tmp_path):
    for name, rows in zip(names, (X, Y), strict=True):
        np.save(tmp_path / name, rows) if name.endswith("npy") else np.savetxt(tmp_path / name, rows, delimiter=",")
    values = compare_files(*(tmp_path / name for name in names), PAIRED)
    assert values == pytest.approx(compare(X, Y, PAIRED), rel=1e-10)
    assert values["n_samples"] == N
    asked = {"interval": 0.9, "null": True, "n_resamples": 10, "seed": 3, "sample_size": 600}
    values = compare_files(*(tmp_path / name for name in names), PAIRED, **asked)
    assert values == pytest.approx(compare(X, Y, PAIRED, **asked), rel=1e-8)
    allowed = compare_files(*(tmp_path / name for name in names))
    assert set(PAIRED) < set(allowed) and "alignment" not in allowed  # it needs as many features


def test_weights_of_pairs_are_those_of_the_first_file(tmp_path):
    for name, rows in {"a": X, "b": Y}.items():
        np.savez(tmp_path / f"{name}.npz", e=rows, mass=WEIGHT if name == "a" else 1 / WEIGHT)
    files = [open_embeddings(tmp_path / f"{name}.npz", weight="mass") for name in "ab"]
    assert compare_files(*files, "linear_cka") == pytest.approx(compare(X, Y, "linear_cka", weight=WEIGHT), rel=1e-10)


@pytest.mark.parametrize("names", [("a.npy", "b.npy"), ("a.csv", "b.csv")])
def test_different_numbers_of_rows_are_for_unpaired_comparisons_only(names, tmp_path):
    for name, rows in zip(names, (X, X[: N - 50] + 1), strict=True):
        np.save(tmp_path / name, rows) if name.endswith("npy") else np.savetxt(tmp_path / name, rows, delimiter=",")
    paths = [tmp_path / name for name in names]
    for files in (paths, paths[::-1]):
        rows = [X, X[: N - 50] + 1] if files == paths else [X[: N - 50] + 1, X]
        values = compare_files(*files, "modality_gap")
        assert values == pytest.approx(compare(*rows, "modality_gap"), rel=1e-10)
        with pytest.raises(ValueError, match=r"linear_cka needs files that are paired row by row: .* has "):
            compare_files(*files, ["modality_gap", "linear_cka"])
    if names[0].endswith("npy"):
        assert "linear_cka" not in compare_files(*paths)
        with pytest.raises(ValueError, match=r"a.npy has 1,009 rows, .*b.npy has 959"):
            compare_files(*paths, "linear_cka")
    else:
        with pytest.raises(ValueError, match=r"a.csv has more than 959 rows, .*b.csv has 959"):
            compare_files(*paths)
        with pytest.raises(ValueError, match=r"b.csv has 959 rows, .*a.csv has more than 959"):
            compare_files(*paths[::-1])


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", Y)
    np.save(tmp_path / "c.npy", Y[:50])
    with pytest.raises(
        ValueError, match="alignment compares rows of one space: .*a.npy has 6 features, .*b.npy has 4"
    ):
        compare_files(tmp_path / "a.npy", tmp_path / "b.npy", "alignment")
    with pytest.raises(ValueError, match=r"differ in rows \(1,009 and 50\) and in features \(6 and 4\)"):
        compare_files(tmp_path / "a.npy", tmp_path / "c.npy")
    rows = Y.copy()
    rows[900] = np.inf
    np.save(tmp_path / "b.npy", rows)
    with pytest.raises(ValueError, match="b.npy: row 900 of the embeddings holds inf"):
        compare_files(tmp_path / "a.npy", tmp_path / "b.npy", "linear_cka")


def test_progress_is_on_stderr_after_a_delay_and_only_if_asked_for(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "a.npy", X)
    measure_file(tmp_path / "a.npy", "isoscore", progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("isotropy_metrics.embedding_files.progress.DELAY", 0)
    measure_file(tmp_path / "a.npy", "isoscore", progress=True)
    out, error = capsys.readouterr()
    assert out == "" and "a.npy" in error
    measure_file(tmp_path / "a.npy", "isoscore")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setitem(sys.modules, "tqdm", None)
    measure_file(tmp_path / "a.npy", "isoscore", progress=True)
