"""GeometryEvaluator: measures of sentence embeddings, as an evaluator of sentence-transformers.

Importing this file imports sentence_transformers.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sentence_transformers.base.evaluation import SentenceEvaluator

from isotropy_metrics.arrays import as_ids
from isotropy_metrics.measures import Measure, find_measures, measure
from isotropy_metrics.measures.comparisons import PROVENANCE, Comparison, compare, find_comparisons
from isotropy_metrics.statistics import RowSample
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE
from trainer_callbacks.default_measures import DEFAULT_MEASURES
from trainer_callbacks.geometry_metrics import check_measures
from trainer_callbacks.undisturbed import undisturbed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class GeometryEvaluator(SentenceEvaluator):
    """Measures of the embeddings of fixed texts: `SentenceTransformerTrainer(evaluator=GeometryEvaluator(texts))`.

    It embeds the texts with `model.encode`, as the evaluators of sentence-transformers do, and all embeddings are held
    while they are measured. What it returns is in `trainer.evaluate()` and the logs as `eval_<name>_<measure>`, can be
    `metric_for_best_model`, is a row of `geometry_evaluation_<name>_results.csv`, and a table of the model card.
    Training goes on as without it: random numbers (python, numpy, torch) and the mode of every module are as before.

    For several sets of texts, as in- and out-of-domain ones, pass `evaluator=[GeometryEvaluator(texts, name="in"),
    GeometryEvaluator(others, name="out"), ...]`, of which sentence-transformers makes a `SequentialEvaluator`.

    With `drift` the space is compared with the one of the first call, `<comparison>_to_baseline`. A trainer's first
    call is after its first `eval_steps`: to compare with the space before training, set
    `TrainingArguments(eval_on_start=True)`, or call the evaluator with the model once.

    What it does not tell: whether the space is good for a task; put an evaluator of a task beside it. And values of
    texts of another kind or number are other values: keep the texts as they are.

    Args:
        texts: what is embedded, a sequence of str.
        measures: names or measures; None for `DEFAULT_MEASURES`.
        name: of the set of texts: a prefix of all keys.
        references: class label of each text, where a measure needs them.
        drift: names of comparisons with the first call, as in ("linear_cka", "neighborhood_overlap").
        primary_metric: the measure, or `<comparison>_to_baseline`, that stands for all; None for the first measure.
        greater_is_better: whether more of it is: no measure of geometry says so itself. The Trainer does not ask the
            evaluator but `TrainingArguments(greater_is_better=...)`.
        options: keyword arguments by measure, as in `{"isoscore": {"unbiased": True}}`.
        sample_size: most rows that measures of rows and comparisons use; None for all rows.
        seed: of that sample.
        batch_size, show_progress_bar, prompt_name, truncate_dim: of `model.encode`.
        write_csv: write the CSV file, if the trainer gives an `output_path`.

    Returns:
        Called with a model, the dict of the values, with `name` before each key.

    Raises:
        ValueError: texts that are no sequence of str, or fewer than two; an unknown measure or comparison, or one that
            needs words or sentences; `primary_metric` is not among them.
        TypeError: an option that the measure does not have.

    Example:
        evaluator = GeometryEvaluator(texts, name="news", drift="linear_cka")
        evaluator(SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2"))["news_isoscore"]
    """

    def __init__(
        self,
        texts: Sequence[str],
        measures: str | Measure | Iterable[str | Measure] | None = None,
        *,
        name: str = "",
        references: Sequence[Any] | None = None,
        drift: str | Comparison | Iterable[str | Comparison] = (),
        primary_metric: str | None = None,
        greater_is_better: bool = True,
        options: dict[str, dict[str, Any]] | None = None,
        sample_size: int | None = DEFAULT_SIZE,
        seed: int = 0,
        batch_size: int = 32,
        show_progress_bar: bool = False,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        write_csv: bool = True,
    ) -> None:
        super().__init__()
        self.texts = _checked(texts)
        self.measures = find_measures(DEFAULT_MEASURES if measures is None else measures)
        self.options = options or {}
        self.references = None if references is None else as_ids(references, "references", (len(self.texts),))
        check_measures(self.measures, self.options, ids=() if references is None else ("references",))
        self.drift = find_comparisons(drift) if isinstance(drift, (str, Comparison)) or tuple(drift) else []
        self.name = name
        self.sample_size = sample_size
        self.seed = seed
        self.batch_size = batch_size
        self.show_progress_bar = show_progress_bar
        self.prompt_name = prompt_name
        self.truncate_dim = truncate_dim
        self.write_csv = write_csv
        self.csv_file = f"geometry_evaluation{'_' + name if name else ''}_results.csv"
        self.primary_metric = self._prefixed(self._checked_primary_metric(primary_metric))
        self.greater_is_better = greater_is_better
        self._sample()
        self._baseline: np.ndarray | None = None

    def __call__(
        self, model: SentenceTransformer, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """The values of `model`, which are also written to the CSV file in `output_path` and to the model card."""
        embeddings = self._embed(model)
        of_rows = {"references": self.references} if any(each.ids for each in self.measures) else {}
        values = measure(
            embeddings, self.measures, options=self.options, sample_size=self.sample_size, seed=self.seed, **of_rows
        )
        values = {key: value for key, value in values.items() if key not in PROVENANCE + ("n_features",)}
        values |= self._drift(embeddings)
        if output_path is not None and self.write_csv:
            append_row(os.path.join(output_path, self.csv_file), {"epoch": epoch, "steps": steps, **values})
        values = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        return values

    def get_config_dict(self) -> dict[str, Any]:
        """What the values are of, for the model card."""
        config = {"n_texts": len(self.texts), "prompt_name": self.prompt_name, "truncate_dim": self.truncate_dim}
        return {key: value for key, value in {**config, **self.options}.items() if value is not None}

    def _embed(self, model: SentenceTransformer) -> np.ndarray:
        with undisturbed(model):
            return model.encode(
                self.texts,
                prompt_name=self.prompt_name,
                batch_size=self.batch_size,
                show_progress_bar=self.show_progress_bar,
                truncate_dim=self.truncate_dim,
                convert_to_numpy=True,
            )

    def _drift(self, embeddings: np.ndarray) -> dict[str, float]:
        """The comparisons with the same texts at the first call, of at most `sample_size` of them."""
        if not self.drift:
            return {}
        sample = self._sample()
        sample.update(embeddings)
        if self._baseline is None:
            self._baseline = sample.rows.copy()
        values = compare(self._baseline, sample.rows, self.drift, sample_size=None)
        return {f"{key}_to_baseline": value for key, value in values.items() if key not in PROVENANCE}

    def _sample(self) -> RowSample:
        return RowSample(self.sample_size, self.seed)

    def _checked_primary_metric(self, key: str | None) -> str:
        keys = [each.name for each in self.measures] + [f"{each.name}_to_baseline" for each in self.drift]
        if key is not None and key not in keys:
            raise ValueError(f"primary_metric must be one of {', '.join(keys)}, got {key!r}")
        return keys[0] if key is None else key

    def _prefixed(self, key: str) -> str:
        return f"{self.name}_{key}" if self.name else key


def append_row(path: str, row: dict[str, Any]) -> None:
    """Add a row to a CSV file with a header; of a file with other columns, those of both are kept."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    rows: list[dict[str, Any]] = []
    columns = list(row)
    if os.path.isfile(path):
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(dict.fromkeys([*(reader.fieldnames or []), *row]))
            same = columns == reader.fieldnames
        if same:
            with open(path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, columns).writerow(row)
            return
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows([*rows, row])


def _checked(texts: Any) -> list[str]:
    if isinstance(texts, dict):
        raise ValueError(
            f"texts are a dict of {', '.join(map(repr, texts))}: make a GeometryEvaluator of each, with name=, and "
            "pass the list of them as evaluator="
        )
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError("texts must be a sequence of str")
    if len(texts) < 2:
        raise ValueError(f"texts must be at least two, got {len(texts)}")
    return list(texts)
