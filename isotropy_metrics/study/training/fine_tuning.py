"""Fine-tune an encoder on the task of a study with a standard Trainer, and watch its space meanwhile."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import torch
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments, set_seed

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.tasks import Task
from isotropy_metrics.study.training.pooled_encoder import PooledCollator, PooledEncoder, training_items
from isotropy_metrics.study.training.task_heads import head_of
from trainer_callbacks import IsotropyCallback
from trainer_callbacks.default_measures import DEFAULT_MEASURES
from trainer_callbacks.undisturbed import unmoved_generators

LEARNING_RATE = 2e-5
BATCH_SIZE = 16
EVAL_BATCH_SIZE = 64
WARMUP_SHARE = 0.1
MAX_LENGTH = 128
N_EVALUATIONS = 5
"""During training; one more comes before it."""

N_WATCHED = 200
"""Items that an evaluation during training reads."""

MOST_SAMPLED = 5000
"""Tokens of each layer that its I(W) is of."""

WATCHED_MEASURES = (*DEFAULT_MEASURES, "partition_isotropy")
"""Those of the callback, and the one of the paper."""


def recipe(task: Task) -> dict[str, Any]:
    """How `fine_tune` trains on this task.

    Raises:
        ValueError: a kind of task that nothing can be trained on.
    """
    return {
        "objective": head_of(task).objective,
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "batches": "of similar length",
        "warmup_share": WARMUP_SHARE,
        "max_length": MAX_LENGTH,
    }


def fine_tune(case: StudyCase, *, epochs: float = 1.0) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """A fine-tuned copy of the first checkpoint, and the Trainer's log with an evaluation before and during training.

    With the sentence-transformers recipe for the STS benchmark, whatever the task: batches of 16, 10 % linear warm-up,
    learning rate 2e-5. The batches are of texts of similar length, which saves about half of the time. The loss is
    that of the task's head, see `task_heads`. Means are over the tokens that the study measures: no padding, no
    special tokens. The random generators of the process come out as they went in.

    Args:
        case: the model, the task, the layers to watch and the seed.
        epochs: passes over the training items.
    """
    seed, task, tokenizer = case.settings.seed, case.task, case.before.tokenizer
    watched = (task.dev or task.test).sample(N_WATCHED, seed)
    encoder = copy.deepcopy(case.before.model)
    batches_per_epoch = -(-len(task.train) // BATCH_SIZE)
    n_steps = max(1, round(epochs * batches_per_epoch))
    with unmoved_generators(encoder.device), tempfile.TemporaryDirectory(prefix="isotropy-study-") as folder:
        set_seed(seed)
        head = head_of(task)(task, encoder.config.hidden_size).to(encoder.device)
        trainer = Trainer(
            model=PooledEncoder(encoder, head),
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=epochs,
                learning_rate=LEARNING_RATE,
                per_device_train_batch_size=BATCH_SIZE,
                train_sampling_strategy="group_by_length",
                per_device_eval_batch_size=EVAL_BATCH_SIZE,
                warmup_steps=round(WARMUP_SHARE * epochs * batches_per_epoch),
                logging_steps=max(1, batches_per_epoch // 10),
                eval_strategy="steps",
                eval_steps=-(-n_steps // N_EVALUATIONS),
                eval_on_start=True,
                save_strategy="no",
                report_to=[],
                seed=seed,
                disable_tqdm=not case.progress,
                remove_unused_columns=False,
                dataloader_pin_memory=torch.cuda.is_available(),
            ),
            train_dataset=training_items(task.train, head.targets(task.train.labels), tokenizer),
            eval_dataset=training_items(watched, head.targets(watched.labels), tokenizer),
            data_collator=PooledCollator(tokenizer, min(MAX_LENGTH, case.max_length)),
            compute_metrics=lambda of: {
                "score": task.score(head.predictions(of.predictions), head.labels(of.label_ids))
            },
        )
        trainer.remove_callback(PrinterCallback)
        callback = IsotropyCallback(
            trainer,
            measures=WATCHED_MEASURES,
            probe=watched.texts,
            probe_size=None,
            layers=case.settings.layers,
            drift=("linear_cka",),
            sample_size=min(case.settings.sample_size, MOST_SAMPLED),
            tokenizer=tokenizer,
            max_length=min(MAX_LENGTH, case.max_length),
            alarms=(),
            seed=seed,
        )
        trainer.add_callback(callback)
        trainer.train()
    return encoder, trainer.state.log_history
