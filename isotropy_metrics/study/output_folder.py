"""A folder that is complete or absent: written beside its place, and moved there when all went well."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTENTS = {"report.html", "results.json", "layers.png", "spectrum.png", "treatments.png", "finetuned"}
"""All that a study writes; a folder with anything else in it is never replaced."""


@contextmanager
def output_folder(output: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder beside `output` that becomes `output` at the end, and vanishes if the work fails or stops.

    Raises:
        FileExistsError: `output` exists, and is not an empty folder, or an earlier study that `overwrite` may replace.
        OSError: the finished folder could not be moved; the message says where it is.
    """
    output = Path(output).resolve()
    _check_place(output, overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    folder.chmod(0o755)
    try:
        _move(folder, output)
    except OSError as error:
        raise OSError(
            f"the study is complete but could not be moved to {output} ({error}); it is in {folder}"
        ) from error


def _check_place(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise FileExistsError(f"{output} is a file: choose another --output")
    if output == Path.cwd() or os.path.ismount(output):
        raise FileExistsError(f"{output} cannot be replaced while it is in use: choose a folder inside it as --output")
    if not any(output.iterdir()):
        return
    if not _is_study(output):
        raise FileExistsError(f"{output} holds other things than a study: choose another --output")
    if not overwrite:
        raise FileExistsError(f"{output} exists: choose another --output, or pass --overwrite")


def _is_study(folder: Path) -> bool:
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    ours = isinstance(results, dict) and {"protocol", "treatments"} <= set(results)
    return ours and {path.name for path in folder.iterdir()} <= CONTENTS


def _move(folder: Path, output: Path) -> None:
    if not output.exists():
        os.replace(folder, output)
        return
    old = folder.with_name(f"{folder.name}-old")
    os.replace(output, old)
    try:
        os.replace(folder, output)
    except BaseException:
        os.replace(old, output)
        raise
    shutil.rmtree(old, ignore_errors=True)
