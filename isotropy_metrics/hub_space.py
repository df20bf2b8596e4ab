"""A measure as a Space on the Hugging Face Hub, from which `evaluate.load("OWNER/NAME")` loads it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from isotropy_metrics.evaluate_modules import RECORDS
from isotropy_metrics.hub_card import card
from isotropy_metrics.measures import Measure

REQUIREMENT = "isotropy-metrics[evaluate]"
"""What a Space installs. The package is not on PyPI yet: until it is, give an address that pip can install from."""

SCRIPT = '''\
"""`{name}` as an evaluate {module_type}, from the package isotropy-metrics, which it needs."""

try:
    from isotropy_metrics.evaluate_modules import module_class
except ImportError as error:
    raise ImportError({remedy!r}) from error

Module = module_class("{name}")
'''

APP = '''\
"""The page of this Space; what it shows is computed by the package isotropy-metrics."""

from isotropy_metrics.hub_app import page

demo = page("{name}")

if __name__ == "__main__":
    demo.launch()
'''


def push_space(
    name: str,
    namespace: str,
    *,
    private: bool = False,
    token: str | None = None,
    requirement: str = REQUIREMENT,
) -> str:
    """Publish a measure or comparison as the Space `namespace/name`, or bring the Space of that name up to date.

    Args:
        name: of the measure or comparison.
        namespace: user or organisation on the Hub that owns the Space.
        private: only its owners see a Space that is made now; one that exists stays as it is.
        token: of the Hub; None for the one of `hf auth login` or `HF_TOKEN`.
        requirement: see `write_space`.

    Returns:
        The address of the Space.

    Raises:
        ValueError: there is no such measure, or no Space can have that name.
        OSError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    files = _files(_record(name), namespace, requirement)
    api = HfApi(token=token)
    repo_id = f"{namespace}/{name}"
    address = api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="isotropy-metrics-") as folder:
        _write(files, Path(folder))
        message = f"{name} of isotropy-metrics"
        api.upload_folder(repo_id=repo_id, folder_path=folder, repo_type="space", commit_message=message)
    return str(address)


def write_space(name: str, folder: str | Path, *, namespace: str = "OWNER", requirement: str = REQUIREMENT) -> Path:
    """Write the files of a Space: README.md, NAME.py, requirements.txt and app.py.

    Args:
        name: of the measure or comparison.
        folder: to be made; it is there with all its files, or not at all.
        namespace: the owner's name as the card gives it.
        requirement: what the Space installs, a line of requirements.txt. The default is a package that is not on PyPI
            yet; "isotropy-metrics[evaluate] @ git+https://..." installs it from a repository.

    Returns:
        What `evaluate.load` takes: the folder if it has the name of the measure, else the script in it.

    Raises:
        ValueError: there is no such measure.
        FileExistsError: the folder is a file, or there is something in it.
    """
    files = _files(_record(name), namespace, requirement)
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists: choose another folder, or empty it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(files, beside)
        beside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return folder if folder.name == name else folder / f"{name}.py"


def _record(name: str) -> Measure:
    if name not in RECORDS:
        raise ValueError(f"there is no measure {name!r}; there are: {', '.join(RECORDS)}")
    return RECORDS[name]


def _files(record: Measure, namespace: str, requirement: str) -> dict[str, str]:
    """The text of every file by its name."""
    requirements = [requirement]
    if "ImportError: scikit-learn" in record.__doc__:
        requirements.append("scikit-learn")
    remedy = f"{record.name} is in the package isotropy-metrics: pip install '{requirement}'"
    facts = {"name": record.name, "module_type": record.module_type, "remedy": remedy}
    return {
        "README.md": card(record, namespace, requirements),
        f"{record.name}.py": SCRIPT.format(**facts),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "app.py": APP.format(**facts),
    }


def _write(files: dict[str, str], folder: Path) -> None:
    for file_name, text in files.items():
        (folder / file_name).write_text(text, encoding="utf-8")
