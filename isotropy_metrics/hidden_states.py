"""Where rows come from: a model and texts -> the rows of every layer, without padding and special tokens.

It does not compute anything about the rows (see `measures/`), does not train, and does not keep what it has yielded.
"""

from __future__ import annotations

import inspect
import numbers
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isotropy_metrics.tokenized_texts import TokenizedTexts, longest_input, special_token_ids, tokenize

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POOLINGS = (None, "mean", "cls", "last")


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
    trusted: bool = True,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Returns a model and its tokenizer from a path, a Hub id, or a model that is already loaded.

    Args:
        model: path, Hub id or loaded transformers model.
        tokenizer: path, Hub id or loaded tokenizer; `None` takes the one that belongs to the model.
        revision: branch, tag or commit on the Hub, for what is loaded here.
        device: where the model goes. `None`: a model loaded here goes to cuda or mps if there is one, else it stays on
            the CPU; a model object stays where it is.
        trusted: False for a model that a stranger has chosen: weights in .safetensors only, no code of its own, and
            no question whether to run it.

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
        options = {} if trusted else {"use_safetensors": True, "trust_remote_code": False}
        model = _from_pretrained(transformers.AutoModel, "model", model, revision, **options)
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
            options = {} if trusted else {"trust_remote_code": False}
            tokenizer = _from_pretrained(transformers.AutoTokenizer, "tokenizer", origin, revision, **options)
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
    layers = checked_layers(layers)
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
    for name, value in {"batch_size": batch_size, "max_length": max_length}.items():
        if (name, value) != ("max_length", None) and not (isinstance(value, numbers.Integral) and value > 0):
            raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    model, tokenizer = load_model(model, tokenizer, revision=revision, device=device)
    encoder = encoder_of(model)
    limit = longest_input(model, tokenizer) if max_length is None else max_length
    if limit <= tokenizer.num_special_tokens_to_add():
        added = tokenizer.num_special_tokens_to_add()
        raise ValueError(f"max_length={limit} leaves no room for text: the tokenizer adds {added} special tokens")
    tokens, n_cut = tokenize(tokenizer, texts, input_names(encoder), max_length=limit, progress=progress)
    if n_cut:
        warnings.warn(f"{n_cut} of {len(texts)} texts were cut to max_length={limit} tokens", stacklevel=2)

    dropped = special_token_ids(tokenizer) if drop_special_tokens else []
    n_kept = tokens.n_kept(dropped)
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
    return _forward_passes(model, encoder, tokens, batches, dropped, layers, pooling, bar)


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


def _forward_passes(model, encoder, tokens, batches, dropped, layers, pooling, bar) -> Iterator[HiddenStates]:
    _, _, tqdm = _backends()
    with evaluating(model), tqdm(unit="text", **bar) as progress:
        for chosen in batches:
            batch = forward_pass(encoder, tokens, chosen, dropped=dropped, layers=layers, pooling=pooling)
            progress.update(len(chosen))
            yield batch


def forward_pass(
    encoder: torch.nn.Module,
    tokens: TokenizedTexts,
    chosen: np.ndarray,
    *,
    dropped: Sequence[int] = (),
    layers: list[int] | None = None,
    pooling: str | None = None,
) -> HiddenStates:
    """Returns the rows of the chosen texts from one forward pass of an encoder in the mode that it is in.

    Args:
        encoder: as `encoder_of` finds it.
        tokens: of all texts.
        chosen: numbers of the texts of this batch; with a pooling, each has a token to pool.
        dropped: ids of tokens that give no row and have no part in a mean.
        layers: numbers of the layers, None for all.
        pooling: as in `stream_hidden_states`.

    Raises:
        ValueError: a layer that there is not, or an encoder that does not return one state per token and layer.
    """
    torch, _, _ = _backends()
    inputs, attended = tokens.padded(chosen, _padding_id(encoder))
    device = next(encoder.parameters()).device
    on_device = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    with (
        torch.no_grad()
    ):  # not inference_mode: a model that trains may keep tensors of this pass, such as position codes
        output = encoder(**on_device, **_without_cache(encoder), output_hidden_states=True, return_dict=True)
    states = getattr(output, "hidden_states", None)
    if not states or any(state.shape[:2] != attended.shape for state in states):
        raise ValueError(
            f"{type(encoder).__name__} does not return one hidden state per token and layer: pass another model"
        )
    kept = attended & ~np.isin(inputs["input_ids"], dropped)
    rows = {n: pool_rows(states[n], kept, attended, pooling) for n in resolved_layers(layers, len(states) - 1)}
    if pooling is None:
        return HiddenStates(rows, np.repeat(chosen, kept.sum(1)), inputs["input_ids"][kept])
    return HiddenStates(rows, chosen.copy(), None)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model is in eval mode, then every sub-module gets back the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:  # not module.train(), which would recurse
            module.training = training


def encoder_of(model: torch.nn.Module) -> torch.nn.Module:
    """Returns what gives the hidden states: a model without its head, the encoder of an encoder-decoder.

    In a module that is no transformers model it is the outermost one inside: the base of a PEFT model with its
    adapters, the encoder of a SentenceTransformer or of a module of one's own.

    Raises:
        ValueError: the adapters of a PEFT model are virtual tokens, which only the whole model adds.
    """
    _, transformers, _ = _backends()
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise ValueError(
            "a PEFT model with virtual tokens has no hidden states of its texts alone: pass another model"
        )
    inner = next((each for each in model.modules() if isinstance(each, transformers.PreTrainedModel)), None)
    if inner is None:
        return model
    return inner.get_encoder() if getattr(inner.config, "is_encoder_decoder", False) else inner.base_model


def input_names(encoder: torch.nn.Module) -> list[str]:
    """Returns which outputs of a tokenizer the encoder takes, without the attention mask."""
    return ["input_ids"] + ["token_type_ids"] * ("token_type_ids" in inspect.signature(encoder.forward).parameters)


def _without_cache(encoder: torch.nn.Module) -> dict[str, bool]:
    return {"use_cache": False} if "use_cache" in inspect.signature(encoder.forward).parameters else {}


def _padding_id(encoder: torch.nn.Module) -> int:
    """The model's own padding id, always a row of its embedding and the one RoBERTa counts by; not the tokenizer's."""
    pad_id = getattr(getattr(encoder, "config", None), "pad_token_id", None)
    return pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0


def pool_rows(state: torch.Tensor, kept: np.ndarray, attended: np.ndarray, pooling: str | None) -> torch.Tensor:
    """Returns the rows of one layer; every branch copies, so that the states of the whole batch can go."""
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


def checked_layers(layers) -> list[int] | None:
    """Returns the layers as a list of ints, `None` for all."""
    if isinstance(layers, str) and layers == "all":
        return None
    wanted = [layers] if isinstance(layers, numbers.Integral) else layers
    wanted = [] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
    if not wanted or not all(isinstance(layer, numbers.Integral) for layer in wanted):
        raise ValueError(f'layers must be "all", a whole number or a list of them, got {layers!r}')
    return [int(layer) for layer in wanted]


def resolved_layers(layers: list[int] | None, last: int) -> list[int]:
    """Returns the layer numbers counted from the front, for a model with layers 0 to `last`."""
    for layer in layers or ():
        if not -last - 1 <= layer <= last:
            raise ValueError(f"layer {layer} is out of range: the model has {last} layers, and 0 is the embeddings")
    return list(range(last + 1)) if layers is None else [layer % (last + 1) for layer in layers]


def _from_pretrained(auto_class, what: str, name, revision, **options):
    path = os.fspath(name)
    if not os.path.isdir(path) and (path.startswith((".", "~", os.sep)) or path.count("/") > 1):
        raise OSError(f"cannot load the {what}: there is no folder {path!r}")
    try:
        return auto_class.from_pretrained(name, revision=revision, **options)
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
