"""A file or folder that is complete or absent: made beside its place, and moved there when all went well."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ENHANCEMENT = {"enhancement.json", "enhancement.safetensors", "README.md", ".gitattributes"}
"""All that a saved enhancement holds; a folder with anything else in it is never replaced."""


def check_output(output: str | Path, overwrite: bool, remedy: str = "pass --overwrite") -> Path:
    """Refuse a place that is taken, or that cannot be written to.

    Raises:
        FileExistsError: it exists, and is not a file, or an enhancement's folder, that `overwrite` may replace.
        FileNotFoundError: the folder that it is to lie in does not exist.
    """
    output = Path(output).absolute()
    if not output.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {output.parent} to write {output.name} into")
    if not os.path.lexists(output) or (output.is_dir() and not any(output.iterdir())):
        return output
    if output.is_dir() and not {path.name for path in output.iterdir()} <= ENHANCEMENT:
        raise FileExistsError(f"{output} holds other things than an enhancement: choose another place")
    if not (output.is_dir() or output.is_file()):
        raise FileExistsError(f"{output} is neither a file nor a folder: choose another place")
    if not overwrite:
        raise FileExistsError(f"{output} exists: choose another place, or {remedy}")
    return output


@contextmanager
def output_path(output: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a path beside `output` that becomes `output` at the end, and vanishes if the work fails or is stopped.

    Raises:
        OSError: see `check_output`.
    """
    output = check_output(output, overwrite)
    with _stopped_by_sigterm(), tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        finished, old = Path(folder, output.name), Path(folder, "old")
        yield finished
        if output.is_dir():
            os.replace(output, old)
        try:
            os.replace(finished, output)
        except BaseException:
            if old.exists():
                os.replace(old, output)
            raise


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, by an exception: by default it leaves everything as it lies."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
