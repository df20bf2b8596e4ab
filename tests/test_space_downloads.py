"""What somebody takes home from the Space: the enhancement, the rows, and Python that makes them again."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from isotropy_space import download, handlers
from isotropy_space.download import repeating_code, write_downloads
from isotropy_space.embeddings import Embeddings
from isotropy_space.enhancement_choice import CHOICES
from rated_sentences import rated_sentences

from isotropy_metrics.enhancement import from_pretrained

NASTY = "a\"; import os; os.remove('b') #\\n{0}\u202e\u2028é\n.npy"


def cloud(n=700, d=8, dtype=np.float32):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, d)) * np.linspace(3, 0.5, d) + 2
    return Embeddings("cloud.npy", rows.astype(dtype))


def run(folder, script="repeat.py"):
    """Run a script of the folder as somebody would at home."""
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "error,ignore::UserWarning"}
    done = subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", CHOICES)
def test_files_hold_the_enhancement_of_all_rows(tmp_path, name):
    embeddings = cloud()
    strength = CHOICES[name].default(*embeddings.rows.shape)
    paths = write_downloads(embeddings, name, strength, tmp_path / "new", file="cloud.npy")
    assert [path.name for path in paths] == ["enhancement.zip", "enhanced.npy", "repeat.py"]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir()) and [each.name for each in tmp_path.iterdir()] == [
        "new"
    ]
    expected = CHOICES[name].make(strength).fit_transform(embeddings.rows)
    enhanced = np.load(paths[1], allow_pickle=False)
    assert enhanced.dtype == np.float32 and np.array_equal(enhanced, expected)
    with zipfile.ZipFile(paths[0]) as archive:
        assert archive.namelist() == ["enhancement.json", "enhancement.safetensors"]
        archive.extractall(tmp_path / "unpacked")
    assert np.array_equal(from_pretrained(tmp_path / "unpacked").transform(embeddings.rows), expected)
    ast.parse(paths[2].read_text(encoding="utf-8"))


def test_the_script_repeats_them_from_the_file(tmp_path, minilm_path, stsb_folder):
    embeddings, _ = rated_sentences(minilm_path, stsb_folder)
    paths = write_downloads(embeddings, "All but the top", 2, tmp_path / "made", file="/elsewhere/my rows.npy")
    home = tmp_path / "home"
    home.mkdir()
    np.save(home / "my rows.npy", embeddings.rows)
    (home / "repeat.py").write_bytes(paths[2].read_bytes())
    run(home)
    repeated = np.load(home / "enhanced.npy")
    assert repeated.dtype == np.float32 and np.abs(repeated - np.load(paths[1])).max() < 1e-6
    assert np.array_equal(from_pretrained(home / "enhancement").transform(embeddings.rows), repeated)


def test_a_column_of_a_table_with_a_name_that_is_no_name(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    embeddings, column = cloud(dtype=np.float64), 'c"]); {x}'
    file = NASTY.replace(".npy", ".parquet")
    write_downloads(embeddings, "Cluster centering", 3, tmp_path / "made", file=file, column=column)
    vectors = pa.array(list(embeddings.rows))
    pq.write_table(pa.table({column: vectors, "other": vectors}), tmp_path / "made" / file)
    expected = np.load(tmp_path / "made" / "enhanced.npy")
    (tmp_path / "made" / "enhanced.npy").unlink()
    run(tmp_path / "made")
    assert np.abs(np.load(tmp_path / "made" / "enhanced.npy") - expected).max() < 1e-6


@pytest.mark.slow
def test_rows_without_a_file_come_along(tmp_path):
    embeddings = cloud(dtype=np.float64)
    paths = write_downloads(embeddings, "Whitening", 0.5, tmp_path / "made")
    assert [path.name for path in paths] == ["enhancement.zip", "enhanced.npy", "repeat.py", "embeddings.npy"]
    assert np.array_equal(np.load(paths[3]), embeddings.rows)
    expected = np.load(paths[1])
    paths[1].unlink()
    run(tmp_path / "made")
    assert np.abs(np.load(paths[1]) - expected).max() < 1e-6


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_is_written_as_one_line_of_python(name):
    code = repeating_code(name, CHOICES[name].default(1000, 64), file="../up/rows.npy")
    tree = ast.parse(code)
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert imported == ["read_batches", CHOICES[name].kind.__name__]
    assert "read_batches('rows.npy')" in code and "../up" not in code
    assert f"{CHOICES[name].python(CHOICES[name].default(1000, 64))}.fit(rows)" in code


def test_names_and_labels_are_no_features(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "server"))
    rows = cloud(60, 4, np.float64).rows
    table = pd.DataFrame(rows, columns=list("abcd")).assign(word="x", year=np.arange(60) * 100.0)
    table.loc[3, "year"] = np.nan
    table.to_csv(tmp_path / "words.csv", index=False)
    named = {"names": "word", "labels": "year"}
    paths, code = handlers.downloads_of_file("Centering", 0, str(tmp_path / "words.csv"), **named)
    enhanced = np.load(paths[1])
    assert enhanced.shape == (60, 4) and np.allclose(enhanced, rows - rows.mean(axis=0), atol=1e-6)
    (tmp_path / "repeat.py").write_text(code, encoding="utf-8")
    run(tmp_path)
    assert np.array_equal(np.load(tmp_path / "enhanced.npy"), enhanced)


def test_the_rows_of_the_example_come_along(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    paths, code = handlers.downloads_of_file("Centering", 0)
    assert Path(paths[-1]).name == "embeddings.npy" and "read_batches('embeddings.npy')" in code


def test_a_name_stays_one_literal():
    code = repeating_code("Centering", 0, file=NASTY, column="'\"\\")
    (call,) = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "read_batches"
    ]
    assert call.args[0].value == NASTY and call.keywords[0].value.value == "'\"\\"
    assert code.isascii()


def test_all_files_or_none(tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr(download, "_write_zip", fails)
    with pytest.raises(OSError, match="no space left"):
        write_downloads(cloud(), "Centering", 0, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_only_an_empty_folder_is_written_to(tmp_path):
    assert len(write_downloads(cloud(), "Centering", 0, tmp_path, file="cloud.npy")) == 3
    with pytest.raises(FileExistsError, match="choose an empty folder"):
        write_downloads(cloud(), "Centering", 0, tmp_path, file="cloud.npy")
    with pytest.raises(ValueError, match="at most 8"):
        write_downloads(cloud(), "All but the top", 9, tmp_path / "made", file="cloud.npy")
    assert not (tmp_path / "made").exists()
