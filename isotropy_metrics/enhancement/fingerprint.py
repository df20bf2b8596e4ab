"""Fingerprint: which rows an enhancement was fitted on: of which model, layer and pooling, and how many."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

VALUES_PER_TENSOR = 1024
"""How many values of each parameter enter the digest, evenly spaced: a model of any size takes about a second."""

DRAWN_ANEW = ("pooler.",)
"""Parameters that many checkpoints lack: they are drawn anew at each load, and no hidden state depends on them."""


KINDS = {"layer": (int, str), "n_samples": (int,), "n_features": (int,)}
"""What is not text."""


@dataclass(frozen=True)
class Fingerprint:
    """Which rows an enhancement was fitted on. What is None is not known.

    Args:
        model: name of the model, of the Hub or a folder.
        revision: commit of the model on the Hub.
        weights: `weights_digest` of the model.
        layer: the hidden states of this layer.
        pooling: how tokens became one row, such as "mean", or "none" for tokens.
        n_samples: number of fitting rows.
        n_features: their features.

    Raises:
        ValueError: text in place of a number, or the other way round.
    """

    model: str | None = None
    revision: str | None = None
    weights: str | None = None
    layer: int | str | None = None
    pooling: str | None = None
    n_samples: int | None = None
    n_features: int | None = None

    def __post_init__(self) -> None:
        for name, value in self.known().items():
            kinds = KINDS.get(name, (str,))
            if type(value) not in kinds:
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"{name} of a fingerprint must be {wanted}, got {value!r}")

    @classmethod
    def of(cls, model: Any = None, revision: str | None = None, **others: Any) -> Fingerprint:
        """The fingerprint of rows of a model, given by its name or as a live one.

        Args:
            model: a name, or a transformers, sentence-transformers or torch model, whose name, commit and digest are
                taken.
            revision: commit; of a live model the one that it knows, unless it is given.
            others: `layer`, `pooling`, `n_samples`, `n_features`.
        """
        if model is None or isinstance(model, str):
            return cls(model, revision, **others)
        name, commit = _name_and_commit(model)
        return cls(name, revision or commit, weights_digest(model), **others)

    def check(
        self, *, model: Any = None, revision: str | None = None, layer: int | str | None = None, pooling: Any = None
    ) -> None:
        """Refuse rows of another model, revision, layer or pooling; what is None, here or there, is not compared.

        A live model is compared by its weights if their digest is known, wherever it was loaded from, else by name.

        Raises:
            ValueError: they differ; both sides are named.
        """
        given = Fingerprint.of(model, revision, layer=layer, pooling=pooling)
        compared = ["revision", "layer", "pooling"]
        if self.weights is not None and given.weights is not None:
            compared = ["weights", "layer", "pooling"] + (["revision"] if revision is not None else [])
        else:
            compared = ["model", *compared]
        for name in compared:
            ours, theirs = getattr(self, name), getattr(given, name)
            if None not in (ours, theirs) and ours != theirs:
                raise ValueError(_mismatch(name, self, given))

    def known(self) -> dict[str, Any]:
        """What is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 of the parameters of a model: names, shapes, dtypes, and 1024 evenly spaced values of each.

    A change of a few values in a large parameter can go unseen. Two precisions of one model have two digests.

    Of a transformers model counts the base model without its pooler, so that every head on it has the digest of the
    bare model; a SentenceTransformer has that of its transformer, unless other modules have parameters too.

    Raises:
        ValueError: a parameter is on the meta device: it has no values.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(_parameters(model), key=lambda pair: pair[0]):
        if parameter.is_meta:
            raise ValueError(
                f"parameter {name!r} is offloaded (meta device), its values cannot be compared: pass the name of the "
                "model in place of the model"
            )
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        digest.update(_some_bytes(parameter))
    return digest.hexdigest()


def _parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    model = getattr(model, "_orig_mod", model)
    sentence_transformers = sys.modules.get("sentence_transformers")
    if sentence_transformers is not None and isinstance(model, sentence_transformers.SentenceTransformer):
        for name, module in model.named_children():
            if hasattr(module, "enhancement"):
                break  # rows are fitted on before they are enhanced
            inner = getattr(module, "auto_model", None)
            if inner is None:
                yield from module.named_parameters(prefix=name)
            else:
                yield from _parameters(inner)
        return
    for name, parameter in getattr(model, "base_model", model).named_parameters():
        if not name.startswith(DRAWN_ANEW):
            yield name, parameter


def _some_bytes(parameter: torch.Tensor) -> bytes:
    import torch

    flat = parameter.detach().reshape(-1)
    step = max(1, -(-len(flat) // VALUES_PER_TENSOR))
    return flat[::step].contiguous().cpu().view(torch.uint8).numpy().tobytes()


def _name_and_commit(model: Any) -> tuple[str | None, str | None]:
    model = getattr(model, "_orig_mod", model)
    model = getattr(model, "transformers_model", None) or model
    config = getattr(model, "config", None)
    return getattr(config, "_name_or_path", None) or None, getattr(config, "_commit_hash", None)


def _mismatch(name: str, ours: Fingerprint, theirs: Fingerprint) -> str:
    if name != "weights":
        return (
            f"this enhancement was fitted on rows of {name} {getattr(ours, name)!r}, it is asked for {name} "
            f"{getattr(theirs, name)!r}: fit one on these rows"
        )
    return (
        f"this enhancement was fitted on rows of {ours.model or 'a model'} with weights {ours.weights[:12]}, the "
        f"weights of {theirs.model or 'this model'} are {theirs.weights[:12]}: they were trained on, are another "
        "model's, or have another precision; fit one on rows of this model"
    )
