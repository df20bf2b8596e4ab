"""ProbedSpace: the statistics of every layer of a model on one probe, at one moment of its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from isotropy_metrics.hidden_states import encoder_of
from isotropy_metrics.measures import Measure, measure, statistics_for, update_statistics
from isotropy_metrics.processes import raise_together, rank, world_size
from isotropy_metrics.statistics import Moments, RowSample
from isotropy_metrics.statistics.distributed import merge_processes
from trainer_callbacks.probe import Probe


class ProbedSpace:
    """What is remembered of the rows of each layer; no row is, but for bounded samples.

    Samples hold whole texts, chosen by the number of the text, so that they hold the same tokens at every moment and
    on any number of processes.

    Attributes:
        statistics: layer number -> the statistics that the measures need.
        samples: layer number -> a sample of its rows for comparisons, or nothing.
    """

    def __init__(self, statistics: dict[int, list[Any]], samples: dict[int, RowSample]) -> None:
        self.statistics = statistics
        self.samples = samples

    @classmethod
    def read(
        cls,
        probe: Probe,
        model: torch.nn.Module,
        measures: Sequence[Measure],
        *,
        layers: list[int] | None,
        sampled: bool,
        sample_size: int,
        seed: int = 0,
        also: Sequence[type] = (),
    ) -> ProbedSpace:
        """The space of all processes' rows; every process must call it.

        Args:
            model: as the Trainer gives it to callbacks.
            layers: numbers of the layers, None for all.
            sampled: keep a sample of the rows of each layer for comparisons.
            sample_size: rows of each sample.
            also: kinds of statistics that are wanted besides those that the measures need.

        Raises:
            Exception: on all processes, what went wrong in one of them.
        """
        space, error = cls({}, {}), None
        sample = {"size": sample_size, "seed": seed}
        encoder = model if is_sharded(model) else encoder_of(model)
        try:
            for batch in probe.forward_passes(encoder, layers, rank(), world_size()):
                for layer, rows in batch.layers.items():
                    if layer not in space.statistics:
                        space.statistics[layer] = statistics_for(measures, also=also, stream=rank(), **sample)
                        if sampled:
                            space.samples[layer] = RowSample(stream=rank(), **sample)
                    if len(rows):
                        space._update(layer, rows, probe, batch.text_index, batch.token_ids)
        except Exception as caught:
            error = caught
        if hasattr(model, "reshard"):
            model.reshard()  # FSDP2 leaves the outermost parameters together until the next backward pass
        raise_together(error)
        return space._merged()

    def values(
        self, measures: Sequence[Measure], options: dict[str, dict[str, Any]] | None = None
    ) -> dict[int, dict[str, float]]:
        """Per layer `<measure>` of each measure, and its logarithm where it gives one."""
        kept = [key for each in measures for key in (each.name, f"{each.name}_log10")]
        values = {}
        for layer, statistics in self.statistics.items():
            of_layer = measure(statistics, measures, options=options)
            values[layer] = {key: float(of_layer[key]) for key in kept if key in of_layer}
        return values

    def moments(self, layer: int) -> Moments | None:
        """The `Moments` of a layer, if there are any."""
        return next((each for each in self.statistics[layer] if type(each) is Moments), None)

    def _update(
        self, layer: int, rows: torch.Tensor, probe: Probe, texts: np.ndarray, token_ids: np.ndarray | None
    ) -> None:
        rows = rows.float().cpu() if rows.element_size() < 8 else rows.cpu()
        ids = {"sentences": texts}
        if token_ids is not None:
            ids["words"] = token_ids
        if probe.labels is not None:
            ids["references"] = probe.labels[texts]
        update_statistics(self.statistics[layer], rows, **ids)
        if layer in self.samples:
            self.samples[layer].update(rows, sentences=texts)

    def _merged(self) -> ProbedSpace:
        statistics = {layer: list(map(merge_processes, each)) for layer, each in self.statistics.items()}
        return ProbedSpace(statistics, {layer: merge_processes(each) for layer, each in self.samples.items()})


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether only a call of the whole model brings its parameters together (FSDP)."""
    return any(base.__name__ in ("FullyShardedDataParallel", "FSDPModule") for base in type(model).__mro__)
