"""FrozenEncoder: the embeddings of texts or token ids, one batch at a time, by a model that is not trained."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.hidden_states import encoder_of, evaluating, pool_rows
from isotropy_metrics.tokenized_texts import longest_input, special_token_ids

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

    from isotropy_metrics.enhancement.fingerprint import Fingerprint

POOLINGS = ("mean", "cls", "last")


class _Frozen:
    """A model that is not trained, and can be pickled whatever it has done before."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"model": _without_capturing_hooks(self.model)}


class FrozenEncoder(_Frozen):
    """A transformers model and its tokenizer, which together embed texts or token ids.

    A batch gives the rows of `isotropy_metrics.hidden_states.embed` with the same layer, pooling and special tokens,
    whatever it is batched with. It runs in eval mode and without gradients, on the device where the model is.

    Args:
        model: transformers model; of an encoder-decoder the encoder runs, of a model with a head its base model.
        tokenizer: the tokenizer of the model, with a padding token.
        layer: 0 = embedding output, 1 to L, negative from the end.
        pooling: `"mean"` of the kept tokens, `"cls"` the first token, `"last"` the last one.
        drop_special_tokens: leave the special tokens out of the mean.
        max_length: longer texts are cut to so many tokens; None for what model and tokenizer allow.

    Raises:
        ValueError: an unknown pooling, a layer that the model does not have, a tokenizer without a padding token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        layer: int = -1,
        pooling: str = "mean",
        drop_special_tokens: bool = True,
        max_length: int | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
        if tokenizer is None:
            raise ValueError("an encoder needs its tokenizer: pass tokenizer=")
        if tokenizer.pad_token is None:
            raise ValueError(
                "the tokenizer has no padding token: set tokenizer.pad_token, such as to tokenizer.eos_token"
            )
        n_layers = getattr(model.config, "num_hidden_layers", None)
        if n_layers is not None and not -n_layers - 1 <= layer <= n_layers:
            raise ValueError(
                f"layer {layer} is out of range: the model has {n_layers} layers, and 0 is the embeddings"
            )
        super().__init__(model)
        self.tokenizer = tokenizer
        self.layer = layer
        self.pooling = pooling
        self.longest = longest_input(model, tokenizer)
        self.max_length = self.longest if max_length is None else max_length
        self.dropped = special_token_ids(tokenizer) if drop_special_tokens else []

    def __setstate__(self, state: dict[str, Any]) -> None:
        import torch
        from transformers import PreTrainedModel

        vars(self).update(state)
        if isinstance(self.model, PreTrainedModel):
            # transformers learns which outputs a class can give when one is made, which unpickling does not do
            with torch.device("meta"):
                type(self.model)(copy.deepcopy(self.model.config))

    @property
    def n_features(self) -> int | None:
        """Width of the hidden states, if the config says it."""
        return getattr(self.model.config, "hidden_size", None)

    def check(self, fingerprint: Fingerprint) -> None:
        """Refuse an enhancement that was fitted on rows of another model, layer or pooling."""
        layer = layer_as_known(self.layer, fingerprint.layer, self.model)
        fingerprint.check(model=self.model, layer=layer, pooling=self.pooling)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings (n_texts, n_features) of texts."""
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.max_length, return_attention_mask=False)
        return self._embed(tokens)

    def embed_tokens(self, columns: dict[str, Sequence[Any]]) -> np.ndarray:
        """The embeddings (n_texts, n_features) of texts that are token ids.

        Args:
            columns: `input_ids`, and if there are `attention_mask` and `token_type_ids`, each with one list, array or
                tensor per text. Padding that the mask marks is taken off.
        """
        columns = {name: [np.asarray(value) for value in values] for name, values in columns.items()}
        masks = columns.pop("attention_mask", None)
        if masks is not None:
            columns = {
                name: [value[mask.astype(bool)] for value, mask in zip(values, masks, strict=True)]
                for name, values in columns.items()
            }
        longest = max(map(len, columns["input_ids"]))
        if longest > self.longest:
            raise ValueError(
                f"a text has {longest} tokens, the encoder takes {self.longest}: tokenize with truncation=True"
            )
        return self._embed({name: [value.tolist() for value in values] for name, values in columns.items()})

    def _embed(self, tokens: dict[str, list[list[int]]] | BatchEncoding) -> np.ndarray:
        import torch

        model = encoder_of(self.model)
        inputs = self._padded(tokens, inspect.signature(model.forward).parameters)
        attended = inputs["attention_mask"].numpy().astype(bool)
        kept = attended & ~np.isin(inputs["input_ids"].numpy(), self.dropped)
        usable = kept if self.pooling == "mean" else attended
        if not usable.any(axis=1).all():
            index = int(np.argmin(usable.any(axis=1)))
            raise ValueError(f"text {index} of this batch has no token to pool: leave such texts out")
        device = device_of(self.model)
        with evaluating(self.model), torch.no_grad():
            output = model(
                **{name: tensor.to(device) for name, tensor in inputs.items()},
                output_hidden_states=True,
                return_dict=True,
            )
        states = getattr(output, "hidden_states", None)
        if not states:
            raise ValueError(f"{type(model).__name__} does not return its hidden states: pass another encoder")
        rows = pool_rows(states[self.layer], kept, attended, self.pooling)
        return (rows if rows.element_size() == 8 else rows.float()).cpu().numpy()

    def _padded(self, tokens: Any, accepted: Any) -> BatchEncoding:
        from transformers.data.data_collator import pad_without_fast_tokenizer_warning

        names = ["input_ids", *(name for name in ("token_type_ids",) if name in tokens and name in accepted)]
        # on the right: absolute positions then start at the first token, and a causal model never sees the padding
        return pad_without_fast_tokenizer_warning(
            self.tokenizer,
            {name: tokens[name] for name in names},
            padding_side="right",
            return_attention_mask=True,
            return_tensors="pt",
        )


class FrozenSentenceTransformer(_Frozen):
    """A SentenceTransformer, which embeds texts on its own: the rows of its `encode`."""

    model: SentenceTransformer

    @property
    def n_features(self) -> int | None:
        """Width of the sentence embeddings."""
        return sentence_width(self.model)

    def check(self, fingerprint: Fingerprint) -> None:
        """Refuse an enhancement that was fitted on rows of another model."""
        fingerprint.check(model=self.model)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings (n_texts, n_features) of texts."""
        with evaluating(self.model):
            return self.model.encode(list(texts), batch_size=len(texts), show_progress_bar=False)

    def embed_tokens(self, columns: dict[str, Sequence[Any]]) -> np.ndarray:
        raise ValueError("a SentenceTransformer embeds texts, not token ids: give it a column of texts")


def is_sentence_transformer(model: Any) -> bool:
    return any(base.__module__.startswith("sentence_transformers.") for base in type(model).__mro__)


def sentence_width(model: SentenceTransformer) -> int | None:
    """Number of features of the sentence embeddings; newer versions have another name for the method."""
    renamed = hasattr(model, "get_embedding_dimension")
    return model.get_embedding_dimension() if renamed else model.get_sentence_embedding_dimension()


def layer_as_known(layer: int, known: Any, model: torch.nn.Module) -> int:
    """`known` if that is this layer counted from the other end, else `layer`, so that a fingerprint can compare."""
    n_layers = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    if isinstance(known, int) and n_layers is not None and (known - layer) % (n_layers + 1) == 0:
        return known
    return layer


def _without_capturing_hooks(model: torch.nn.Module) -> torch.nn.Module:
    """A copy that shares the tensors, without the hooks of transformers.utils.output_capturing.

    A model has them since it first returned its hidden states, and they are closures, which cannot be pickled.
    """
    copied = copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})
    for module in copied.modules():
        for key, hook in list(module._forward_hooks.items()):
            if getattr(hook, "__module__", None) == "transformers.utils.output_capturing":
                del module._forward_hooks[key]
        vars(module).pop("_output_capturing_hooks_installed", None)
    return copied


def device_of(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device
