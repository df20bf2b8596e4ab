"""A measure with the interface of `evaluate.Measurement`; imports evaluate, so import it only when needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import datasets
import evaluate

from isotropy_metrics.arrays import as_ids, as_rows_and_ids
from isotropy_metrics.evaluate_streaming import ASKED, StreamingModule, one_row
from isotropy_metrics.measures import find_measures, measure, statistics_for, update_statistics
from isotropy_metrics.measures._statistics import ID_MEANINGS
from isotropy_metrics.statistics.row_sample import IDS

INPUTS = f"""
Args:
    embeddings: rows (n_samples, n_features): numpy array, torch tensor or nested lists; or (batch, length, n_features)
        together with `mask`.
    references, words, sentences: class label, word and sentence of every row, as integers or text, where a measure
        needs them.
    mask: (batch, length), 0 where a token does not count.
    weight: weight of every row, (n_samples,).
{ASKED.format(null="the value of as many isotropic Gaussian rows of the same width")}\
    data: texts, in place of embeddings; words are then the model's tokens, sentences the texts, and references labels
        of the texts. Then also
        model_id: a Hub id, a folder, or a loaded model.
        layer: which hidden state, 0 for the embedding layer, -1 (default) for the last layer.
        pooling: None (default, one row per token), "mean", "cls" or "last".
        batch_size, max_length, device, revision, tokenizer: as for `isotropy_metrics.hidden_states`.
"""


class EmbeddingMeasurement(StreamingModule, evaluate.Measurement):
    """Measures of embeddings as an `evaluate` measurement; see `StreamingModule`."""

    _find = staticmethod(find_measures)

    def _info(self) -> evaluate.MeasurementInfo:
        rows = {"embeddings": datasets.Sequence(datasets.Value("float32"))}
        ids = {name: datasets.Value("string") for name in self._required_ids()}
        return self._info_of(evaluate.MeasurementInfo, INPUTS, rows | ids)

    def _statistics(self, **arguments: Any) -> list[Any]:
        return statistics_for(self.records, **arguments)

    def _values(self, statistics: list[Any], **arguments: Any) -> dict[str, float]:
        return measure(statistics, self.records, **arguments)

    def _required_ids(self) -> list[str]:
        return [name for name in IDS if any(name in each.ids for each in self.records)]

    def add_batch(
        self,
        *,
        embeddings: Any = None,
        references: Any = None,
        words: Any = None,
        sentences: Any = None,
        mask: Any = None,
        weight: Any = None,
        **kwargs: Any,
    ) -> None:
        """Add a batch of rows to the statistics.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> isoscore = isotropy_metrics.load("isoscore")
        >>> isoscore.add_batch(embeddings=[[1.0, 2.0], [3.0, 1.0]])

        ```
        """
        self._refuse(list(kwargs))
        self._show(self.statistics, embeddings, mask, weight, references=references, words=words, sentences=sentences)

    def add(
        self,
        *,
        embeddings: Any = None,
        references: Any = None,
        words: Any = None,
        sentences: Any = None,
        weight: Any = None,
        **kwargs: Any,
    ) -> None:
        """Add one row to the statistics.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> isoscore = isotropy_metrics.load("isoscore")
        >>> isoscore.add(embeddings=[1.0, 2.0])

        ```
        """
        self._refuse(list(kwargs))
        of_row = {"references": references, "words": words, "sentences": sentences, "weight": weight}
        of_batch = {name: None if value is None else [value] for name, value in of_row.items()}
        self.add_batch(embeddings=one_row(embeddings), **of_batch)

    def compute(
        self,
        *,
        predictions: None = None,
        references: Any = None,
        embeddings: Any = None,
        words: Any = None,
        sentences: Any = None,
        mask: Any = None,
        weight: Any = None,
        interval: float | None = None,
        null: bool | None = None,
        n_resamples: int | None = None,
        data: Sequence[str] | None = None,
        model_id: Any = None,
        layer: int = -1,
        pooling: str | None = None,
        tokenizer: Any = None,
        batch_size: int = 32,
        max_length: int | None = None,
        device: Any = None,
        revision: str | None = None,
        **options: Any,
    ) -> dict[str, float]:
        """Compute the measure of all rows added so far, and of those given here; then forget them.

        Usage of positional arguments is not allowed to prevent mistakes.

        Return:
            `dict` with the measure under its name, `n_samples` and `n_features`.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> isoscore = isotropy_metrics.load("isoscore")
        >>> isoscore.compute(embeddings=[[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]] * 5)["isoscore"]
        1.0

        ```
        """
        self._refuse([] if predictions is None else ["predictions"])
        if data is not None and embeddings is not None:
            raise ValueError("pass embeddings, or data and model_id, not both")
        if (data is None) != (model_id is None):
            raise ValueError("texts need a model: pass data=[...] together with model_id=..., a Hub id or a folder")
        of_rows = {"mask": mask, "weight": weight, "words": words, "sentences": sentences}
        of_rows |= {"references": references} if data is None else {}
        if embeddings is None and any(value is not None for value in of_rows.values()):
            raise ValueError(
                "mask and weight belong to embeddings, as references, words and sentences do: pass them together"
            )
        show = None
        if embeddings is not None:
            show = partial(self._show, embeddings=embeddings, **of_rows)
        elif data is not None:
            wanted = self._required_ids()
            if pooling is None and (interval or self._asked["interval"]):
                wanted.append("sentences")
            of_model = {"tokenizer": tokenizer, "layers": layer, "pooling": pooling, "batch_size": batch_size}
            of_model |= {"max_length": max_length, "device": device, "revision": revision}
            show = partial(
                self._show_texts, model=model_id, texts=data, references=references, wanted=wanted, **of_model
            )
        return self._answer(show, {"interval": interval, "null": null, "n_resamples": n_resamples}, options)

    def _show(self, statistics: list[Any], embeddings: Any, mask: Any = None, weight: Any = None, **ids: Any) -> None:
        self._check_ids(statistics, ids)
        if embeddings is None:
            raise ValueError("there are no rows: pass embeddings=")
        rows, weight, ids = as_rows_and_ids(embeddings, mask, weight, **ids)
        update_statistics(statistics, rows, mask=None, weight=weight, **ids)

    def _show_texts(
        self, statistics: list[Any], texts: Sequence[str], references: Any, wanted: list[str], **of_model: Any
    ) -> None:
        """Show the hidden states of texts with the ids `wanted`: words are tokens, sentences the texts."""
        from isotropy_metrics.hidden_states import stream_hidden_states

        self._check_ids(statistics, {"references": references})
        labels = None if references is None else as_ids(references, "references", (len(texts),))
        for batch in stream_hidden_states(texts=texts, **of_model):
            ids = {"words": batch.token_ids, "sentences": batch.text_index}
            ids = {name: values for name, values in ids.items() if name in wanted}
            ids["references"] = None if labels is None else labels[batch.text_index]
            for rows in batch.layers.values():
                self._show(statistics, rows, **ids)

    def _check_ids(self, statistics: list[Any], ids: dict[str, Any]) -> None:
        """Raise ValueError for ids that are missing, and for ids that are of no use."""
        for name, values in ids.items():
            needing = [each.name for each in self.records if name in each.ids]
            if values is None and needing:
                raise ValueError(f"{needing[0]} needs {name}=: {ID_MEANINGS[name]}")
            if values is not None and not any(name in getattr(statistic, "ids", ()) for statistic in statistics):
                names = " and ".join(each.name for each in self.records)
                but = " without interval=" if name == "sentences" else ""
                raise ValueError(
                    f"Bad inputs for evaluation module: {names} has no use for {name}{but}: leave them out"
                )
