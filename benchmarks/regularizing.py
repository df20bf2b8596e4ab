"""What steering a fine-tuning costs: a step of the Trainer with a term in the loss beside one without; I-STAR alone.

A step is `Trainer.training_step`, the callbacks' events, and AdamW, on pairs of STS-B. The models are all-MiniLM-L6-v2
(6 layers of 384 features) and a BERT of 3 layers of 768 features with random weights. I-STAR is of all layers but the
embeddings, as one cloud of token rows. `SingularValues` is I-STAR as its authors compute it: the seven steps of
IsoScore on the singular values of the shrunk covariance. It is written here for comparison, and sees the same rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from benchmarks.contest import Agreement, Contestant, Size, Task
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs
from trainer_callbacks import IsotropyRegularizer
from trainer_callbacks.regularizers.cos_reg import CosReg
from trainer_callbacks.regularizers.i_star import IStar
from trainer_callbacks.regularizers.regularization_term import RegularizationTerm

N_TEXTS = 1000
REFERENCE_TEXTS = 200
WEIGHT = -1.0
PAIRS = "pairs in a batch"
WIDTH_OF_MINILM = 384


class SingularValues(RegularizationTerm):
    """One minus IsoScore* by the seven steps of its authors, with the identity for the reference covariance."""

    layers = "all"
    shrinkage = 0.2

    def of_layers(self, *passes: list[torch.Tensor]) -> torch.Tensor:
        """The term of the rows of all layers together."""
        rows = torch.cat(passes[0])
        d = rows.shape[1]
        covariance = (1 - self.shrinkage) * torch.cov(rows.T) + self.shrinkage * torch.eye(d)
        spectrum = torch.linalg.svdvals(covariance)
        normed = d**0.5 * spectrum / torch.linalg.vector_norm(spectrum)
        defect = torch.linalg.vector_norm(normed - 1) / (2 * (d - d**0.5)) ** 0.5
        share_of_dimensions = (d - defect**2 * (d - d**0.5)) ** 2 / d**2
        return 1 - (d * share_of_dimensions - 1) / (d - 1)


@dataclass
class Training:
    """A Trainer that is ready for `training_step`, a batch, and regularizers that are not added to it."""

    trainer: Trainer
    batch: dict[str, Any]
    regularizers: dict[str, IsotropyRegularizer]


def model_of(n_features: int) -> PreTrainedModel:
    """MiniLM, or a BERT with random weights of another width."""
    if n_features == WIDTH_OF_MINILM:
        return AutoModelForSequenceClassification.from_pretrained(minilm_path(), num_labels=1)
    return BertForSequenceClassification(BertConfig(hidden_size=n_features, num_hidden_layers=3, num_labels=1))


def training(size: Size) -> Training:
    """With batches of so many pairs, and a model of so many features."""
    set_verbosity_error()
    disable_progress_bar()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    pairs = stsb_pairs("train").sample(N_TEXTS, seed=0)
    texts = zip(pairs.first, pairs.second, pairs.labels, strict=True)
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=size.rows,
        learning_rate=1e-6,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
    )
    trainer = Trainer(
        model_of(size.features),
        arguments,
        train_dataset=[{**tokenizer(first, second), "labels": float(score)} for first, second, score in texts],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.current_gradient_accumulation_steps = 1  # as trainer.train() sets it
    trainer.callback_handler.train_dataloader = trainer.get_train_dataloader()
    trainer.create_optimizer()
    covariance = torch.eye(size.features)
    terms = {
        "i_star": IStar(reference="identity"),
        "i_star_of_given": IStar(reference=covariance),
        "i_star_of_epoch": IStar(reference="epoch"),
        "cos_reg": CosReg(),
        "singular_values": SingularValues(),
    }
    settings = {"trainer": trainer, "reference_size": REFERENCE_TEXTS}
    regularizers = {name: IsotropyRegularizer(term, WEIGHT, **settings) for name, term in terms.items()}
    return Training(trainer, next(iter(trainer.callback_handler.train_dataloader)), regularizers)


def step(given: Training) -> None:
    trainer, handler = given.trainer, given.trainer.callback_handler
    moment = (trainer.args, trainer.state, trainer.control)
    handler.on_train_begin(*moment)
    handler.on_step_begin(*moment)
    trainer.training_step(trainer.model, given.batch)
    handler.on_pre_optimizer_step(*moment)
    trainer.optimizer.step()
    trainer.model.zero_grad()
    handler.on_step_end(*moment)
    handler.on_train_end(*moment)


def step_with(name: str, given: Training) -> None:
    given.trainer.add_callback(given.regularizers[name])
    step(given)
    given.trainer.remove_callback(given.regularizers[name])


def beginning_of_an_epoch(given: Training) -> None:
    """Reading the reference, once in an epoch."""
    trainer, handler = given.trainer, given.trainer.callback_handler
    moment = (trainer.args, trainer.state, trainer.control)
    trainer.add_callback(given.regularizers["i_star_of_epoch"])
    handler.on_train_begin(*moment)
    handler.on_epoch_begin(*moment)
    handler.on_train_end(*moment)
    trainer.remove_callback(given.regularizers["i_star_of_epoch"])


def agreements_of_step(given: Training) -> Iterator[Agreement]:
    """The two forms of I-STAR on the states of the batch."""
    inputs = {name: values for name, values in given.batch.items() if name != "labels"}
    with torch.no_grad():
        states = given.trainer.model.base_model(**inputs, output_hidden_states=True).hidden_states[1:]
    mask = given.batch["attention_mask"]
    closed = IStar(reference="identity", scale_matched=False)(states, mask)
    yield Agreement("I-STAR of a batch, singular values", float(closed), float(SingularValues()(states, mask)), 1e-4)


def rows_with_gradient(size: Size) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size.rows, size.features, generator=generator).requires_grad_()


def covariance_and_gradient(rows: torch.Tensor) -> None:
    torch.cov(rows.T).square().sum().backward()


def closed_form(rows: torch.Tensor) -> None:
    IStar(reference="identity")(rows).backward()


def singular_values(rows: torch.Tensor) -> None:
    SingularValues()(rows).backward()


def agreements_of_term(rows: torch.Tensor) -> Iterator[Agreement]:
    closed, by_values = IStar(reference="identity", scale_matched=False)(rows), SingularValues()(rows)
    yield Agreement("value of I-STAR", float(closed), float(by_values), 1e-4)
    gradients = [float(torch.autograd.grad(value, rows)[0].norm()) for value in (closed, by_values)]
    yield Agreement("length of its gradient", *gradients, 1e-3)


MAIN = Size(16, WIDTH_OF_MINILM, PAIRS)
AUTHORS = {"the authors' code": "its tensors go to a GPU whenever there is one; its form is the one written here"}

TASKS = (
    Task(
        name="regularizing",
        title="Steering a fine-tuning: a step with a term in the loss, of MiniLM (384) and a small BERT (768)",
        prepare=training,
        floor=Contestant("transformers: a training step without a term", step),
        ours=(
            Contestant("I-STAR, reference the identity", partial(step_with, "i_star")),
            Contestant("I-STAR, reference a covariance", partial(step_with, "i_star_of_given")),
            Contestant(f"once in an epoch, a reference of {REFERENCE_TEXTS} texts", beginning_of_an_epoch),
            Contestant("CosReg of the last layer", partial(step_with, "cos_reg")),
        ),
        peers=(Contestant("I-STAR by singular values, as its authors", partial(step_with, "singular_values")),),
        sizes=(MAIN, Size(32, WIDTH_OF_MINILM, PAIRS), Size(16, 768, PAIRS)),
        main=MAIN,
        quick_sizes=(Size(4, WIDTH_OF_MINILM, PAIRS),),
        small=Size(2, WIDTH_OF_MINILM, PAIRS),
        agreements=agreements_of_step,
        absent=AUTHORS,
    ),
    Task(
        name="i_star",
        title="I-STAR alone, value and gradient",
        prepare=rows_with_gradient,
        floor=Contestant("torch: covariance and the gradient of its square", covariance_and_gradient),
        ours=(Contestant("IStar()", closed_form),),
        peers=(Contestant("by singular values, as its authors", singular_values),),
        sizes=(Size(2000, 384), Size(2000, 768), Size(20_000, 768), Size(2000, 1024)),
        main=Size(2000, 768),
        quick_sizes=(Size(500, 64), Size(1000, 64)),
        small=Size(100, 8),
        agreements=agreements_of_term,
        absent=AUTHORS,
    ),
)
