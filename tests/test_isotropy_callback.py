"""IsotropyCallback: what it adds to a Trainer, what it leaves alone, and what it does when something goes wrong."""

import gc
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from small_trainer import examples, small_model, small_trainer
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.trainer_utils import default_compute_objective

from isotropy_metrics import measure
from isotropy_metrics.measures.comparisons import compare
from trainer_callbacks.baseline import FILE_NAME
from trainer_callbacks.collapse_alarm import CollapseAlarm
from trainer_callbacks.isotropy_callback import DEFAULT_DRIFT, IsotropyCallback
from trainer_callbacks.probed_space import ProbedSpace

TEST = examples(14, seed=1)
DRIFT = [f"{name}_to_baseline" for name in DEFAULT_DRIFT]


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level(logging.WARNING)


def trained(folder, *, with_trainer=True, callbacks=(), measured=None, model=None, resume=None, **arguments):
    """A small Trainer after training, with an IsotropyCallback of the arguments `measured` unless that is None."""
    trainer = small_trainer(folder, model=model or small_model(), test=arguments.pop("test", TEST), **arguments)
    for callback in callbacks:
        trainer.add_callback(callback)
    if measured is not None:
        trainer.add_callback(IsotropyCallback(trainer if with_trainer else None, **measured))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def measured_entries(trainer):
    return [entry for entry in trainer.state.log_history if "eval_isoscore" in entry]


def rows_of(model, data, layer=-1, pooling=None):
    """Rows of one layer, one text at a time and without padding."""
    rows, modes = [], model.training
    model.eval()
    with torch.no_grad():
        for row in data:
            states = model(torch.tensor([row["input_ids"]]), output_hidden_states=True).hidden_states[layer][0]
            rows.append({None: states, "mean": states.mean(0, keepdim=True), "cls": states[:1]}[pooling].numpy())
    model.train(modes)
    return np.concatenate(rows)


class Generators(TrainerCallback):
    """Notes the state of every random generator at each step."""

    def __init__(self):
        self.seen = []

    def on_step_begin(self, *_, **__):
        self.seen.append((random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()))


@pytest.mark.parametrize(
    ("with_trainer", "measured"),
    [
        (True, {"every_n_steps": 1}),
        (True, {"pooling": "mean", "probe": {"own": TEST, "other": examples(9, seed=2)}}),
        (False, {"probe": TEST, "measures": ["isoscore", "partition_isotropy", "two_nn"]}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_training_is_the_same_to_the_bit(with_trainer, measured, tmp_path):
    """Dropout is on and the training set is shuffled."""
    plain_draws, draws = Generators(), Generators()
    plain = trained(tmp_path / "plain", callbacks=[plain_draws])
    watched = trained(tmp_path / "watched", callbacks=[draws], measured=measured, with_trainer=with_trainer)
    losses = [
        [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry]
        for trainer in (plain, watched)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, watched.model.state_dict()[name]), name
    assert plain_draws.seen == draws.seen
    evaluated = [[e["eval_loss"] for e in t.state.log_history if "eval_loss" in e] for t in (plain, watched)]
    assert evaluated[0] == evaluated[1]


@pytest.mark.parametrize("pooling", [None, "mean", "cls"])
def test_values_are_those_of_the_hidden_states(pooling, tmp_path):
    before = small_model()
    rows = {layer: rows_of(before, TEST, layer, pooling) for layer in range(3)}
    names = ["isoscore", "average_cosine_similarity", "effective_rank", "uniformity"]
    trainer = trained(tmp_path, measured={"pooling": pooling, "measures": names}, model=small_model())
    first, *_, last = measured_entries(trainer)
    for entry, model in ((first, before), (last, trainer.model)):
        for layer in range(3):
            now = rows_of(model, TEST, layer, pooling)
            expected = quietly(measure, now, names)
            assert {name: entry[f"eval_layer_{layer}/{name}"] for name in names} == pytest.approx(
                {name: expected[name] for name in names}, rel=1e-5, abs=1e-6
            )
            if entry is last:
                drift = quietly(compare, rows[layer], now, DEFAULT_DRIFT)
                assert [entry[f"eval_layer_{layer}/{key}"] for key in DRIFT] == pytest.approx(
                    [drift[name] for name in DEFAULT_DRIFT], rel=1e-4
                )
    for key in (*names, *DRIFT):
        assert last[f"eval_{key}"] == last[f"eval_layer_2/{key}"]
    assert not any("_to_baseline" in key for key in first)


def quietly(function, *arguments):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*arguments)


def test_values_are_logged_at_their_step_and_returned(tmp_path):
    trainer = trained(tmp_path, measured={})
    assert [entry["step"] for entry in measured_entries(trainer)] == [0, 2, 4, 6]
    assert [entry["epoch"] for entry in measured_entries(trainer)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    returned = trainer.evaluate()
    last = measured_entries(trainer)[-1]
    assert {key: returned[key] for key in last if key not in ("step", "epoch")} == {
        key: value for key, value in last.items() if key not in ("step", "epoch")
    }
    with torch.no_grad():
        trainer.model.bert.embeddings.word_embeddings.weight.mul_(torch.linspace(0.1, 3, 16))
    changed = trainer.evaluate()
    assert changed["eval_isoscore"] != returned["eval_isoscore"]
    assert trainer.state.log_history[-1]["eval_isoscore"] == changed["eval_isoscore"]


def test_the_console_shows_the_last_layer_only(tmp_path, capsys):
    trainer = small_trainer(tmp_path)
    trainer.add_callback(PrinterCallback)
    trainer.add_callback(IsotropyCallback(trainer))
    trainer.train()
    printed = [line for line in capsys.readouterr().out.splitlines() if "eval_isoscore" in line]
    assert len(printed) == 4 and not any("layer_" in line for line in printed)
    assert "eval_layer_1/isoscore" in measured_entries(trainer)[-1]
    assert any(isinstance(each, PrinterCallback) for each in trainer.callback_handler.callbacks)


def test_every_n_steps_beside_evaluations_and_nothing_twice(tmp_path, monkeypatch):
    readings = []
    trainer = small_trainer(tmp_path, eval_steps=3)
    callback = IsotropyCallback(trainer, every_n_steps=2)
    read = callback.space_watch.read
    monkeypatch.setattr(
        callback.space_watch, "read", lambda *a: readings.append(trainer.state.global_step) or read(*a)
    )
    trainer.add_callback(callback)
    trainer.train()
    assert [entry["step"] for entry in measured_entries(trainer)] == [0, 2, 3, 4, 6]
    assert readings == [0, 2, 3, 4, 6]


def test_probes_by_name_and_layers(tmp_path):
    probes = {"in": TEST, "out": examples(8, seed=5)}
    measured = {"probe": probes, "layers": [0, -1], "measures": "isoscore", "drift": "linear_cka", "alarms": ()}
    last = measured_keys(trained(tmp_path, measured=measured))
    expected = {f"eval_{probe}_{key}" for probe in probes for key in ("isoscore", "linear_cka_to_baseline")}
    expected |= {
        f"eval_{probe}_layer_{layer}/{key}"
        for probe in probes
        for layer in (0, 2)
        for key in ("isoscore", "linear_cka_to_baseline")
    }
    assert last == expected


def measured_keys(trainer):
    entry = next(entry for entry in reversed(trainer.state.log_history) if any("isoscore" in key for key in entry))
    return set(entry) - {"step", "epoch"}


def test_several_eval_datasets_are_several_probes_read_once(tmp_path):
    trainer = trained(tmp_path, test={"own": TEST, "other": examples(6, seed=4)}, measured={})
    entries = [entry for entry in trainer.state.log_history if "eval_own_isoscore" in entry]
    assert [entry["step"] for entry in entries] == [0, 2, 4, 6]
    assert "eval_other_layer_1/isoscore" in entries[-1]
    assert trainer.evaluate()["eval_other_isoscore"] == entries[-1]["eval_other_isoscore"]


def test_labels_words_and_sentences_reach_the_measures(tmp_path):
    measured = {"measures": ["silhouette", "intra_sentence_similarity", "self_similarity"], "alarms": (), "drift": ()}
    keys = measured_keys_of(trained(tmp_path, measured=measured), "silhouette")
    assert {"eval_silhouette", "eval_layer_1/intra_sentence_similarity", "eval_layer_2/self_similarity"} <= keys


def test_measures_of_classes_are_those_of_probes_with_labels(tmp_path):
    bare = [{"input_ids": row["input_ids"]} for row in examples(8, seed=5)]
    measured = {
        "probe": {"own": TEST, "bare": bare},
        "measures": ["isoscore", "silhouette"],
        "alarms": (),
        "drift": (),
    }
    keys = measured_keys(trained(tmp_path, measured=measured))
    assert {"eval_own_silhouette", "eval_own_layer_0/silhouette", "eval_bare_isoscore"} <= keys
    assert not any("bare" in key and "silhouette" in key for key in keys)


def measured_keys_of(trainer, name):
    return set(next(entry for entry in trainer.state.log_history if f"eval_{name}" in entry))


def test_best_model_and_early_stopping_by_an_isotropy_metric(tmp_path):
    class Noted(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics, model, **_):
            weights[state.global_step] = (metrics["eval_isoscore"], model.classifier.weight.detach().clone())

    weights = {}
    trainer = trained(
        tmp_path,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
        measured={},
        max_steps=40,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="isoscore",
        greater_is_better=True,
    )
    values = [entry["eval_isoscore"] for entry in measured_entries(trainer) if entry["step"]]
    best = max(values)
    assert trainer.state.best_metric == best
    assert trainer.state.global_step == trainer.state.best_global_step + 4 < 40
    assert trainer.evaluate()["eval_isoscore"] == pytest.approx(best, rel=1e-6)


def test_without_the_trainer_it_says_once_what_is_missing(tmp_path, caplog):
    trainer = small_trainer(tmp_path, callbacks=[IsotropyCallback()])
    trainer.train()
    assert [entry["step"] for entry in measured_entries(trainer)] == [2, 4, 6]
    assert "eval_isoscore" in trainer.evaluate()
    said = [record.getMessage() for record in caplog.records if "without the trainer" in record.getMessage()]
    assert len(said) == 2 and "no values from before" in said[0].replace(
        "are no values from before", "no values from before"
    )
    assert "no reporter" in said[1]


def test_without_the_trainer_a_probe_gives_the_baseline(tmp_path):
    trainer = small_trainer(tmp_path, callbacks=[IsotropyCallback(probe=TEST)], metric_for_best_model="isoscore")
    trainer.train()
    assert [entry["step"] for entry in measured_entries(trainer)] == [0, 2, 4, 6]
    assert trainer.state.best_metric is not None


def test_a_failure_is_a_warning_and_training_goes_on(tmp_path, caplog, monkeypatch):
    trainer = small_trainer(tmp_path, metric_for_best_model="isoscore", greater_is_better=True)
    callback = IsotropyCallback(trainer)
    trainer.add_callback(callback)
    read = callback.space_watch.read

    def failing(*arguments):
        if trainer.state.global_step == 2:
            raise MemoryError("no memory for the probe")
        return read(*arguments)

    monkeypatch.setattr(callback.space_watch, "read", failing)
    trainer.train()
    assert trainer.state.global_step == 6
    assert [entry["step"] for entry in measured_entries(trainer)] == [0, 4, 6]
    assert np.isfinite(trainer.state.best_metric)
    (said,) = [record.getMessage() for record in caplog.records if "goes on" in record.getMessage()]
    assert said == (
        "IsotropyCallback could not measure at step 2, training goes on: MemoryError: no memory for the probe"
    )


def test_states_that_are_not_finite_do_not_stop_training(tmp_path, caplog):
    class Broken(TrainerCallback):
        def on_step_end(self, args, state, control, model, **_):
            if state.global_step == 3:
                with torch.no_grad():
                    model.bert.encoder.layer[1].output.dense.bias[0] = float("nan")

    trainer = trained(tmp_path, callbacks=[Broken()], measured={})
    assert trainer.state.global_step == 6
    assert sum("not finite" in record.getMessage() or "nan" in record.getMessage() for record in caplog.records) >= 1


def test_config_outputs_hooks_and_modes_are_left_alone(tmp_path):
    class Modes(TrainerCallback):
        def on_step_end(self, args, state, control, model, **_):
            seen.append([module.training for module in model.modules()])

    seen = []
    model = small_model()
    model.bert.pooler.dense.eval()  # a module that stays in eval mode must not be set to train
    trainer = small_trainer(tmp_path, model=model, eval_strategy="no")
    plain = [module.training for module in model.modules()]
    trainer.add_callback(IsotropyCallback(trainer, every_n_steps=1))
    trainer.add_callback(Modes())
    trainer.callback_handler.on_train_begin(trainer.args, trainer.state, trainer.control)
    assert [module.training for module in model.modules()] == plain
    assert model.config.output_hidden_states is False
    assert trainer.predict(TEST).predictions.shape == (14, 2)


def test_resumed_curves_are_those_of_a_run_in_one_piece(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 2, "measured": {}}
    whole = trained(tmp_path / "whole", **settings)
    expected = [(entry["step"], entry["eval_isoscore"]) for entry in measured_entries(whole)]
    checkpoint = tmp_path / "whole" / "checkpoint-4"
    assert list((tmp_path / "whole").glob(FILE_NAME.format("*")))
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert state["stateful_callbacks"]["IsotropyCallback"]["attributes"]["progress"]["baseline"]["isoscore"]
    for restore in (True, False):
        resumed = trained(
            tmp_path / "whole",
            **settings,
            resume=str(checkpoint),
            restore_callback_states_from_checkpoint=restore,
        )
        found = [(entry["step"], entry["eval_isoscore"]) for entry in measured_entries(resumed)]
        assert found == expected
        for key in DRIFT:
            assert (
                resumed.state.log_history[-2][f"eval_layer_1/{key}"]
                == whole.state.log_history[-2][f"eval_layer_1/{key}"]
            )


def test_resuming_without_the_file_or_the_state(tmp_path, caplog):
    settings = {"save_strategy": "steps", "save_steps": 4}
    trained(tmp_path, **settings, measured={})
    next(tmp_path.glob(FILE_NAME.format("*"))).unlink()
    resumed = trained(tmp_path, **settings, measured={}, resume=str(tmp_path / "checkpoint-4"))
    assert [entry["step"] for entry in measured_entries(resumed)] == [0, 2, 4, 6]
    assert not any("to_baseline" in key for key in measured_entries(resumed)[-1])
    assert "no drift from before training is measured: there is no isotropy_baseline_" in caplog.text

    trained(tmp_path / "plain", **settings)
    caplog.clear()
    resumed = trained(tmp_path / "plain", **settings, measured={}, resume=str(tmp_path / "plain" / "checkpoint-4"))
    assert [entry["step"] for entry in measured_entries(resumed)] == [4, 6]
    assert "knows no values from before training" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measures": "isoscor"}, "there is no measure 'isoscor'"),
        ({"layers": [7]}, "layer 7 is out of range: the model has 2 layers"),
        ({"pooling": "max"}, "pooling must be one of None, 'mean', 'cls', 'last', got 'max'"),
        ({"drift": "modality_gap"}, "which modality_gap does not"),
        ({"probe": []}, "the probe is empty"),
        ({"probe": "a text"}, "a probe is a sequence of texts or a dataset with a length, got str"),
        ({"probe": ["a text"]}, "a probe of texts needs a tokenizer"),
        ({"probe": {"wiki": [3]}}, "probe 'wiki': texts of a probe must be str, got int at 0"),
        ({"probe": [{"a": "x", "b": "y"}]}, "input_ids or one column of texts, got a, b"),
        ({"measures": "silhouette", "probe": [{"input_ids": [1, 2]}]}, "silhouette needs classes"),
        ({"measures": "self_similarity", "pooling": "mean"}, "self_similarity needs token rows"),
        ({"every_n_steps": 0}, "every_n_steps must be a whole number, at least 1, or None; got 0"),
        ({"options": {"isoscore": {"unbiassed": True}}}, "isoscore has no option 'unbiassed'"),
        ({"options": {"two_nn": {}}}, "options are by measure, and 'two_nn' is none of"),
        ({"alarms": [CollapseAlarm(probe="wiki", above=0.9)]}, "an alarm is about the probe 'wiki'; there are: ''"),
        ({"alarms": [CollapseAlarm(above=0.9, layer=7)]}, "an alarm is about layer 7; measured are 0, 1, 2"),
        (
            {
                "alarms": [CollapseAlarm("silhouette", below=0)],
                "probe": {"bare": [{"input_ids": [1, 2]}], "own": TEST},
            },
            "silhouette of the probe 'bare', which has no class labels",
        ),
        ({"probe_size": 0}, "probe_size must be a whole number, at least 1, or None; got 0"),
        ({"batch_size": -1}, "batch_size must be a whole number, at least 1"),
        ({"max_length": -1}, "max_length must be a whole number, at least 1"),
        ({"sample_size": 1}, "sample_size must be a whole number, at least 2; got 1"),
        ({"seed": None}, "seed must be a whole number, at least 0; got None"),
        ({"probe": [{"input_ids": [64]}]}, "token id 64 is not in the model's vocabulary of 64"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(arguments, message, tmp_path):
    trainer = small_trainer(tmp_path)
    with pytest.raises((ValueError, TypeError), match=message):
        IsotropyCallback(trainer, **arguments)


def test_a_second_training_begins_anew(tmp_path, caplog):
    trainer = small_trainer(tmp_path)
    trainer.add_callback(IsotropyCallback(trainer, alarms=[CollapseAlarm("isoscore", above=0.01)]))
    for _ in range(2):
        caplog.clear()
        trainer.train()
        assert not any("_to_baseline" in key for key in measured_entries(trainer)[0])
        assert sum("above 0.01" in record.getMessage() for record in caplog.records) == 1


def test_names_of_probes_may_be_numbers(tmp_path):
    last = measured_entry_of(trained(tmp_path, measured={"probe": {0: TEST}}), "eval_0_isoscore")
    assert last["eval_0_linear_cka_to_baseline"] < 1


def measured_entry_of(trainer, key):
    return next(entry for entry in reversed(trainer.state.log_history) if key in entry)


def test_several_callbacks_keep_their_drift_when_resumed(tmp_path):
    def of_two(resume=None):
        trainer = small_trainer(tmp_path, save_strategy="steps", save_steps=4)
        trainer.add_callback(IsotropyCallback(trainer, probe={"own": TEST}))
        trainer.add_callback(IsotropyCallback(trainer, probe={"other": examples(9, seed=3)}, layers=[1]))
        trainer.train(resume_from_checkpoint=resume)
        names = ("own", "other")
        return [measured_entry_of(trainer, f"eval_{name}_isoscore") for name in names]

    whole, resumed = of_two(), of_two(str(tmp_path / "checkpoint-4"))
    for name, first, again in zip(("own", "other"), whole, resumed, strict=True):
        key = f"eval_{name}_linear_cka_to_baseline"
        assert first[key] == again[key] < 1


def test_resuming_with_other_settings_keeps_the_space_before_training(tmp_path):
    def drift(resume=None, **measured):
        measured = {"pooling": "mean", "sample_size": 20, "probe": examples(60, seed=3), "alarms": ()} | measured
        settings = {"save_strategy": "steps", "save_steps": 4}
        trainer = trained(tmp_path, measured=measured, resume=resume, **settings)
        return measured_entries(trainer)[-1].get("eval_linear_cka_to_baseline")

    first, checkpoint = drift(), str(tmp_path / "checkpoint-4")
    assert drift(checkpoint, measures=["isoscore", "rankme"]) == first < 0.99
    assert drift(checkpoint) == first
    assert drift(checkpoint, seed=1) is None  # other rows are sampled, and those before training were not kept


def test_resuming_with_other_alarms(tmp_path, caplog):
    settings = {"save_strategy": "steps", "save_steps": 4}
    alarms = [CollapseAlarm("isoscore", above=0.9), CollapseAlarm("isoscore", above=0.9, layer=0)]
    trained(tmp_path, **settings, measured={"alarms": alarms})
    resumed = trained(tmp_path, **settings, measured={"alarms": alarms[:1]}, resume=str(tmp_path / "checkpoint-4"))
    assert measured_entries(resumed)[-1]["eval_linear_cka_to_baseline"] < 1
    assert "alarms begin anew: there were 2, now there are 1" in caplog.text


def test_a_metric_for_the_best_model_that_cannot_be_measured_does_not_end_training(tmp_path, monkeypatch):
    for metric in ("layer_1/isoscore", "linear_cka_to_baseline"):
        trainer = small_trainer(tmp_path, metric_for_best_model=metric, greater_is_better=True)
        callback = IsotropyCallback(trainer)
        trainer.add_callback(callback)
        monkeypatch.setattr(callback.space_watch, "read", lambda *_: 1 / 0)
        trainer.train()
        assert trainer.state.global_step == 6
    with pytest.raises(KeyError, match="layer_9/isoscore"):
        trained(tmp_path, measured={}, metric_for_best_model="layer_9/isoscore")


class Noisy(torch.utils.data.Dataset):
    """Texts that are other ones each time they are read."""

    def __len__(self):
        return len(TEST)

    def __getitem__(self, i):
        ids = [1 if random.random() + np.random.rand() + torch.rand(()) > 2 else each for each in TEST[i]["input_ids"]]
        return TEST[i] | {"input_ids": ids}


@pytest.mark.parametrize("with_trainer", [True, False])
def test_reading_a_dataset_that_draws_leaves_training_as_it_was(with_trainer, tmp_path):
    losses = []
    for measured in (None, {}):
        trainer = trained(tmp_path, with_trainer=with_trainer, test=Noisy(), measured=measured)
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == losses[1]


def test_no_space_is_held_between_evaluations(tmp_path):
    trainer = trained(tmp_path, measured={})
    gc.collect()
    assert not any(type(each) is ProbedSpace for each in gc.get_objects())
    assert trainer.evaluate()["eval_isoscore"] == measured_entries(trainer)[-1]["eval_isoscore"]


def test_a_probe_too_small_for_the_drift_is_measured(tmp_path, caplog):
    last = measured_entries(trained(tmp_path, measured={"probe": TEST[:6], "pooling": "mean"}))[-1]
    assert last["step"] == 6 and 0 < last["eval_isoscore"] < 1
    assert not any("_to_baseline" in key for key in last)
    assert sum("10 neighbours need at least 11 rows" in each.getMessage() for each in caplog.records) == 1


def test_the_default_objective_of_a_search_is_warned_of(tmp_path, caplog):
    trainer = small_trainer(tmp_path)
    callback = IsotropyCallback(trainer)
    trainer.add_callback(callback)
    trainer.state.is_hyper_param_search = True
    for objective, n in ((lambda metrics: metrics["eval_loss"], 0), (default_compute_objective, 1)):
        trainer.compute_objective = objective
        trainer.callback_handler.on_train_begin(trainer.args, trainer.state, trainer.control)
        assert sum("adds up all metrics" in record.getMessage() for record in caplog.records) == n


def test_without_any_texts_it_is_refused(tmp_path):
    trainer = small_trainer(tmp_path, eval_strategy="no")
    trainer.eval_dataset = None
    with pytest.raises(ValueError, match="there are no texts to look at"):
        IsotropyCallback(trainer)


def test_a_big_probe_is_announced(tmp_path, caplog):
    trainer = small_trainer(tmp_path)
    trainer.model.config.hidden_size = 20_000
    IsotropyCallback(trainer)
    (said,) = [record.getMessage() for record in caplog.records if "GiB" in record.getMessage()]
    assert "3 layers of 20,000 features" in said


def test_a_module_around_the_model(tmp_path):
    class Siamese(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.inner = model

        def forward(self, **inputs):
            return self.inner(**inputs)

    plain = trained(tmp_path / "plain", measured={})
    wrapped = trained(
        tmp_path / "wrapped",
        measured={},
        model=Siamese(small_model()),
        label_names=["labels"],
        remove_unused_columns=False,
    )
    assert [e["eval_isoscore"] for e in measured_entries(plain)] == [
        e["eval_isoscore"] for e in measured_entries(wrapped)
    ]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
def test_peft_adapters_are_measured_and_trained(tmp_path):
    config = peft.LoraConfig(target_modules=["query", "value"], r=4, modules_to_save=["classifier"])
    runs = [
        trained(tmp_path, measured=measured, model=peft.get_peft_model(small_model(), config), label_names=["labels"])
        for measured in ({}, None)
    ]
    first, *_, last = measured_entries(runs[0])
    assert last["eval_linear_cka_to_baseline"] < 1
    assert [[e["loss"] for e in run.state.log_history if "loss" in e] for run in runs[:1]] == [
        [e["loss"] for e in run.state.log_history if "loss" in e] for run in runs[1:]
    ]
    for entry, model in ((first, small_model()), (last, runs[0].model.merge_and_unload())):
        expected = quietly(measure, rows_of(model, TEST), ["isoscore"])["isoscore"]
        assert entry["eval_isoscore"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_virtual_tokens_of_peft_are_refused_before_training(tmp_path):
    config = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3, tokenizer_name_or_path=None)
    trainer = small_trainer(tmp_path, model=peft.get_peft_model(small_model(), config), label_names=["labels"])
    with pytest.raises(ValueError, match="virtual tokens"):
        IsotropyCallback(trainer)


def test_every_reporter_gets_the_values_at_their_step(tmp_path, monkeypatch):
    """TensorBoard and trackio for real, read back from what they stored."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "runs"))
    trainer = trained(tmp_path, measured={"layers": [1, 2]}, report_to=["tensorboard"])
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    for entry in measured_entries(trainer):
        for key, value in entry.items():
            if key.startswith("eval_"):
                stored = {event.step: event.value for event in events.Scalars(f"eval/{key.removeprefix('eval_')}")}
                assert stored[entry["step"]] == pytest.approx(value, rel=1e-6)
    assert {event.step for event in events.Scalars("eval/layer_1/isoscore")} == {0, 2, 4, 6}


TRACKED = """
import json, sys
from small_trainer import small_trainer
from trackio.sqlite_storage import SQLiteStorage
from trainer_callbacks import CollapseAlarm, IsotropyCallback

trainer = small_trainer(sys.argv[1], report_to=["trackio"], project="isotropy", run_name="small")
trainer.add_callback(IsotropyCallback(trainer, alarms=[CollapseAlarm("isoscore", above=0.01)]))
trainer.train()
entries = [entry for entry in trainer.state.log_history if "eval_isoscore" in entry]
stored = SQLiteStorage.get_logs("isotropy", "small"), SQLiteStorage.get_alerts("isotropy")
print(json.dumps([entries, *stored]))
"""


@pytest.mark.slow
def test_trackio_stores_values_and_alerts(tmp_path):
    """In a process of its own, since trackio decides where it stores when it is imported."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "PYTHONPATH": paths}
    command = [sys.executable, "-c", TRACKED, str(tmp_path / "run")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    entries, stored, alerts = json.loads(run.stdout.splitlines()[-1])
    by_step = {}
    for row in stored:
        by_step.setdefault(row["train/global_step"], {}).update(row)
    assert [entry["step"] for entry in entries] == [0, 2, 4, 6]
    for entry in entries:
        for key, value in entry.items():
            if key.startswith("eval_"):
                assert by_step[entry["step"]][f"eval/{key.removeprefix('eval_')}"] == pytest.approx(value)
    (alert,) = alerts
    assert "step 2" in alert["title"] and "above 0.01" in alert["title"] and alert["text"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_torch_compile(tmp_path):
    plain = trained(tmp_path / "plain", measured={}, model=small_model(dropout=0))
    settings = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    compiled = trained(tmp_path / "compiled", measured={}, model=small_model(dropout=0), **settings)
    assert [e["eval_isoscore"] for e in measured_entries(compiled)] == pytest.approx(
        [e["eval_isoscore"] for e in measured_entries(plain)], rel=1e-3
    )


def test_collapse_alarm_warns_dumps_and_stops(tmp_path, caplog):
    class Collapse(TrainerCallback):
        def on_step_end(self, args, state, control, model, **_):
            if state.global_step == 3:
                with torch.no_grad():
                    model.bert.encoder.layer[1].output.LayerNorm.bias += 100

    alarm = CollapseAlarm("average_cosine_similarity", above=0.98, stop=True)
    trainer = trained(tmp_path, callbacks=[Collapse()], measured={"alarms": [alarm]})
    assert trainer.state.global_step == 4
    last = measured_entries(trainer)[-1]
    assert last["eval_isotropy_alarm"] == 1 and measured_entries(trainer)[1]["eval_isotropy_alarm"] == 0
    report = json.loads((tmp_path / "isotropy_alarm_step_4.json").read_text())
    assert report["value"] == last["eval_average_cosine_similarity"] > 0.98
    (said,) = [record.getMessage() for record in caplog.records if "step 4" in record.getMessage()]
    assert "isotropy_alarm_step_4.json" in said and report["cause"] in said
