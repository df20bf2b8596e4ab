"""Files that somebody with bad intentions, or bad luck, uploads to the Space: each must be refused in one sentence."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, feather, parquet

Writer = Callable[[Path], object]

ROWS = np.random.default_rng(0).normal(size=(200, 12))
HTML = "<img src=x onerror=alert(1)>"


class Payload:
    """Unpickled, it would make a file."""

    def __reduce__(self):
        return open, ("/tmp/isotropy-space-was-harmed", "w")


def hostile_files(folder: Path) -> Iterator[Path]:
    """Write hostile files one by one into a folder; the same ones in the same order each time.

    All are refused when they are read without the name of a column.
    """
    for number, (name, write) in enumerate(_cases()):
        path = Path(folder, f"{number:03}", name)
        path.parent.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(path)
        yield path


def valid_file(path: Path, rows: np.ndarray = ROWS) -> None:
    """Write rows in the format that the extension tells, without anything beside them."""
    lists = pa.table({"vector": pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))})
    kind = path.suffix.lower()
    if kind == ".npy":
        with open(path, "wb") as file:
            np.save(file, rows)
    elif kind == ".npz":
        with open(path, "wb") as file:
            np.savez_compressed(file, vector=rows)
    elif kind == ".parquet":
        parquet.write_table(lists, path)
    elif kind == ".arrow":
        feather.write_feather(lists, str(path), "uncompressed")
    elif kind == ".feather":
        feather.write_feather(lists, str(path), "zstd")
    elif kind in (".csv", ".tsv"):
        columns = pa.table({f"f{i}": column for i, column in enumerate(rows.T)})
        csv.write_csv(columns, path, csv.WriteOptions(delimiter="," if kind == ".csv" else "\t"))
    else:
        path.write_bytes(safetensors({"vector": ("F64", rows.shape, [0, rows.nbytes])}, rows.tobytes()))


def safetensors(tensors: dict[str, tuple], data: bytes = b"") -> bytes:
    """A file of tensors with any dtypes, shapes and offsets."""
    entries = {n: {"dtype": d, "shape": list(s), "data_offsets": list(o)} for n, (d, s, o) in tensors.items()}
    return safetensors_header(json.dumps(entries).encode()) + data


def safetensors_header(text: bytes) -> bytes:
    """Any text as a header."""
    return len(text).to_bytes(8, "little") + text


def npy_header(description: str) -> bytes:
    """The header of version 1 of an .npy file."""
    text = description.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def claimed(shape: tuple, dtype: str = "<f4") -> bytes:
    """The header of an array of any shape."""
    return npy_header(f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}")


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of any members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def bomb(header: bytes, n_megabytes: int, level: int = 9) -> bytes:
    """An .npz whose member is a header and then zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as file:
        with file.open("vector.npy", "w", force_zip64=True) as member:
            member.write(header)
            for _ in range(n_megabytes):
                member.write(bytes(2**20))
    return stream.getvalue()


def lying(path: Path, write: Writer, told: int, instead: int) -> None:
    """A Parquet file whose footer says another number of values than its pages."""
    write(path)
    content = path.read_bytes()
    begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    true, false = _varint(2 * told), _varint(2 * instead)
    false = bytes([*(byte | 128 for byte in false[:-1]), false[-1]])
    padded = bytes(byte | 128 for byte in false) + bytes([128] * (len(true) - len(false) - 1)) + b"\0"
    footer = content[begin:-8]
    assert true in footer and len(padded) == len(true)
    path.write_bytes(content[:begin] + footer.replace(true, padded) + content[-8:])


def _varint(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def long_lists(path: Path, n_values: int = 4_000_000, compression: str = "zstd") -> None:
    """Two rows of very long lists of one number, which take a few hundred bytes."""
    lists = pa.ListArray.from_arrays(pa.array([0, n_values // 2, n_values], pa.int32()), pa.array(np.zeros(n_values)))
    parquet.write_table(pa.table({"vector": lists}), path, compression=compression)


def many_columns(path: Path, n: int) -> None:
    """A Parquet file of one row and many columns, whose footer is far longer than its numbers."""
    one = pa.array([1.0, 2.0])
    parquet.write_table(pa.table([one] * n, [f"f{i}" for i in range(n)]), path, compression="none")


def table(**columns: object) -> Writer:
    """A writer of a table with these columns."""

    def write(path: Path) -> None:
        content = pa.table(columns)
        if path.suffix == ".parquet":
            parquet.write_table(content, path)
        else:
            feather.write_feather(content, str(path), "zstd" if path.suffix == ".feather" else "uncompressed")

    return write


def _content(content: bytes | str) -> Writer:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _array(rows: np.ndarray) -> Writer:
    return lambda path: np.save(path, rows, allow_pickle=True)


def _arrays(**arrays: np.ndarray) -> Writer:
    return lambda path: np.savez_compressed(path, **arrays)


def _valid(rows: np.ndarray) -> Writer:
    return lambda path: valid_file(path, rows)


def _changed(change: Callable[[bytes], bytes]) -> Writer:
    def write(path: Path) -> None:
        valid_file(path)
        path.write_bytes(change(path.read_bytes()))

    return write


FORMATS = (".npy", ".npz", ".safetensors", ".parquet", ".arrow", ".feather", ".csv", ".tsv")


def _cases() -> Iterator[tuple[str, Writer]]:
    yield from _truncated()
    yield from _not_finite()
    yield from _shapes()
    yield from _dtypes()
    yield from _names()
    yield from _npy()
    yield from _npz()
    yield from _safetensors()
    yield from _parquet()
    yield from _arrow()
    yield from _csv()


def _truncated() -> Iterator[tuple[str, Writer]]:
    for extension in FORMATS:
        yield f"empty{extension}", _content(b"")
        if extension in (".csv", ".tsv"):
            yield f"cut{extension}", _changed(lambda content: content[:-150])
            continue
        for share in (0.01, 0.1, 0.5, 0.9):
            yield f"cut{extension}", _changed(lambda content, share=share: content[: int(len(content) * share)])
        yield f"cut at the end{extension}", _changed(lambda content: content[:-1])
        yield f"zeros{extension}", _changed(lambda content: bytes(len(content)))
        yield f"noise{extension}", _content(np.random.default_rng(1).bytes(5000))
        yield f"gzip{extension}", _changed(gzip.compress)


def _not_finite() -> Iterator[tuple[str, Writer]]:
    for extension in FORMATS:
        for value in (np.nan, np.inf, -np.inf, 1e300):
            rows = ROWS.copy()
            rows[150, 7] = value
            yield f"{value}{extension}", _valid(rows)


def _shapes() -> Iterator[tuple[str, Writer]]:
    for extension in FORMATS:
        yield f"1x1{extension}", _valid(ROWS[:1, :1])
        yield f"one row{extension}", _valid(ROWS[:1])
        yield f"one column{extension}", _valid(ROWS[:, :1])
        yield f"no rows{extension}", _valid(ROWS[:0])
    for extension in (".npy", ".npz", ".safetensors"):
        yield f"no columns{extension}", _valid(ROWS[:, :0])
        yield f"two rows of 100,000{extension}", _valid(np.zeros((2, 100_000), dtype=np.float64))
    yield "two rows of a million.npy", _array(np.zeros((2, 10**6), dtype=np.int8))
    yield "two rows of a million.npz", _arrays(vector=np.zeros((2, 10**6), dtype=np.float32))
    yield "one axis.npy", _array(ROWS[0])
    yield "no axis.npy", _array(np.float64(3))
    yield "three axes.npy", _array(ROWS[None])
    yield "32 axes.npy", _array(np.zeros((1,) * 32))
    yield "too many rows.npy", _array(np.zeros((300_000, 2), dtype=np.int8))
    yield "too many rows.npz", _arrays(vector=np.zeros((300_000, 2), dtype=np.int8))
    yield "too many rows.parquet", table(a=np.zeros(300_000, np.float32), b=np.zeros(300_000, np.float32))
    yield "too many rows.arrow", table(a=np.zeros(300_000, np.float32), b=np.zeros(300_000, np.float32))
    yield "too many rows.feather", table(a=np.zeros(300_000, np.float32), b=np.zeros(300_000, np.float32))
    yield "too many rows.csv", _content("a,b\n" + "1,2\n" * 300_000)


def _dtypes() -> Iterator[tuple[str, Writer]]:
    kinds = {
        "objects": np.array([[Payload(), 1], [2, 3]], dtype=object),
        "complex": ROWS * 1j,
        "text": ROWS.astype(str),
        "bytes": ROWS.astype("S8"),
        "dates": np.zeros((5, 5), dtype="datetime64[s]"),
        "records": np.zeros((5, 5), dtype=[("x", "f4"), ("y", "O")]),
        "void": np.zeros((5, 5), dtype="V8"),
    }
    for name, rows in kinds.items():
        yield f"{name}.npy", _array(rows)
        yield f"{name}.npz", _arrays(vector=rows)
    for extension in (".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib"):
        yield f"code{extension}", _content(pickle.dumps(Payload()))
    yield "pickle in disguise.npy", _content(pickle.dumps(Payload()))
    yield "pickle in disguise.npz", _content(archive({"vector.npy": pickle.dumps(Payload())}))
    yield "a model of torch.npz", _content(archive({"model/data.pkl": pickle.dumps(Payload())}))
    for kind in ("F8_E4M3", "C64", "I3", "", "F64" * 1000):
        yield "kind.safetensors", _content(safetensors({"vector": (kind, (2, 2), [0, 4])}, bytes(4)))


def _names() -> Iterator[tuple[str, Writer]]:
    rows = ROWS.copy()
    rows[3, 3] = np.nan
    stems = [
        HTML,
        "<script>alert(1)<",
        "..%2f..%2fetc%2fpasswd",
        "..\\..\\windows",
        "$(touch harmed)",
        "; rm -rf .",
        "two\nlines",
        "\u202egpj.exe",
        "x" * 200,
        "{0.__class__}",
        "%s%n",
        "' or 1=1 --",
    ]
    for stem in stems:
        for extension in (".npy", ".csv"):
            yield stem + extension, _valid(rows)
    yield "embeddings.txt", _changed_of(".csv")
    yield "embeddings.exe", _changed_of(".npy")
    yield "no extension", _changed_of(".npy")
    yield "archive.npy", _changed_of(".npz")
    yield "table.csv", _changed_of(".parquet")
    yield "array.parquet", _changed_of(".npy")
    yield "a folder.npy", lambda path: path.mkdir()
    yield "a folder", lambda path: path.mkdir()
    yield "nowhere.npy", lambda path: None


def _changed_of(extension: str) -> Writer:
    """A good file under a wrong name."""

    def write(path: Path) -> None:
        right = path.with_name("right" + extension)
        valid_file(right)
        right.rename(path)

    return write


def _npy() -> Iterator[tuple[str, Writer]]:
    yield "a million million rows.npy", _content(claimed((10**12, 768)) + bytes(1000))
    yield "more rows than atoms.npy", _content(claimed((10**40, 768)) + bytes(1000))
    yield "no columns and many rows.npy", _content(claimed((10**18, 0)))
    yield "negative.npy", _content(claimed((-1, -1)) + bytes(4))
    yield "texts without letters.npy", _content(claimed((10**12, 10), "<U0"))
    yield "wide text.npy", _content(claimed((2, 2), "<U500000000"))
    yield "a call as dtype.npy", _content(npy_header("{'descr': __import__('os'), 'shape': (1,)}"))
    yield "deep.npy", _content(npy_header("(" * 100))
    yield "no header.npy", _content(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * 10**6)
    yield "version 9.npy", _content(b"\x93NUMPY\x09\x00" + bytes(100))
    yield "more than one.npy", _changed(lambda content: content + content)


def _npz() -> Iterator[tuple[str, Writer]]:
    yield "bomb.npz", _content(bomb(claimed((4, 4)), 100))
    yield "bomb of rows.npz", _content(bomb(claimed((100 * 2**18, 1)), 100))
    yield "bomb of numbers.npz", _content(bomb(claimed((25 * 2**10, 2**11)), 200, 1))
    yield "a million million rows.npz", _content(bomb(claimed((10**12, 768)), 1))
    yield "a header without end.npz", _content(bomb(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), 300, 1))
    yield "nested.npz", _content(archive({"inner.npz": bomb(claimed((4, 4)), 100)}))
    yield "no arrays.npz", _content(archive({"readme.txt": b"nothing"}))
    yield "100,000 members.npz", _content(archive({f"{i}.npy": b"" for i in range(100_000)}, zipfile.ZIP_STORED))
    small = claimed((2, 2)) + bytes(16)
    yield "5,000 members.npz", _content(archive({f"{i}.npy": small for i in range(5000)}, zipfile.ZIP_STORED))
    for name in ("../../etc/passwd", "/etc/passwd", "..\\..\\x", HTML, "x" * 60_000):
        nan = claimed((2, 2)) + np.full((2, 2), np.nan, dtype=np.float32).tobytes()
        yield "name.npz", _content(archive({f"{name}.npy": nan}))
        yield "names.npz", _content(archive({f"{name}.npy": small, f"{name}2.npy": small}))
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield "bomb.npz", _content(archive({"vector.npy": claimed((5000, 1000)) + bytes(2 * 10**7)}, compression))
    yield "twice.npz", _content(_twice(small))
    yield "an unreadable one beside.npz", _content(archive({"vector.npy": small, "b.npy": b"x"}))
    yield "encrypted.npz", _content(archive({"vector.npy": small}).replace(b"\x14\0\0\0\x08", b"\x14\0\1\0\x08"))
    yield "wrong checksum.npz", _changed(_with_wrong_checksum)
    fortran = npy_header("{'descr': '<f4', 'fortran_order': True, 'shape': (4000000, 200), }")
    yield "on its side.npz", _content(bomb(fortran, 20))


def _with_wrong_checksum(content: bytes) -> bytes:
    at = content.rindex(b"PK\x01\x02") + 16
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _twice(content: bytes) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("vector.npy", content)
        file.writestr("vector.npy", content)
    return stream.getvalue()


def _safetensors() -> Iterator[tuple[str, Writer]]:
    sixteen = bytes(16)
    for name, tensors in {
        "overlap": {"a": ("F32", (2, 2), [0, 16]), "b": ("F32", (2,), [8, 16])},
        "outside": {"a": ("F32", (2, 2), [16, 32])},
        "backwards": {"a": ("F32", (2, 2), [16, 0])},
        "negative": {"a": ("F32", (2, 2), [-16, 0])},
        "far away": {"a": ("F32", (2, 2), [2**62, 2**62 + 16])},
        "beyond all integers": {"a": ("F32", (10**4000, 10**4000), [0, 16])},
        "many axes": {"a": ("F32", (2**62,) * 50_000, [0, 16])},
        "fraction": {"a": ("F32", (2.0, 2), [0, 16])},
        "truth": {"a": ("F32", (True, 4), [0, 16])},
        "two": {HTML: ("F32", (2, 2), [0, 16]), "../../etc/passwd": ("F32", (0, 2), [16, 16])},
        "half a character": {"\ud800": ("F32", (2, 2), [0, 16])},
        "10,000 tensors": {str(i): ("F32", (2, 2), [0, 16]) for i in range(10_000)},
    }.items():
        yield f"{name}.safetensors", _content(safetensors(tensors, sixteen))
    for name, text in {
        "deep": b"[" * 10**6,
        "no object": b"[]",
        "null": b"null",
        "no text": b"\xff\xfe\x00",
        "a long number": b'{"a":' + b"9" * 10**6 + b"}",
        "twice": b'{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":1}',
        "nothing": b"{}",
        "lists": b'{"a":{"dtype":["F32"],"shape":[2,2],"data_offsets":[0,16]}}',
        "no offsets": b'{"a":{"dtype":"F32","shape":[2,2]}}',
    }.items():
        yield f"{name}.safetensors", _content(safetensors_header(text) + sixteen)
    for length in (2**64 - 1, 2**63, 10**9, 99_999_999, 0):
        yield "long header.safetensors", _content(length.to_bytes(8, "little") + b"{}" + sixteen)
    yield "a header of 5 MB.safetensors", _content(safetensors_header(b"{" + b" " * 4_500_000 + b"}"))


def _parquet() -> Iterator[tuple[str, Writer]]:
    for compression in ("none", "snappy", "zstd", "gzip"):
        yield "long lists.parquet", lambda path, how=compression: long_lists(path, compression=how)
    yield "footer that lies.parquet", lambda path: lying(path, long_lists, 4_000_000, 2000)
    yield "15,000 columns.parquet", lambda path: many_columns(path, 15_000)
    yield "9,000 columns.parquet", lambda path: many_columns(path, 9000)
    yield "a long footer.parquet", _content(b"PAR1" + bytes(4_500_000) + struct.pack("<I", 4_500_000) + b"PAR1")
    yield "a footer of zeros.parquet", _content(b"PAR1" + bytes(5000) + struct.pack("<I", 4000) + b"PAR1")
    yield "a footer before the file.parquet", _content(b"PAR1" + struct.pack("<I", 2**32 - 1) + b"PAR1")
    yield "encrypted.parquet", _content(b"PARE" + bytes(50) + struct.pack("<I", 10) + b"PARE")
    metadata = {HTML: HTML * 100_000}
    empty = pa.table({"vector": pa.array([], pa.list_(pa.float32()))}).replace_schema_metadata(metadata)
    yield "long metadata.parquet", lambda path: parquet.write_table(empty, path)
    for extension in (".parquet", ".arrow", ".feather"):
        yield f"ragged{extension}", table(vector=[[1.0, 2.0], [1.0]])
        yield f"missing row{extension}", table(vector=[[1.0, 2.0], None, [1.0, 2.0]])
        yield f"missing number{extension}", table(vector=[[1.0, 2.0], [1.0, None]])
        yield f"missing number in a column{extension}", table(a=[1.0, None], b=[1.0, 2.0])
        yield f"lists of lists{extension}", table(vector=[[[1.0, 2.0]], [[3.0, 4.0]]])
        yield f"lists of text{extension}", table(vector=[["a", HTML], ["b", "c"]])
        yield f"text{extension}", table(**{HTML: ["a", "b"], "../../etc/passwd": ["c", "d"]})
        yield f"two candidates{extension}", table(**{HTML: [[1.0], [2.0]], "../../etc/passwd": [[1.0], [2.0]]})
        yield f"empty lists{extension}", table(vector=pa.array([[], []], pa.list_(pa.float32())))
        yield f"structs{extension}", table(vector=[{"x": 1.0}, {"x": 2.0}])


def _arrow() -> Iterator[tuple[str, Writer]]:
    def unpacked(path: Path) -> None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(6 * 10**7, dtype=np.float64)), 1000)
        feather.write_feather(pa.table({"vector": column}), str(path), "zstd")

    yield "bomb.feather", unpacked
    yield "bomb.arrow", unpacked
    yield "a long schema.arrow", _content(b"\xff\xff\xff\xff" + struct.pack("<I", 10**9) + bytes(1000))
    yield "a negative schema.arrow", _content(b"\xff\xff\xff\xff" + struct.pack("<i", -8) + bytes(1000))
    wide = pa.table([pa.array([1.0, 2.0])] * 9000, [f"f{i}" for i in range(9000)])
    yield "9,000 columns.arrow", lambda path: feather.write_feather(wide, str(path), "uncompressed")
    twice = pa.table([pa.array([1.0, 2.0])] * 2, ["a", "a"])
    yield "twice.arrow", lambda path: _stream(path, twice, 1)
    good = pa.table({"a": [1.0, 2.0], "b": [1.0, 3.0]})
    yield "too many batches.arrow", lambda path: _stream(path, good, 30_000)


def _stream(path: Path, content: pa.Table, n_batches: int) -> None:
    batch = content.to_batches()[0]
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, content.schema) as writer:
        for _ in range(n_batches):
            writer.write_batch(batch)


def _csv() -> Iterator[tuple[str, Writer]]:
    for name, content in {
        "a million columns": ",".join(["1"] * 10**6) + "\n",
        "a million names": ",".join(f"f{i}" for i in range(10**6)) + "\n" + ",".join(["1"] * 10**6) + "\n",
        "9,000 columns": ",".join(f"f{i}" for i in range(9000)) + "\n" + ",".join(["1"] * 9000) + "\n",
        "one line": "1" * 5_000_000,
        "one line of text": "a,b\n1," + "x" * 5_000_000,
        "an open quote": 'a,b\n1,2\n"' + "1,2\n" * 1_000_000,
        "zero bytes": "a,b\n1,2\n\0\0\0,1\n",
        "zero bytes in the first line": "a\0,b\n1,2\n",
        "only lines": "\n" * 2_000_000,
        "only commas": ",,,,\n" * 10_000,
        "only spaces": " " * 2_000_000,
        "shorter rows": "a,b\n1,2\n3\n",
        "longer rows": "a,b\n1,2\n3,4,5\n",
        "a text below": "a,b\n" + "1,2\n" * 400_000 + "1,x\n",
        "formula": 'a,b\n"=cmd|\' /C calc\'!A0",2\n"=1+1",3\n',
        "HTML": f"{HTML},b\n{HTML},x\n{HTML},y\n",
        "names twice": "a,a\n1,2\n3,4\n",
        "semicolons": "a;b\n1;2\n3;4\n",
        "deep JSON": 'a\n"' + "[" * 100_000 + '"\n',
        "JSON of text": 'a\n"[""x""]"\n"[1]"\n',
        "JSON ragged": 'a\n"[1, 2]"\n"[1]"\n',
        "JSON NaN": 'a\n"[1, NaN]"\n"[1, 2]"\n',
        "JSON of long numbers": 'a\n"[1, 2]"\n"[1, ' + "9" * 10_000 + ']"\n',
        "NaN": "a,b\nnan,1\n2,3\n",
        "a number too large": "a,b\n1e999,1\n2,3\n",
    }.items():
        yield f"{name}.csv", _content(content)
    for encoding in ("utf-16", "utf-32", "cp037"):
        yield f"{encoding}.csv", _content("a,b\n1,2\n3,4\n".encode(encoding))
    yield "latin.csv", _content("a,é\n1,2\n3,4\n".encode("latin-1"))
    yield "noise.csv", _content(np.random.default_rng(2).bytes(300_000))
    yield "noise.tsv", _content(np.random.default_rng(3).bytes(300_000))
