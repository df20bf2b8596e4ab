"""A Trainer that trains within a second: a small BERT with random weights on real sentence pairs."""

from __future__ import annotations

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)


def small_model(dropout: float = 0.1, n_labels: int = 2, seed: int = 0) -> BertForSequenceClassification:
    """Two layers of 16 features."""
    set_seed(seed)
    config = BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=n_labels,
    )
    return BertForSequenceClassification(config)


def examples(n: int = 24, seed: int = 0) -> list[dict]:
    """Token ids of random texts of 3 to 12 tokens, whose class is whether the first token is even."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(n):
        length = int(torch.randint(3, 13, (), generator=generator))
        ids = torch.randint(1, 64, (length,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": ids[0] % 2})
    return rows


class PaddingCollator:
    """Pads token ids and makes their attention mask."""

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            mask[i, : len(row["input_ids"])] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def small_trainer(folder, *, model=None, train=None, test=None, callbacks=None, **arguments) -> Trainer:
    """Ready to train on the CPU, silent, with an evaluation every two steps."""
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "max_steps": 6,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    trainer = Trainer(
        model=small_model() if model is None else model,
        args=TrainingArguments(**settings | arguments),
        train_dataset=examples() if train is None else train,
        eval_dataset=examples(14, seed=1) if test is None else test,
        data_collator=PaddingCollator(),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
