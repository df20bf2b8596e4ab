"""Pasted texts as embeddings of a model: the bundled one, or one of the Hub, without its code and pickles."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.hidden_states import embed, load_model
from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.tokenized_texts import longest_input
from isotropy_space.embeddings import Embeddings
from isotropy_space.limits import MAX_CHARACTERS, MAX_LAYERS, MAX_MODEL_BYTES, MAX_TEXTS, MAX_TOKENS
from isotropy_space.plain_texts import plain_text, plain_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

MODEL_CHOICES = (
    DEFAULT_MODEL,
    "sentence-transformers/all-mpnet-base-v2",
    "BAAI/bge-small-en-v1.5",
    "intfloat/e5-small-v2",
    "google-bert/bert-base-uncased",
    "FacebookAI/roberta-base",
    "openai-community/gpt2",
)

POOLINGS = ("mean", "cls", "last")

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})?")

READ_ENDINGS = (".json", ".txt", ".model", ".safetensors")
"""Files of a model that are downloaded: weights, settings and vocabularies; never .py, .bin or .pt."""

TIMEOUT = 10
"""Seconds until the Hub must have answered."""


def embed_texts(texts: str | None, *, model: str | None = None, layer: int = -1, pooling: str = "mean") -> Embeddings:
    """Embed pasted texts, one per line.

    Args:
        texts: lines; empty ones are left out.
        model: id on the Hub; None for the bundled model.
        layer: 0 = embedding output, 1 to L, negative from the end.
        pooling: "mean", "cls" or "last".

    Raises:
        ValueError: too few or too many texts, no such layer or pooling, a name that is no id, a model that is too big.
        OSError: the model cannot be loaded, for example offline.
        ImportError: torch or transformers is missing.
    """
    lines = _lines(texts or "")
    if not isinstance(layer, Integral):
        raise ValueError(f"the layer must be a whole number: 0 is the input, -1 the last; got {layer!r}")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {plain_text(pooling, 40)!r}")
    name = _checked_name(model)
    encoder = _encoder(name)
    with noted_warnings() as notes:
        rows = encoder.embed(lines, layer, pooling)
    where = "last layer" if layer == -1 else f"layer {layer}"
    return Embeddings(f"{name.rpartition('/')[2]}, {where}, {pooling}", rows, plain_texts(lines), notes=tuple(notes))


def _lines(texts: str) -> list[str]:
    if len(texts) > MAX_CHARACTERS:
        raise ValueError(f"these are {len(texts):,} characters: at most {MAX_CHARACTERS:,} are read")
    valid = texts.encode("utf-8", "replace").decode()  # halves of characters, which no tokenizer takes
    lines = [line.strip() for line in valid.splitlines() if line.strip()]
    if len(lines) > MAX_TEXTS:
        raise ValueError(f"these are {len(lines):,} texts: at most {MAX_TEXTS:,} are read, one per line")
    if len(lines) < 2:
        raise ValueError(f"there {'is one text' if lines else 'are no texts'}: write two at least, one per line")
    return lines


def _checked_name(model: str | None) -> str:
    name = (model or DEFAULT_MODEL).strip()
    if not HUB_ID.fullmatch(name) or ".." in name or "--" in name:
        raise ValueError(
            f"{plain_text(name, 60)!r} is no id of a model on the Hugging Face Hub, such as {DEFAULT_MODEL!r}"
        )
    return name


@dataclass(frozen=True, eq=False)
class _Encoder:
    """A loaded model; a tokenizer serves one thread at a time, and more would not be faster."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    lock: threading.Lock = field(default_factory=threading.Lock)

    def embed(self, texts: list[str], layer: int, pooling: str) -> np.ndarray:
        """One row per text."""
        longest = min(longest_input(self.model, self.tokenizer), MAX_TOKENS)
        with self.lock:
            return embed(
                self.model,
                texts,
                tokenizer=self.tokenizer,
                layer=layer,
                pooling=pooling,
                max_length=longest,
                progress=False,
            )


_loading = threading.Lock()


def _encoder(name: str) -> _Encoder:
    """The model of this id, from memory if it is one of the last."""
    folder = _bundled() if name == DEFAULT_MODEL else None
    folder = folder or _downloaded(name)
    with _loading:  # twenty who begin together load it once
        return _load(folder, name)


@lru_cache(maxsize=2)
def _load(folder: Path, name: str) -> _Encoder:
    _check_settings(folder, name)
    try:
        return _Encoder(*load_model(folder, device="cpu", trusted=False))
    except OSError as error:
        reason = plain_text(str(error).replace(str(folder), name), 300)
        raise OSError(f"{reason}; models need weights in .safetensors and no code of their own") from error


def _check_settings(folder: Path, name: str) -> None:
    """What a model's settings ask for and its weights do not have would be filled in, however large it is."""
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        n_layers = _most_layers(config.to_dict())
        if n_layers <= MAX_LAYERS:
            with torch.device("meta"):  # without any numbers
                model = AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # settings of strangers break in any way
        raise OSError(f"cannot load the model {name!r}: its settings are not those of a known model") from error
    if n_layers > MAX_LAYERS:
        raise ValueError(f"the model {name!r} has {n_layers:,} layers: at most {MAX_LAYERS} are loaded here")
    n_bytes = sum(each.numel() * each.element_size() for each in model.parameters())
    most = 2 * MAX_MODEL_BYTES  # weights may lie in half the precision
    if n_bytes > most:
        raise ValueError(f"the model {name!r} needs {n_bytes / 1e9:,.1f} GB: at most {most / 1e9:.0f} GB are filled")


def _most_layers(settings: dict[str, Any]) -> int:
    """The largest number of layers or experts that any settings inside tell."""
    inner = [_most_layers(value) for value in settings.values() if isinstance(value, dict)]
    own = [n for key, n in settings.items() if ("layer" in str(key) or "expert" in str(key)) and type(n) is int]
    return max(own + inner, default=0)


def _bundled() -> Path | None:
    from isotropy_metrics.study.data.bundled import minilm_path

    try:
        return minilm_path()
    except FileNotFoundError:
        return None  # a Space takes it from the Hub


def _downloaded(name: str) -> Path:
    """The folder of a model of the Hub, downloaded if it is not there yet and not too big.

    Always without a token: a visitor must not see what is private to the owner of the Space.
    """
    from huggingface_hub import constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        asked = {"allow_patterns": [f"*{ending}" for ending in READ_ENDINGS], "local_files_only": True}
    else:
        revision, files = _files_of(name)
        asked = {"revision": revision, "allow_patterns": files}
    with _sentence_about(name):
        return Path(snapshot_download(name, token=False, etag_timeout=TIMEOUT, **asked))


def _files_of(name: str) -> tuple[str, list[str]]:
    """The commit of a model and the files to download of it."""
    from huggingface_hub import HfApi

    with _sentence_about(name):
        info = HfApi().model_info(name, files_metadata=True, timeout=TIMEOUT, token=False)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings if _is_read(file.rfilename)}
    if not any(file.endswith(".safetensors") for file in sizes):
        raise ValueError(f"the model {name!r} has no weights in .safetensors: others may hold code, which is not run")
    n_bytes = sum(sizes.values())
    if n_bytes > MAX_MODEL_BYTES:
        raise ValueError(
            f"the model {name!r} has {n_bytes / 1e9:.1f} GB: at most {MAX_MODEL_BYTES / 1e9:.0f} GB are loaded here"
        )
    return info.sha, list(sizes)


def _is_read(file: str) -> bool:
    """Whether a file of a model's repository is one of the model itself; adapters name a base of their own."""
    return file.endswith(READ_ENDINGS) and "/" not in file and not file.startswith("adapter_")


@contextmanager
def _sentence_about(name: str) -> Iterator[None]:
    """Whatever keeps a model of the Hub from being had, as one sentence."""
    try:
        yield
    except Exception as error:  # each version of the Hub's library raises what its library of HTTP raises
        from huggingface_hub import constants
        from huggingface_hub.errors import RepositoryNotFoundError

        reason = "the Hub cannot be reached from here"
        if constants.HF_HUB_OFFLINE:
            reason = "it is not on this machine, and HF_HUB_OFFLINE keeps it from the Hub"
        elif isinstance(error, RepositoryNotFoundError):
            reason = "the Hub has no public model of this name"
        raise OSError(f"cannot load the model {name!r}: {reason}; {DEFAULT_MODEL!r} is always there") from error
