"""The curves of a run in the Space: all numbers of a real run's state, and a sentence for what is no such state."""

import csv
import json
import math

import numpy as np
import pytest
from isotropy_space.training import LONGEST_KEY, MAX_STATE_BYTES, MOST_FIGURES, read_training, training_limits_sentence
from small_trainer import small_trainer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, set_seed

from isotropy_metrics.training_curves import draw_training_curves, load_history
from trainer_callbacks.collapse_alarm import CollapseAlarm
from trainer_callbacks.isotropy_callback import IsotropyCallback


@pytest.fixture(scope="module")
def state(minilm_path, stsb_folder, tmp_path_factory):
    """The trainer_state.json of six steps of MiniLM on pairs of the STS benchmark, with an alarm that is raised."""
    folder = tmp_path_factory.mktemp("run")
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm_path)
    model = AutoModelForSequenceClassification.from_pretrained(minilm_path, num_labels=1)
    with open(stsb_folder / "sts-dev.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:32]
    rated = [tokenizer(line[5], line[6]) | {"labels": float(line[4])} for line in lines]
    trainer = small_trainer(folder, model=model, train=rated[:24], test=rated[24:], learning_rate=1e-4)
    trainer.data_collator = DataCollatorWithPadding(tokenizer)
    alarms = [CollapseAlarm("average_cosine_similarity", above=0.001)]
    trainer.add_callback(IsotropyCallback(trainer, measures=["isoscore", "average_cosine_similarity"], alarms=alarms))
    trainer.train()
    trainer.save_state()
    return folder / "trainer_state.json"


def saved(folder, history, name="trainer_state.json"):
    path = folder / name
    path.write_text(json.dumps({"log_history": history}), encoding="utf-8")
    return str(path)


def test_every_number_of_a_real_run(state):
    training = read_training(str(state))
    history = json.loads(state.read_text())["log_history"]
    logged = {
        (f"layer {layer}", float(entry["step"])): entry[f"eval_layer_{layer}/isoscore"]
        for entry in history
        for layer in range(7)
        if f"eval_layer_{layer}/isoscore" in entry
    }
    table = training.numbers
    of_isoscore = table[table["curve"] == "isoscore (isotropic: 1)"].set_index(["line", "step"])["value"].to_dict()
    assert of_isoscore == logged and {step for _, step in logged} == {0, 2, 4, 6}
    curves = list(dict.fromkeys(table["curve"]))
    assert curves[:2] == ["average cosine similarity (isotropic: 0)", "isoscore (isotropic: 1)"]
    assert any("to baseline" in curve for curve in curves) and "loss" in curves
    losses = table[(table["curve"] == "loss") & (table["line"] == "loss")].set_index("step")["value"].to_dict()
    assert losses == {entry["step"]: entry["loss"] for entry in history if "loss" in entry}
    raised = [entry["step"] for entry in history if entry.get("eval_isotropy_alarm")]
    assert training.alarms["step"].tolist() == raised != []
    assert "7 layers, measured at 4 steps from 0 to 6" in training.sentence
    assert f"A collapse alarm was raised at {len(raised)} evaluation" in training.sentence
    assert training.notes == ()


def test_figures_hold_what_the_librarys_figure_holds(state):
    training = read_training(str(state))
    panels = [axis for axis in draw_training_curves(load_history(state)).axes if axis.get_title()]
    assert len(training.figures) == len(panels)
    for figure, axis in zip(training.figures, panels, strict=True):
        assert axis.get_title() == figure.layout.title.text.replace("<br>", " ")
        lines = [line for line in axis.get_lines() if not line.get_label().startswith("_")]
        drawn = {line.get_label(): line.get_ydata() for line in lines if line.get_label() != "collapse alarm raised"}
        values = {line.name: np.array(line.y, dtype=float) for line in figure.data if line.name in drawn}
        assert values.keys() == drawn.keys()
        for name, expected in drawn.items():
            assert np.allclose(values[name], expected, equal_nan=True)


def test_gaps_and_huge_numbers(tmp_path):
    path = tmp_path / "trainer_state.json"
    numbers = ["0.25", "NaN", "1e999", "9" * 4000, "null", '"0.5"', "true", "[1]"]
    entries = [f'{{"step": {i}, "eval_layer_1/isoscore": {number}}}' for i, number in enumerate(numbers)]
    entries += ['{"step": 1e299, "eval_layer_1/isoscore": 0.5}', '{"step": 1e999, "eval_layer_1/isoscore": 0.7}']
    path.write_text('{"log_history": [' + ", ".join(entries) + "]}")
    training = read_training(str(path))
    values = training.numbers["value"].tolist()
    assert values[0] == 0.25 and values[-1] == 0.5 and all(map(math.isnan, values[1:-1])) and len(values) == 9
    assert "from 0 to 1e+299" in training.sentence and "No collapse alarm" in training.sentence


def test_html_in_keys_is_not_html_in_pictures(tmp_path):
    probe = "<img src=x onerror=alert(1)>"
    entry = {"step": 1, f"eval_{probe}_isoscore": 0.5, f"eval_{probe}": 0.7, "eval_isoscore": 0.1}
    training = read_training(saved(tmp_path, [entry]))
    assert f"isoscore, {probe} (isotropic: 1)" in training.numbers["curve"].tolist()
    for figure in training.figures:
        assert "<img" not in figure.to_json()


def test_many_curves_and_lines_are_numbers_only(tmp_path):
    entry = {"step": 1} | {f"eval_p{i}_isoscore": 0.5 for i in range(300)}
    entry |= {f"eval_layer_{i}/rankme": float(i) for i in range(1000)}
    training = read_training(saved(tmp_path, [entry]))
    assert len(training.figures) == MOST_FIGURES and len(training.numbers) == 1300
    assert max(len(figure.data) for figure in training.figures) <= 101
    assert training.notes == (
        "24 of 301 pictures are drawn; the numbers of all are in the table.",
        "A picture has at most 100 of 1,000 lines; the table has all.",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "state.json is not JSON: it was cut short or altered"),
        (b'{"log_history": [{"step": 1, "eval_isoscore"', "state.json is not JSON"),
        (b"\xff\xfe\x00", "state.json is not JSON"),
        (b"[" * 1_000_000, "state.json is not JSON"),
        (b'{"a":' * 500_000, "state.json is not JSON"),
        (b'{"log_history": [{"step": ' + b"9" * 10_000 + b"}]}", "state.json is not JSON"),
        (b"<html></html>", "state.json is not JSON"),
        (b"[1, 2]", "state.json has no log_history: pass the trainer_state.json that a transformers Trainer saved"),
        (b'{"log_history": [{"step": 1}, 2]}', "state.json has no log_history"),
        (b'{"log_history": [{"step": 1, "loss": 2.0}]}', "no isotropy in it: add trainer_callbacks.IsotropyCallback"),
        (
            b'{"log_history": [{"step": 1, "eval_' + b"n_" * 500_000 + b'!": 1}]}',
            "state.json holds a key of 1,000,006 letters, which no Trainer logs",
        ),
        (b" " * (MAX_STATE_BYTES + 1), "state.json is larger than 20 MB"),
    ],
)
def test_what_is_no_such_state_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_training(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value) and len(str(caught.value)) < 200


def test_the_longest_key_that_is_read(tmp_path):
    key = "eval_" + "n_" * ((LONGEST_KEY - 20) // 2) + "isoscore"
    assert len(read_training(saved(tmp_path, [{"step": 1, key: 0.5}])).numbers) == 1


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file state.json$"):
        read_training(str(tmp_path / "state.json"))
    assert "up to 20 MB" in training_limits_sentence()
