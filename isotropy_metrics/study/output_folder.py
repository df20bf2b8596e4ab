"""A study's folder: filled beside its place, kept there when work stops, and moved to its place when all is done."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isotropy_metrics.study.study_results import RESULTS_FILE, StudyResults
from isotropy_metrics.whole_file import whole_file

logger = logging.getLogger(__name__)

CONTENTS = {"report.html", RESULTS_FILE, "figures", "tables", "finetuned"}
"""All that a study writes; a folder with anything else in it is never replaced."""

LOCK = ".lock"


@contextmanager
def output_folder(output: str | Path, *, overwrite: bool = False, resume: bool = False) -> Iterator[Path]:
    """Give the folder `<output>.unfinished`, which becomes `output` when the block ends.

    If the block fails or is stopped, the folder stays as it is if it has new results in it, and `resume` gives it
    again; else it vanishes. With `resume` and a finished `output`, it starts as a copy of that.

    Raises:
        FileExistsError: `output` or its unfinished folder may not be replaced; or another process is at it.
        OSError: the finished folder could not be moved; the message says where it is.
    """
    from filelock import FileLock, Timeout

    output = Path(output).resolve()
    folder = output.with_name(f"{output.name}.unfinished")
    _check_place(output, overwrite or resume)
    if folder.exists() and not _is_study(folder):
        raise FileExistsError(f"{folder} holds other things than a study: move it away")
    if folder.exists() and not (overwrite or resume):
        raise FileExistsError(
            f"an unfinished study is in {folder}: pass --resume to go on with it, or --overwrite to start anew"
        )
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FileExistsError(f"another study is at work in {folder}: choose another --output") from None
    try:
        if not resume:
            _empty(folder)
        elif not (folder / RESULTS_FILE).exists() and (output / RESULTS_FILE).exists():
            _copy(output, folder)
        yield folder
    except BaseException as error:
        if not (folder / RESULTS_FILE).exists() or _is_copy(folder, output):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        kept = f"what is finished is kept in {folder}: go on with --resume"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(kept) from None
        logger.warning(kept)
        raise
    finally:
        lock.release()
    for path in folder.glob(".*"):  # the lock, and what a killed process left half-written
        _remove(path)
    try:
        _move(folder, output)
    except OSError as error:
        raise OSError(
            f"the study is complete but could not be moved to {output} ({error}); it is in {folder}"
        ) from error


def _check_place(output: Path, replace: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise FileExistsError(f"{output} is a file: choose another --output")
    if output == Path.cwd() or os.path.ismount(output):
        raise FileExistsError(f"{output} cannot be replaced while it is in use: choose a folder inside it as --output")
    if not any(output.iterdir()):
        return
    if not _is_study(output) or not (output / RESULTS_FILE).exists():
        raise FileExistsError(f"{output} holds other things than a study: choose another --output")
    if not replace:
        raise FileExistsError(f"{output} exists: choose another --output, --overwrite it, or --resume it")


def _is_study(folder: Path) -> bool:
    """Whether nothing is in it that a study did not write; files with a dot are half-written ones."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    if not {name for name in names if not name.startswith(".")} <= CONTENTS:
        return False
    if not (folder / RESULTS_FILE).exists():
        return True
    try:
        StudyResults.load(folder / RESULTS_FILE)
    except (OSError, ValueError):
        return False
    return True


def _copy(output: Path, folder: Path) -> None:
    """The results last: a copy that is stopped half-way is not taken for a study."""
    shutil.copytree(output, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RESULTS_FILE))
    with whole_file(folder / RESULTS_FILE) as beside:
        shutil.copy2(output / RESULTS_FILE, beside)


def _is_copy(folder: Path, output: Path) -> bool:
    """Whether nothing was found since the folder began as a copy of the finished study."""
    finished = output / RESULTS_FILE
    return finished.is_file() and finished.read_bytes() == (folder / RESULTS_FILE).read_bytes()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != LOCK:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
