"""AttachedEnhancement: a live model whose states are enhanced in eval mode, and left alone while it is trained."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections import UserDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer_callbacks.frozen_encoder import is_sentence_transformer, layer_as_known, sentence_width

if TYPE_CHECKING:
    import torch

FOLDER = "enhancement"
"""Subfolder of a saved model that holds its enhancement."""

PLACE_FILE = "attached.json"

POSITIONS = {"last_hidden_state": 0, "pooler_output": 1}
"""Where a model that returns a tuple has the fields of its output."""


def attach_enhancement(model: torch.nn.Module, enhancement: Any, where: str | None = None) -> AttachedEnhancement:
    """Enhance the states that a live model gives, whenever it is in eval mode.

    In training mode the model is untouched, bit by bit. In eval mode, which `Trainer.evaluate` and `predict` set, the
    states at `where` are those of `enhancement.transform`; gradients flow through them (through the map, not through
    the choice of a cluster). The enhancement computes on the device of the states, in float32 or in their dtype if
    that is wider, and returns their dtype. It is no part of `model.state_dict()`, nor of its parameters.

        where                     what is enhanced
        "last_hidden_state"       the last token states, after the pooler has read them: of a model with a head, what
                                  its base model hands to the head; the decoder's of an encoder-decoder
        "pooler_output"           the output of the pooler
        "sentence_embedding"      the embeddings of a SentenceTransformer, after all its modules (a normalisation too,
                                  so end the Pipeline with a Normalizer to have unit vectors)
        "token_embeddings"        of a SentenceTransformer, before the pooling
        another field             of the output of the base model, such as "text_embeds"
        name of a sub-module      its output, of a tuple the first entry: what comes after it sees enhanced states

    The tuple `hidden_states` of an output stays as the layers gave it: with "last_hidden_state" its last entry is not
    enhanced. The states of padding tokens are enhanced too, which harms nothing: each token is treated by itself, and
    a mask leaves them out afterwards.

    `model.save_pretrained(folder)` (`save` of a SentenceTransformer), and so every checkpoint of the Trainer, then
    saves the enhancement beside, in `folder/enhancement`, with a fingerprint of the weights at the time of attaching:
    attached again to weights that were trained on since, it is refused. Attach to the model that will be saved, the
    one with the head if there is one.

    A model that went through `torch.compile`, before or after, is enhanced too: attaching and removing forget all
    compiled code of the process, as `torch.compiler.reset()` does, so that the next call compiles anew.

    Args:
        model: transformers model, SentenceTransformer, or any module for the name of a sub-module.
        enhancement: fitted, a scikit-learn Pipeline of such, or a folder: one that `save_pretrained` wrote of an
            enhancement, or of a model with an enhancement attached, which goes where it was.
        where: see above; None for "sentence_embedding" of a SentenceTransformer, else "last_hidden_state".

    Returns:
        A handle, whose `remove()` restores the model. As a context manager it removes itself at the end.

    Raises:
        NotFittedError: the enhancement is not fitted.
        ValueError: it was fitted on rows of another model or layer, or of another width; the model has an enhancement
            attached already (attach one Pipeline of both); when the model runs, its output has no such field.

    Example:
        with attach_enhancement(model, whitening):
            states = model(**inputs).last_hidden_state
    """
    model = getattr(model, "_orig_mod", model)
    if is_attached(model):
        raise ValueError(
            "this model has an enhancement attached already: remove() that one, or attach a Pipeline of both"
        )
    if isinstance(enhancement, (str, os.PathLike)):
        enhancement, saved_where = _load(enhancement)
        where = saved_where if where is None else where
    if where is None:
        where = "sentence_embedding" if is_sentence_transformer(model) else "last_hidden_state"
    return AttachedEnhancement(model, enhancement, where)


class AttachedEnhancement:
    """An enhancement at one place of a live model: see `attach_enhancement`, which makes it."""

    def __init__(self, model: torch.nn.Module, enhancement: Any, where: str) -> None:
        import torch

        from isotropy_metrics.enhancement import as_torch
        from isotropy_metrics.enhancement.saved_enhancement import fingerprint_of, remember

        self.model = model
        self.where = where
        module, self.field = _place(model, where)
        tensor = next(model.parameters(), torch.empty(0))
        self.enhancement = copy.deepcopy(enhancement)
        enhance = as_torch(enhancement, dtype=torch.promote_types(tensor.dtype, torch.float32))
        _check_width(enhance.in_features, model, self.field)
        fingerprint = fingerprint_of(enhancement)
        if self.field == "last_hidden_state" and isinstance(fingerprint.layer, int):
            fingerprint.check(layer=layer_as_known(-1, fingerprint.layer, model))
        remember(self.enhancement, fingerprint_of(enhancement, model=model))
        self._copies = {tensor.device: enhance.to(tensor.device)}
        self._hook = module.register_forward_hook(self)
        self._save_name = "save" if is_sentence_transformer(model) else "save_pretrained"
        self._shadowed = vars(model).get(self._save_name)
        if hasattr(model, self._save_name):
            setattr(model, self._save_name, self._save)
        _forget_compiled_code()

    def remove(self) -> None:
        """Restore the model as it was before."""
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = None
        vars(self.model).pop(self._save_name, None)
        if self._shadowed is not None:
            setattr(self.model, self._save_name, self._shadowed)
        _forget_compiled_code()

    def __enter__(self) -> AttachedEnhancement:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"AttachedEnhancement({self.enhancement}, where={self.where!r}) of {type(self.model).__name__}"

    def __call__(self, module: torch.nn.Module, args: Any, output: Any) -> Any:
        """The forward hook."""
        if module.training:
            return None
        if isinstance(output, (dict, UserDict)):  # sentence-transformers passes a BatchEncoding, which is a UserDict
            field = self.field or "last_hidden_state"
            if output.get(field) is None:
                raise self._no_such_state(f"the output has {sorted(output)}")
            output[field] = self._enhanced(output[field])
            return output
        if isinstance(output, tuple):
            position = POSITIONS.get(self.field, -1) if self.field else 0
            if not 0 <= position < len(output) or not hasattr(output[position], "device"):
                raise self._no_such_state("the output is a tuple: call the model with return_dict=True")
            return (*output[:position], self._enhanced(output[position]), *output[position + 1 :])
        if self.field is not None or not hasattr(output, "device"):
            raise self._no_such_state(f"the output is a {type(output).__name__}")
        return self._enhanced(output)

    def _enhanced(self, states: torch.Tensor) -> torch.Tensor:
        if states.device not in self._copies:  # the model has moved, or lies on several devices
            self._copies[states.device] = copy.deepcopy(next(iter(self._copies.values()))).to(states.device)
        return self._copies[states.device](states)

    def _no_such_state(self, found: str) -> ValueError:
        return ValueError(f"there are no states at where={self.where!r} to enhance: {found}")

    def _save(self, *args: Any, **kwargs: Any) -> Any:
        """Save the model as it would, and the enhancement beside."""
        if kwargs.get("push_to_hub"):
            raise ValueError(
                f"{self._save_name}(push_to_hub=True) would publish the model without its enhancement: save it to a "
                "folder, or call push_to_hub(repo_id)"
            )
        from isotropy_metrics.enhancement import save_pretrained

        original = self._shadowed or getattr(type(self.model), self._save_name).__get__(self.model)
        result = original(*args, **kwargs)
        if kwargs.get("is_main_process", True):
            folder = args[0] if args else kwargs.get("save_directory", kwargs.get("path"))
            folder = save_pretrained(self.enhancement, Path(folder) / FOLDER)
            (folder / PLACE_FILE).write_text(json.dumps({"where": self.where}) + "\n", encoding="utf-8")
        return result


def _load(folder: str | os.PathLike) -> tuple[Any, str | None]:
    """The enhancement of a folder, of a model or of its own, and where it was attached, if that is known."""
    from isotropy_metrics.enhancement import from_pretrained

    inside = Path(folder) / FOLDER
    folder = inside if inside.is_dir() else folder
    place = Path(folder) / PLACE_FILE
    where = _saved_place(place) if place.is_file() else None
    return from_pretrained(folder), where


def _saved_place(path: Path) -> str:
    """The place that `attached.json` names."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: it was cut short or altered") from error
    where = content.get("where") if isinstance(content, dict) else None
    if not isinstance(where, str):
        raise ValueError(f"{path} does not say where the enhancement was attached: it was altered")
    return where


def _place(model: torch.nn.Module, where: str) -> tuple[torch.nn.Module, str | None]:
    """The module that is hooked, and the field of its output; None for its output as a whole."""
    if where and where in dict(model.named_modules()):
        return model.get_submodule(where), None
    if is_sentence_transformer(model):
        # its modules, not itself: before version 6 encode() calls forward(), past any hook
        return (model[0] if where == "token_embeddings" else model[-1]), where
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # of PEFT
    base = getattr(inner, "base_model", inner)
    # PEFT calls forward() of the model that it wraps, or of its base_model, past any hook on them
    return (model if base is inner else base), where


def _check_width(width: int | None, model: torch.nn.Module, field: str | None) -> None:
    n_features = None
    if field == "sentence_embedding":
        n_features = sentence_width(model)
    elif field in POSITIONS:
        n_features = getattr(getattr(model, "config", None), "hidden_size", None)
    if None not in (width, n_features) and width != n_features:
        raise ValueError(
            f"the enhancement was fitted on {width} features, the {field} of {type(model).__name__} has {n_features}"
        )


def is_attached(model: torch.nn.Module) -> bool:
    """Whether the model, or a part of it, has an enhancement attached."""
    hooks = (hook for module in model.modules() for hook in module._forward_hooks.values())
    return any(isinstance(hook, AttachedEnhancement) for hook in hooks)


def _forget_compiled_code() -> None:
    """Compiled code does not see hooks that come or go later (https://github.com/pytorch/pytorch/issues/117758)."""
    if "torch._dynamo" in sys.modules:
        import torch

        torch.compiler.reset()
