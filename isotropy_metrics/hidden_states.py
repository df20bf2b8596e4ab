"""Where rows come from: a model and texts -> the rows of every layer, without padding and special tokens.

It does not compute anything about the rows (see `measures/`), does not train, and does not keep what it has yielded.
"""

from __future__ import annotations

import inspect
import numbers
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POOLINGS = (None, "mean", "cls", "last")
FALLBACK_MAX_LENGTH = 512
NO_LIMIT = 10**9  # a tokenizer without a limit says 1e30
TEXTS_PER_TOKENIZER_CALL = 1000


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """The rows of one batch of texts, in the same order in every layer.

    Attributes:
        layers: layer number (0 = embedding output, then 1 to L) -> tensor of shape `(n_rows, n_features)`, in the
            model's dtype and on its device; ordinary tensors without gradient.
        text_index: `(n_rows,)`, for every row the number of its text in `texts`.
        token_ids: `(n_rows,)`, the token of every row; `None` when the rows are pooled.
    """

    layers: dict[int, torch.Tensor]
    text_index: np.ndarray
    token_ids: np.ndarray | None


def load_model(
    model: str | os.PathLike | PreTrainedModel,
    tokenizer: str | os.PathLike | PreTrainedTokenizerBase | None = None,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Returns a model and its tokenizer from a path, a Hub id, or a model that is already loaded.

    Args:
        model: path, Hub id or loaded transformers model.
        tokenizer: path, Hub id or loaded tokenizer; `None` takes the one that belongs to the model.
        revision: branch, tag or commit on the Hub, for what is loaded here.
        device: where the model goes. `None`: a model loaded here goes to cuda or mps if there is one, else it stays on
            the CPU; a model object stays where it is.

    Raises:
        OSError: a path or Hub id cannot be loaded; chained from the original error.
        ValueError: `model` is neither a name nor a model, or the tokenizer of a model object cannot be found.

    Example:
        model, tokenizer = load_model("sentence-transformers/all-MiniLM-L6-v2")
    """
    torch, transformers, _ = _backends()
    named = isinstance(model, (str, os.PathLike))
    if tokenizer is None:
        origin = model if named else getattr(model, "name_or_path", "")
    else:
        origin = tokenizer if isinstance(tokenizer, (str, os.PathLike)) else None
    if named:
        model = _from_pretrained(transformers.AutoModel, "model", model, revision)
        if device is None and torch.cuda.is_available():
            device = "cuda"
        elif device is None and torch.backends.mps.is_available():
            device = "mps"
    elif not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise ValueError(f"model must be a path, a Hub id or a transformers model, got {type(model).__name__}")
    else:
        origin = getattr(model.config, "_name_or_path", "") if origin == "" else origin
    if origin == "":
        raise ValueError(f"this {type(model).__name__} does not say where it was loaded from: pass tokenizer=")
    if origin is not None:
        try:
            tokenizer = _from_pretrained(transformers.AutoTokenizer, "tokenizer", origin, revision)
        except OSError as error:
            if named or tokenizer is not None:
                raise
            raise ValueError(f"{error}; or pass tokenizer=") from error
    return (model if device is None else model.to(device)), tokenizer


def stream_hidden_states(
    model: str | os.PathLike | PreTrainedModel,
    texts: Iterable[str],
    *,
    tokenizer: str | os.PathLike | PreTrainedTokenizerBase | None = None,
    layers: str | int | Iterable[int] = "all",
    pooling: str | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    drop_special_tokens: bool = True,
    revision: str | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Iterator[HiddenStates]:
    """Returns a generator of the hidden states of texts, one forward pass per batch, longest texts first.

    Arguments are checked and texts tokenized in the call itself; the forward passes run as the generator is consumed.
    From its first batch until it ends, raises or is closed, the model is in eval mode; then every sub-module gets back
    the mode it had. Of an encoder-decoder model the encoder runs. The tokenizer and the config are left as they were.

    Args:
        model: path, Hub id or loaded transformers model.
        texts: sequence of str.
        tokenizer: as in `load_model`, like `revision` and `device`.
        layers: `"all"`, a number or several: 0 = embedding output, 1 to L, negative from the end (-1 = last layer).
        pooling: `None` for one row per token, or one row per text: `"mean"` of the kept tokens, `"cls"` the first
            token, `"last"` the last one (special or not). sentence-transformers also averages the special tokens:
            `drop_special_tokens=False` gives its mean.
        batch_size: texts per forward pass.
        max_length: tokens per text, special ones included; longer texts are cut, with one warning. `None` takes what
            the tokenizer and the position embeddings allow, 512 if they do not say.
        drop_special_tokens: leave out the tokenizer's special tokens, by id. Unknown words are content and stay,
            unless the unknown token is also used as another special token (GPT-2).
        progress: show a progress bar on stderr.

    Returns:
        A generator of `HiddenStates`. Without pooling, a text that has no tokens left gives no row.

    Raises:
        ValueError: texts, layers, pooling, batch_size or max_length are not as described, or pooling finds no token.
        OSError: the model or tokenizer cannot be loaded.

    Example:
        for batch in stream_hidden_states("bert-base-uncased", ["a text", "another"], layers=[0, -1]):
            moments.update(batch.layers[12])
    """
    texts = _checked_texts(texts)
    layers = _checked_layers(layers)
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
    for name, value in {"batch_size": batch_size, "max_length": max_length}.items():
        if (name, value) != ("max_length", None) and not (isinstance(value, numbers.Integral) and value > 0):
            raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    model, tokenizer = load_model(model, tokenizer, revision=revision, device=device)
    _, transformers, tqdm = _backends()

    encoder = model
    if getattr(model.config, "is_encoder_decoder", False):
        encoder = model.get_encoder()
    elif isinstance(model, transformers.PreTrainedModel):
        encoder = model.base_model  # the same hidden states without the logits of a head
    accepted = inspect.signature(encoder.forward).parameters
    names = ["input_ids"] + ["token_type_ids"] * ("token_type_ids" in accepted)
    options = {"use_cache": False} if "use_cache" in accepted else {}

    limit = longest_input(model, tokenizer) if max_length is None else max_length
    if limit <= tokenizer.num_special_tokens_to_add():
        added = tokenizer.num_special_tokens_to_add()
        raise ValueError(f"max_length={limit} leaves no room for text: the tokenizer adds {added} special tokens")
    tokens, n_cut = _tokenize(tokenizer, texts, names, limit, tqdm, progress)
    if n_cut:
        warnings.warn(f"{n_cut} of {len(texts)} texts were cut to max_length={limit} tokens", stacklevel=2)

    dropped = special_token_ids(tokenizer) if drop_special_tokens else []
    kept_before = np.append(0, np.cumsum(~np.isin(tokens.columns["input_ids"], dropped)))
    n_kept = kept_before[tokens.starts + tokens.lengths] - kept_before[tokens.starts]
    n_usable = tokens.lengths if pooling in ("cls", "last") else n_kept
    if pooling is not None and not n_usable.all():
        index = int(np.argmin(n_usable))
        raise ValueError(
            f"texts[{index}] ({texts[index][:50]!r}) has no token to pool: leave such texts out"
            + (", or pass drop_special_tokens=False" if tokens.lengths[index] else "")
        )
    order = np.argsort(-tokens.lengths, kind="stable")
    order = order[n_usable[order] > 0]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    bar = {"total": len(texts), "initial": len(texts) - len(order), "desc": "hidden states", "disable": not progress}
    return _forward_passes(model, encoder, options, tokens, batches, dropped, layers, pooling, bar)


def embed(
    model: str | os.PathLike | PreTrainedModel,
    texts: Iterable[str],
    *,
    layer: int = -1,
    pooling: str | None = "mean",
    **as_stream,
) -> np.ndarray:
    """Returns the embeddings of texts at one layer as one array.

    Args:
        model: path, Hub id or loaded transformers model.
        texts: sequence of str.
        layer: 0 = embedding output, 1 to L, negative from the end (-1 = last layer).
        pooling: `"mean"`, `"cls"` or `"last"` for one row per text; `None` for one row per token.
        **as_stream: the other arguments of `stream_hidden_states`.

    Returns:
        Array of shape `(n_rows, n_features)`, float32 (float64 if the model is). With a pooling, row i belongs to
        text i; without, the rows are ordered by text and then by position.

    Raises:
        ValueError: as `stream_hidden_states`, and when no text has a token left.

    Example:
        embeddings = embed("sentence-transformers/all-MiniLM-L6-v2", ["a text", "another"])
    """
    rows, text_index = [], []
    for batch in stream_hidden_states(model, texts, layers=[layer], pooling=pooling, **as_stream):
        (states,) = batch.layers.values()
        rows.append((states if states.element_size() == 8 else states.float()).cpu().numpy())
        text_index.append(batch.text_index)
    if not rows:
        raise ValueError("no text has a token left: pass other texts, or drop_special_tokens=False")
    return np.concatenate(rows)[np.argsort(np.concatenate(text_index), kind="stable")]


@dataclass(frozen=True, eq=False)
class _Tokens:
    """The tokens of all texts end to end, one array per model input: text i has `lengths[i]` from `starts[i]` on."""

    columns: dict[str, np.ndarray]
    starts: np.ndarray
    lengths: np.ndarray

    def padded(self, chosen: np.ndarray, pad_id: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns the model inputs of the chosen texts and the mask of their tokens, `(n_texts, longest)`.

        Padding goes to the right whatever the tokenizer prefers: absolute positions then start at the first token,
        and a causal model never sees what comes after.
        """
        starts, lengths = self.starts[chosen], self.lengths[chosen]
        attended = np.arange(lengths.max()) < lengths[:, None]
        inputs = {"attention_mask": attended.astype(np.int64)}
        for name, flat in self.columns.items():
            inputs[name] = np.full(attended.shape, pad_id if name == "input_ids" else 0, dtype=np.int64)
            inputs[name][attended] = np.concatenate([flat[a : a + n] for a, n in zip(starts, lengths, strict=True)])
        return inputs, attended


def _forward_passes(model, encoder, options, tokens, batches, dropped, layers, pooling, bar) -> Iterator[HiddenStates]:
    torch, _, tqdm = _backends()
    device = next(encoder.parameters()).device
    # the model's own padding id, not the tokenizer's: always a row of its embedding, and the one RoBERTa counts by
    pad_id = getattr(encoder.config, "pad_token_id", None)
    pad_id = pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with tqdm(unit="text", **bar) as progress:
            for chosen in batches:
                inputs, attended = tokens.padded(chosen, pad_id)
                on_device = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
                with torch.inference_mode():  # not around the yield: the consumer's code is not ours
                    output = encoder(**on_device, **options, output_hidden_states=True, return_dict=True)
                states = getattr(output, "hidden_states", None)
                if not states or any(state.shape[:2] != attended.shape for state in states):
                    raise ValueError(
                        f"{type(encoder).__name__} does not return one hidden state per token and layer: pass another "
                        "model, or the original one if this one went through torch.compile"
                    )
                kept = attended & ~np.isin(inputs["input_ids"], dropped)
                numbers_of_layers = _resolved_layers(layers, len(states) - 1)
                rows = {number: pool_rows(states[number], kept, attended, pooling) for number in numbers_of_layers}
                del output, states
                progress.update(len(chosen))
                if pooling is None:
                    yield HiddenStates(rows, np.repeat(chosen, kept.sum(1)), inputs["input_ids"][kept])
                else:
                    yield HiddenStates(rows, chosen.copy(), None)
    finally:
        for module, training in modes:  # not module.train(), which would recurse
            module.training = training


def pool_rows(state: torch.Tensor, kept: np.ndarray, attended: np.ndarray, pooling: str | None) -> torch.Tensor:
    """Returns the rows of one layer; every branch copies, which makes ordinary tensors of inference-mode ones."""
    torch, _, _ = _backends()
    if pooling in ("cls", "last"):
        position = attended.sum(1) - 1 if pooling == "last" else np.zeros(len(attended), dtype=np.int64)
        return state[torch.arange(len(state), device=state.device), torch.from_numpy(position).to(state.device)]
    mask = torch.from_numpy(kept).to(state.device)
    if pooling is None:
        return state[mask]
    # float16 sums overflow; masked_fill because 0 * inf in the padding would be nan
    summed = state.masked_fill(~mask[:, :, None], 0).sum(1, dtype=torch.promote_types(state.dtype, torch.float32))
    return (summed / mask.sum(1, keepdim=True)).to(state.dtype)


def _tokenize(tokenizer, texts, names, max_length, tqdm, progress) -> tuple[_Tokens, int]:
    """Returns the tokens of all texts, at most `max_length` each, and how many texts were cut."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    truncation, padding = (None, None) if backend is None else (backend.truncation, backend.padding)
    columns, lengths, n_cut = {}, [], 0
    try:
        with tqdm(total=len(texts), unit="text", desc="tokenize", disable=not progress, leave=False) as bar:
            for start in range(0, len(texts), TEXTS_PER_TOKENIZER_CALL):
                part = texts[start : start + TEXTS_PER_TOKENIZER_CALL]
                encoded = tokenizer(part, return_attention_mask=False, verbose=False)
                too_long = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) > max_length]
                cut = [part[i] for i in too_long]
                if cut:  # encoded again, because the tokenizer keeps the closing special token
                    cut = tokenizer(
                        cut, truncation=True, max_length=max_length, return_attention_mask=False, verbose=False
                    )
                for name in names:
                    if name in encoded:
                        for i, text in enumerate(too_long):
                            encoded[name][text] = cut[name][i]
                        flat = np.fromiter(chain.from_iterable(encoded[name]), dtype=np.int32)
                        columns.setdefault(name, []).append(flat)
                lengths += map(len, encoded["input_ids"])
                n_cut += len(too_long)
                bar.update(len(part))
    finally:  # a call of a fast tokenizer leaves its settings behind
        if backend is not None:
            backend.no_truncation() if truncation is None else backend.enable_truncation(**truncation)
            backend.no_padding() if padding is None else backend.enable_padding(**padding)
    lengths = np.array(lengths)
    columns = {name: np.concatenate(parts) for name, parts in columns.items()}
    return _Tokens(columns, np.cumsum(lengths) - lengths, lengths), n_cut


def special_token_ids(tokenizer) -> list[int]:
    """Returns the ids of the special tokens, without the unknown token unless that has a second role (GPT-2)."""
    roles = tokenizer.special_tokens_map  # asking for tokenizer.bos_token instead logs an error where there is none
    unknown = roles.get("unk_token")
    shared = {roles.get(f"{role}_token") for role in ("bos", "eos", "pad", "cls", "sep")}
    spared = None if unknown is None or unknown in shared else tokenizer.convert_tokens_to_ids(str(unknown))
    return [number for number in set(tokenizer.all_special_ids) if number is not None and number != spared]


def longest_input(model, tokenizer) -> int:
    """Returns how many tokens tokenizer and model both allow, 512 where neither says."""
    torch, _, _ = _backends()
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    for name, module in model.named_modules():
        # RoBERTa and its family count positions from padding_idx + 1: 514 rows hold 512 tokens
        is_table = name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
        if is_table and module.padding_idx is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    return min((n for n in limits if isinstance(n, int) and 0 < n < NO_LIMIT), default=FALLBACK_MAX_LENGTH)


def _checked_texts(texts) -> list[str]:
    several = isinstance(texts, Iterable) and not isinstance(texts, (str, bytes))
    if not several:
        raise ValueError(f"texts must be a sequence of str, got one {type(texts).__name__}: {repr(texts)[:50]}")
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty: pass at least one text")
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise ValueError(f"texts[{wrong}] must be str, got {type(texts[wrong]).__name__}: {repr(texts[wrong])[:50]}")
    return texts


def _checked_layers(layers) -> list[int] | None:
    """Returns the layers as a list of ints, `None` for all."""
    if isinstance(layers, str) and layers == "all":
        return None
    wanted = [layers] if isinstance(layers, numbers.Integral) else layers
    wanted = [] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
    if not wanted or not all(isinstance(layer, numbers.Integral) for layer in wanted):
        raise ValueError(f'layers must be "all", a whole number or a list of them, got {layers!r}')
    return [int(layer) for layer in wanted]


def _resolved_layers(layers: list[int] | None, last: int) -> list[int]:
    """Returns the layer numbers counted from the front, for a model with layers 0 to `last`."""
    for layer in layers or ():
        if not -last - 1 <= layer <= last:
            raise ValueError(f"layer {layer} is out of range: the model has {last} layers, and 0 is the embeddings")
    return list(range(last + 1)) if layers is None else [layer % (last + 1) for layer in layers]


def _from_pretrained(auto_class, what: str, name, revision):
    path = os.fspath(name)
    if not os.path.isdir(path) and (path.startswith((".", "~", os.sep)) or path.count("/") > 1):
        raise OSError(f"cannot load the {what}: there is no folder {path!r}")
    try:
        return auto_class.from_pretrained(name, revision=revision)
    except ImportError:
        raise
    except Exception as error:  # a bad file raises whatever its reader raises
        from huggingface_hub import constants

        where = f"{str(name)!r}" if revision is None else f"{str(name)!r} (revision {revision})"
        remedy = "check the name and the connection, or pass the path of a downloaded model"
        if os.path.isdir(name):
            remedy = "the folder must hold what save_pretrained writes"
        elif constants.HF_HUB_OFFLINE:
            remedy = "HF_HUB_OFFLINE is set, so only local files were tried: unset it, or pass a path"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise OSError(f"cannot load the {what} {where}: {reason}; {remedy}") from error


def _backends():
    """Imports torch, transformers and tqdm, none of which this module needs before it is used."""
    try:
        import torch
        import transformers
        from tqdm import tqdm
    except ImportError as error:
        remedy = "pip install 'isotropy-metrics[trainer]'"
        raise ImportError(f"hidden states need torch and transformers: {remedy}") from error
    return torch, transformers, tqdm
