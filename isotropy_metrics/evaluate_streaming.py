"""What measurements and comparisons share as `evaluate` modules: statistics in place of stored rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate

from isotropy_metrics.measures._interval import N_RESAMPLES, check_level
from isotropy_metrics.measures._measure import Measure
from isotropy_metrics.statistics import RowSample
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE

SEVERAL = "isotropy_metrics"
"""Name of a module of several measures."""

ASKED = """\
    interval: level of bootstrap intervals, as in 0.95: adds `name_low` and `name_high`. For rows that come through
        `add` or `add_batch`, give it when the module is loaded.
    null: whether to add `name_null`, {null}.
    n_resamples: of the intervals.
"""


class StreamingModule:
    """An `evaluate` module that keeps statistics of the rows, and never the rows: no Arrow table, no file, no lock.

    A kind of module says how statistics are made and read; `named` makes the modules of that kind.

    Args:
        sample_size: most rows kept by what needs rows; None keeps all.
        seed: of that sample, and of intervals and nulls.
        interval, null, n_resamples: defaults for `compute`.
        num_process: only 1 is accepted.
        **kwargs: options of what it computes as defaults for `compute`, or arguments of `evaluate.EvaluationModule`.
    """

    records: Sequence[Measure] = ()

    def __init__(
        self,
        config_name: str | None = None,
        *,
        sample_size: int | None = DEFAULT_SIZE,
        seed: int | None = None,
        interval: float | None = None,
        null: bool = False,
        n_resamples: int = N_RESAMPLES,
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
        check_level(interval)
        base_names = inspect.signature(evaluate.EvaluationModule).parameters
        self.options = {name: value for name, value in kwargs.items() if name not in base_names}
        _options_of_each(self.records, self.options)
        self._asked = {"interval": interval, "null": null, "n_resamples": n_resamples}
        self._sample = {"size": sample_size, "seed": 0 if seed is None else seed}
        self._arguments = {
            "config_name": config_name,
            "sample_size": sample_size,
            "seed": seed,
            **self._asked,
            **kwargs,
        }
        self.statistics = self._fresh(self._asked)
        base = {name: value for name, value in kwargs.items() if name in base_names}
        super().__init__(config_name, seed=self._sample["seed"], process_id=process_id, **base)

    @classmethod
    def named(cls, names: str | Sequence[str]) -> type[StreamingModule]:
        """The module of one measure by name, or of several that share one pass."""
        records = cls._find(names)
        name = records[0].name if isinstance(names, str) else SEVERAL
        class_name = "".join(word.capitalize() for word in name.split("_"))
        facts = {"records": tuple(records), "__doc__": records[0].__doc__, "__module__": cls.__module__}
        return type(class_name, (cls,), facts | {"_kind": cls})

    @staticmethod
    def _find(names: str | Sequence[str]) -> list[Measure]:
        """The records with these names."""
        raise NotImplementedError

    def _statistics(self, **arguments: Any) -> list[Any]:
        """Statistics that have seen no row, made with `interval=`, `seed=`, `stream=` and `size=`."""
        raise NotImplementedError

    def _values(self, statistics: list[Any], **arguments: Any) -> dict[str, float]:
        """What is computed of statistics, under `options=`, `interval=`, `null=`, `n_resamples=` and `seed=`."""
        raise NotImplementedError

    def _info_of(self, info: type, inputs: str, features: dict[str, Any]) -> evaluate.EvaluationModuleInfo:
        return info(
            description="\n\n".join(each.__doc__ for each in self.records),
            citation="\n".join(each.citation for each in self.records),
            inputs_description=inputs + "".join(_describe_options(each) for each in self.records),
            features=datasets.Features(features),
            reference_urls=[each.paper_url for each in self.records],
            module_type=self.records[0].module_type,
        )

    def _build_data_dir(self) -> str:
        return ""

    def __len__(self) -> int:
        return self.statistics[0].n_rows

    def _fresh(self, asked: dict[str, Any], stream: int = 0) -> list[Any]:
        """Statistics without rows. Samples come first: what they refuse, no statistic has then seen."""
        statistics = self._statistics(interval=asked["interval"] is not None, stream=stream, **self._sample)
        return sorted(statistics, key=lambda statistic: not isinstance(statistic, RowSample))

    def _answer(
        self, show: Callable[[list[Any]], None] | None, asked: dict[str, Any], options: dict[str, Any]
    ) -> dict[str, float]:
        """The values of all rows added so far, and of those that `show` adds to statistics; then all is forgotten.

        If it fails, the rows added so far are still there, and those of `show` are not.
        """
        options = _options_of_each(self.records, {**self.options, **options})
        asked = self._asked | {name: value for name, value in asked.items() if value is not None}
        check_level(asked["interval"])
        statistics, ready = self.statistics, self._asked["interval"] is not None
        if show is not None and not len(self):
            statistics, ready = self._fresh(asked), True
            show(statistics)
        elif show is not None:
            statistics = self._fresh(self._asked, stream=1)
            show(statistics)
            for statistic, before in zip(statistics, self.statistics, strict=True):
                statistic.merge(before)
        spaces = ", ".join(f"{name}=..." for name in self._feature_names() if name.startswith("embeddings"))
        if statistics[0].n_rows == 0:
            raise ValueError(
                "no embeddings to measure: call `add` or `add_batch` at least once before `compute`, or pass "
                f"compute({spaces})"
            )
        ready = ready or all(isinstance(statistic, RowSample) for statistic in statistics)
        if asked["interval"] is not None and not ready:
            raise ValueError(
                "the module must know of an interval before rows are added to it: load it with "
                f"interval={asked['interval']}, or pass all rows at once, compute({spaces}, ...)"
            )
        result = self._values(statistics, options=options, seed=self._sample["seed"], **asked)
        self.statistics = self._fresh(self._asked)
        return result

    def _refuse(self, names: Sequence[str]) -> None:
        """Raise ValueError in the words of evaluate, if there are names of inputs that the module does not have."""
        if names:
            required = self._feature_names()
            raise ValueError(f"Bad inputs for evaluation module: {list(names)}. All required inputs are {required}")

    def __reduce__(self) -> tuple:
        names = [each.name for each in self.records]
        names = names if self.name == SEVERAL else names[0]
        return _restore, (self._kind, names, self._arguments, self.statistics)


def one_row(rows: Any) -> Any:
    """One row as a batch of one."""
    return rows[None] if hasattr(rows, "shape") else [rows]


def _restore(
    kind: type[StreamingModule], names: str | list[str], arguments: dict[str, Any], statistics: list[Any]
) -> StreamingModule:
    module = kind.named(names)(**arguments)
    module.statistics = statistics
    return module


def _options_of_each(records: Sequence[Measure], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Which measure takes which option; TypeError for an option that none of them has."""
    unknown = [name for name in options if not any(name in each.options for each in records)]
    if unknown:
        records[0].check_options({unknown[0]: options[unknown[0]]})
    return {each.name: {n: v for n, v in options.items() if n in each.options} for each in records}


def _describe_options(each: Measure) -> str:
    lines = [f"    {name} (default {default!r}): option of {each.name}.\n" for name, default in each.options.items()]
    return "".join(lines)
