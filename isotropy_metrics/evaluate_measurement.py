"""A measure with the interface of `evaluate.EvaluationModule`; imports evaluate, so import it only when needed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from isotropy_metrics.measures import Measure, find_measures, measure, statistics_for
from isotropy_metrics.statistics import Moments, RowSample
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE

SEVERAL = "isotropy_metrics"
"""Name of a module of several measures."""

INPUTS = """
Args:
    embeddings: rows (n_samples, n_features): numpy array, torch tensor or nested lists; or (batch, length, n_features)
        together with `mask`.
    mask: (batch, length), 0 where a token does not count.
    weight: weight of every row, (n_samples,).
    data: texts, in place of embeddings; then also
        model_id: a Hub id, a folder, or a loaded model.
        layer: which hidden state, 0 for the embedding layer, -1 (default) for the last layer.
        pooling: None (default, one row per token), "mean", "cls" or "last".
        batch_size, max_length, device, revision, tokenizer: as for `isotropy_metrics.hidden_states`.
"""


class EmbeddingMeasurement(evaluate.Measurement):
    """Measures of embeddings as an `evaluate` measurement that never stores the embeddings.

    `add` and `add_batch` update statistics and `compute` reads them: no Arrow table, no cache file, no lock.
    Subclasses say which measures; `module_class` makes them.

    Args:
        sample_size: most rows kept by measures that need rows; None keeps all.
        seed: of that sample.
        num_process: only 1 is accepted.
        **kwargs: options of the measures as defaults for `compute`, or arguments of `evaluate.EvaluationModule`.
    """

    measures: Sequence[Measure] = ()

    def __init__(
        self,
        config_name: str | None = None,
        *,
        sample_size: int | None = DEFAULT_SIZE,
        seed: int | None = None,
        num_process: int = 1,
        process_id: int = 0,
        **kwargs: Any,
    ) -> None:
        if num_process != 1:
            raise ValueError(
                f"num_process={num_process}: processes do not meet through evaluate's lock files here. Load the "
                "module with num_process=1 in each, and before `compute`, merge over torch.distributed: "
                "module.statistics = [merge_processes(statistic) for statistic in module.statistics], from "
                "isotropy_metrics.statistics.distributed"
            )
        base_names = inspect.signature(evaluate.EvaluationModule).parameters
        self.options = {name: value for name, value in kwargs.items() if name not in base_names}
        _options_of_each(self.measures, self.options)
        self._sample = {"size": sample_size, "seed": 0 if seed is None else seed}
        self._arguments = {"config_name": config_name, "sample_size": sample_size, "seed": seed, **kwargs}
        self.statistics = statistics_for(self.measures, **self._sample)
        base = {name: value for name, value in kwargs.items() if name in base_names}
        super().__init__(config_name, seed=self._sample["seed"], process_id=process_id, **base)

    def _info(self) -> evaluate.MeasurementInfo:
        return evaluate.MeasurementInfo(
            description="\n\n".join(each.__doc__ for each in self.measures),
            citation="\n".join(each.citation for each in self.measures),
            inputs_description=INPUTS + "".join(_describe_options(each) for each in self.measures),
            features=datasets.Features({"embeddings": datasets.Sequence(datasets.Value("float32"))}),
            reference_urls=[each.paper_url for each in self.measures],
            module_type="measurement",
        )

    def _build_data_dir(self) -> str:
        return ""

    def __len__(self) -> int:
        return self.statistics[0].n_rows

    def add_batch(self, *, embeddings: Any = None, mask: Any = None, weight: Any = None, **kwargs: Any) -> None:
        """Add a batch of rows to the statistics.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> isoscore = isotropy_metrics.load("isoscore")
        >>> isoscore.add_batch(embeddings=[[1.0, 2.0], [3.0, 1.0]])

        ```
        """
        self._refuse_inputs(kwargs)
        _update(self.statistics, embeddings, mask=mask, weight=weight)

    def add(self, *, embeddings: Any = None, weight: Any = None, **kwargs: Any) -> None:
        """Add one row to the statistics.

        Example:

        ```py
        >>> import isotropy_metrics
        >>> isoscore = isotropy_metrics.load("isoscore")
        >>> isoscore.add(embeddings=[1.0, 2.0])

        ```
        """
        self._refuse_inputs(kwargs)
        row = embeddings[None] if hasattr(embeddings, "shape") else [embeddings]
        self.add_batch(embeddings=row, weight=None if weight is None else [weight])

    def compute(
        self,
        *,
        predictions: None = None,
        references: None = None,
        embeddings: Any = None,
        mask: Any = None,
        weight: Any = None,
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
        >>> isoscore.compute(embeddings=[[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]])["isoscore"]
        1.0

        ```
        """
        self._refuse_inputs({"predictions": predictions, "references": references}, given_only=True)
        options = _options_of_each(self.measures, {**self.options, **options})
        if data is not None and embeddings is not None:
            raise ValueError("pass embeddings, or data and model_id, not both")
        if (data is None) != (model_id is None):
            raise ValueError("texts need a model: pass data=[...] together with model_id=..., a Hub id or a folder")
        if embeddings is None and (mask is not None or weight is not None):
            raise ValueError("mask and weight belong to embeddings: pass them together")
        statistics = self.statistics
        if embeddings is not None or data is not None:
            statistics = statistics_for(self.measures, **self._sample, stream=1 if len(self) else 0)
            if embeddings is not None:
                _update(statistics, embeddings, mask=mask, weight=weight)
            else:
                from isotropy_metrics.hidden_states import stream_hidden_states

                batches = stream_hidden_states(
                    model_id,
                    data,
                    tokenizer=tokenizer,
                    layers=layer,
                    pooling=pooling,
                    batch_size=batch_size,
                    max_length=max_length,
                    device=device,
                    revision=revision,
                )
                for batch in batches:
                    for rows in batch.layers.values():
                        _update(statistics, rows)
            if len(self):
                for statistic, before in zip(statistics, self.statistics, strict=True):
                    statistic.merge(before)
        if statistics[0].n_rows == 0:
            raise ValueError(
                "no embeddings to measure: call `add` or `add_batch` at least once before `compute`, or pass "
                "compute(embeddings=...)"
            )
        result = measure(statistics, self.measures, options=options)
        self.statistics = statistics_for(self.measures, **self._sample)
        return result

    def _compute(self, *, embeddings: Any, **options: Any) -> dict[str, float]:
        return measure(embeddings, self.measures, options=_options_of_each(self.measures, options))

    def _refuse_inputs(self, inputs: dict[str, Any], given_only: bool = False) -> None:
        bad = [name for name, value in inputs.items() if value is not None or not given_only]
        if bad:
            raise ValueError(f"Bad inputs for evaluation module: {bad}. All required inputs are ['embeddings']")

    def __reduce__(self) -> tuple:
        names = [each.name for each in self.measures]
        return _restore, (
            names if self.name == SEVERAL else names[0],
            self._arguments,
            [statistic.state_dict() for statistic in self.statistics],
        )


def module_class(measures: str | Sequence[str]) -> type[EmbeddingMeasurement]:
    """The evaluation module of one measure by name, or of several that share one pass."""
    chosen = find_measures(measures)
    name = chosen[0].name if isinstance(measures, str) else SEVERAL
    class_name = "".join(word.capitalize() for word in name.split("_"))
    facts = {"measures": tuple(chosen), "__doc__": chosen[0].__doc__, "__module__": __name__}
    return type(class_name, (EmbeddingMeasurement,), facts)


def _update(statistics: Sequence[Moments | RowSample], embeddings: Any, **of_rows: Any) -> None:
    for statistic in statistics:
        statistic.update(embeddings, **of_rows)


def _restore(names: str | list[str], arguments: dict[str, Any], states: list[dict[str, Any]]) -> EmbeddingMeasurement:
    module = module_class(names)(**arguments)
    module.statistics = [
        type(statistic).from_state_dict(state) for statistic, state in zip(module.statistics, states, strict=True)
    ]
    return module


def _options_of_each(measures: Sequence[Measure], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Which measure takes which option; TypeError for an option that none of them has."""
    unknown = [name for name in options if not any(name in each.options for each in measures)]
    if unknown:
        measures[0].check_options({unknown[0]: options[unknown[0]]})
    return {each.name: {n: v for n, v in options.items() if n in each.options} for each in measures}


def _describe_options(each: Measure) -> str:
    lines = [f"    {name} (default {default!r}): option of {each.name}.\n" for name, default in each.options.items()]
    return "".join(lines)
