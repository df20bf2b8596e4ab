"""Fine-tuning on sentence pairs with an ordinary Trainer, and what it does to the space: one added line.

What it shows (seed 0, 200 steps): the training begins with a collapse, of which an alarm tells at step 50 with a
common offset as its likely cause, and which is over at step 100. The score ends high, in a space of few directions:

     step       Spearman       isoscore    mean cosine effective rank
        0                         0.420          0.011        229.467
       50          0.076          0.025          0.989         40.360
      100          0.634          0.001          0.755          2.510
      150          0.788          0.001          0.860          3.048
      200          0.810          0.001          0.860          2.716   best

(Without the last column, CKA to step 0.)

    python examples/finetune_sts.py                                  # about 4 minutes of CPU time
    python examples/finetune_sts.py --steps 40
    python examples/finetune_sts.py --regularizer i_star --weight -1
"""

from __future__ import annotations

import argparse
import tempfile

from scipy.stats import spearmanr
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs
from trainer_callbacks import IsotropyCallback, IsotropyRegularizer
from trainer_callbacks.regularizers.cos_reg import CosReg
from trainer_callbacks.regularizers.i_star import IStar

COLUMNS = {
    "Spearman": ("eval_spearman", ".3f"),
    "isoscore": ("eval_isoscore", ".4f"),
    "mean cosine": ("eval_average_cosine_similarity", ".3f"),
    "effective rank": ("eval_effective_rank", ".1f"),
    "CKA to step 0": ("eval_linear_cka_to_baseline", ".3f"),
}
TERMS = {"i_star": IStar, "cos_reg": CosReg}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--eval-pairs", type=int, default=300, help="of the dev split")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="folder of the run; default: a new one in the temporary folder")
    parser.add_argument("--regularizer", choices=TERMS, help="a term of the hidden states in the loss")
    parser.add_argument(
        "--weight", type=float, default=-1.0, help="of the regularizer; I-STAR's authors have it below 0"
    )
    options = parser.parse_args()
    set_seed(options.seed)

    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    model = AutoModelForSequenceClassification.from_pretrained(minilm_path(), num_labels=1)
    every = max(1, options.steps // 4)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=options.output or tempfile.mkdtemp(prefix="finetune_sts_"),
            max_steps=options.steps,
            learning_rate=options.learning_rate,
            warmup_steps=options.steps // 10,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=32,
            eval_strategy="steps",
            eval_steps=every,
            save_steps=every,
            save_total_limit=1,
            logging_steps=every,
            load_best_model_at_end=True,
            metric_for_best_model="spearman",
            report_to=[],
            dataloader_pin_memory=False,
            disable_tqdm=True,
            seed=options.seed,
        ),
        train_dataset=encoded("train", tokenizer),
        eval_dataset=encoded("dev", tokenizer, options.eval_pairs),
        processing_class=tokenizer,
        compute_metrics=spearman,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(IsotropyCallback(trainer))  # the added line
    if options.regularizer:
        trainer.add_callback(IsotropyRegularizer(TERMS[options.regularizer](), options.weight, trainer=trainer))

    trainer.train()
    trainer.save_state()
    print_table(trainer.state)
    print(f"the curves of every layer: isotropy-metrics plot {trainer.args.output_dir}")


def encoded(split: str, tokenizer, most: int | None = None) -> list[dict]:
    """Pairs as the model takes them."""
    pairs = stsb_pairs(split).sample(most, seed=0)
    inputs = tokenizer(pairs.first, pairs.second, truncation=True)
    return [
        {name: values[i] for name, values in inputs.items()} | {"labels": score}
        for i, score in enumerate(pairs.labels.tolist())
    ]


def spearman(prediction: EvalPrediction) -> dict[str, float]:
    return {"spearman": spearmanr(prediction.predictions.squeeze(), prediction.label_ids).statistic}


def print_table(state: TrainerState) -> None:
    """One row for each evaluation, and for the model as it came; of the last layer."""
    rows: dict[int, dict] = {}
    for entry in state.log_history:
        rows.setdefault(entry["step"], {}).update(entry)
    print(" step", *(f"{title:>14}" for title in COLUMNS))
    for step, row in rows.items():
        if "eval_isoscore" in row:
            values = (f"{row[key]:14{digits}}" if key in row else " " * 14 for key, digits in COLUMNS.values())
            print(f"{step:5}", *values, "  best" if step == state.best_global_step else "")


if __name__ == "__main__":
    main()
