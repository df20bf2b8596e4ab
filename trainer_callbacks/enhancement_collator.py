"""EnhancementCollator: a data collator that applies a fitted enhancement to the embeddings of each batch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.arrays import as_rows
from trainer_callbacks.attached_enhancement import is_attached
from trainer_callbacks.frozen_encoder import (
    FrozenEncoder,
    FrozenSentenceTransformer,
    device_of,
    is_sentence_transformer,
)

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKEN_COLUMNS = ("attention_mask", "token_type_ids")
DEFAULTS = {"layer": -1, "pooling": "mean", "drop_special_tokens": True, "tokenizer": None, "max_length": None}


class EnhancementCollator:
    """A data collator of embeddings, enhanced: give it to a `Trainer` or a `DataLoader`.

        batch[output_column] = enhancement.transform(embeddings of the features)

    Without an encoder the features carry embeddings, with one texts or token ids, which it embeds: the model that it
    feeds is then a head on a frozen encoder. All other columns pass through as in `transformers.default_data_collator`
    (`label` and `label_ids` become `labels`, None is left out), except that text stays a list of str; the model that
    is fed must accept them, so remove those that it does not want from the dataset.

    The Trainer removes columns that the model's `forward` does not name before a collator sees them: pass
    `TrainingArguments(remove_unused_columns=False)`.

    It can be pickled, and works in the workers of a DataLoader, forked or spawned, and in several processes, each of
    which holds the encoder. An encoder on a GPU works without workers only.

    What it does not do: fit. Fit the enhancement on training rows only, on the same layer and pooling. Nor does it
    follow the dtype of the model that is fed: with `bf16_full_eval` or `fp16_full_eval`, which change it, that model
    must cast the embeddings (with `bf16` and `fp16` there is nothing to do).

    Args:
        enhancement: fitted, a scikit-learn Pipeline of such, or the folder or Hub id of a saved one. If it has a
            fingerprint, that must agree with the encoder, layer and pooling.
        encoder: transformers model, or a SentenceTransformer, which pools on its own. It is frozen: its parameters
            stop requiring gradients; it runs in eval mode without gradients on the device where it is.
        tokenizer: the tokenizer of the encoder; a SentenceTransformer has its own.
        column: name of the column with the embeddings, texts, or token ids (then `attention_mask` and `token_type_ids`
            are used too, if there). None: "embeddings" without an encoder, with one "text", or else "input_ids".
        output_column: name of the enhanced embeddings in the batch, an argument of the model's `forward`.
        layer: hidden states of which layer: 0 = embedding output, 1 to L, negative from the end.
        pooling: "mean" of the kept tokens, "cls" the first token, or "last" the last one.
        drop_special_tokens: leave special tokens out of the mean. sentence-transformers averages them too: False.
        max_length: longer texts are cut to so many tokens; None for what encoder and tokenizer allow.

    Returns:
        Called with a list of features, a dict of CPU tensors; the enhanced embeddings are float32
        (n_features_of_the_batch, width), equal to `transform` of the plain embeddings to 1e-5.

    Raises:
        NotFittedError: the enhancement is not fitted.
        ValueError: the encoder and the enhancement do not go together; on call, a column that is missing, embeddings
            of another width, ragged columns, an encoder on a GPU in the worker of a DataLoader, or one that has an
            enhancement attached, by which its embeddings would be enhanced twice.

    Example:
        >>> from isotropy_metrics.enhancement import Centering
        >>> collator = EnhancementCollator(Centering().fit([[0.0, 2.0], [2.0, 2.0]]))
        >>> collator([{"embeddings": [1.0, 5.0], "label": 3}])
        {'labels': tensor([3]), 'embeddings': tensor([[0., 3.]])}
    """

    def __init__(
        self,
        enhancement: Any,
        *,
        encoder: PreTrainedModel | SentenceTransformer | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        column: str | None = None,
        output_column: str = "embeddings",
        layer: int = -1,
        pooling: str = "mean",
        drop_special_tokens: bool = True,
        max_length: int | None = None,
    ) -> None:
        self.enhancement = _loaded(enhancement)
        self.column = column
        self.output_column = output_column
        self.encoder = None
        options = {"layer": layer, "pooling": pooling, "drop_special_tokens": drop_special_tokens}
        options |= {"tokenizer": tokenizer, "max_length": max_length}
        if encoder is None:
            _refuse(options, "the features carry embeddings")
        elif is_sentence_transformer(encoder):
            _refuse(options, "a SentenceTransformer tokenizes and pools on its own")
            self.encoder = FrozenSentenceTransformer(encoder)
        else:
            self.encoder = FrozenEncoder(encoder, **options)
        if self.encoder is not None:
            self._check_encoder()
            self.encoder.model.requires_grad_(False)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor | list[str]]:
        import torch

        columns = _columns(features)
        embeddings = self._take_embeddings(columns)
        batch = _collated(columns)
        if self.output_column in batch:
            raise ValueError(f"the features have a column {self.output_column!r} already: pass another output_column")
        enhanced = np.asarray(self.enhancement.transform(embeddings), dtype=np.float32)
        return batch | {self.output_column: torch.from_numpy(enhanced)}

    def _check_encoder(self) -> None:
        self._refuse_attached()
        width, n_features = getattr(self.enhancement, "n_features_in_", None), self.encoder.n_features
        if None not in (width, n_features) and width != n_features:
            raise ValueError(
                f"the enhancement was fitted on {width} features, the encoder {type(self.encoder.model).__name__} has "
                f"{n_features}: fit one on its embeddings"
            )
        for step in _steps(self.enhancement):
            if hasattr(step, "fingerprint_"):
                self.encoder.check(step.fingerprint_)

    def _take_embeddings(self, columns: dict[str, list[Any]]) -> np.ndarray:
        """The embeddings of a batch; the columns that they come from are taken out."""
        column = self._source(columns)
        values = columns.pop(column)
        if self.encoder is None:
            return _stacked(values, column)
        self._refuse_attached()
        self._refuse_gpu_in_worker()
        n_texts = sum(isinstance(value, str) for value in values)
        if n_texts == len(values):
            return self.encoder.embed_texts(values)
        if n_texts or any(value is None for value in values):
            raise ValueError(f"the column {column!r} must hold one text, or the token ids of one, in every feature")
        tokens = {"input_ids": values}
        tokens |= {name: columns.pop(name) for name in TOKEN_COLUMNS if name in columns}
        return self.encoder.embed_tokens(tokens)

    def _source(self, columns: dict[str, list[Any]]) -> str:
        """Name of the column that the embeddings come from."""
        defaults = ("embeddings",) if self.encoder is None else ("text", "input_ids")
        candidates = defaults if self.column is None else (self.column,)
        for candidate in candidates:
            if candidate in columns:
                return candidate
        raise ValueError(
            f"the features have no column {' or '.join(map(repr, candidates))}, they have {sorted(columns)}: pass "
            "column=; if the Trainer has removed it, pass TrainingArguments(remove_unused_columns=False)"
        )

    def _refuse_attached(self) -> None:
        if is_attached(self.encoder.model):
            raise ValueError(
                f"the encoder {type(self.encoder.model).__name__} has an enhancement attached: remove() it, or the "
                "collator would enhance a second time"
            )

    def _refuse_gpu_in_worker(self) -> None:
        from torch.utils.data import get_worker_info

        device = device_of(self.encoder.model)
        if get_worker_info() is not None and device.type != "cpu":
            raise ValueError(
                f"the encoder is on {device}, which a worker of a DataLoader cannot use: pass num_workers=0 "
                "(dataloader_num_workers=0 to the Trainer), or move the encoder to the CPU"
            )


def _loaded(enhancement: Any) -> Any:
    """The enhancement, every step of which is fitted; read from its folder, or the Hub, if it is a name."""
    if isinstance(enhancement, (str, os.PathLike)):
        from isotropy_metrics.enhancement import from_pretrained

        return from_pretrained(enhancement)
    from sklearn.utils.validation import check_is_fitted

    for step in _steps(enhancement):
        if not hasattr(step, "transform"):
            raise ValueError(f"enhancement must have transform(), got {type(step).__name__}")
        check_is_fitted(step)
    return enhancement


def _steps(enhancement: Any) -> list[Any]:
    """Every step: a Pipeline counts as fitted if its last step is, and a Normalizer always is."""
    if hasattr(enhancement, "steps"):
        return [inner for _, step in enhancement.steps for inner in _steps(step)]
    return [] if enhancement is None or isinstance(enhancement, str) else [enhancement]  # "passthrough"


def _refuse(options: dict[str, Any], why: str) -> None:
    given = sorted(name for name, value in options.items() if value != DEFAULTS[name])
    if given:
        raise ValueError(f"{why}: leave out {', '.join(given)}")


def _columns(features: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The features as columns."""
    if not features or not all(isinstance(feature, Mapping) for feature in features):
        received = type(features[0]).__name__ if features else "none"
        raise ValueError(f"features must be dicts, with a column of embeddings or texts; got {received}")
    names = features[0].keys()
    if any(feature.keys() != names for feature in features):
        raise ValueError("the features of a batch must have the same columns")
    return {name: [feature[name] for feature in features] for name in names}


def _stacked(embeddings: list[Any], column: str) -> np.ndarray:
    """One row per feature, in float32 or float64."""
    try:
        rows = np.stack([np.asarray(_on_host(embedding)) for embedding in embeddings])
    except ValueError as error:
        raise ValueError(f"{column!r} must hold vectors of one width: {error}") from error
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise ValueError(f"{column!r} must hold one vector per feature, got {rows.dtype} of shape {rows.shape[1:]}")
    return as_rows(rows)[0]


def _on_host(embedding: Any) -> Any:
    """numpy knows no bfloat16, and no other device."""
    if type(embedding).__module__.partition(".")[0] != "torch":
        return embedding
    embedding = embedding.detach()
    return (embedding if embedding.element_size() == 8 else embedding.float()).cpu()


def _collated(columns: dict[str, list[Any]]) -> dict[str, torch.Tensor | list[str]]:
    """The other columns: text as it is, all else as the Trainer's default collator has it."""
    from transformers import default_data_collator

    texts = {name: values for name, values in columns.items() if isinstance(values[0], str)}
    for name in ("label", "label_ids", "labels"):
        if name in texts:
            raise ValueError(
                f"the column {name!r} holds text such as {texts[name][0]!r}: turn it into numbers, as "
                f"Dataset.class_encode_column({name!r}) does"
            )
    names = [name for name in columns if name not in texts]
    if not names:
        return texts
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(columns[name] for name in names), strict=True)]
    try:
        return default_data_collator(rows) | texts
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"one of the columns {names} cannot become a tensor ({error}): remove it, or make its values equally long"
        ) from error
