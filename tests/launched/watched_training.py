"""Trainings with an IsotropyCallback, on any number of processes; each function is one, and returns what it shows."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from launched.process_results import Said, rank, world_size
from small_trainer import examples, small_model, small_trainer
from transformers import Trainer, TrainerCallback

from trainer_callbacks import CollapseAlarm, IsotropyCallback, probe

MEASURES = ["isoscore", "average_cosine_similarity", "effective_rank", "two_nn", "uniformity", "silhouette"]
OF_WORDS = ["self_similarity", "intra_sentence_similarity"]


def of_few_words(rows: list[dict]) -> list[dict]:
    """The texts with ten words in all, so that words occur often enough to be measured."""
    return [row | {"input_ids": [1 + word % 10 for word in row["input_ids"]]} for row in rows]


class ChangedWeights(TrainerCallback):
    """Changes the weights at two steps, the same way on any number of processes."""

    def on_step_end(self, args, state, control, model, **_):
        with torch.no_grad():
            if state.global_step == 3:
                model.bert.embeddings.word_embeddings.weight.mul_(torch.linspace(0.5, 3, 16))
            if state.global_step == 5:
                model.bert.encoder.layer[1].output.LayerNorm.bias.add_(torch.linspace(0, 8, 16))


class Returned(TrainerCallback):
    """Notes the metrics of every evaluation, as the callbacks before it leave them."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def on_evaluate(self, args, state, control, metrics=None, **_):
        self.metrics.append({**metrics, "step": state.global_step})


def watched(folder: Path, *callbacks: TrainerCallback, measured: dict[str, Any] | None = None, **arguments) -> Trainer:
    """A small Trainer with a callback, ready to train."""
    trainer = small_trainer(folder, callbacks=list(callbacks), **arguments)
    trainer.add_callback(IsotropyCallback(trainer, **{} if measured is None else measured))
    return trainer


def results_of(trainer: Trainer, resume: str | None = None) -> dict[str, Any]:
    """Train, evaluate, and tell what was logged, returned and said."""
    said, returned = Said(), Returned()
    trainer.add_callback(returned)
    logger = logging.getLogger("trainer_callbacks")
    logger.addHandler(said)
    try:
        trainer.train(resume_from_checkpoint=resume)
        return {
            "steps": trainer.state.global_step,
            "evaluated": trainer.evaluate(),
            "metrics": returned.metrics,
            "history": trainer.state.log_history,
            "said": said.sentences,
        }
    finally:
        logger.removeHandler(said)


def changed(folder: Path, resume: str | None = None, **measured) -> dict[str, Any]:
    """The learning rate is 0, so that the weights are the same on any number of processes."""
    alarms = [
        CollapseAlarm(above=0.9, clears_at=0.5),
        CollapseAlarm("isoscore", below_baseline=0.9, layer=0, probe="short"),
    ]
    saving = {
        "save_strategy": "steps",
        "save_steps": 4,
        "learning_rate": 0.0,
        "per_device_train_batch_size": 12 // world_size(),
    }
    measured |= {"alarms": alarms, "every_n_steps": 3}
    return results_of(watched(folder, ChangedWeights(), measured=measured, **saving), resume)


def token_rows(folder: Path, resume: str | None = None) -> dict[str, Any]:
    """Probes of four batches, the last one of two texts, and of a single one; samples of fewer rows than there are."""
    probes = {"own": of_few_words(examples(14, seed=1)), "short": examples(3, seed=2)}
    return changed(folder, resume, probe=probes, measures=[*MEASURES, *OF_WORDS], sample_size=70)


def pooled_rows(folder: Path) -> dict[str, Any]:
    """Probes of two batches, the last one of two texts, and of a single batch."""
    probes = {"own": examples(14, seed=1), "short": examples(12, seed=2)}
    return changed(folder, probe=probes, measures=MEASURES, pooling="mean", batch_size=12, sample_size=12)


def resumed(folder: Path) -> dict[str, Any]:
    """The last two steps again, from the checkpoint that `token_rows` left in the same folder."""
    folder = folder.with_name("token_rows")
    return token_rows(folder, str(folder / "checkpoint-4"))


def off_center(model: torch.nn.Module) -> torch.nn.Module:
    """The model with biases in its LayerNorms, as trained ones have.

    Without them the features of a row add up to 0: the rows span one direction less than there are, and in it rankme
    sees the rounding of float32 products, about 1e-4 of its value at this width.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("LayerNorm.bias"):
                weight.copy_(torch.linspace(-0.5, 1, len(weight)))
    return model


def trained(folder: Path) -> dict[str, Any]:
    """Training on batches of 8 in all: the weights are the same on any number of processes, up to rounding."""
    joined = {"per_device_train_batch_size": 8 // world_size(), "train_sampling_strategy": "sequential"}
    joined |= {"optim": "sgd", "learning_rate": 0.5, "max_grad_norm": 0, "average_tokens_across_devices": False}
    return results_of(watched(folder, model=off_center(small_model(dropout=0.0)), **joined))


def bits(folder: Path) -> dict[str, Any]:
    """Weights and losses with and without the callback, with dropout and a shuffled training set."""
    results = {}
    for name in ("plain", "watched"):
        make = watched if name == "watched" else small_trainer
        trainer = make(folder / name, **{"measured": {"every_n_steps": 1}} if name == "watched" else {})
        trainer.train()
        weights = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        results[name] = {"weights": weights, "losses": losses, "generator": torch.get_rng_state()}
    return results


def failing(folder: Path) -> dict[str, Any]:
    """The reading of step 4 fails on the last process only."""
    trainer = watched(folder)
    forward_pass = probe.forward_pass

    def fails(*arguments, **options):
        if rank() == world_size() - 1 and trainer.state.global_step == 4:
            raise MemoryError("no memory for the probe")
        return forward_pass(*arguments, **options)

    with mock.patch.object(probe, "forward_pass", fails):
        return results_of(trainer)


def failing_main(folder: Path) -> dict[str, Any]:
    """The main process can neither write the file of an alarm, nor log at step 2; the alarm ends the training."""

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if state.is_world_process_zero and state.global_step == 2 and "eval_isoscore" in logs:
                raise ConnectionError("the reporter is not reached")

    alarms = [CollapseAlarm("isoscore", above=0.0, stop=True, patience=2)]
    trainer = watched(folder, Reporter(), measured={"alarms": alarms}, save_strategy="steps", save_steps=50)

    def full(*_):
        raise OSError("no space left on device")

    with (
        mock.patch("trainer_callbacks.collapse_watch.write_alarm", full),
        mock.patch("trainer_callbacks.baseline.Baseline.save", full),
    ):
        return results_of(trainer)


class Late(TrainerCallback):
    """The last process comes late to an evaluation's callbacks."""

    def on_evaluate(self, args, state, control, **_):
        if rank() == world_size() - 1 and state.global_step == 2:
            time.sleep(float(os.environ.get("LATE_SECONDS", "0")))


def late(folder: Path) -> dict[str, Any]:
    """The last process is late before `on_evaluate` of step 2, and before its reading of step 4."""
    same_weights = {"learning_rate": 0.0, "per_device_train_batch_size": 12 // world_size()}
    trainer = watched(folder, Late(), ChangedWeights(), model=off_center(small_model()), **same_weights)
    forward_pass = probe.forward_pass
    slept = []

    def sleeping(*arguments, **options):
        if rank() == world_size() - 1 and trainer.state.global_step == 4 and not slept:
            slept.append(True)
            time.sleep(float(os.environ.get("LATE_SECONDS", "0")))
        return forward_pass(*arguments, **options)

    with mock.patch.object(probe, "forward_pass", sleeping):
        return results_of(trainer)


def killed(folder: Path) -> dict[str, Any]:
    """The last process is killed in the midst of its reading of step 4."""
    trainer = watched(folder)
    forward_pass = probe.forward_pass

    def kills(*arguments, **options):
        if rank() == world_size() - 1 and trainer.state.global_step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward_pass(*arguments, **options)

    with mock.patch.object(probe, "forward_pass", kills):
        return results_of(trainer)
