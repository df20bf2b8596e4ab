"""What watching a fine-tuning costs: `trainer.evaluate()` with an IsotropyCallback beside the forward passes it needs.

The model is all-MiniLM-L6-v2 with a regression head, the eval set are pairs of STS-B, and the probe is the whole eval
set, read in all 7 layers. The floor is what cannot be done without: a bare forward pass of every batch of the eval
set, and one with `output_hidden_states=True` of every batch of the probe, all in tensors beforehand. On top are the
Trainer's loop, pooling, statistics, measures and logging. No package watches the states of a Trainer; the peer is what
people write: gather all states in memory, and then measure them.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from benchmarks.contest import Agreement, Contestant, Size, Target, Task
from benchmarks.second_moments import OF_ROWS_AND_DIRECTIONS, isoscore_package
from isotropy_metrics.hidden_states import encoder_of
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs
from trainer_callbacks import IsotropyCallback

BATCH_SIZE = 32
N_FEATURES = 384
MEASURES_ALONE = {"measures": OF_ROWS_AND_DIRECTIONS, "drift": (), "alarms": ()}

WATCHED: dict[str, dict[str, Any]] = {
    "pooled rows, all second-moment measures": {"pooling": "mean", **MEASURES_ALONE},
    "token rows, all second-moment measures": {"pooling": None, **MEASURES_ALONE},
    "pooled rows, the defaults: 3 measures, drift, alarms": {"pooling": "mean"},
    "token rows, the defaults: 3 measures, drift, alarms": {"pooling": None},
}


@dataclass
class Watched:
    """A Trainer, the batches of its eval set and of a probe as tensors, and callbacks that are not added to it."""

    trainer: Trainer
    of_task: list[dict[str, torch.Tensor]]
    of_probe: list[dict[str, torch.Tensor]]
    callbacks: dict[str, IsotropyCallback] = field(default_factory=dict)

    def callback(self, name: str) -> IsotropyCallback:
        """One that reads the whole eval set and has seen the space before training."""
        if name not in self.callbacks:
            callback = IsotropyCallback(self.trainer, probe_size=None, **WATCHED[name])
            callback.on_train_begin(self.trainer.args, self.trainer.state, self.trainer.control)
            callback.on_train_end(self.trainer.args, self.trainer.state, self.trainer.control)
            self.callbacks[name] = callback
        return self.callbacks[name]


def watched(size: Size) -> Watched:
    """With so many pairs of texts."""
    logging.getLogger("trainer_callbacks").setLevel(logging.ERROR)  # of few rows, and
    set_verbosity_error()  # of the model's untrained head: neither matters here
    disable_progress_bar()
    trainer = trainer_of(size.rows)
    reader = IsotropyCallback(trainer, probe_size=None, measures="isoscore", drift=(), alarms=())
    reader.on_train_begin(trainer.args, trainer.state, trainer.control)
    reader.on_train_end(trainer.args, trainer.state, trainer.control)
    (probe,) = reader.space_watch.probes.values()
    padded = [probe.tokens.padded(chosen, trainer.model.config.pad_token_id)[0] for chosen in probe.batches]
    of_probe = [{name: torch.from_numpy(array) for name, array in inputs.items()} for inputs in padded]
    return Watched(trainer, list(trainer.get_eval_dataloader()), of_probe)


def trainer_of(n_texts: int) -> Trainer:
    """A Trainer whose eval set is so many pairs, and whose model is in eval mode."""
    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    model = AutoModelForSequenceClassification.from_pretrained(minilm_path(), num_labels=1)
    dev, test = stsb_pairs("dev"), stsb_pairs("test")
    texts = list(zip(dev.first + test.first, dev.second + test.second, strict=True))
    scores = np.concatenate([dev.labels, test.labels])
    chosen = np.random.default_rng(0).permutation(len(texts))[:n_texts]
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),
        per_device_eval_batch_size=BATCH_SIZE,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
    )
    trainer = Trainer(
        model.eval(),
        arguments,
        eval_dataset=[{**tokenizer(*texts[i], truncation=True), "labels": float(scores[i])} for i in chosen],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def bare_passes(given: Watched) -> None:
    with torch.no_grad():
        for batch in given.of_task:
            given.trainer.model(**batch)
        for batch in given.of_probe:
            encoder_of(given.trainer.model)(**batch, output_hidden_states=True)


def evaluation(given: Watched) -> dict[str, float]:
    """As after a step of training: weights that did not change would not be read again."""
    with torch.no_grad():
        next(given.trainer.model.parameters()).mul_(1)
    return given.trainer.evaluate()


def watched_evaluation(name: str, given: Watched) -> dict[str, float]:
    callback = given.callback(name)
    given.trainer.add_callback(callback)
    metrics = evaluation(given)
    given.trainer.remove_callback(callback)
    return metrics


def gathered_tokens(given: Watched) -> list[np.ndarray]:
    """The token rows of every layer, without padding and special tokens."""
    tokenizer = given.trainer.processing_class
    special = torch.tensor([tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id])
    layers: list[list[torch.Tensor]] = [[] for _ in range(given.trainer.model.config.num_hidden_layers + 1)]
    with torch.no_grad():
        for batch in given.of_probe:
            states = encoder_of(given.trainer.model)(**batch, output_hidden_states=True).hidden_states
            for layer, hidden in zip(layers, states, strict=True):
                layer.append(hidden[torch.isin(batch["input_ids"], special, invert=True)])
    return [torch.cat(layer).numpy() for layer in layers]


def gathered_evaluation(given: Watched) -> list[float]:
    evaluation(given)
    return [isoscore_package(rows) for rows in gathered_tokens(given)]


def agreements(given: Watched) -> Iterator[Agreement]:
    logged = watched_evaluation(TOKENS, given)
    for i, rows in enumerate(gathered_tokens(given)):
        yield Agreement(f"isoscore of layer {i} as logged", logged[f"eval_layer_{i}/isoscore"], isoscore_package(rows))


MAIN = Size(400, N_FEATURES, "pairs of texts")
POOLED, TOKENS = list(WATCHED)[:2]

TASKS = (
    Task(
        name="watching",
        title="Watching a fine-tuning: trainer.evaluate() with an IsotropyCallback, MiniLM, all 7 layers",
        prepare=watched,
        floor=Contestant("torch: forward passes of the eval set and of the probe", bare_passes),
        ours=tuple(Contestant(name, partial(watched_evaluation, name)) for name in WATCHED),
        peers=(
            Contestant("transformers: trainer.evaluate() without a callback", evaluation),
            Contestant("the same, then all token states gathered: isoscore of each layer", gathered_evaluation),
        ),
        sizes=(Size(100, N_FEATURES, "pairs of texts"), MAIN),
        main=MAIN,
        quick_sizes=(Size(16, N_FEATURES, "pairs of texts"),),
        small=Size(8, N_FEATURES, "pairs of texts"),
        agreements=agreements,
        absent={"req-metrics": "its callback is for Lightning, and the package is not on PyPI"},
        targets=tuple(
            Target(f"a watched evaluation, {name} ≤ {limit} × floor", MAIN, lambda o, name=name: o.ratio(name), limit)
            for name, limit in ((POOLED, 1.15), (TOKENS, 1.35))
        ),
    ),
)
