"""Baseline: the space as it was before training, which later spaces are compared with."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from isotropy_metrics.measures.comparisons import Comparison, compare
from isotropy_metrics.statistics import RowSample
from isotropy_metrics.whole_file import whole_file

FILE_NAME = "isotropy_baseline_{}.safetensors"
"""With a digest of the identity, so that the callbacks of one Trainer do not overwrite each other's."""


class Baseline:
    """A sample of the rows of each layer of each probe, in the order of texts and tokens.

    It is kept beside the checkpoints, so that a resumed run compares with the same space.

    Attributes:
        rows: (probe name, layer number) -> rows (n_sampled, n_features).
        identity: what the rows are of; a file of something else is not read.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.rows: dict[tuple[str, int], np.ndarray] = {}

    def keep(self, probe: str, samples: dict[int, RowSample]) -> None:
        """Remember these samples as the space before training."""
        self.rows |= {(probe, layer): in_order(sample) for layer, sample in samples.items()}

    def drift(
        self, probe: str, samples: dict[int, RowSample], comparisons: list[Comparison]
    ) -> dict[int, dict[str, float]]:
        """Per layer the comparisons of the space now with the space before training, `<comparison>_to_baseline`."""
        drift = {}
        for layer, sample in samples.items():
            values = compare(self.rows[probe, layer], in_order(sample), comparisons, sample_size=None)
            drift[layer] = {to_baseline(each.name): float(values[each.name]) for each in comparisons}
        return drift

    def save(self, folder: str | os.PathLike) -> None:
        """Write the file into a folder, which is made if need be."""
        from safetensors.numpy import save_file

        path = Path(folder, file_name(self.identity))
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {f"{layer}/{probe}": np.ascontiguousarray(rows) for (probe, layer), rows in self.rows.items()}
        with whole_file(path) as beside:
            save_file(tensors, beside, metadata={"identity": self.identity})

    @classmethod
    def load(cls, folder: str | os.PathLike, identity: str) -> Baseline:
        """The baseline in a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file is of something else, or damaged.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(folder, file_name(identity))
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no {path.name} in {os.fspath(folder)!r}, "
                "the file of this probe, these layers and this pooling"
            )
        baseline = cls(identity)
        try:
            with safe_open(path, framework="numpy") as file:
                found = (file.metadata() or {}).get("identity")
                for name in file.keys():
                    layer, probe = name.split("/", 1)
                    baseline.rows[probe, int(layer)] = file.get_tensor(name)
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{path} is no baseline of an IsotropyCallback: {error}") from error
        if found != identity:
            raise ValueError(f"{path} is of something else: {found}, not {identity}")
        return baseline


def file_name(identity: str) -> str:
    """Of the file in which a baseline is kept."""
    return FILE_NAME.format(hashlib.blake2b(identity.encode(), digest_size=4).hexdigest())


def to_baseline(comparison: str) -> str:
    """What a comparison with the space before training is called."""
    return f"{comparison}_to_baseline"


def in_order(sample: RowSample) -> np.ndarray:
    """The sampled rows in the order of their texts; within a text they are in the order of its tokens."""
    return sample.rows[np.argsort(sample.sentences, kind="stable")]
