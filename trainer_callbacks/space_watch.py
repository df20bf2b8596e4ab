"""SpaceWatch: the measures of every layer of a model on fixed probes, and what is left of the space at the start."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from isotropy_metrics.hidden_states import POOLINGS, checked_layers, encoder_of, resolved_layers
from isotropy_metrics.measures import find_measures
from isotropy_metrics.measures.comparisons import find_comparisons
from isotropy_metrics.processes import of_main, rank
from isotropy_metrics.statistics import PairSample
from trainer_callbacks.baseline import Baseline, to_baseline
from trainer_callbacks.probe import Probe
from trainer_callbacks.probe_memory import projected_memory
from trainer_callbacks.probed_space import ProbedSpace
from trainer_callbacks.undisturbed import undisturbed, unmoved_generators

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from isotropy_metrics.measures import Measure
    from isotropy_metrics.measures.comparisons import Comparison

logger = logging.getLogger(__name__)

BIG = 2**30
"""Bytes from which on the projected memory of a reading is worth a warning."""


@dataclass
class Reading:
    """What was measured at one moment.

    Attributes:
        values: by key, such as `isoscore` of the last layer, `layer_3/isoscore`, `wiki_layer_3/isoscore`; the same on
            every process.
        spaces: what they were computed of, by the name of the probe.
    """

    values: dict[str, float] = field(default_factory=dict)
    spaces: dict[str, ProbedSpace] = field(default_factory=dict)

    def layer(self, probe: str, layer: int) -> int:
        """Number of a measured layer that may be counted from the end.

        Raises:
            ValueError: it is not among those that were measured.
        """
        numbers = sorted(self.spaces[probe].statistics)
        if layer not in numbers and not -len(numbers) <= layer < 0:
            raise ValueError(f"layer {layer} is not measured; measured are {', '.join(map(str, numbers))}")
        return layer if layer >= 0 else numbers[layer]


class SpaceWatch:
    """Reads the space of a model, the same way each time.

    Args:
        measures, layers, pooling, drift, options, sample_size, seed: see `IsotropyCallback`.
        also: kinds of statistics that are kept besides those that the measures need.

    Attributes:
        probes: by name, "" for the only one; filled by `prepare`.
        numbers: of the layers, filled by `prepare`; empty if the model does not say how many it has.
        baseline: the space before training, on process 0; None until `keep_baseline`.
    """

    def __init__(
        self,
        *,
        measures: str | Measure | Iterable[str | Measure],
        layers: str | int | Iterable[int],
        pooling: str | None,
        drift: str | Comparison | Iterable[str | Comparison],
        options: dict[str, dict[str, Any]] | None,
        sample_size: int,
        seed: int,
        also: Sequence[type] = (),
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
        self.measures = find_measures(measures)
        self.layers = checked_layers(layers)
        self.pooling = pooling
        self.comparisons = find_comparisons(drift) if drift else []
        unpaired = next((each.name for each in self.comparisons if each.needs is not PairSample), None)
        if unpaired is not None:
            raise ValueError(f"drift compares the same rows before and after, which {unpaired} does not")
        self.options = {} if options is None else options
        by_name = {each.name: each for each in self.measures}
        for name, of_measure in self.options.items():
            if name not in by_name:
                raise ValueError(f"options are by measure, and {name!r} is none of {', '.join(by_name)}")
            by_name[name].check_options(of_measure)
        self.sample_size = sample_size
        self.seed = seed
        self.also = also
        self.probes: dict[str, Probe] = {}
        self.numbers: list[int] = []
        self.baseline: Baseline | None = None
        self._said: set[str] = set()

    def prepare(
        self,
        sources: Mapping[str, Any],
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase | None,
        *,
        size: int | None,
        max_length: int | None,
        batch_size: int,
    ) -> None:
        """Tokenize the probes, and refuse what could not be read.

        Raises:
            ValueError: a probe without rows, a layer that the model does not have, a measure that needs labels or
                words that a probe does not have.
        """
        encoder = encoder_of(model)
        config = getattr(encoder, "config", None)
        if getattr(config, "num_hidden_layers", None) is not None:
            self.numbers = resolved_layers(self.layers, config.num_hidden_layers)
        probes = {}
        for name, source in sources.items():
            try:
                with unmoved_generators(next(model.parameters()).device):  # a dataset may draw when it is read
                    probes[name] = Probe.of(
                        source,
                        encoder=encoder,
                        tokenizer=tokenizer,
                        size=size,
                        seed=self.seed,
                        max_length=max_length,
                        pooling=self.pooling,
                        batch_size=batch_size,
                    )
            except ValueError as error:
                raise ValueError(f"probe {name!r}: {error}" if name else str(error)) from error
        if tokenizer is None:
            self.say_once(
                "special tokens are measured as all others, as there is no tokenizer that knows them: pass "
                "tokenizer=, or processing_class= to the Trainer"
            )
        self._check_ids(probes)
        self.probes = probes
        self._announce_memory(config)

    @property
    def identity(self) -> str:
        """What is read: rows of another identity are not to be compared."""
        digest = hashlib.blake2b(digest_size=8)
        for name, probe in self.probes.items():
            digest.update(name.encode())
            digest.update(probe.tokens.columns["input_ids"].tobytes())
            digest.update(str(sorted(probe.dropped)).encode())
        layers = "all" if self.layers is None else ",".join(map(str, self.layers))
        return (
            f"texts {digest.hexdigest()}, layers {layers}, {self.pooling or 'token'} rows, {self.sample_size} sampled "
            f"with seed {self.seed}"
        )

    def read(self, model: torch.nn.Module, dtype: torch.dtype | None = None) -> Reading:
        """Measure now; every process must call it.

        Args:
            model: as the Trainer gives it to callbacks.
            dtype: of autocast, None for none.
        """
        reading = Reading()
        for name, probe in self.probes.items():
            with undisturbed(model, dtype):
                space = ProbedSpace.read(
                    probe,
                    model,
                    self.measures_of(probe),
                    layers=self.layers,
                    sampled=bool(self.comparisons),
                    sample_size=self.sample_size,
                    seed=self.seed,
                    also=self.also,
                )
            reading.spaces[name] = space
            reading.values |= self._values(name, space)
        return reading

    def keep_baseline(self, reading: Reading) -> None:
        """From here on drift is measured from this reading."""
        if self.comparisons and rank() == 0:
            self.baseline = Baseline(self.identity)
            for name, space in reading.spaces.items():
                self.baseline.keep(name, space.samples)

    def measures_of(self, probe: Probe) -> list[Measure]:
        """Those that a probe allows: of classes only if its texts have labels."""
        return [each for each in self.measures if "references" not in each.ids or probe.labels is not None]

    def keys(self) -> list[str]:
        """The keys of the values, as far as they are known without a reading."""
        drift = [to_baseline(each.name) for each in self.comparisons]
        measures = {name: self.measures_of(probe) for name, probe in self.probes.items()} or {"": self.measures}
        return [
            key_of(probe, layer, name)
            for probe, of_probe in measures.items()
            for layer in (None, *self.numbers)
            for name in (*(each.name for each in of_probe), *drift)
        ]

    def say_once(self, sentence: str) -> None:
        """Log a warning on the main process, unless it has been said."""
        if rank() == 0 and sentence not in self._said:
            logger.warning(sentence)
        self._said.add(sentence)

    def _values(self, name: str, space: ProbedSpace) -> dict[str, float]:
        """Computed on process 0 and told to all, so that they are the same to the bit."""
        return of_main(lambda: self._computed(name, space))

    def _computed(self, name: str, space: ProbedSpace) -> dict[str, float]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            by_layer = space.values(self.measures_of(self.probes[name]), self.options)
            for layer, drift in self._drift(name, space).items():
                by_layer[layer] |= drift
        for warning in caught:
            self.say_once(f"{name + ': ' if name else ''}{warning.message}")
        values = {key_of(name, None, key): value for key, value in by_layer[max(by_layer)].items()}
        for layer, of_layer in by_layer.items():
            values |= {key_of(name, layer, key): value for key, value in of_layer.items()}
        return values

    def _drift(self, name: str, space: ProbedSpace) -> dict[int, dict[str, float]]:
        if self.baseline is None:
            return {}
        try:
            return self.baseline.drift(name, space.samples, self.comparisons)
        except ValueError as error:
            self.say_once(f"{name + ': ' if name else ''}no drift from before training is measured: {error}")
            return {}

    def _check_ids(self, probes: Mapping[str, Probe]) -> None:
        for each in self.measures:
            if "words" in each.ids and self.pooling is not None:
                raise ValueError(f"{each.name} needs token rows, pooling=None, got pooling={self.pooling!r}")
            if not any(each in self.measures_of(probe) for probe in probes.values()):
                raise ValueError(f"{each.name} needs classes: pass a dataset with one class label per text")

    def _announce_memory(self, config: Any) -> None:
        n_layers, width = (getattr(config, name, None) for name in ("num_hidden_layers", "hidden_size"))
        if n_layers is None or width is None:
            return
        n_layers = len(resolved_layers(self.layers, n_layers))
        for name, probe in self.probes.items():
            n_bytes = projected_memory(
                probe,
                self.measures_of(probe),
                n_layers=n_layers,
                width=width,
                sampled=self.sample_size * bool(self.comparisons),
                also=self.also,
            )
            sentence = (
                f"the probe{' ' + name if name else ''} takes about {n_bytes / 2**30:.1f} GiB: {n_layers} layers of "
                f"{width:,} features, {probe.n_rows:,} rows; fewer layers= or a smaller sample_size= take less"
            )
            logger.info(sentence)
            if n_bytes >= BIG:
                self.say_once(sentence)


def key_of(probe: str, layer: int | None, name: str) -> str:
    """Key of a value: of one layer, or with None of the last."""
    key = name if layer is None else f"layer_{layer}/{name}"
    return f"{probe}_{key}" if probe else key
