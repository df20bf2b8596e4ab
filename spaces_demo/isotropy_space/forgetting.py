"""Forgetting: what visitors leave on the server is deleted, that too which Gradio does not know of."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path


def upload_folder() -> Path:
    """Where Gradio keeps what is uploaded, and what it hands out."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")


def download_folder() -> Path:
    """Where the folders of downloads are, one for each time that somebody asks for them."""
    return upload_folder() / "isotropy-downloads"


def keep_forgetting(seconds: float) -> None:
    """From now on, forget again and again, so that nothing becomes older than so many seconds."""
    pause = seconds / 6

    def forget_all_the_time() -> None:
        while True:
            time.sleep(pause)
            try:
                forget(seconds - pause)
            except OSError:
                logging.getLogger(__name__).exception("not all could be deleted that visitors left: once more, later")

    threading.Thread(target=forget_all_the_time, name="forgetting", daemon=True).start()


def forget(seconds: float) -> None:
    """Delete uploads that were broken off, which Gradio leaves behind, and folders of downloads.

    Args:
        seconds: since when nothing has been written.
    """
    for path in (*upload_folder().glob("tmp*"), *download_folder().glob("*")):
        try:
            is_old = path.stat().st_mtime < time.time() - seconds
        except FileNotFoundError:
            continue  # an upload is complete meanwhile, and has another name
        if is_old and path.is_dir():
            shutil.rmtree(path)
        elif is_old:
            path.unlink(missing_ok=True)
