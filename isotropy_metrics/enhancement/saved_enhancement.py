"""A folder that holds an enhancement: `enhancement.json` says what it is, `enhancement.safetensors` has its arrays."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isotropy_metrics.enhancement._description import describe, rebuild
from isotropy_metrics.enhancement._steps import enhancements_of
from isotropy_metrics.enhancement.fingerprint import Fingerprint
from isotropy_metrics.enhancement.per_group import PerGroup
from isotropy_metrics.optional_library import optional
from isotropy_metrics.version import __version__
from isotropy_metrics.whole_file import whole_file

JSON_FILE = "enhancement.json"
TENSORS_FILE = "enhancement.safetensors"
FORMAT = "isotropy_metrics.enhancement"
FORMAT_VERSION = 1


def save(enhancement: Any, folder: str | Path, **of_model: Any) -> Path:
    """Write the two files; see `save_pretrained`.

    Each is written beside and then renamed, the JSON last. If that fails, the folder holds what it held before.
    """
    content, tensors = content_of(enhancement, **of_model)
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    before = (folder / TENSORS_FILE).read_bytes() if (folder / TENSORS_FILE).exists() else None
    try:
        _write(folder / TENSORS_FILE, tensors)
        _write(folder / JSON_FILE, content.encode())
    except BaseException:
        if before is None:
            (folder / TENSORS_FILE).unlink(missing_ok=True)
        else:
            _write(folder / TENSORS_FILE, before)
        raise
    remember(enhancement, Fingerprint(**json.loads(content)["fingerprint"]))
    return folder


def load(folder: str | Path) -> Any:
    """The enhancement in a folder, with its `fingerprint_`.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: they are damaged, altered, of another tool, or of a newer version.
    """
    folder = Path(folder)
    content = _json(folder)
    tensors = _read(folder, TENSORS_FILE)
    try:
        if hashlib.sha256(tensors).hexdigest() != content["sha256"]:
            raise ValueError(
                f"{TENSORS_FILE} is not the file that was saved with {JSON_FILE}: it was cut short or altered, or the "
                "save was interrupted"
            )
        enhancement = rebuild(content["enhancement"], _arrays(tensors))
        remember(enhancement, Fingerprint(**content["fingerprint"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = str(error) if isinstance(error, ValueError) else f"{JSON_FILE} is not as save_pretrained writes it"
        raise ValueError(f"the enhancement in {folder} cannot be loaded: {what}") from error
    return enhancement


def content_of(enhancement: Any, **of_model: Any) -> tuple[str, bytes]:
    """The text of the JSON file and the bytes of the other one."""
    save_arrays = optional("safetensors.numpy", "safetensors", "saving an enhancement").save
    check_is_fitted(enhancement)
    description, arrays = describe(enhancement)
    tensors = save_arrays({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "library_version": __version__,
        "enhancement": description,
        "fingerprint": fingerprint_of(enhancement, **of_model).known(),
        "sha256": hashlib.sha256(tensors).hexdigest(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", tensors


def fingerprint_of(enhancement: Any, **of_model: Any) -> Fingerprint:
    """What is known of the fitting rows of an enhancement or Pipeline, and what is told now (see `Fingerprint.of`).

    Raises:
        ValueError: what is told now is not what is known.
    """
    enhancements = enhancements_of(enhancement)
    if not enhancements:
        return Fingerprint.of(**of_model)
    known = next((it.fingerprint_ for it in enhancements if hasattr(it, "fingerprint_")), Fingerprint())
    known.check(**of_model)
    first = enhancements[0]
    told = Fingerprint.of(**of_model, n_samples=_n_samples(first), n_features=first.n_features_in_)
    return Fingerprint(**(known.known() | told.known()))


def remember(enhancement: Any, fingerprint: Fingerprint) -> None:
    """Set `fingerprint_` of every enhancement in it, each of which forgets it when it is fitted anew."""
    for step in enhancements_of(enhancement):
        step.fingerprint_ = fingerprint


def _n_samples(step: Any) -> int | None:
    """Number of fitting rows; None if a group has nothing but a Normalizer, which counts none."""
    if not isinstance(step, PerGroup):
        return step.n_samples_seen_
    of_groups = [enhancements_of(group) for group in step.enhancements_.values()]
    return sum(_n_samples(steps[0]) for steps in of_groups) if all(of_groups) else None


def local_folder(folder_or_hub_id: str | Path, revision: str | None = None, token: str | None = None) -> Path:
    """The folder itself, or that of the snapshot of a repository of the Hub, of which the two files are downloaded.

    Raises:
        FileNotFoundError: there is no such folder, and no repository that could be reached.
    """
    if Path(folder_or_hub_id).is_dir():
        return Path(folder_or_hub_id)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder_or_hub_id)):
        raise FileNotFoundError(f"there is no folder {folder_or_hub_id}, and no repository of the Hub has such a name")
    hub = optional("huggingface_hub", "huggingface_hub", f"there is no folder {folder_or_hub_id}; the Hub")
    try:
        files = [JSON_FILE, TENSORS_FILE]
        return Path(hub.snapshot_download(folder_or_hub_id, revision=revision, token=token, allow_patterns=files))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"there is no folder {folder_or_hub_id}, and the Hub gave no repository of that name: "
            + str(error).partition("\n")[0]
        ) from error


def _json(folder: Path) -> dict[str, Any]:
    text = _read(folder, JSON_FILE)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder / JSON_FILE} is not JSON: it was cut short or altered") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{folder / JSON_FILE} is of another tool: it does not say that its format is {FORMAT!r}")
    version = content.get("format_version")
    if version not in range(1, FORMAT_VERSION + 1):
        raise ValueError(
            f"{folder / JSON_FILE} is of format {version}, written by isotropy_metrics "
            f"{content.get('library_version')}; this version reads format {FORMAT_VERSION}: upgrade isotropy-metrics"
        )
    return content


def _arrays(tensors: bytes) -> dict[str, np.ndarray]:
    safetensors = optional("safetensors", "safetensors", "loading an enhancement")
    try:
        arrays = optional("safetensors.numpy", "safetensors", "loading an enhancement").load(tensors)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{TENSORS_FILE} is not of safetensors ({error})") from error
    # copies are aligned in memory as the arrays of a fitted enhancement are, and can be written to
    return {key: np.array(array) for key, array in arrays.items()}


def _read(folder: Path, name: str) -> bytes:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not (folder / name).is_file():
        raise FileNotFoundError(f"{folder} holds no {name}: it is not one that save_pretrained has written")
    return (folder / name).read_bytes()


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as beside:
        beside.write_bytes(content)
