"""Enhancements inside sentence-transformers: imported only where that is needed.

from isotropy_metrics.enhancement.sentence_transformers_module import EnhancementModule

model = SentenceTransformer(modules=[*model, EnhancementModule(enhancement)])
model.save("folder")
model = SentenceTransformer("folder", trust_remote_code=True)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import Dense, Module, Router
from torch import nn

from isotropy_metrics.enhancement._carried import from_pretrained, save_pretrained
from isotropy_metrics.enhancement._fitting_rows import EnhancementWarning
from isotropy_metrics.enhancement._steps import steps_of
from isotropy_metrics.enhancement.affine_map import as_affine
from isotropy_metrics.enhancement.fingerprint import weights_digest
from isotropy_metrics.enhancement.saved_enhancement import content_of, fingerprint_of
from isotropy_metrics.enhancement.torch_modules import module_of

FAR_MEAN = 100
"""A mean so many standard deviations from the origin costs float32 more than 1e-5 of the spread."""


class EnhancementModule(Module):
    """A module of sentence-transformers that enhances the sentence embeddings, or the token embeddings.

    It saves the enhancement with the model. sentence-transformers from 6.0 on loads a module of another package with
    `trust_remote_code=True` only, from a local folder too; an affine enhancement as `Dense` needs no such trust.

    When the model is loaded it warns if its weights are not those of the enhancement's fingerprint, and if a Router
    enhances queries and documents differently.

    Args:
        enhancement: fitted, or a Pipeline of fitted ones; see `as_torch`.
        module_input_name: "sentence_embedding", after the pooling, or "token_embeddings", before it.
        module_output_name: where it goes; None for the same place.
    """

    config_keys = ["module_input_name", "module_output_name"]

    def __init__(
        self,
        enhancement: Any,
        module_input_name: str = "sentence_embedding",
        module_output_name: str | None = None,
    ) -> None:
        super().__init__()
        self.enhancement = enhancement
        self.module_input_name = module_input_name
        self.module_output_name = module_output_name or module_input_name
        self.enhance = module_of(enhancement, torch.float32)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        features[self.module_output_name] = self.enhance(features[self.module_input_name])
        return features

    def get_embedding_dimension(self) -> int | None:
        return self.enhance.out_features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the enhancement, without pickle whatever `safe_serialization` says, and the two names."""
        save_pretrained(self.enhancement, output_path)
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> EnhancementModule:
        hub = {name: kwargs.get(name) for name in ("token", "cache_folder", "revision", "local_files_only")}
        folder = cls.load_dir_path(model_name_or_path, subfolder=subfolder, **hub)
        config = cls.load_config(folder)
        return cls(from_pretrained(folder), **{key: config[key] for key in cls.config_keys if key in config})

    def on_model_ready(self, model: Any) -> None:
        """sentence-transformers calls it once, when the model is complete."""
        known = fingerprint_of(self.enhancement).weights
        if known is not None and known != weights_digest(model):
            warnings.warn(
                "the weights of this model are not those whose embeddings the enhancement in it was fitted on: they "
                "were trained on, are another model's, or have another precision; fit one on embeddings of this model",
                EnhancementWarning,
                stacklevel=2,
            )
        for router in model.modules():
            if isinstance(router, Router) and self is next(_within(router), None):
                warn_if_routes_differ(router)


def warn_if_routes_differ(router: Router) -> None:
    """Warn if texts are enhanced one way on one route, and another way, or not at all, on another."""
    enhancements = {name: list(map(_identity, _within(route))) for name, route in router.sub_modules.items()}
    first, *others = enhancements.values()
    if any(other != first for other in others):
        told = ", ".join(f"{name}: {len(each) or 'none'}" for name, each in enhancements.items())
        warnings.warn(
            f"the routes of this Router have different enhancements ({told}): queries and documents that are treated "
            "differently lie in different spaces; fit one enhancement on both kinds together, and put it after the "
            "Router",
            EnhancementWarning,
            stacklevel=2,
        )


def dense_of(enhancement: Any, after: Dense | None) -> Dense:
    """See `as_dense`."""
    matrix, shift = as_affine(enhancement)
    _warn_if_far_from_origin(enhancement)
    names = {}
    dtype = torch.float32
    if after is not None:
        matrix, shift = _folded(after, matrix, shift)
        names = {"module_input_name": after.module_input_name, "module_output_name": after.module_output_name}
        dtype = after.linear.weight.dtype
    return Dense(
        *matrix.shape,
        activation_function=nn.Identity(),
        init_weight=torch.tensor(matrix.T.copy(), dtype=dtype),
        init_bias=torch.tensor(shift, dtype=dtype),
        **names,
    )


def _folded(dense: Dense, matrix: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and shift of x -> dense(x) @ matrix + shift."""
    if not isinstance(dense.activation_function, nn.Identity) or dense.use_residual:
        what = "a residual" if dense.use_residual else f"the activation {type(dense.activation_function).__name__}"
        raise ValueError(f"this Dense has {what}, nothing can be folded into it: append as_dense(enhancement) to it")
    if dense.out_features != len(matrix):
        raise ValueError(f"this Dense gives {dense.out_features} features, the enhancement takes {len(matrix)}")
    first = dense.linear.weight.detach().double().cpu().numpy().T
    bias = dense.linear.bias.detach().double().cpu().numpy() if dense.bias else np.zeros(dense.out_features)
    return first @ matrix, bias @ matrix + shift


def _warn_if_far_from_origin(enhancement: Any) -> None:
    first = steps_of(enhancement)[0][1]
    distance, spread = np.linalg.norm(first.mean_), np.sqrt(first.total_variance_)
    if distance > FAR_MEAN * spread:
        warnings.warn(
            f"the mean of the fitting rows is {distance:.3g} from the origin, their standard deviation {spread:.3g}: "
            "a Dense multiplies before it shifts, and loses digits of such rows; use EnhancementModule",
            EnhancementWarning,
            stacklevel=4,
        )


def _within(module: nn.Module) -> Iterator[EnhancementModule]:
    return (inner for inner in module.modules() if isinstance(inner, EnhancementModule))


def _identity(module: EnhancementModule) -> tuple[Any, ...]:
    return *content_of(module.enhancement), module.module_input_name, module.module_output_name
