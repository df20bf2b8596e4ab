"""What watching a fine-tuning costs: `trainer.evaluate()` with an IsotropyCallback beside the forward passes it needs.

    python -m benchmarks.watching [--texts 800] [--rounds 5]

The model is all-MiniLM-L6-v2 with a regression head, the eval set the dev and test pairs of STS-B, and the probe is
the whole eval set, read in all 7 layers. The floor is what cannot be done without: a bare forward pass of every batch
of the eval set, and one with `output_hidden_states=True` of every batch of the probe, all in tensors beforehand.
Everything else is on top: the Trainer's loop, pooling, statistics, measures, logging. The target is 1.15 x floor for
pooled rows and 1.35 x for token rows.

Floor and contestants run in a new random order in every round, and the ratio is the median over rounds of
(contestant / floor of the same round): of wall time, and of the processor's time, which other processes disturb less.
Extra memory is how much higher the resident size of a fresh process peaks in `trainer.evaluate()` than in the floor.
"""

from __future__ import annotations

import argparse
import logging
import platform
import tempfile
from collections.abc import Callable
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

from benchmarks.enhancement import forget_peak, in_a_fresh_process, print_ratios
from benchmarks.second_moments import OF_ROWS_AND_DIRECTIONS, peak_megabytes
from isotropy_metrics.hidden_states import encoder_of
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs
from trainer_callbacks import IsotropyCallback

BATCH_SIZE = 32
MEASURES_ALONE = {"measures": OF_ROWS_AND_DIRECTIONS, "drift": (), "alarms": ()}

CONTESTANTS = {
    "trainer.evaluate() with no callback, for the Trainer's part": None,
    "pooled rows, all second-moment measures": {"pooling": "mean", **MEASURES_ALONE},
    "token rows,  all second-moment measures": {"pooling": None, **MEASURES_ALONE},
    "pooled rows, the defaults: 3 measures, drift, alarms": {"pooling": "mean"},
    "token rows,  the defaults: 3 measures, drift, alarms": {"pooling": None},
}


def trainer_of(n_texts: int) -> Trainer:
    """A Trainer whose eval set is so many pairs, and whose model is in eval mode."""
    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    model = AutoModelForSequenceClassification.from_pretrained(minilm_path(), num_labels=1)
    dev, test = stsb_pairs("dev"), stsb_pairs("test")
    texts = list(zip(dev.first + test.first, dev.second + test.second, strict=True))
    scores = np.concatenate([dev.labels, test.labels])
    chosen = np.random.default_rng(0).permutation(len(texts))[:n_texts]
    dataset = [{**tokenizer(*texts[i], truncation=True), "labels": float(scores[i])} for i in chosen]
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
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
        eval_dataset=dataset,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def watching(trainer: Trainer, settings: dict[str, Any]) -> IsotropyCallback:
    """A callback that reads the whole eval set and has seen the space before training; not added to the Trainer."""
    callback = IsotropyCallback(trainer, probe_size=None, **settings)
    callback.on_train_begin(trainer.args, trainer.state, trainer.control)
    callback.on_train_end(trainer.args, trainer.state, trainer.control)
    return callback


def evaluation(trainer: Trainer, callback: IsotropyCallback | None) -> Callable[[object], None]:
    """`trainer.evaluate()` as after a step of training, with this callback or with none."""

    def evaluate(_: object = None) -> None:
        with torch.no_grad():
            next(trainer.model.parameters()).mul_(1)  # weights that did not change would not be read again
        if callback is not None:
            trainer.add_callback(callback)
        trainer.evaluate()
        if callback is not None:
            trainer.remove_callback(callback)

    return evaluate


def bare_passes(trainer: Trainer, callback: IsotropyCallback) -> Callable[[object], None]:
    """The forward passes of the eval set and of the callback's probe."""
    (probe,) = callback.space_watch.probes.values()
    of_task = list(trainer.get_eval_dataloader())
    padded = [probe.tokens.padded(chosen, trainer.model.config.pad_token_id)[0] for chosen in probe.batches]
    of_probe = [{name: torch.from_numpy(array) for name, array in inputs.items()} for inputs in padded]

    def passes(_: object = None) -> None:
        with torch.no_grad():
            for batch in of_task:
                trainer.model(**batch)
            for batch in of_probe:
                encoder_of(trainer.model)(**batch, output_hidden_states=True)

    return passes


def extra_megabytes(n_texts: int, settings: dict[str, Any]) -> float:
    """How much higher this process peaks in a watched evaluation than in the bare passes, after a first reading."""
    be_quiet()
    trainer = trainer_of(n_texts)
    callback = watching(trainer, settings)
    peaks = []
    for call in (bare_passes(trainer, callback), evaluation(trainer, callback)):
        forget_peak()
        call()
        peaks.append(peak_megabytes())
    return peaks[1] - peaks[0]


def be_quiet() -> None:
    """What is measured here does not matter: neither that its rows are few, nor that the model's head is untrained."""
    logging.getLogger("trainer_callbacks").setLevel(logging.ERROR)
    set_verbosity_error()
    disable_progress_bar()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=800, help="pairs of STS-B")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    be_quiet()
    few, many = options.texts // 4, options.texts

    trainer = trainer_of(options.texts)
    callbacks = {name: settings and watching(trainer, settings) for name, settings in CONTESTANTS.items()}
    first, *_ = filter(None, callbacks.values())
    (probe,) = first.space_watch.probes.values()
    n_tokens = int(probe.tokens.lengths.sum())
    print(f"{options.texts:,} pairs of texts, {n_tokens:,} tokens, batches of {BATCH_SIZE}, 7 layers of 384 features")
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
    )
    print(f"{len(OF_ROWS_AND_DIRECTIONS)} second-moment measures: {', '.join(OF_ROWS_AND_DIRECTIONS)}")
    notes = []
    for settings in CONTESTANTS.values():
        extra = [in_a_fresh_process(extra_megabytes, n, settings) for n in (few, many)] if settings else None
        notes.append(f"{extra[0]:4.0f} MB for {few:,}, {extra[1]:4.0f} MB for {many:,}  " if extra else "")
    contestants = [(name, evaluation(trainer, callback)) for name, callback in callbacks.items()]
    print_ratios(bare_passes(trainer, first), contestants, None, options.rounds, notes)


if __name__ == "__main__":
    main()
