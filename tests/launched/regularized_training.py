"""Steps of SGD with terms of the loss, on any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from launched.process_results import world_size
from small_trainer import examples, small_model, small_trainer
from torch.nn.functional import cross_entropy
from transformers import BertForSequenceClassification, Trainer, TrainerCallback

from trainer_callbacks.isotropy_regularizer import IsotropyRegularizer
from trainer_callbacks.regularizers import (
    BuresIsotropy,
    CLReg,
    CorReg,
    CosReg,
    IStar,
    PersistentEntropy,
    SIGReg,
    Uniformity,
    VICReg,
)
from trainer_callbacks.regularizers.regularization_term import RegularizationTerm

TERMS = {
    "i_star": lambda: IStar(reference="identity"),
    "i_star_ema": lambda: IStar(reference="ema"),
    "bures_isotropy": BuresIsotropy,
    "cl_reg": CLReg,
    "cor_reg": CorReg,
    "cos_reg": CosReg,
    "persistent_entropy": PersistentEntropy,
    "sig_reg": SIGReg,
    "uniformity": Uniformity,
    "vic_reg": VICReg,
}
FEW_TERMS = ["i_star", "uniformity", "cor_reg"]
WEIGHT = 0.5
JOINED = 8
"""Texts of a step, of all processes and micro-batches."""


class CountingClassifier(BertForSequenceClassification):
    """Divides the sum of its losses by the texts of the whole step, as language models of transformers do."""

    def forward(self, input_ids, attention_mask, labels=None, num_items_in_batch=None, **kwargs):
        output = super().forward(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        output["loss"] = cross_entropy(output.logits, labels, reduction="sum") / (num_items_in_batch or len(labels))
        return output


def counting_model() -> CountingClassifier:
    """The model of `small_trainer` without dropout, with a loss that counts."""
    model = small_model(dropout=0.0)
    model.__class__ = CountingClassifier
    return model


def mean_loss_model() -> BertForSequenceClassification:
    """The model of `small_trainer` without dropout, whose loss is the mean of its batch."""
    model = small_model(dropout=0.0)
    model.accepts_loss_kwargs = False
    return model


def sum_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """A `compute_loss_func` as its users write them."""
    return cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch


MODELS = {"counting": counting_model, "mean": mean_loss_model}


class Way(NamedTuple):
    """How a Trainer comes to its loss.

    Attributes:
        model: name of the model, which divides by the texts of the step or of its batch.
        averaged: `average_tokens_across_devices`.
        function: the loss is a `compute_loss_func`.
        accumulation: micro-batches of a step.
    """

    model: str
    averaged: bool
    function: bool
    accumulation: int


WAYS = [
    Way(*way, accumulation)
    for way in (("counting", True, False), ("counting", False, False), ("mean", True, False), ("mean", True, True))
    for accumulation in (1, 2)
]


def step(folder: Path, term: RegularizationTerm | None, way: Way) -> Trainer:
    """A Trainer after one step of SGD on the same eight texts."""
    trainer = small_trainer(
        folder,
        model=MODELS[way.model](),
        train=examples(JOINED),
        per_device_train_batch_size=JOINED // (way.accumulation * world_size()),
        gradient_accumulation_steps=way.accumulation,
        average_tokens_across_devices=way.averaged,
        train_sampling_strategy="sequential",
        optim="sgd",
        learning_rate=0.1,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        max_steps=1,
        eval_strategy="no",
    )
    regularizer = None if term is None else IsotropyRegularizer(term, WEIGHT, trainer=trainer)
    if regularizer is not None:
        trainer.add_callback(regularizer)
    if way.function:
        trainer.compute_loss_func = sum_loss if regularizer is None else regularizer.compute_loss_func(sum_loss)
    trainer.train()
    return trainer


def effects(folder: Path, ways: list[Way], names: list[str]) -> dict[str, Any]:
    """What each term adds to a step of each way, and what is logged."""
    results = {}
    for way in ways:
        plain = weights_of(step(folder, None, way))
        for name in names:
            trainer = step(folder, TERMS[name](), way)
            weights, log = weights_of(trainer), trainer.state.log_history[0]
            results[f"{name}, {way}"] = {"effect": weights - plain, "weights": weights, "log": log}
    return results


def references(folder: Path) -> dict[str, Any]:
    """C0 of I-STAR in each of two epochs, and the logs of the steps."""

    class Noted(TrainerCallback):
        def on_step_begin(self, *_, **__):
            noted.append(term.c0.clone())

    noted, term = [], IStar()
    trainer = small_trainer(
        folder,
        model=mean_loss_model(),
        train=examples(2 * JOINED),
        per_device_train_batch_size=JOINED // world_size(),
        train_sampling_strategy="sequential",
        optim="sgd",
        learning_rate=0.1,
        max_steps=4,
        eval_strategy="no",
    )
    trainer.add_callback(Noted())
    trainer.add_callback(IsotropyRegularizer(term, WEIGHT, trainer=trainer))
    trainer.train()
    return {"c0": noted, "history": trainer.state.log_history, "weights": weights_of(trainer)}


def weights_of(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def few_terms(folder: Path) -> dict[str, Any]:
    """Terms of a covariance, of pairs of rows and of correlations, where the model computes the loss and counts."""
    return effects(folder, WAYS[:4], FEW_TERMS)


def all_terms(folder: Path) -> dict[str, Any]:
    """Every term in every way."""
    return effects(folder, WAYS, list(TERMS))
