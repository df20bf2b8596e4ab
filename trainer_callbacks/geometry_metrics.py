"""GeometryMetrics: measures of the predictions of a Trainer, as its `compute_metrics`."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.measures import Measure, find_measures, measure, statistics_for, update_statistics
from isotropy_metrics.measures._statistics import ID_MEANINGS
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE
from trainer_callbacks.current_loop import current_loop
from trainer_callbacks.default_measures import DEFAULT_MEASURES
from trainer_callbacks.keep_hidden_state import HIDDEN_STATE, PREDICTIONS, shape_of

if TYPE_CHECKING:
    from transformers import EvalPrediction

PADDING = -100
"""What the Trainer makes arrays of different lengths equally long with, and the label that does not count."""


class GeometryMetrics:
    """Measures of embeddings that a Trainer predicts: `Trainer(compute_metrics=GeometryMetrics(), ...)`.

    With `TrainingArguments(batch_eval_metrics=True)` it takes batch by batch, and keeps statistics of the rows and not
    the rows: O(n_features²), and at most `sample_size` rows for measures that need some. Without, the Trainer holds
    all predictions and hands them over at once; the values are the same. On several processes the Trainer gathers
    every batch, without the rows that its sampler repeats: each process sees all rows and returns the same values.

    Rows left out: those whose label is -100, if `label_ids` have the shape of the embeddings without the last axis;
    and those that are -100 in every feature, by which the Trainer pads.

    A new evaluation begins with fresh statistics: after a result, after an error here, and after an evaluation that
    was interrupted elsewhere (Ctrl-C, out of memory), which is told by the dataloader that Accelerate says is being
    iterated over. In a loop of your own, whose dataloader Accelerate did not prepare, call `reset()` after that.

    What it does not tell: anything about layers or inputs that are not predicted, see `keep_hidden_state`, and
    `IsotropyCallback`, which needs no predictions.

    Args:
        measures: names or measures; None for `DEFAULT_MEASURES`.
        select: picks the embeddings out of `predictions`: (n, n_features), or token states (n, length, n_features) if
            `label_ids` are (n, length). None: the predictions themselves, or what `keep_hidden_state` has kept.
        also: your own `compute_metrics`, whose values are merged in; of equal keys its own stay. It takes
            `compute_result` too if `batch_eval_metrics` is set, and after `keep_hidden_state` it gets the predictions
            as they are without it.
        sample_size: most rows that measures of rows use; None for all rows.
        seed: of that sample.
        options: keyword arguments by measure, as in `{"isoscore": {"unbiased": True}}`.

    Returns:
        Called with an `EvalPrediction`, the dict of `isotropy_metrics.measure`; the Trainer puts `eval_` before its
        keys. Where a measure needs `references`, `label_ids` are they.

    Raises:
        ValueError: an unknown measure, or one that needs words or sentences, which an evaluation does not come with;
            on call, predictions of another shape, or rows that a statistic refuses.
        TypeError: an option that the measure does not have; on call, an `also` without `compute_result`.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> X = np.random.default_rng(0).normal(size=(2000, 16))
        >>> first, second = (SimpleNamespace(predictions=rows, label_ids=None) for rows in (X[:1200], X[1200:]))
        >>> compute_metrics = GeometryMetrics("isoscore")
        >>> compute_metrics(first, compute_result=False)
        {}
        >>> values = compute_metrics(second, compute_result=True)
        >>> round(values["isoscore"], 3), values["n_samples"]
        (0.99, 2000)
    """

    def __init__(
        self,
        measures: str | Measure | Iterable[str | Measure] | None = None,
        *,
        select: Callable[[Any], Any] | None = None,
        also: Callable[..., dict[str, float]] | None = None,
        sample_size: int | None = DEFAULT_SIZE,
        seed: int = 0,
        options: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.measures = find_measures(DEFAULT_MEASURES if measures is None else measures)
        self.select = select
        self.also = also
        self.sample_size = sample_size
        self.seed = seed
        self.options = options or {}
        check_measures(self.measures, self.options, ids=("references",))
        self.reset()

    def reset(self) -> None:
        """Forget all rows: the next call is the first of an evaluation."""
        self._statistics = statistics_for(self.measures, seed=self.seed, size=self.sample_size)
        self._loop: tuple[weakref.ref, int] | None = None

    def __call__(self, eval_pred: EvalPrediction, compute_result: bool | None = None) -> dict[str, float]:
        """The values of all rows so far if `compute_result`, else {}; None: of the rows of this call alone."""
        loop = current_loop()
        if compute_result is None or loop != self._loop:
            self.reset()
            self._loop = loop
        try:
            self._update(eval_pred)
            of_user = self._also(eval_pred, compute_result)
            if compute_result is not None and not compute_result:
                return {}
            values = measure(self._statistics, self.measures, options=self.options)
        except BaseException:
            self.reset()
            raise
        self.reset()
        return values | of_user

    def _update(self, eval_pred: EvalPrediction) -> None:
        embeddings, labels = self._embeddings(eval_pred.predictions), as_array(eval_pred.label_ids)
        shape, came = embeddings.shape[:-1], shape_of(eval_pred.label_ids)
        labelled = labels is not None and labels.shape == shape
        if embeddings.ndim == 3 and not labelled:
            raise ValueError(
                f"token states {embeddings.shape} need label_ids {shape}, which say by -100 what is padding, got "
                f"{came}: pool them, or let select= return the rows that count, (n, n_features)"
            )
        needy = next((each.name for each in self.measures if each.ids), None)
        if needy is not None and not labelled:
            raise ValueError(f"{needy} needs one label per row: label_ids {shape}, got {came}")
        counts = ~_is_padding(embeddings)
        if labelled:
            counts &= labels != PADDING
        update_statistics(self._statistics, embeddings, mask=counts, references=None if needy is None else labels)

    def _embeddings(self, predictions: Any) -> np.ndarray:
        chosen = self.select(predictions) if self.select is not None else predictions
        if self._is_kept(predictions):
            chosen = predictions[HIDDEN_STATE]
        array = as_array(chosen)
        if array is None or array.ndim not in (2, 3):
            source = "the predictions are" if self.select is None else "select= returned"
            raise ValueError(
                f"{source} {shape_of(chosen)}, not embeddings (n, n_features): pick them with select=lambda "
                "predictions: ..., or let preprocess_logits_for_metrics=keep_hidden_state() keep one hidden state"
            )
        return array

    def _also(self, eval_pred: EvalPrediction, compute_result: bool | None) -> dict[str, float]:
        if self.also is None:
            return {}
        if self._is_kept(eval_pred.predictions):
            eval_pred = _with_predictions(eval_pred, eval_pred.predictions.get(PREDICTIONS))
        if compute_result is None:
            return self.also(eval_pred)
        parameters = inspect.signature(self.also).parameters.values()
        if not any(p.name == "compute_result" or p.kind is p.VAR_KEYWORD for p in parameters):
            raise TypeError(
                "also= must take compute_result, as every compute_metrics does with batch_eval_metrics=True"
            )
        return self.also(eval_pred, compute_result=compute_result)

    def _is_kept(self, predictions: Any) -> bool:
        """Whether these are what `keep_hidden_state` returns, and nothing is selected from it."""
        return self.select is None and isinstance(predictions, Mapping) and HIDDEN_STATE in predictions


def check_measures(measures: Iterable[Measure], options: Mapping[str, Mapping[str, Any]], ids: Iterable[str]) -> None:
    """Refuse options that no measure has, and measures that need other ids of rows than these."""
    by_name = {each.name: each for each in measures}
    for name, own in options.items():
        if name not in by_name:
            raise TypeError(f"options are by measure, as in {{'isoscore': {{'unbiased': True}}}}; got {name!r}")
        by_name[name].check_options(own)
    for each in by_name.values():
        missing = [name for name in each.ids if name not in ids]
        if missing:
            raise ValueError(
                f"{each.name} needs {missing[0]}, {ID_MEANINGS[missing[0]]}, and there are none here: take "
                "IsotropyCallback, whose rows are tokens of texts"
            )


def as_array(values: Any) -> np.ndarray | None:
    """The numpy array of an array, or of a tensor wherever it is; None of anything else."""
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()
    return values if isinstance(values, np.ndarray) else None


def _is_padding(embeddings: np.ndarray) -> np.ndarray:
    """Which rows are -100 in every feature, of the shape of the embeddings without the last axis."""
    padding = embeddings[..., 0] == PADDING
    padding[padding] = (embeddings[padding] == PADDING).all(axis=-1)
    return padding


def _with_predictions(eval_pred: EvalPrediction, predictions: Any) -> EvalPrediction:
    from transformers import EvalPrediction

    return EvalPrediction(predictions, eval_pred.label_ids, inputs=eval_pred.inputs, losses=eval_pred.losses)
