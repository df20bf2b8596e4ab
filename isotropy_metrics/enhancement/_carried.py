"""Carrying an enhancement, or a Pipeline of them, to a folder, the Hub, torch, sentence-transformers, faiss and ONNX.

Everything gives the same vectors as `transform`, in float32 to 1e-5 of a row's length. Libraries are imported
when they are needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotropy_metrics.optional_library import optional

if TYPE_CHECKING:
    import faiss
    import torch
    from sentence_transformers.base.modules import Dense


def save_pretrained(
    enhancement: Any,
    folder: str | Path,
    *,
    model: Any = None,
    revision: str | None = None,
    layer: int | str | None = None,
    pooling: str | None = None,
) -> Path:
    """Write a fitted enhancement, or a Pipeline of them, to `enhancement.json` and `enhancement.safetensors`.

    Nothing is pickled. The folder may hold other files, such as a model; an enhancement in it is replaced. What can be
    fitted further by `partial_fit` is saved as it is now: a loaded one starts anew.

    Args:
        enhancement: fitted; a Pipeline may also hold a Normalizer.
        folder: to be made if it is not there.
        model: whose embeddings it was fitted on: a name, or the live model, of which name, commit and a digest of the
            weights are kept. `from_pretrained` refuses another one.
        revision: commit of the model on the Hub; of a live model it is known.
        layer: whose hidden states it was fitted on.
        pooling: how tokens became one row, such as "mean".

    Returns:
        The folder.

    Raises:
        NotFittedError: not fitted yet.
        ValueError: a step that is neither an enhancement of this package nor a Normalizer, or a model that is not the
            one known from an earlier save.
        FileExistsError: the folder is a file.
    """
    from isotropy_metrics.enhancement.saved_enhancement import save

    return save(enhancement, folder, model=model, revision=revision, layer=layer, pooling=pooling)


def from_pretrained(
    folder_or_hub_id: str | Path,
    *,
    model: Any = None,
    revision: str | None = None,
    layer: int | str | None = None,
    pooling: str | None = None,
    hub_revision: str | None = None,
    token: str | None = None,
) -> Any:
    """The enhancement, or Pipeline, that `save_pretrained` wrote to a folder or `push_to_hub` to the Hub.

    Args:
        folder_or_hub_id: a folder, or OWNER/NAME of a repository of models.
        model: whose embeddings it is for: a name or the live model. It, and each of the next three, must be what was
            given to `save_pretrained`, unless nothing was.
        revision: commit of that model.
        layer: of that model.
        pooling: of its tokens.
        hub_revision: commit or branch of the repository of the enhancement.
        token: of the Hub; None for the one of `hf auth login` or `HF_TOKEN`.

    Returns:
        An enhancement that gives the very numbers of the saved one, and what is known of its fitting rows as
        `fingerprint_` (in a Pipeline: of every enhancement).

    Raises:
        FileNotFoundError: no such folder or repository, or one without an enhancement.
        ValueError: it is damaged, altered, of a newer version, or was fitted on other rows than those asked for.
    """
    from isotropy_metrics.enhancement.saved_enhancement import fingerprint_of, load, local_folder

    enhancement = load(local_folder(folder_or_hub_id, hub_revision, token))
    fingerprint_of(enhancement).check(model=model, revision=revision, layer=layer, pooling=pooling)
    return enhancement


def push_to_hub(
    enhancement: Any,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    model: Any = None,
    revision: str | None = None,
    layer: int | str | None = None,
    pooling: str | None = None,
) -> str:
    """Publish a fitted enhancement, or a Pipeline of them, with a card, as a repository of models on the Hub.

    Args:
        enhancement: fitted.
        repo_id: OWNER/NAME; made if it is not there, else brought up to date.
        private: only its owners see a repository that is made now.
        token: of the Hub; None for the one of `hf auth login` or `HF_TOKEN`.
        model: see `save_pretrained`, as for the next three.
        revision: of the model.
        layer: of the model.
        pooling: of its tokens.

    Returns:
        The address of the repository.

    Raises:
        ValueError: see `save_pretrained`.
        OSError: the Hub cannot be reached, or refuses.
    """
    from isotropy_metrics.enhancement.hub_repository import push

    of_model = {"model": model, "revision": revision, "layer": layer, "pooling": pooling}
    return push(enhancement, repo_id, private=private, token=token, **of_model)


def as_torch(enhancement: Any, dtype: torch.dtype | None = None) -> torch.nn.Module:
    """A fitted enhancement, or a Pipeline of them, as one `torch.nn.Module` of rows (..., n_features).

    It is differentiable, has buffers and no parameters, moves with `.to(device)`, and compiles to one graph. It
    computes in its own dtype, or in that of its input if that is wider, and returns the dtype of the input, of whole
    numbers its own: rows in bfloat16 are computed in float32 and rounded once. `.half()` or `.to(torch.bfloat16)` of a
    model that holds it leave its buffers as they are: a mean in 8 bits would undo the centring.

    Args:
        enhancement: fitted, of any kind but PerGroup; a Pipeline may also hold a Normalizer.
        dtype: of the buffers; None for float32.

    Raises:
        ImportError: torch is not installed.
        ValueError: a step that cannot be carried.
    """
    torch = optional("torch", "torch", "as_torch")
    from isotropy_metrics.enhancement.torch_modules import module_of

    return module_of(enhancement, dtype or torch.float32)


def as_dense(enhancement: Any, *, after: Dense | None = None) -> Dense:
    """A fitted affine enhancement as the `Dense` of sentence-transformers, which every version and server can load.

    Put it after the pooling: `SentenceTransformer(modules=[*model, as_dense(enhancement)])`. It multiplies first and
    shifts then, in float32: rows whose mean is far beyond their spread lose digits, of which it warns; for those, and
    for clusters and quantiles, take `EnhancementModule`.

    Args:
        enhancement: affine; one that ends in a Normalizer is refused: append `Normalize()` of sentence-transformers.
        after: the last `Dense` of the model, linear, to fold this into: the returned one takes its place. Servers that
            apply one `Dense` only then apply this too.

    Raises:
        ImportError: sentence-transformers is not installed.
        ValueError: not affine, or not to be folded into that `Dense`.
    """
    optional("sentence_transformers.base.modules", "sentence-transformers", "as_dense")
    from isotropy_metrics.enhancement.sentence_transformers_module import dense_of

    return dense_of(enhancement, after)


def to_faiss(enhancement: Any) -> faiss.LinearTransform:
    """A fitted affine enhancement as the `LinearTransform` of faiss, for an `IndexPreTransform`.

    As `as_dense` it multiplies first and shifts then, in float32. For a Normalizer at the end, put a
    `faiss.NormalizationTransform` after it.

    Raises:
        ImportError: faiss is not installed.
        ValueError: not affine.
    """
    optional("faiss", "faiss-cpu", "to_faiss")
    from isotropy_metrics.enhancement.faiss_transform import linear_transform_of

    return linear_transform_of(enhancement)


def to_onnx(enhancement: Any, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a fitted enhancement, or a Pipeline of them, as an ONNX file: `embeddings` to `enhanced`, in float32.

    Args:
        enhancement: see `as_torch`.
        path: of the file, which is there whole or not at all.
        overwrite: replace a file that exists.

    Returns:
        The path.

    Raises:
        ImportError: torch, onnx or onnxscript is not installed.
        FileExistsError: the file exists.
        ValueError: a step that cannot be carried.
    """
    for library in ("torch", "onnx", "onnxscript"):
        optional(library, library, "to_onnx")
    from isotropy_metrics.enhancement.onnx_file import write_onnx

    return write_onnx(enhancement, path, overwrite)


class Carried:
    """The same, as methods of every enhancement."""

    def save_pretrained(self, folder: str | Path, **of_model: Any) -> Path:
        """Write it to a folder: the function `save_pretrained`, with the same keywords."""
        return save_pretrained(self, folder, **of_model)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path, **of_model: Any) -> Any:
        """Read it from a folder or the Hub: the function `from_pretrained`, with the same keywords.

        Raises:
            ValueError: also if the folder holds another kind of enhancement.
        """
        enhancement = from_pretrained(folder_or_hub_id, **of_model)
        if not isinstance(enhancement, cls):
            raise ValueError(
                f"{folder_or_hub_id} holds a {type(enhancement).__name__}, not a {cls.__name__}: load it with "
                "isotropy_metrics.enhancement.from_pretrained"
            )
        return enhancement

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Publish it on the Hub: the function `push_to_hub`, with the same keywords."""
        return push_to_hub(self, repo_id, **options)

    def as_torch(self, dtype: torch.dtype | None = None) -> torch.nn.Module:
        """As a `torch.nn.Module`: see the function `as_torch`."""
        return as_torch(self, dtype)

    def as_dense(self, *, after: Dense | None = None) -> Dense:
        """As a `Dense` of sentence-transformers, if it is affine: see the function `as_dense`."""
        return as_dense(self, after=after)

    def to_faiss(self) -> faiss.LinearTransform:
        """As a `LinearTransform` of faiss, if it is affine: see the function `to_faiss`."""
        return to_faiss(self)

    def to_onnx(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """As an ONNX file: see the function `to_onnx`."""
        return to_onnx(self, path, overwrite=overwrite)
