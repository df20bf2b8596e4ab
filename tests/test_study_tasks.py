"""Tasks of the study: loading, scoring, probes, fine-tuning, and the experiments on classes and groups."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import silhouette_score
from transformers import set_seed

from isotropy_metrics.hidden_states import embed
from isotropy_metrics.measures import find_measures
from isotropy_metrics.study import StudyResults, run_study
from isotropy_metrics.study.case import StudyCase, StudySettings
from isotropy_metrics.study.data.drawn_items import drawn_items
from isotropy_metrics.study.data.labelled_texts import LabelledTexts
from isotropy_metrics.study.data.text_pairs import TextPairs
from isotropy_metrics.study.experiments import classes, groups
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.spaces.pooled_layers import pooled_layers
from isotropy_metrics.study.tasks import Classification, Custom, PairClassification, load_task, task_name
from isotropy_metrics.study.tasks.scoring import score_with_interval
from isotropy_metrics.study.training.fine_tuning import fine_tune, recipe
from isotropy_metrics.study.training.pooled_encoder import PooledCollator, PooledEncoder, training_items
from isotropy_metrics.study.training.task_heads import head_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.* texts were cut:UserWarning"),
]
SHORT = 16
"""Tokens per text, where long ones would only take time."""


@pytest.fixture(scope="module")
def before(minilm_path):
    return Checkpoint.load(str(minilm_path))


@pytest.fixture(scope="module")
def after(before):
    """The same with noise in its last layer."""
    model = copy.deepcopy(before.model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.encoder.layer[-1].parameters():
            weight += 0.005 * torch.randn(weight.shape, generator=generator)
    return Checkpoint("noisy", model, before.tokenizer)


@pytest.fixture(scope="module")
def news(bbc_folder):
    task = load_task("bbc").sample(40, 30, 0)
    train, test = (replace(part, texts=[text[:60] for text in part.texts]) for part in (task.train, task.test))
    return replace(task, train=train, test=test)


@pytest.fixture(scope="module")
def genres(stsb_folder):
    return load_task("stsb", group_column="genre").sample(40, 60, 0)


def case_of(task, before, after=None, **settings):
    settings = {"layers": (0, -1)} | settings
    return StudyCase(
        before, after, task, StudySettings(measures=tuple(find_measures(["isoscore"])), **settings), max_length=SHORT
    )


def pairs_with_classes():
    return PairClassification(
        TextPairs(["a cat", "a dog", "rain", "snow"], ["one cat", "a tree", "wet", "sand"], np.array(list("ynyn"))),
        TextPairs(["a bird", "wind"], ["one bird", "a stone"], np.array(list("yn"))),
    )


# Drawing


def test_classes_are_drawn_in_their_proportion_and_each_at_least_once():
    labels = np.array(60 * ["a"] + 30 * ["b"] + 9 * ["c"] + ["d"])
    for seed in range(5):
        names, counts = np.unique(labels[drawn_items(labels, 20, seed)], return_counts=True)
        assert list(names) == list("abcd")
        assert np.abs(counts - [12, 6, 1.8, 0.2]).max() <= 1.2
    assert set(labels[drawn_items(labels, 4, 0)]) == set("abcd")
    assert not np.array_equal(drawn_items(labels, 20, 0), drawn_items(labels, 20, 1))


def test_scores_are_drawn_uniformly_and_all_are_kept_in_order():
    scores = np.linspace(0, 5, 50)
    draws = np.concatenate([drawn_items(scores, 10, seed) for seed in range(400)])
    counts = np.bincount(draws, minlength=50)
    assert len(draws) == 4000 and np.abs(counts - 80).max() < 40
    assert np.array_equal(drawn_items(scores, None, 0), np.arange(50))
    assert np.all(np.diff(drawn_items(scores, 10, 3)) > 0)


# Loading


def test_bundled_data_have_their_official_or_stratified_splits(stsb_folder, bbc_folder):
    stsb = load_task("stsb")
    assert [len(part) for part in (stsb.train, stsb.dev, stsb.test)] == [5749, 1500, 1379]
    assert stsb.test.groups is None and (stsb.kind, stsb.has_interval) == ("similarity", True)
    bbc = load_task("bbc")
    files = list(bbc_folder.glob("*/*.txt"))
    unique = {file.read_bytes().decode("latin-1").strip() for file in files}
    assert len(bbc.train) + len(bbc.test) == len(unique)
    assert set(bbc.train.texts).isdisjoint(bbc.test.texts)
    assert bbc.classes == ["business", "entertainment", "politics", "sports", "tech"]
    shares = [np.unique(part.labels, return_counts=True)[1] / len(part) for part in (bbc.train, bbc.test)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
    assert load_task("bbc", seed=1).test.texts != bbc.test.texts == load_task("bbc").test.texts


def test_files_of_every_kind_give_the_same_classes(tmp_path):
    table = pandas.DataFrame({"text": [f"text {i}" for i in range(20)], "label": [i % 2 for i in range(20)]})
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    table.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "t.parquet")
    table.assign(label=table["label"].astype(float)).to_parquet(tmp_path / "f.parquet")
    tasks = [load_task(str(tmp_path / name)) for name in ("t.csv", "t.tsv", "t.jsonl", "t.parquet", "f.parquet")]
    for task in tasks:
        assert task.kind == "classification" and task.classes == ["0", "1"]
        assert (len(task.train), len(task.test), task.dev) == (16, 4, None)
        assert task.test.texts == tasks[0].test.texts
        assert list(task.test.labels) == [str(int(text.split()[1]) % 2) for text in task.test.texts]


def test_splits_groups_and_the_kind_of_task_come_from_the_columns(tmp_path):
    rows = [
        {"a": f"x{i}", "b": f"y{i}", "z": i % 3, "lang": "de" if i % 2 else "en", "split": split}
        for i, split in enumerate(9 * ["train"] + 6 * ["dev"] + 6 * ["test"] + 6 * ["validation"])
    ]
    path = str(tmp_path / "t.csv")
    pandas.DataFrame(rows).to_csv(path, index=False)
    task = load_task(path, ["a", "b", "z"], group_column="lang")
    assert task.kind == "similarity" and [len(task.train), len(task.dev), len(task.test)] == [9, 6, 6]
    assert task.dev.first[0] == "x21" and task.test.labels.dtype.kind == "f"
    assert list(task.test.groups) == ["de", "en"] * 3 and list(task.test.text_groups) == ["de", "en"] * 6
    assert list(task.sample(None, 4, 0).test.groups) != [] and len(task.sample(None, 4, 0).dev) == 4
    pair = load_task(path, ["a", "b", "z"], task="pair-classification")
    assert pair.kind == "pair-classification" and pair.classes == ["0", "1", "2"] and pair.test.groups is None
    single = load_task(path, ["a", "z"], probe="mlp")
    assert (single.kind, single.probe) == ("classification", "mlp")
    pandas.DataFrame(rows[:15]).to_csv(path, index=False)
    assert load_task(path, ["a", "z"]).dev is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"columns": ["x", "label"]},
            "has no column 'x', it has: text, label, n, split; name a text column and a label",
        ),
        ({"columns": ["text"]}, "columns must name two text columns and a score column, or a text column and a label"),
        (
            {"columns": ["text", "label"], "task": "similarity"},
            "columns must name two text columns and a score column",
        ),
        (
            {"columns": ["text", "text", "label"]},
            "row 0 of column 'label' is not a number: 'a'; if the column holds cl",
        ),
        ({"task": "regression"}, "there is no task 'regression'; there are: auto, similarity, classification, pair-"),
        ({"group_column": "lang"}, "has no column 'lang', .*; name the column of groups with --group-column"),
        ({"group_column": "n"}, "row 2 of column 'n' is not a label: ''"),
        ({"probe": "forest"}, "there is no probe 'forest'; there are: logistic, mlp"),
        ({"dataset": "nowhere.csv"}, "there is no file nowhere.csv"),
        ({"dataset": "nobody/nothing"}, "cannot load the dataset 'nobody/nothing': .*; check the name"),
        (
            {"dataset": "stsb", "columns": ["a", "b"]},
            "columns must name two text columns and a score column, got a, b",
        ),
        ({"dataset": "stsb", "columns": ["a", "b", "c"]}, "stsb has its own columns"),
        ({"dataset": "stsb", "task": "classification"}, "stsb is a similarity task, not classification"),
        ({"dataset": "stsb", "group_column": "topic"}, "no column 'topic' of groups, it has only 'genre'"),
        ({"dataset": "bbc", "group_column": "topic"}, "no column 'topic' of groups, it has none"),
    ],
)
def test_a_wrong_argument_is_one_sentence(tmp_path, arguments, message):
    path = tmp_path / "t.csv"
    path.write_text("text,label,n,split\nx,a,1,train\ny,b,2,train\nz,a,,test\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_task(**{"dataset": str(path)} | arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", r"t.csv \(all\) is empty"),
        ("", "is empty"),
        ("text,label,split\nx,a,train\ny,b,train\n", "no split test or validation or dev, they have: train"),
        ("text,label,split\nx,a,train\ny,b,\nz,a,test\n", "row 1 of column 'split' is empty"),
        ("text,label\nx,a\n ,b\n", "row 1 of column 'text' is not a text: ' '"),
        ("text,label\nx,a\ny,\n", "row 1 of column 'label' is not a label: ''"),
        ("text,label\nx,a\ny,a\nz,a\n", "one class only, 'a'"),
        ("text,label\nx,a\ny,b\n", r"\(test\) has no item"),
        ("text,label,split\nx,a,train\ny,b,train\nz,c,test\n", r"\(test\) has class 'c', which training lacks"),
        ("text,label\nx,a\ny,b,c\n", "cannot read .*t.csv"),
        ("<!DOCTYPE html><html></html>", "is a web page, not a table"),
        ("text,label\nx,a\n\0,b\n", "it is a binary file"),
        (b"\xe9\xff,label\nx,a\n", "cannot read .*t.csv .*: it must be UTF-8"),
    ],
)
def test_bad_data_are_one_sentence(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        load_task(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_what_their_ending_says_are_one_sentence(tmp_path):
    for name in ("t.parquet", "t.jsonl", "t.txt"):
        (tmp_path / name).write_text("neither this nor that\n")
        with pytest.raises(ValueError, match=r"cannot read|must be one of \.csv"):
            load_task(str(tmp_path / name))


# Probes and scores


@pytest.mark.parametrize("probe", ["logistic", "mlp"])
def test_a_probe_reads_classes_off_whatever_their_scale_and_none_off_noise(probe):
    rng = np.random.default_rng(0)
    labels = np.array([f"class {i % 3}" for i in range(240)])
    X = rng.normal(size=(240, 20))
    X[:, :3] += 6 * np.eye(3)[np.arange(240) % 3]
    X *= 10.0 ** rng.uniform(-4, 4, size=20)
    parts = [LabelledTexts(["x"] * 120, labels[:120]), LabelledTexts(["x"] * 120, labels[120:])]
    task = Classification(*parts, probe=probe)
    predictions = task.predict(task.test, X[120:], task.train, X[:120])
    assert task.score(predictions, task.test.labels) == 100 * np.mean(predictions == labels[120:]) > 95
    assert np.array_equal(predictions, task.predict(task.test, X[120:], task.train, X[:120]))
    noise = task.predict(task.test, rng.normal(size=(120, 20)), task.train, X[:120])
    assert 15 < task.score(noise, task.test.labels) < 55


def test_an_mlp_reads_what_no_line_divides():
    X = np.random.default_rng(0).uniform(-1, 1, size=(600, 2))
    labels = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    train, test = LabelledTexts(["x"] * 400, labels[:400]), LabelledTexts(["x"] * 200, labels[400:])
    scores = {}
    for probe in ("logistic", "mlp"):
        task = Classification(train, test, probe=probe)
        scores[probe] = task.score(task.predict(test, X[400:], train, X[:400]), test.labels)
    assert scores["logistic"] < 70 < 90 < scores["mlp"]


def test_a_probe_fitted_on_one_class_predicts_it():
    task = pairs_with_classes()
    known = task.train.take(np.array([0, 2]))
    assert list(task.predict(task.test, np.eye(4), known, np.ones((4, 4)))) == ["y", "y"]


def test_pair_features_are_both_their_difference_and_their_product():
    task = pairs_with_classes()
    u, v = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[3.0, 1.0], [2.0, -2.0]])
    features = task.features(task.test, np.concatenate([u, v]))
    assert features.tolist() == [[1, 2, 3, 1, 2, 1, 3, 2], [0, -1, 2, -2, 2, 1, 0, 2]]


def test_the_interval_of_an_accuracy_is_that_of_a_proportion():
    labels = np.array(["a", "b"] * 200)
    predictions = labels.copy()
    predictions[:80] = "c"
    task = Classification(LabelledTexts(["x"] * 400, labels), LabelledTexts(["x"] * 400, labels))
    result = score_with_interval(task, predictions, labels, compared_with=labels)
    assert result["score"] == 80 and result["gain"] == -20
    half = 1.96 * 100 * np.sqrt(0.8 * 0.2 / 400)
    assert (result["score_high"] - result["score_low"]) / 2 == pytest.approx(half, rel=0.15)
    assert result["gain_low"] < -20 < result["gain_high"] < 0


def test_a_custom_score_has_no_interval_and_takes_all_texts():
    task = Custom.of(lambda X: float(X[:, 0].sum()), ["a", "b", "c", "d"], groups=[1, 1, 2, 2])
    X = np.arange(8.0).reshape(4, 2)
    predictions = task.predict(task.test, X, task.train, X)
    result = score_with_interval(task, predictions, task.test.labels, compared_with=2 * predictions)
    assert (result["score"], result["gain"]) == (12, -12)
    assert all(np.isnan(result[f"{name}_{end}"]) for name in ("score", "gain") for end in ("low", "high"))
    assert "fitted on the same texts" in task.protocol()["score"] and task.test.groups.tolist() == ["1", "1", "2", "2"]
    with pytest.raises(ValueError, match="all texts in their order"):
        task.score(predictions[:2], task.test.labels[:2])
    with pytest.raises(ValueError, match="all its 4 texts: leave max_rows out"):
        task.sample(None, 3, 0)
    with pytest.raises(ValueError, match="nothing to fine-tune on"):
        recipe(task)
    with pytest.raises(ValueError, match="must be a number, got str"):
        replace(task, function=lambda X: "good").score(X, task.test.labels)
    for texts, message in ((["a", "b"], "at least 3 texts"), (["a", "", "c"], r"texts\[1\] is not a text")):
        with pytest.raises(ValueError, match=message):
            Custom.of(len, texts)
    with pytest.raises(ValueError, match="one entry per text, got 1 for 3"):
        Custom.of(len, ["a", "b", "c"], groups=["x"])


def test_the_name_of_an_own_task_tells_its_data_apart():
    first, second = (Custom.of(len, texts) for texts in (["a", "b", "c"], ["a", "b", "d"]))
    assert task_name("auto") == "auto"
    assert task_name(first) == task_name(Custom.of(max, ["a", "b", "c"])) != task_name(second)
    grouped = Custom.of(len, ["a", "b", "c"], groups=["x", "x", "y"])
    assert task_name(grouped) != task_name(first)
    with pytest.raises(ValueError, match="task must be a name or a task such as .*, got function"):
        task_name(lambda X: 1.0)


# Fine-tuning


@pytest.mark.parametrize("kind", ["similarity", "classification", "pair-classification"])
def test_the_training_loss_is_that_of_pooled_texts_by_hand(kind, before, news, genres):
    task = {"similarity": genres, "classification": news, "pair-classification": pairs_with_classes()}[kind]
    part = task.train.take(np.arange(4))
    torch.manual_seed(0)
    head = head_of(task)(task, 384)
    items = training_items(part, head.targets(part.labels), before.tokenizer)
    model = PooledEncoder(before.model, head).eval()
    with torch.no_grad():
        output = model(**PooledCollator(before.tokenizer, SHORT)(items))
    pooled = embed(before.model, part.texts, tokenizer=before.tokenizer, max_length=SHORT, progress=False)
    u, v = pooled[:4].astype(float), pooled[4:].astype(float)
    if kind == "similarity":
        scores = task.train.labels
        targets = (part.labels - scores.min()) / (scores.max() - scores.min())
        cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        expected = np.mean((cosines - targets) ** 2)
    else:
        features = u if kind == "classification" else np.hstack([u, v, np.abs(u - v)])
        logits = features @ head.linear.weight.detach().numpy().T.astype(float) + head.linear.bias.detach().numpy()
        own = [task.classes.index(label) for label in part.labels]
        expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(4), own])
        assert list(head.predictions(output["logits"].numpy())) == [task.classes[i] for i in logits.argmax(1)]
    assert output["loss"].item() == pytest.approx(expected, rel=1e-4)
    assert head.objective == recipe(task)["objective"]


def test_fine_tuning_on_classes_changes_the_copy_and_logs_scores_and_geometry(before, news):
    weights = {name: weight.clone() for name, weight in before.model.state_dict().items()}
    task = replace(news, test=news.test.take(np.arange(12)))
    draws = lambda: (random.random(), np.random.rand(), torch.rand(1).item())  # noqa: E731
    set_seed(7)
    expected = draws()
    set_seed(7)
    model, log = fine_tune(case_of(task, before))
    assert draws() == expected
    assert all(torch.equal(weight, before.model.state_dict()[name]) for name, weight in weights.items())
    assert any(not torch.equal(weight, model.state_dict()[name]) for name, weight in weights.items())
    scores = {entry["step"]: entry["eval_score"] for entry in log if "eval_score" in entry}
    assert sorted(scores) == [0, 1, 2, 3] and all(0 <= score <= 100 for score in scores.values())
    assert {entry["step"] for entry in log if "eval_layer_6/isoscore" in entry} == {0, 1, 2, 3}


def test_the_score_before_training_is_that_of_the_model_on_the_watched_pairs(before, genres):
    task = replace(genres, train=genres.train.take(np.arange(20)), dev=genres.dev.take(np.arange(40)))
    _, log = fine_tune(case_of(task, before))
    u, v = np.split(
        embed(before.model, task.dev.texts, tokenizer=before.tokenizer, max_length=SHORT, progress=False), 2
    )
    cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    expected = 100 * spearmanr(cosines, task.dev.labels).statistic
    assert next(entry["eval_score"] for entry in log if "eval_score" in entry) == pytest.approx(expected, abs=0.01)


def test_a_head_gives_the_labels_back_that_its_targets_came_from(news, genres):
    for task in (news, genres):
        head = head_of(task)(task, 4)
        labels = task.test.labels
        again = head.labels(np.array(head.targets(labels)))
        assert np.allclose(again, labels) if task is genres else list(again) == list(labels)


def test_texts_are_padded_for_a_tokenizer_without_a_token_for_it(before):
    tokenizer = copy.deepcopy(before.tokenizer)
    items = training_items(LabelledTexts(["rain", "a cat sat on the mat"], np.array(["a", "b"])), [0, 1], tokenizer)
    expected = PooledCollator(tokenizer, SHORT)(items)["texts"][0]
    tokenizer.pad_token = None
    batch = PooledCollator(tokenizer, SHORT)(items)["texts"][0]
    assert torch.equal(batch["keep"], expected["keep"]) and batch["keep"].sum(dim=1).tolist() == [1, 6]
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert tokenizer.pad_token is None


# Experiments


@pytest.fixture(scope="module")
def news_case(news, before, after):
    return case_of(news, before, after)


def test_pooled_layers_are_those_of_embed(before, news):
    texts = news.test.texts[:5]
    pooled = pooled_layers(before, texts, layers=[3, -1], max_length=SHORT)
    for pooling, by_layer in pooled.items():
        assert sorted(by_layer) == [3, 6]
        for layer, rows in by_layer.items():
            asked = {"layer": layer, "pooling": pooling, "max_length": SHORT, "progress": False}
            expected = embed(before.model, texts, tokenizer=before.tokenizer, **asked)
            assert rows == pytest.approx(expected, abs=1e-5)
    assert list(pooled) == ["mean", "cls"]


def test_classes_are_measured_on_pooled_texts_of_every_layer(news_case, tmp_path):
    outcome = classes.run(news_case)
    rows = {(row["checkpoint"], row["pooling"], row["layer"]): row for row in outcome.tables["classes"]}
    assert set(rows) == {(c, p, n) for c in ("before", "after") for p, n in (("mean", 0), ("mean", 6), ("cls", 6))}
    test = news_case.task.test
    for checkpoint, of in (("before", news_case.before), ("after", news_case.after)):
        asked = {"tokenizer": of.tokenizer, "pooling": "cls", "max_length": SHORT, "progress": False}
        own = embed(of.model, test.texts, **asked)
        for key, metric in (("silhouette", "euclidean"), ("silhouette_cosine", "cosine")):
            expected = silhouette_score(own, test.labels, metric=metric)
            assert rows[checkpoint, "cls", 6][key] == pytest.approx(expected, abs=1e-4)
    assert rows["before", "mean", 0]["silhouette"] == pytest.approx(rows["after", "mean", 0]["silhouette"])
    assert rows["before", "mean", 6]["silhouette"] != rows["after", "mean", 6]["silhouette"]
    StudyResults({}, {"classes": outcome}).save(tmp_path / "r.json")
    loaded = StudyResults.load(tmp_path / "r.json").experiments["classes"]
    assert len(classes.draw(loaded)) == 2 * len(classes.DRAWN)
    after = rows["after", "cls", 6]["silhouette"]
    assert f"{after:.3f} after" in classes.tell(loaded)[1] == classes.tell(outcome)[1]


def test_pairs_have_classes_too_and_scores_have_none(before, after, genres):
    assert classes.missing(case_of(genres, before)) == "the data of a similarity task have no classes"
    task = pairs_with_classes()
    task = replace(task, test=task.train)
    case = case_of(task, before, after, layers=(-1,))
    assert classes.missing(case) is None
    rows = classes.run(case).tables["classes"]
    assert all(row["n_features"] == 4 * 384 and row["n_samples"] == 4 for row in rows)


def test_groups_are_scored_and_measured_by_hand(before, after, genres, tmp_path):
    case = case_of(genres, before, after)
    outcome = groups.run(case)
    names = sorted(set(genres.test.groups))
    rows = {(row["checkpoint"], row["group"]): row for row in outcome.tables["groups"]}
    assert set(rows) == {(c, name) for c in ("before", "after") for name in names}
    clouds = {}
    for name in names:
        own = genres.test.take(np.flatnonzero(genres.test.groups == name))
        asked = {"tokenizer": after.tokenizer, "max_length": SHORT, "progress": False}
        pooled = embed(after.model, own.texts, **asked)
        u, v = pooled[: len(own)], pooled[len(own) :]
        cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        row = rows["after", name]
        assert row["score"] == pytest.approx(100 * spearmanr(cosines, own.labels)[0], abs=1)
        assert row["score_low"] < row["score"] < row["score_high"] and row["n_items"] == len(own)
        clouds[name] = embed(after.model, own.texts, pooling=None, **asked)
    assert {row["n_tokens"] for row in rows.values()} == {min(map(len, clouds.values()))}
    least = min(clouds, key=lambda name: len(clouds[name]))
    cloud = clouds[least].astype(float)
    units = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
    n = len(units)
    cosines = units @ units.T
    row = rows["after", least]
    assert row["average_cosine_similarity"] == pytest.approx((cosines.sum() - n) / (n * (n - 1)), rel=1e-3)
    products = np.array([(np.outer(c, c).sum() - c @ c) for c in units.T]) / (n * (n - 1))
    largest = np.argsort(-products)[:3]
    assert row["features_of_largest"] == ", ".join(map(str, largest))
    expected = products[largest].sum() / products.sum()
    assert row["largest_contributions"] == pytest.approx(expected, rel=1e-3)

    StudyResults({}, {"groups": outcome}).save(tmp_path / "r.json")
    loaded = StudyResults.load(tmp_path / "r.json").experiments["groups"]
    figures = groups.draw(loaded)
    assert {"score", "offset", "feature_means_before", "isoscore"} <= set(figures)
    assert len(groups.tell(loaded)) == 3


def test_offsets_are_distances_of_means_in_spreads():
    rng = np.random.default_rng(0)
    clouds = {"a": rng.normal(size=(5000, 4)), "b": rng.normal(size=(5000, 4)) + [3, 0, 0, 4]}
    (row,) = groups._offsets("before", clouds)
    assert row["distance_of_means"] == pytest.approx(5, abs=0.1)
    assert row["offset"] == pytest.approx(5 / 2, abs=0.05)


def test_groups_need_two_of_some_size_and_a_custom_score_has_none_of_its_own(before, after, news, genres):
    assert "--group-column" in groups.missing(case_of(news, before))
    few = replace(genres, test=genres.test.take(np.arange(5)))
    few = replace(few, test=replace(few.test, groups=np.array(["a", "a", "a", "a", "b"])))
    assert "fewer than two groups" in groups.missing(case_of(few, before))
    texts = [f"{word} number {i}" for i in range(6) for word in ("cat", "rain")]
    task = Custom.of(lambda X: float(X.mean()), texts, groups=["animals", "weather"] * 6)
    outcome = groups.run(case_of(task, before, after))
    assert all(np.isnan(row["score"]) for row in outcome.tables["groups"])
    outcome = replace(outcome, tables=json.loads(json.dumps(outcome.tables).replace("NaN", "null")))
    assert "score" not in groups.draw(outcome) and "score" not in groups.tell(outcome)[0].lower().replace(
        "isoscore", ""
    )


def test_a_study_of_classes_runs_from_a_file_and_of_a_custom_score_from_python(
    tmp_path, minilm_path, bbc_folder, after
):
    after.model.save_pretrained(tmp_path / "after")
    after.tokenizer.save_pretrained(tmp_path / "after")
    asked = {"finetuned": str(tmp_path / "after"), "layers": [-1], "measures": ["isoscore"], "progress": False}
    task = load_task("bbc").sample(20, 20, 0)
    rows = [
        {"text": text[:60], "topic": label, "split": split}
        for split, part in (("train", task.train), ("test", task.test))
        for text, label in zip(part.texts, part.labels, strict=True)
    ]
    pandas.DataFrame(rows).to_csv(tmp_path / "news.csv", index=False)
    results = run_study(
        tmp_path / "file",
        dataset=str(tmp_path / "news.csv"),
        columns=("text", "topic"),
        experiments=["classes"],
        **asked,
    )
    assert results.protocol["task"] == "classification" and results.protocol["n_classes"] == 5
    assert len(results.experiments["classes"].tables["classes"]) == 4
    custom = Custom.of(lambda X: float(np.linalg.norm(X.mean(axis=0))), [row["text"] for row in rows])
    results = run_study(tmp_path / "own", task=custom, experiments=["layers"], **asked)
    assert results.protocol["settings"]["task"] == task_name(custom)
    with pytest.raises(ValueError, match="nothing to fine-tune on"):
        run_study(tmp_path / "none", task=custom, experiments=["layers"], progress=False)
