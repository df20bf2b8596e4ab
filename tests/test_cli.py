"""The command: arguments in, values or one sentence out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import isotropy_metrics
from isotropy_metrics import MEASURES, measure
from isotropy_metrics.cli import main
from isotropy_metrics.measures.comparisons import COMPARISONS, compare

rng = np.random.default_rng(0)
X = rng.normal(size=(1200, 5)) * [3, 2, 1, 1, 1] + 0.3
Y = X @ rng.normal(size=(5, 5)) + rng.normal(size=(1200, 5))
LABELS = np.array(["a", "b b", "ü"])[np.arange(1200) % 3]
WORDS = np.arange(1200) % 25


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my files ü")
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    np.savez(folder / "all.npz", x=X, y=Y, label=LABELS, word=WORDS, mass=1.0 + WORDS)
    return {path.name: str(path) for path in folder.iterdir()}


def run(capsys, *arguments, code=0):
    """Standard output and error of a command that ends with this exit code."""
    assert main(list(arguments)) == code
    return capsys.readouterr()


def approx(values):
    """Numbers but for rounding; pytest cannot compare the lists that some measures give, which are empty here."""
    return {name: value if value == [] else pytest.approx(value, rel=1e-10) for name, value in values.items()}


def test_json_is_all_that_is_printed_and_the_values_are_those_of_measure(paths, capsys):
    out, error = run(capsys, "measure", paths["x.npy"], "--json")
    assert json.loads(out) == approx(measure(X))
    assert error == ""
    arguments = ["--column", "x", "--references", "label", "--words", "word", "--sample-size", "700", "--seed", "3"]
    names = ["isoscore", "silhouette", "self_similarity"]
    with pytest.warns(RuntimeWarning):
        expected = measure(X, names, references=LABELS, words=WORDS, sample_size=700, seed=3)
    out, error = run(capsys, "measure", paths["all.npz"], "--json", "--measures", ",".join(names), *arguments)
    assert json.loads(out) == approx(expected)
    assert f"self_similarity of {expected['n_sampled']} rows" in error


def test_ids_decide_what_is_measured_unless_it_is_named(paths, capsys):
    assert "silhouette" not in run(capsys, "measure", paths["all.npz"], "--column", "x").out
    assert "silhouette" in run(capsys, "measure", paths["all.npz"], "--column", "x", "--references", "label").out
    weighted = run(capsys, "measure", paths["all.npz"], "--column", "x", "--weight", "mass", "--json").out
    chosen = [each.name for each in MEASURES.values() if each.weighted and not each.ids]
    assert json.loads(weighted) == approx(measure(X, chosen, weight=1.0 + WORDS))


def test_a_table_for_people_has_values_intervals_nulls_ranges_and_isotropic_values(paths, capsys):
    names = "effective_rank,partition_isotropy"
    arguments = ["measure", paths["x.npy"], "--measures", names, "--interval", "0.9", "--null", "--sample-size", "500"]
    expected = measure(X, names.split(","), interval=0.9, null=True, sample_size=500)
    out, error = run(capsys, *arguments)
    assert error == ""
    assert "x.npy: 1,200 rows, 5 features (array 'embeddings')" in out
    assert "a sample of 500" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for text in ("value", "interval", "null", "range", "isotropic"):
        assert text in rows["measure"]
    line = rows["effective_rank"]
    low, high = (f"{expected[f'effective_rank_{end}']:.4g}" for end in ("low", "high"))
    assert f"{expected['effective_rank']:.4g}" in line and f"[{low}, {high}]" in line
    assert f"{expected['effective_rank_null']:.4g}" in line and "1 … d" in line and line.split()[-1] == "5"
    assert f"{expected['partition_variation']:.4g}" in rows["partition_variation"]


def test_without_rich_the_table_is_aligned_text(paths, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    for module in ("rich.console", "rich.table", "rich.box", "rich.text"):
        monkeypatch.setitem(sys.modules, module, None)
    lines = run(capsys, "measure", paths["x.npy"], "--measures", "isoscore").out.splitlines()
    value = f"{measure(X, 'isoscore')['isoscore']:.4g}"
    assert lines[1].split() == ["measure", "value", "range", "isotropic"]
    assert lines[2].split() == ["isoscore", value, "0", "…", "1", "1"]
    assert lines[1].index("value") + len("value") == lines[2].index(value) + len(value)


def test_a_narrow_terminal_cuts_no_number(paths, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    out = run(capsys, "measure", paths["x.npy"], "--interval", "0.9", "--measures", "average_cosine_similarity").out
    expected = measure(X, "average_cosine_similarity", interval=0.9)
    assert all(f"{expected[f'average_cosine_similarity{end}']:.4g}" in out for end in ("", "_low", "_high"))


def test_options_of_measures_are_json_or_text(paths, capsys):
    arguments = ["--option", "isoscore.unbiased=true", "--option", "effective_rank.spectrum=singular_values"]
    names = ["isoscore", "effective_rank"]
    options = {"isoscore": {"unbiased": True}, "effective_rank": {"spectrum": "singular_values"}}
    out, error = run(capsys, "measure", paths["x.npy"], "--measures", ",".join(names), "--json", *arguments)
    assert json.loads(out) == approx(measure(X, names, options=options))
    assert json.loads(out)["effective_rank"] != measure(X, names)["effective_rank"]
    out, error = run(capsys, "measure", paths["x.npy"], "--option", "alpha_req.fit_range=[1, 4]", "--json")
    assert json.loads(out)["alpha_req_last"] == 4
    listed = ["--measures", "outlier_dimensions", "--option", "outlier_dimensions.n_std=0.5"]
    indices = json.loads(run(capsys, "measure", paths["x.npy"], *listed, "--json").out)["outlier_indices"]
    assert f"{len(indices)} numbers, see --json" in run(capsys, "measure", paths["x.npy"], *listed).out


def test_two_files_are_compared(paths, capsys):
    out, error = run(capsys, "measure", paths["x.npy"], paths["y.npy"], "--json")
    assert json.loads(out) == approx(compare(X, Y))
    assert error == ""
    columns = ["--column", "x", "--column2", "y"]
    named = ["--measures", "linear_cka,modality_gap"]
    out, _ = run(capsys, "measure", paths["all.npz"], paths["all.npz"], "--json", *columns, *named)
    assert json.loads(out) == approx(compare(X, Y, ["linear_cka", "modality_gap"]))
    out, _ = run(capsys, "measure", paths["x.npy"], paths["y.npy"], *named)
    assert out.count("1,200 rows, 5 features") == 2 and "equal spaces" in out and "cross_cosine" in out
    assert f"{compare(X, Y, 'linear_cka')['linear_cka']:.4g}" in out


def test_nan_is_null_and_its_reason_a_sentence_on_stderr(tmp_path, capsys):
    np.save(tmp_path / "same.npy", np.ones((300, 3)))
    out, error = run(capsys, "measure", str(tmp_path / "same.npy"), "--measures", "isoscore", "--json")
    assert json.loads(out)["isoscore"] is None
    assert error == "isotropy-metrics: warning: isoscore is NaN: all rows are the same\n"
    assert "nan" in run(capsys, "measure", str(tmp_path / "same.npy"), "--measures", "isoscore").out


# arguments after a file that is not there: what is refused here is refused before anything is opened
REFUSED_EARLY = [
    (["--measures", "isotropy"], "there is no measure 'isotropy'; there are: "),
    (["--measures", ","], "no measure named"),
    (["other.npy", "--measures", "isoscore"], "there is no comparison 'isoscore'; there are: "),
    (["--option", "isoscore"], "--option must look like isoscore.unbiased=true, got 'isoscore'"),
    (["--option", "isoscore=true"], "--option must look like"),
    (["--option", "isotropy.unbiased=true"], "is of none of the measures asked for: "),
    (["--option", "isoscore.biased=true"], "isoscore has no option 'biased'; its options: unbiased=False"),
    (["--option", "isoscore.unbiased=maybe"], "--option isoscore.unbiased=maybe must be true or false, got 'maybe'"),
    (["--option", "hubness.k=many"], "--option hubness.k=many must be a number, got 'many'"),
    (["--option", "hubness.k=true"], "--option hubness.k=true must be a number, got 'true'"),
    (["--measures", "isoscore", "--option", "hubness.k=5"], "is of none of the measures asked for: isoscore"),
    (["--seed", "-1"], "--seed must not be negative, got -1"),
    ([], "there is no file nowhere.npy"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED_EARLY)
def test_a_wrong_argument_ends_in_one_sentence(arguments, message, capsys):
    out, error = run(capsys, "measure", "nowhere.npy", *arguments, code=2)
    assert out == ""
    assert error.startswith("isotropy-metrics: ") and message in error
    assert error.count("\n") == 1


REFUSED = [
    (["all.npz"], "has 2 arrays that could be the embeddings, name one: 'x' (1200, 5) float64, 'y'"),
    (["all.npz", "--column", "z"], "has no array 'z', it has: 'x' (1200, 5) float64"),
    (["x.npy", "--measures", "silhouette"], "silhouette needs references: name the column with one class label"),
    (["all.npz", "--column", "x", "--weight", "mass", "--measures", "two_nn"], "two_nn has no meaning for weights"),
    (["x.npy", "--interval", "95"], "interval must be a level between 0 and 1"),
    (["x.npy", "--sample-size", "1"], "size must be at least 2 rows"),
    (["x.npy", "--option", "hubness.k=0"], "k must be at least 1 neighbour, got 0"),
    (["x.npy", "--option", "alpha_req.fit_range=all"], "fit_range must be a first and a last rank"),
    (["x.npy", "--split", "train"], "is one file and has no splits: leave out 'train'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_the_file_does_not_allow_ends_in_one_sentence(arguments, message, paths, capsys):
    out, error = run(capsys, "measure", paths[arguments[0]], *arguments[1:], code=2)
    assert (out, error.count("\n")) == ("", 1)
    assert message in error


def test_every_measure_is_listed_with_its_summary_and_needs(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    lines = {line.split()[0]: line for line in run(capsys, "measures").out.splitlines() if line.startswith("  ")}
    assert list(lines) == [
        *(name for name, each in MEASURES.items() if not each.ids),
        *(name for name, each in MEASURES.items() if each.ids),
        *COMPARISONS,
    ]
    assert all(each.summary in lines[name] for name, each in (MEASURES | COMPARISONS).items())
    assert "Needs --references." in lines["silhouette"]
    assert "Needs as many rows in one file as in the other and as many features." in lines["alignment"]
    assert "unbiased=False" in lines["isoscore"]
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run(capsys, "measures").out.splitlines())) <= 80


def test_push_writes_a_space_or_publishes_it(tmp_path, capsys, monkeypatch):
    out, _ = run(capsys, "push", "isoscore", "--dry-run", str(tmp_path / "isoscore"), "--namespace", "me")
    assert out.strip() == str(tmp_path / "isoscore")
    assert (tmp_path / "isoscore" / "isoscore.py").is_file()
    error = run(capsys, "push", "isotropy", "--dry-run", str(tmp_path / "other"), code=2).err
    assert "there is no measure 'isotropy'" in error and not (tmp_path / "other").exists()
    assert "--namespace" in run(capsys, "push", "isoscore", code=2).err
    pushed = []
    monkeypatch.setattr(
        "isotropy_metrics.hub_space.push_space", lambda *names, **given: pushed.append((names, given)) or "address"
    )
    assert run(capsys, "push", "isoscore", "--namespace", "me", "--private").out == "address\n"
    assert run(capsys, "push", "two_nn", "--namespace", "me", "--requirement", "x @ git+y").out == "address\n"
    assert pushed == [
        (("isoscore", "me"), {"private": True}),
        (("two_nn", "me"), {"private": False, "requirement": "x @ git+y"}),
    ]


def test_the_study_takes_all_measures_unless_some_are_named(tmp_path, capsys, monkeypatch):
    import isotropy_metrics.study

    given = []
    monkeypatch.setattr(isotropy_metrics.study, "run_study", lambda **arguments: given.append(arguments) or 1 / 0)
    for arguments in ([], ["--measures", "rankme, two_nn"]):
        with pytest.raises(ZeroDivisionError):
            main(["study", *arguments])
    assert "measures" not in given[0] and given[1]["measures"] == ["rankme", "two_nn"]
    monkeypatch.undo()
    error = run(capsys, "study", "--measures", "silhouette", "--output", str(tmp_path / "out"), code=2).err
    assert "silhouette needs references" in error and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["-m", "isotropy_metrics"], ["-m", "isotropy_metrics.cli"], "script"])
def test_the_command_in_a_process_of_its_own(command, paths):
    script = shutil.which("isotropy-metrics", path=os.path.dirname(sys.executable))
    command = [script] if command == "script" else [sys.executable, "-W", "error", *command]
    done = subprocess.run(
        [*command, "measure", paths["x.npy"], "--measures", "isoscore", "--json"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == approx(measure(X, "isoscore"))
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert version.stdout.strip() == isotropy_metrics.__version__


def test_ctrl_c_ends_a_long_measurement_with_its_code(tmp_path):
    with open(tmp_path / "long.npy", "wb") as file:  # sparse: 128 GB of zeros that take no place
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**27, 256)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**27 * 256 * 4)
    command = [sys.executable, "-m", "isotropy_metrics", "measure", str(tmp_path / "long.npy")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    progress = process.stderr.read(20)  # the bar that comes after two seconds
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert b"long.npy" in progress
    assert (process.returncode, out) == (130, b"")
    assert error.endswith(b"interrupted: nothing was written\n") and b"Traceback" not in error
