"""What steering a fine-tuning costs: steps of the Trainer with a term in the loss beside steps without one.

    python -m benchmarks.regularizing [--steps 4] [--rounds 7]

A step is `Trainer.training_step`, the callbacks' events, and AdamW, on pairs of STS-B. The models are all-MiniLM-L6-v2
(6 layers of 384 features) and a BERT of 3 layers of 768 features with random weights. I-STAR is of all layers but the
embeddings, as one cloud of token rows. `SingularValues` is I-STAR as its authors compute it: the seven steps of
IsoScore on the singular values of the shrunk covariance. It is written here for comparison, and sees the same rows.

The floor is a step without a term. Floor and contestants run in a new random order in every round, with the same
batches, and the ratio is the median over rounds of (contestant / floor of the same round): of wall time, and of the
processor's time, which other processes disturb less. At the end the two forms of I-STAR alone, value and gradient.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from typing import Any

import numpy as np
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

from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs
from trainer_callbacks import IsotropyRegularizer
from trainer_callbacks.regularizers.cos_reg import CosReg
from trainer_callbacks.regularizers.i_star import IStar
from trainer_callbacks.regularizers.regularization_term import RegularizationTerm

N_TEXTS = 1000
N_ROWS = 2000
WEIGHT = -1.0


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


TERMS = {
    "I-STAR, reference the identity": IStar(reference="identity"),
    "I-STAR, reference of every epoch": IStar(reference="epoch"),
    "I-STAR by singular values, as its authors": SingularValues(),
    "CosReg of the last layer": CosReg(),
}


def minilm() -> PreTrainedModel:
    """all-MiniLM-L6-v2, 6 layers of 384 features"""
    return AutoModelForSequenceClassification.from_pretrained(minilm_path(), num_labels=1)


def wide_bert() -> PreTrainedModel:
    """a BERT with random weights, 3 layers of 768 features"""
    return BertForSequenceClassification(BertConfig(num_hidden_layers=3, num_labels=1))


def trainer_of(model: PreTrainedModel, batch_size: int) -> Trainer:
    """A Trainer that is ready for `training_step`."""
    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    pairs = stsb_pairs("train").sample(N_TEXTS, seed=0)
    texts = zip(pairs.first, pairs.second, pairs.labels, strict=True)
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=batch_size,
        learning_rate=1e-6,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=[{**tokenizer(first, second), "labels": float(score)} for first, second, score in texts],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.current_gradient_accumulation_steps = 1  # as trainer.train() sets it
    trainer.callback_handler.train_dataloader = trainer.get_train_dataloader()
    trainer.create_optimizer()
    return trainer


class Steps:
    """Steps of a Trainer with a term in the loss, or with none."""

    def __init__(self, trainer: Trainer, term: RegularizationTerm | None) -> None:
        self.trainer = trainer
        self.regularizer = None if term is None else IsotropyRegularizer(term, WEIGHT, trainer=trainer)

    def seconds(self, batches: list[dict[str, Any]]) -> np.ndarray:
        """Wall and processor time of a step on each batch, and wall time of what the beginning of an epoch takes."""
        trainer, handler = self.trainer, self.trainer.callback_handler
        moment = (trainer.args, trainer.state, trainer.control)
        if self.regularizer is not None:
            trainer.add_callback(self.regularizer)
        handler.on_train_begin(*moment)
        begin = time.perf_counter()
        handler.on_epoch_begin(*moment)
        start, of_processor = time.perf_counter(), time.process_time()
        for batch in batches:
            handler.on_step_begin(*moment)
            trainer.training_step(trainer.model, batch)
            handler.on_pre_optimizer_step(*moment)
            trainer.optimizer.step()
            trainer.model.zero_grad()
            handler.on_step_end(*moment)
        times = time.perf_counter() - start, time.process_time() - of_processor, start - begin
        handler.on_train_end(*moment)
        if self.regularizer is not None:
            trainer.remove_callback(self.regularizer)
        return np.array(times)


def difference_of_forms(trainer: Trainer, batch: dict[str, Any]) -> float:
    """How much the closed form and that of the authors differ on the states of a batch."""
    with torch.no_grad():
        states = (
            trainer.model.eval()
            .base_model(
                **{name: values for name, values in batch.items() if name != "labels"}, output_hidden_states=True
            )
            .hidden_states[1:]
        )
    closed = IStar(reference="identity", scale_matched=False)
    return abs(float(closed(states, batch["attention_mask"]) - SingularValues()(states, batch["attention_mask"])))


def milliseconds_alone(n_features: int, rounds: int) -> np.ndarray:
    """Processor time of the value and gradient of I-STAR, in closed form and by singular values; medians."""
    rows = torch.randn(N_ROWS, n_features, generator=torch.Generator().manual_seed(0)).requires_grad_()
    times = np.empty((rounds + 1, 2))
    for i in range(rounds + 1):
        for j, term in enumerate((IStar(reference="identity"), SingularValues())):
            start = time.process_time()
            term(rows).backward()
            times[i, j] = time.process_time() - start
    return 1e3 * np.median(times[1:], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=4, help="steps of each contestant in a round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    set_verbosity_error()
    disable_progress_bar()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
    )
    for model, batch_size in ((minilm, 16), (minilm, 32), (wide_bert, 16)):
        trainer = trainer_of(model(), batch_size)
        contestants = [Steps(trainer, None), *(Steps(trainer, term) for term in TERMS.values())]
        print_ratios(trainer, contestants, options.steps, options.rounds, model.__doc__)
    print(f"\nthe two forms alone, of {N_ROWS:,} random rows")
    for n_features in (384, 768, 1536):
        closed, by_values = milliseconds_alone(n_features, options.rounds)
        print(f"{n_features:5} features: {closed:4.0f} ms, by singular values {by_values:4.0f} ms")


def print_ratios(trainer: Trainer, contestants: list[Steps], n_steps: int, rounds: int, model: str) -> None:
    """Run floor and contestants in a random order each round, and print the medians."""
    batches = iter(trainer.callback_handler.train_dataloader)
    times = np.empty((rounds + 1, len(contestants), 3))
    for i in range(rounds + 1):
        of_round = [next(batches) for _ in range(n_steps)]
        for j in np.random.default_rng(i).permutation(len(contestants)):
            times[i, j] = contestants[j].seconds(of_round)
    times = times[1:]  # the first warms up
    wall, cpu, epoch = np.moveaxis(times, 2, 0)
    floor = np.median(wall[:, 0]) / n_steps
    print(f"\n{model}, batches of {trainer.args.per_device_train_batch_size} pairs; floor {floor * 1e3:.0f} ms a step")
    print(f"the two forms of I-STAR differ by {difference_of_forms(trainer, of_round[0]):.0e}")
    for j, name in enumerate(TERMS, start=1):
        ratios = wall[:, j] / wall[:, 0]
        of_epoch = np.median(epoch[:, j]) / floor
        note = f"; and {of_epoch:.0f} steps at the beginning of an epoch" if of_epoch > 0.5 else ""
        print(
            f"{np.median(ratios):6.2f} x floor ({ratios.min():.2f} to {ratios.max():.2f}), processor "
            f"{np.median(cpu[:, j] / cpu[:, 0]):.2f} x  {name}{note}"
        )


if __name__ == "__main__":
    main()
