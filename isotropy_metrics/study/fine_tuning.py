"""Fine-tune an encoder on the task of a study with a standard Trainer, and watch its space meanwhile."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.tasks import Task
from isotropy_metrics.study.text_pairs import TextPairs
from isotropy_metrics.tokenized_texts import special_token_ids
from trainer_callbacks import IsotropyCallback

LEARNING_RATE = 2e-5
BATCH_SIZE = 16
EVAL_BATCH_SIZE = 64
WARMUP_SHARE = 0.1
MAX_LENGTH = 128
N_EVALUATIONS = 5
N_WATCHED = 200
"""Items that an evaluation during training reads."""


def recipe(task: Task) -> dict[str, Any]:
    """How `fine_tune` trains on this task."""
    return {
        "objective": "mean squared error of the cosine of mean-pooled texts to the score scaled to [0, 1]",
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "warmup_share": WARMUP_SHARE,
        "max_length": MAX_LENGTH,
    }


def fine_tune(case: StudyCase, *, epochs: float = 1.0) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """A fine-tuned copy of the first checkpoint, and the Trainer's log with an evaluation before and during training.

    Cosine similarity of the two mean-pooled texts is regressed on the score, scaled to [0, 1], with the
    sentence-transformers recipe for the STS benchmark: mean squared error, batches of 16, 10 % linear warm-up,
    learning rate 2e-5. Means are over the tokens that the study measures: no padding, no special tokens.

    Args:
        case: the model, the task, the layers to watch and the seed.
        epochs: passes over the training items.
    """
    seed, task, tokenizer = case.settings.seed, case.task, case.before.tokenizer
    watched = (task.dev or task.test).sample(N_WATCHED, seed)
    set_seed(seed)
    siamese = SiameseEncoder(copy.deepcopy(case.before.model))
    batches_per_epoch = -(-len(task.train) // BATCH_SIZE)
    n_steps = max(1, round(epochs * batches_per_epoch))
    with tempfile.TemporaryDirectory(prefix="isotropy-study-") as folder:
        trainer = Trainer(
            model=siamese,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=epochs,
                learning_rate=LEARNING_RATE,
                per_device_train_batch_size=BATCH_SIZE,
                per_device_eval_batch_size=EVAL_BATCH_SIZE,
                warmup_steps=round(WARMUP_SHARE * epochs * batches_per_epoch),
                logging_steps=max(1, batches_per_epoch // 10),
                eval_strategy="steps",
                eval_steps=max(1, n_steps // N_EVALUATIONS),
                save_strategy="no",
                report_to=[],
                seed=seed,
                disable_tqdm=not case.progress,
                remove_unused_columns=False,
                dataloader_pin_memory=torch.cuda.is_available(),
            ),
            train_dataset=_scaled(task.train),
            eval_dataset=_scaled(watched),
            data_collator=PairCollator(tokenizer),
            compute_metrics=lambda prediction: {"score": task.score(prediction.predictions, watched.labels)},
        )
        trainer.remove_callback(PrinterCallback)
        callback = IsotropyCallback(
            trainer,
            probe=watched.texts,
            probe_size=None,
            layers=case.settings.layers,
            tokenizer=tokenizer,
            max_length=case.max_length,
            alarms=(),
            seed=seed,
        )
        trainer.add_callback(callback)
        trainer.train()
    return siamese.encoder, trainer.state.log_history


class SiameseEncoder(nn.Module):
    """Two texts through one encoder: mean of their kept tokens, cosine, squared error to the label."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, first: dict[str, Any], second: dict[str, Any], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        cosine = nn.functional.cosine_similarity(self._pool(**first), self._pool(**second))
        return {"loss": nn.functional.mse_loss(cosine, labels), "logits": cosine}

    def _pool(self, keep: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        encoder = self.encoder.get_encoder() if self.encoder.config.is_encoder_decoder else self.encoder
        states = encoder(**inputs).last_hidden_state
        keep = keep.to(states.dtype).unsqueeze(-1)
        return (states * keep).sum(dim=1) / keep.sum(dim=1).clamp(min=1)


class PairCollator:
    """Tokenizes and pads a list of pairs, and says which tokens count: `keep` is 0 for padding and special tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = copy.deepcopy(tokenizer)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.special = torch.tensor(sorted(special_token_ids(tokenizer)))

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "first": self._encode([pair["first"] for pair in pairs]),
            "second": self._encode([pair["second"] for pair in pairs]),
            "labels": torch.tensor([pair["label"] for pair in pairs], dtype=torch.float32),
        }

    def _encode(self, texts: list[str]) -> dict[str, torch.Tensor]:
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt", padding_side="right"
        )
        keep = encoded["attention_mask"].bool() & ~torch.isin(encoded["input_ids"], self.special)
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "keep": keep}


def _scaled(pairs: TextPairs) -> list[dict[str, Any]]:
    scores = (pairs.labels - pairs.labels.min()) / np.ptp(pairs.labels)
    return [
        {"first": first, "second": second, "label": float(score)}
        for first, second, score in zip(pairs.first, pairs.second, scores, strict=True)
    ]
